"""The embedded verifier, from the command line to the cache: real weights, real text."""

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np
import pytest

from smart_speed import cli
from smart_speed.calibration.here import SHIPPED_FOLDER, shipped_profile
from smart_speed.config import EntropyConfig
from smart_speed.divergence import find_divergence
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines import hf, llama_cpp, llama_files
from smart_speed.engines.base import CachedModel, LoadedModel, Message
from smart_speed.engines.embedded import embedded_model
from smart_speed.generation import Result
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import DEFAULT_DRAFTERS, LoadOptions, load_drafter
from smart_speed.profiles import read_profile
from smart_speed.prompting import encode_prompt
from smart_speed.records import SequenceRecord
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.strategies import STRATEGIES
from smart_speed.workloads.builtin import builtin_prompts
from smart_speed.workloads.prompt import text_hash
from tests.calibrations import beside
from tests.unit.test_heatmap import read

pytestmark = pytest.mark.slow

PROMPT = "The drafter writes and the verifier reads, the drafter writes and"
MODEL = ("--quantize", "none", "--threads", "1", "--context-len", "512")
SHORT = ("--max-new-tokens", "16")
PROMPTS = {prompt.prompt_id: prompt.text for prompt in builtin_prompts()}


def chat(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[str, str]:
    """Return what a subcommand that succeeds writes to standard output and error."""
    assert cli.main(argv) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """Return the document of ``smart-speed generate --json``."""
    out, _ = run(capsys, "generate", *MODEL, *SHORT, "--json", *argv)
    assert out.count("\n") == 1
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep derived models out of the user's own folder, and off the disk afterwards."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMART_SPEED_CACHE", str(folder))
        yield folder / "models"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def llama() -> LoadedModel:
    return llama_cpp.load(str(embedded_model()), threads=1, context_len=512)


@pytest.fixture(scope="module")
def float32() -> LoadedModel:
    """Shared by all tests: reading the file takes transformers a while."""
    return hf.load(str(embedded_model()), device="cpu", dtype="float32", threads=1)


def test_document_holds_text_tokens_and_record(
    llama: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answer(capsys, PROMPT)
    record = SequenceRecord.from_json(document["record"])
    assert json.loads(record.to_line()) == document["record"]
    assert (record.engine, record.condition, record.finish_reason) == (
        "llama_cpp", "calibrated", "length",
    )  # fmt: skip
    assert record.prompt_len == len(llama.tokenizer.encode(PROMPT))
    assert record.output_len == len(document["tokens"]) == 16
    assert sum(turn.emitted_len for turn in record.rounds) == 16
    assert document["text"] == llama.tokenizer.decode(document["tokens"])
    assert document["prompt"] == PROMPT
    assert document["drafter"] == DEFAULT_DRAFTERS["llama_cpp"]
    shipped = read_profile(SHIPPED_FOLDER / "llama_cpp-ngram.json").config
    used = document["config"]
    assert used["strategy"] == "calibrated"
    assert used["calibration"]["acceptance"] == shipped["calibration"]["acceptance"]


def test_the_shipped_profile_drafts_at_a_temperature_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = answer(capsys, PROMPT, "--temperature", "0.7")
    assert document["config"]["strategy"] == "calibrated"
    assert document["record"]["lossless"] is True


@pytest.mark.parametrize(
    ("engine", "name"), [*DEFAULT_DRAFTERS.items(), ("llama_cpp", "nano+ngram")]
)
def test_a_profile_ships_for_the_default_models(engine: str, name: str, llama: LoadedModel) -> None:
    """Catches: a drafter that was trained again, without learning a profile for it."""
    profile = read_profile(SHIPPED_FOLDER / f"{engine}-{name}.json")
    verifier = verifier_id("default", llama)
    drafter = load_drafter(name, llama, LoadOptions(threads=1, context_len=512))
    drafting = drafter_id("default", drafter, verifier)
    assert shipped_profile(engine, verifier, drafting) == profile
    learned_on = set(profile.learned["split"]["text_hashes"])
    built_in = {text_hash((each.text,)) for each in builtin_prompts(per_task=12)}
    assert len(learned_on) == len(profile.learned["split"]["prompt_ids"]) >= 48
    assert not learned_on & built_in


def test_prompt_comes_from_wherever_it_is_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "„Grüße“ – 日本, said the\nlighthouse keeper\n"
    expected = answer(capsys, text)
    (tmp_path / "prompt.txt").write_text(text, encoding="utf-8")
    for argv in (("--file", str(tmp_path / "prompt.txt")), ("-",), ()):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        document = answer(capsys, *argv)
        assert document["prompt"] == text
        assert document["tokens"] == expected["tokens"]


def test_chat_is_told_how_to_behave_first(
    llama: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    lens = {
        len(encode_prompt(prompt, llama)): answer(capsys, "Name a colour.", *argv)
        for prompt, argv in (
            ("Name a colour.", ()),
            (chat("Name a colour."), ("--chat",)),
            (
                [{"role": "system", "content": "Shout."}, *chat("Name a colour.")],
                ("--chat", "--system", "Shout."),
            ),
        )
    }
    assert len(lens) == 3
    for prompt_len, document in lens.items():
        assert document["record"]["prompt_len"] == prompt_len


def test_text_goes_to_standard_output_and_all_else_to_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = answer(capsys, PROMPT)["text"]
    out, err = run(capsys, "generate", *MODEL, *SHORT, PROMPT)
    assert out == f"{expected}\n"
    said = " ".join(err.split())
    assert "Engine llama_cpp: the default verifier is a GGUF file" in said
    assert "Tokens: 16; rounds: " in said


def test_page_shows_the_text_and_refers_to_nothing_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answer(capsys, PROMPT, "--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert document["text"] in read(page)
    assert "http" not in page


def test_comparison_is_a_table_for_people_and_a_document_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ("generate", *MODEL, *SHORT, PROMPT, "--compare", "absolute,fixed:3")
    out, err = run(capsys, *argv)
    assert out == ""
    lines = [line.split() for line in err.splitlines() if line.rstrip().endswith("/1")]
    assert [line[0] for line in lines] == ["plain", "absolute", "fixed-3"]
    assert (lines[0][2], lines[0][-1]) == ("1.00", "1/1")
    out, _ = run(capsys, *argv, "--json")
    document = json.loads(out)
    assert list(document["conditions"]) == ["plain", "absolute", "fixed-3"]
    assert all(divergence["near_tie"] for divergence in document["divergences"])


def test_doctor_finds_everything_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "doctor", *MODEL)
    assert out == ""
    assert "49152 tokens" in err
    out, _ = run(capsys, "doctor", *MODEL, "--json")
    document = json.loads(out)
    assert document["vocabulary"] == "49152 tokens, the same for both"
    assert document["drafter"] == DEFAULT_DRAFTERS["llama_cpp"]
    out, _ = run(capsys, "doctor", *MODEL, "--drafter", "nano+ngram", "--json")
    document = json.loads(out)
    known = "49152 tokens, of which the drafter knows 6143 and those of the text"
    assert document["vocabulary"].startswith(known)
    assert document["problem"] is None
    assert document["drafter"] == "nano+ngram"
    assert document["engine hf"] == document["engine llama_cpp"] == "ready"
    assert document["verifier"].startswith("llama_cpp: ")


def test_default_verifier_is_converted_once(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything by default, as in the first run of a new user."""
    _, err = run(capsys, "generate", "--max-new-tokens", "4", "Once upon a time")
    assert "once …" in err
    (converted,) = cache.glob(f"*-{llama_files.flattest_format()}.gguf")
    before = converted.stat().st_mtime_ns
    _, err = run(capsys, "doctor")
    assert "once …" not in err
    assert converted.stat().st_mtime_ns == before
    assert not list(cache.glob("*.part"))


def test_pieces_join_to_the_text(llama: LoadedModel) -> None:
    decoder = EntropyBasedSpeculativeDecoder(llama, NgramDrafter())
    for prompt in (PROMPT, chat(PROMPTS["translation/08"]), "日本語: こんにちは、"):
        generation = decoder.stream(prompt, max_new_tokens=32)
        pieces = list(generation)
        result = generation.result()
        assert "".join(pieces) == result.text
        assert len([piece for piece in pieces if piece]) > 1
        assert result.text == llama.tokenizer.decode(result.tokens)


def assert_same_answer(
    verifier: LoadedModel, prompt: Sequence[int], expected: Result, result: Result
) -> None:
    """Compare greedy outputs; another cache may hold keys and values rounded in another way."""
    gap = find_divergence(
        verifier.model, prompt, expected.tokens, result.tokens, prompt_id="", condition=""
    )
    assert gap is None or gap.near_tie, gap


def test_chat_that_goes_on_is_read_from_where_it_was_left(llama: LoadedModel) -> None:
    decoder = EntropyBasedSpeculativeDecoder(llama, NgramDrafter())
    messages = chat("Name three colours.")
    first = decoder.generate(messages, max_new_tokens=24)
    assert first.record.reused_len == 0
    messages += [{"role": "assistant", "content": first.text}, *chat("And three more?")]
    second = decoder.generate(messages, max_new_tokens=24)
    assert second.record.reused_len >= first.record.prompt_len
    prompt = encode_prompt(messages, llama)
    decoder.forget()
    fresh = EntropyBasedSpeculativeDecoder(llama, NgramDrafter()).generate(
        messages, max_new_tokens=24
    )
    assert fresh.record.reused_len == 0
    assert_same_answer(llama, prompt, fresh, second)


def test_output_ends_before_a_stop_string(llama: LoadedModel) -> None:
    decoder = EntropyBasedSpeculativeDecoder(llama, NgramDrafter())
    whole = decoder.generate(PROMPT, max_new_tokens=24)
    stop = whole.text[12:20]
    before = whole.text[: whole.text.index(stop)]
    decoder.forget()
    generation = decoder.stream(
        PROMPT, max_new_tokens=24, sampling=Sampling(stop_strings=(stop, "never said"))
    )
    assert "".join(generation) == before
    result = generation.result()
    assert result.text == before
    assert result.record.finish_reason == "stop"
    assert result.tokens == whole.tokens[: len(result.tokens)]
    assert len(result.tokens) < len(whole.tokens)


def test_same_seed_draws_the_same_text(llama: LoadedModel) -> None:
    def draw(seed: int) -> tuple[int, ...]:
        decoder = EntropyBasedSpeculativeDecoder(llama, NgramDrafter())
        decoder.forget()
        sampling = Sampling(temperature=1.0, top_p=0.95, seed=seed)
        return decoder.generate(PROMPT, max_new_tokens=16, sampling=sampling).tokens

    first = draw(1)
    assert draw(1) == first
    assert draw(2) != first


CAPS = (1, 3, 8)


@pytest.mark.parametrize("prompt_id", ["summarisation/05", "qa/03", "writing/04"])
def test_float32_text_is_plain_decoding_s_under_every_strategy(
    prompt_id: str, float32: LoadedModel
) -> None:
    """Exactly: passes of any width differ by far less than the two likeliest tokens do."""
    sampling = Sampling(ignore_eos=True)
    settings: dict[str, Any] = {"max_new_tokens": 16, "sampling": sampling}
    prompt = encode_prompt(chat(PROMPTS[prompt_id]), float32)
    expected = EntropyBasedSpeculativeDecoder(float32).generate(prompt, **settings).tokens
    assert len(expected) == 16
    strategies = [name for name in STRATEGIES if name != "plain"]
    conditions: list[tuple[LoadedModel | Drafter, str, int]] = [
        (NgramDrafter(), name, cap) for name in strategies for cap in CAPS
    ]
    conditions.append((hf.first_layers(float32, 2), "fixed", 3))
    small = load_drafter("small", float32, LoadOptions(engine="hf", device="cpu", dtype="float32"))
    conditions += [(small, name, 8) for name in strategies]
    accepted = 0
    for drafter, strategy, cap in conditions:
        config = EntropyConfig(strategy=strategy, max_draft_len=cap, **beside(strategy))
        decoder = EntropyBasedSpeculativeDecoder(float32, drafter, config)
        result = decoder.generate(prompt, **settings)
        assert result.tokens == expected, (strategy, cap)
        accepted += sum(turn.record.accepted_len for turn in result.rounds)
    assert accepted > 0


def next_logits(model: CachedModel, text: Sequence[int]) -> np.ndarray:
    """Return the logits that follow a text, fed from where the cache ends."""
    row = model.feed(text[model.cached_len :], last=1)[0]
    return np.array(array_api_compat.to_device(row, "cpu"), dtype=np.float64)


def assert_caches_hold_the_text(
    decoder: EntropyBasedSpeculativeDecoder,
    models: Sequence[tuple[CachedModel, CachedModel]],
    tolerance: float,
) -> int:
    """Compare, after every round, each model of a decoder with an idle one of the same weights.

    Returns:
        How many drafted tokens were accepted, some having been rejected.
    """
    text = encode_prompt(PROMPT, decoder.verifier)
    generation = decoder.stream(text, max_new_tokens=16, sampling=Sampling(ignore_eos=True))
    rounds = 0
    for _ in generation:
        result = generation.result()
        if rounds == len(result.rounds):  # the last piece comes without a round
            continue
        rounds += 1
        whole = [*text, *result.tokens]
        for model, fresh in models:
            cached = model.cached_len
            assert list(model.cached_tokens) == whole[:cached]
            fresh.rollback(0)
            expected = next_logits(fresh, whole)
            np.testing.assert_allclose(next_logits(model, whole), expected, rtol=0, atol=tolerance)
            model.rollback(cached)
        assert decoder.verifier.model.cached_len == len(whole) - 1
    accepted = sum(turn.record.accepted_len for turn in result.rounds)
    assert accepted < sum(turn.record.draft_len for turn in result.rounds)
    return accepted


CONFIG = EntropyConfig(strategy="fixed", max_draft_len=3)
NUM_LAYERS = (2, 24)
"""Two layers of this model draft next to nothing that is kept, 24 of its 30 about every fifth."""


@pytest.mark.parametrize("num_layers", NUM_LAYERS)
def test_caches_of_hf_are_fresh_prefills(num_layers: int, float32: LoadedModel) -> None:
    layers = hf.first_layers(float32, num_layers)
    pairs = []
    for loaded in (float32, layers):
        assert isinstance(loaded.model, hf.HfModel)
        pairs.append((loaded.model, hf.HfModel(loaded.model.network)))
    decoder = EntropyBasedSpeculativeDecoder(float32, layers, CONFIG)
    accepted = assert_caches_hold_the_text(decoder, pairs, tolerance=0.01)
    assert accepted or num_layers == 2


@pytest.mark.parametrize("num_layers", NUM_LAYERS)
def test_caches_of_llama_cpp_are_fresh_prefills(num_layers: int, llama: LoadedModel) -> None:
    path = embedded_model()
    cut = llama_files.first_layers(path, num_layers, llama_cpp.num_layers(path), lambda _: None)
    drafter, fresh_drafter, fresh_verifier = (
        llama_cpp.load(str(file), threads=1, context_len=512) for file in (cut, cut, path)
    )
    decoder = EntropyBasedSpeculativeDecoder(llama, drafter, CONFIG)
    pairs = [(llama.model, fresh_verifier.model), (drafter.model, fresh_drafter.model)]
    # Rounding may do 2; a wrong row is off by 12 (tests/contract/test_engine_llama_cpp.py).
    accepted = assert_caches_hold_the_text(decoder, pairs, tolerance=2.0)
    assert accepted or num_layers == 2
