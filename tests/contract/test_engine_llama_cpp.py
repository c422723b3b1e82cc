"""GGUF models keep the contract, and change no token of the verifier's text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.divergence import find_divergence
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines import llama_cpp as engine
from smart_speed.engines import llama_files
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.embedded import embedded_model
from smart_speed.engines.llama_tokenizer import LlamaTokenizer
from smart_speed.errors import ConfigError, ModelError, RollbackError
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.strategies import STRATEGIES
from smart_speed.testing import check_cached_model, check_drafter
from smart_speed.workloads.builtin import builtin_prompts
from tests.calibrations import beside, routing_of
from tests.contract import tiny_gguf

TINY_TOLERANCE = 0.05
"""The tiny files are float32, their cache float16. Passes of other widths moved logits by 0.004
over these 18 tokens; one wrong token among them moves them by 0.19 or more, one wrong row by 7."""

LONG_TOLERANCE = 0.5
"""As above, but over a thousand tokens, where it was 0.03."""

EMBEDDED_TOLERANCE = 2.0
"""Logits of the embedded model spread over some 40 units. Where kernels keep activations in eight
bits, those of a wide pass and of a narrow one may round them differently: 0.9 was seen once texts
are longer than 256 tokens, below that 0 on one machine and more on others. A wrong row is off by
12 and more; a test below shows that it would be noticed."""

TEXT = np.random.default_rng(7).integers(3, len(tiny_gguf.VOCABULARY), size=18).tolist()
LONG_TEXT = np.random.default_rng(8).integers(3, len(tiny_gguf.VOCABULARY), size=1100).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def tiny_file(folder: Path) -> Path:
    return tiny_gguf.write(folder / "tiny.gguf")


@pytest.fixture(scope="module")
def embedded() -> Any:
    """The weights of the embedded verifier."""
    return engine._open(embedded_model())


def maker(weights: Any, context_len: int = 64) -> Callable[[], engine.LlamaModel]:
    """Return what makes a context of its own for shared weights."""
    return lambda: engine.LlamaModel(weights, context_len=context_len, threads=1)


def fresh_rows(make: Callable[[], engine.LlamaModel], text: Sequence[int], last: int) -> np.ndarray:
    """Return what a model that has read nothing else says; rows do not outlive their model."""
    model = make()
    return np.array(model.feed(text, last=last))


def feed_singly(model: engine.LlamaModel, tokens: Sequence[int]) -> np.ndarray:
    return np.concatenate([np.array(model.feed([token], last=1)) for token in tokens])


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_llama_cpp_keeps_the_contract(architecture: str, tmp_path: Path) -> None:
    file = tiny_gguf.write(tmp_path / "tiny.gguf", architecture=architecture)
    check_cached_model(maker(engine._open(file)), TEXT, tolerance=TINY_TOLERANCE)


def test_model_drafter_keeps_the_contract(tiny_file: Path) -> None:
    make, width = maker(engine._open(tiny_file)), len(tiny_gguf.VOCABULARY)
    check_drafter(
        lambda: ModelDrafter(make(), vocab_size=width), TEXT, vocab_size=width, tolerance=0.01
    )


@pytest.mark.slow
def test_embedded_model_keeps_the_contract(embedded: Any) -> None:
    text = LlamaTokenizer(embedded).encode("The drafter writes and the verifier reads.")
    check_cached_model(maker(embedded), text, tolerance=EMBEDDED_TOLERANCE)


class Faulty:
    """A model of llama.cpp that keeps every promise but those that a subclass breaks."""

    def __init__(self, inner: engine.LlamaModel) -> None:
        self.inner = inner
        self.vocab_size = inner.vocab_size
        self.context_len = inner.context_len

    @property
    def cached_tokens(self) -> Sequence[int]:
        return self.inner.cached_tokens

    @property
    def cached_len(self) -> int:
        return self.inner.cached_len

    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        return self.inner.feed(tokens, last=last)

    def rollback(self, to_len: int) -> None:
        self.inner.rollback(to_len)


class ScoresOneTokenLate(Faulty):
    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        return np.roll(super().feed(tokens, last=last), 1, axis=0)


class KeepsARejectedToken(Faulty):
    """Goes on from it where the text's first token should be, and does not say so."""

    def rollback(self, to_len: int) -> None:
        rejected = self.cached_tokens[to_len:][:1]
        super().rollback(to_len)
        if rejected and to_len > 1:
            text = list(self.cached_tokens)
            self.inner.rollback(0)
            self.inner.feed([*rejected, *text[1:]], last=0)
            self.inner._tokens[0] = text[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "complaint"),
    [(ScoresOneTokenLate, "passes of 1 tokens"), (KeepsARejectedToken, "and other tokens")],
)
def test_tolerance_leaves_no_room_for_a_wrong_row(
    kind: type[Faulty], complaint: str, embedded: Any
) -> None:
    text = LlamaTokenizer(embedded).encode("The drafter writes and the verifier reads.")
    make = maker(embedded)
    with pytest.raises(AssertionError, match=complaint):
        check_cached_model(lambda: kind(make()), text, tolerance=EMBEDDED_TOLERANCE)


@pytest.mark.slow
def test_rows_are_further_apart_than_any_tolerance(embedded: Any) -> None:
    tokenizer = LlamaTokenizer(embedded)
    for prompt in builtin_prompts(per_task=1):
        text = tokenizer.encode(prompt.text)[:20]
        rows = fresh_rows(maker(embedded), text, last=len(text))
        apart = np.abs(rows[1:] - rows[:-1]).max(axis=1)
        assert apart.min() > 3 * EMBEDDED_TOLERANCE


@pytest.mark.parametrize("last", [0, 1, 76, 77, 588, 589, 1100])
def test_feed_over_several_passes_is_the_text_token_by_token(last: int, tiny_file: Path) -> None:
    """1100 tokens are passes of 512, 512 and 76: the rows wanted begin in each, or at its edge."""
    make = maker(engine._open(tiny_file), context_len=1101)
    oracle, model = make(), make()
    expected = feed_singly(oracle, LONG_TEXT)
    rows = np.array(model.feed(LONG_TEXT, last=last))
    assert rows.shape == (last, len(tiny_gguf.VOCABULARY))
    np.testing.assert_allclose(rows, expected[1100 - last :], rtol=0, atol=LONG_TOLERANCE)
    assert model.cached_tokens == LONG_TEXT
    after, expected = (each.feed(TEXT[:1], last=1) for each in (model, oracle))
    np.testing.assert_allclose(after, expected, rtol=0, atol=LONG_TOLERANCE)


@pytest.mark.parametrize("whole", [True, False])
def test_sliding_window_keeps_what_a_rollback_brings_back(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cache for the window alone, as llama.cpp has it by default, that would be lost."""
    make_context = llama_cpp.llama_init_from_model

    def init(model: Any, params: Any) -> Any:
        params.swa_full = params.swa_full and whole
        return make_context(model, params)

    monkeypatch.setattr(llama_cpp, "llama_init_from_model", init)
    file = tiny_gguf.write(tmp_path / "tiny.gguf", architecture="gemma2")
    make = maker(engine._open(file), context_len=2048)
    model = make()
    model.feed(LONG_TEXT, last=0)
    model.rollback(100)
    expected = fresh_rows(make, [*LONG_TEXT[:100], *TEXT], last=18)
    apart = np.abs(model.feed(TEXT, last=18) - expected).max()
    assert (apart < LONG_TOLERANCE) == whole


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_pass_leaves_no_trace(
    error: type[BaseException], tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is noticed as soon as llama.cpp is done, when its cache holds the tokens already."""
    decode = llama_cpp.llama_decode

    def interrupted(context: Any, batch: Any) -> int:
        decode(context, batch)
        raise error

    make = maker(engine._open(tiny_file))
    model = make()
    for start in (0, 5):
        monkeypatch.setattr(llama_cpp, "llama_decode", interrupted)
        with pytest.raises(error):
            model.feed(TEXT[start + 5 : start + 9], last=1)
        assert model.cached_len == start
        monkeypatch.setattr(llama_cpp, "llama_decode", decode)
        model.feed(TEXT[start : start + 5], last=0)
    expected = fresh_rows(make, TEXT[:11], last=1)
    np.testing.assert_allclose(
        model.feed(TEXT[10:11], last=1), expected, rtol=0, atol=TINY_TOLERANCE
    )


def test_failed_pass_says_so_and_leaves_no_trace(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = maker(engine._open(tiny_file))
    model = make()
    with monkeypatch.context() as patch:
        patch.setattr(llama_cpp, "llama_decode", lambda context, batch: 1)
        with pytest.raises(ModelError, match=r"must decode 3 tokens, got status 1\."):
            model.feed(TEXT[:3], last=1)
    assert model.cached_len == 0
    expected = fresh_rows(make, TEXT, last=1)
    np.testing.assert_allclose(model.feed(TEXT, last=1), expected, rtol=0, atol=TINY_TOLERANCE)


def test_models_share_weights_but_no_cache(tiny_file: Path) -> None:
    make = maker(engine._open(tiny_file))
    first, second = make(), make()
    first.feed(TEXT[:9], last=0)
    second.feed(TEXT[9:], last=0)
    expected = fresh_rows(make, TEXT[:10], last=1)
    np.testing.assert_allclose(
        first.feed(TEXT[9:10], last=1), expected, rtol=0, atol=TINY_TOLERANCE
    )


def test_recurrent_model_is_refused(tmp_path: Path) -> None:
    file = tiny_gguf.write(tmp_path / "mamba.gguf", architecture="mamba")
    with pytest.raises(RollbackError, match=r"the layers of mamba are recurrent\."):
        engine.load(str(file), threads=1)


@pytest.mark.parametrize(
    ("function", "kind"),
    [("llama_model_is_recurrent", "recurrent"), ("llama_model_is_hybrid", "hybrid recurrent")],
)
def test_model_that_says_it_is_recurrent_is_refused(
    function: str, kind: str, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp, function, lambda model: True)
    with pytest.raises(RollbackError, match=rf"forget tokens, .* layers of llama are {kind}\."):
        engine.load(str(tiny_file), threads=1)


@pytest.mark.parametrize("has_amx", [True, False])
def test_amx_kernels_are_kept_away(
    has_amx: bool, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[bool] = []
    load = llama_cpp.llama_model_load_from_file

    def watched(path: bytes, params: Any) -> Any:
        passed.append(params.use_extra_bufts)
        return load(path, params)

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", watched)
    monkeypatch.setattr(engine, "features", lambda: "AVX512 AMX_INT8" if has_amx else "AVX512")
    model = engine.load(str(tiny_file), threads=1)
    assert passed == [not has_amx]
    assert ("without AMX kernels" in model.description) == has_amx


def test_features_are_the_words_that_are_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said = b"CPU : SSE3 = 1 | AVX512_BF16 = 1 | AMX_INT8 = 0 | OPENMP = 1 | REPACK = 1 | "
    monkeypatch.setattr(llama_cpp, "llama_print_system_info", lambda: said)
    assert engine.features() == "SSE3 AVX512_BF16 OPENMP REPACK"
    assert llama_files.flattest_format() == "bf16"
    monkeypatch.setattr(llama_cpp, "llama_print_system_info", lambda: b"CPU : NEON = 1 | ")
    assert llama_files.flattest_format() == "q8_0"


def test_context_len_is_what_was_asked_for(tiny_file: Path, tmp_path: Path) -> None:
    assert engine.load(str(tiny_file), threads=1).model.context_len == tiny_gguf.CONTEXT_LEN
    assert engine.load(str(tiny_file), threads=1, context_len=10).model.context_len == 10
    for asked in (0, tiny_gguf.CONTEXT_LEN + 1):
        with pytest.raises(ConfigError, match=f"context_len must be 1 to 2048, .*got {asked}"):
            engine.load(str(tiny_file), context_len=asked)
    patient = tiny_gguf.write(tmp_path / "patient.gguf", context_len=100_000)
    assert engine.load(str(patient), threads=1).model.context_len == 4096


def test_loading_is_silent(tiny_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = engine.load(str(tiny_file), threads=1)
    assert model.description.startswith("tiny: llama")
    assert model.description.endswith(" all F32, 0 MB, 1 threads, flash attention off")
    model.model.feed(TEXT, last=1)
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMART_SPEED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def test_first_layers_are_the_model_that_ends_there(
    tiny_file: Path, cache: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    file = llama_files.first_layers(tiny_file, 2, engine.num_layers(tiny_file), said.append)
    # The same seed draws the same first layers.
    short = tiny_gguf.write(tmp_path / "short.gguf", num_layers=2)
    files = (file, short, tiny_file)
    cut, oracle, whole = (fresh_rows(maker(engine._open(path)), TEXT, last=18) for path in files)
    np.testing.assert_array_equal(cut, oracle)
    assert np.abs(cut - whole).max() > 1
    assert llama_files.first_layers(tiny_file, 2, 3, said.append) == file
    assert said == ["Cutting tiny.gguf after 2 layers, once …"]
    assert [path.name for path in cache.iterdir()] == [file.name]


def test_converted_file_belongs_to_the_content_it_was_made_of(cache: Path, tmp_path: Path) -> None:
    said: list[str] = []
    file = tiny_gguf.write(tmp_path / "tiny.gguf")
    converted = llama_files.requantized(file, "q8_0", said.append)
    rounded, exact = (
        fresh_rows(maker(engine._open(path)), TEXT, last=18) for path in (converted, file)
    )
    assert 0 < np.abs(rounded - exact).max() < 5
    tiny_gguf.write(file, seed=1)
    assert llama_files.requantized(file, "q8_0", said.append) != converted
    assert len(said) == len(list(cache.iterdir())) == 2


def assert_same_text(
    verifier: LoadedModel, drafter: Drafter, configs: Sequence[EntropyConfig], prompts: Any
) -> int:
    """Compare greedy outputs with plain decoding; return how many drafted tokens were accepted."""
    sampling = Sampling(ignore_eos=True)
    accepted = 0
    plain = EntropyBasedSpeculativeDecoder(verifier, config=EntropyConfig(strategy="plain"))
    for prompt in prompts:
        expected = plain.generate(prompt, max_new_tokens=24, sampling=sampling).tokens
        assert len(expected) == 24
        for config in configs:
            decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config)
            result = decoder.generate(prompt, max_new_tokens=24, sampling=sampling)
            gap = find_divergence(
                verifier.model, prompt, expected, result.tokens,
                prompt_id=str(prompt[:4]), condition=config.name,
            )  # fmt: skip
            assert gap is None or gap.near_tie, gap
            accepted += sum(turn.record.accepted_len for turn in result.rounds)
    return accepted


@pytest.fixture
def tiny_pair(folder: Path, tiny_file: Path) -> tuple[LoadedModel, LoadedModel]:
    """A verifier and its own first two layers."""
    short = tiny_gguf.write(folder / "short.gguf", num_layers=2)
    verifier, drafter = (
        engine.load(str(path), threads=1, context_len=64) for path in (tiny_file, short)
    )
    return verifier, drafter


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "plain"])
def test_greedy_text_is_the_verifier_s(
    strategy: str, tiny_pair: tuple[LoadedModel, LoadedModel]
) -> None:
    verifier, drafter = tiny_pair
    needed = beside(strategy)
    if strategy == "route":  # with the verifier's entropy in it, nobody would ever draft here
        needed["routing"] = routing_of("model", reads_verifier=False)
    configs = [EntropyConfig(strategy=strategy, max_draft_len=cap, **needed) for cap in range(9)]
    prompts = (TEXT[:1], TEXT[:6])
    assert assert_same_text(verifier, NgramDrafter(), configs, prompts) > 0
    paired = ModelDrafter.for_verifier(drafter, verifier)
    assert assert_same_text(verifier, paired, configs, prompts) > 0


@pytest.mark.slow
def test_greedy_text_is_the_embedded_verifier_s() -> None:
    verifier = engine.load(str(embedded_model()), threads=1, context_len=256)
    configs = [
        EntropyConfig(strategy=name, **beside(name)) for name in STRATEGIES if name != "plain"
    ]
    prompts = [
        verifier.tokenizer.encode_chat([{"role": "user", "content": text}])
        for text in ("Count to ten.", "Say the word tea three times.")
    ]
    assert assert_same_text(verifier, NgramDrafter(), configs, prompts) > 0
