"""Models of transformers keep the contract, and change no token of the verifier's text."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from smart_speed.drafters.model import ModelDrafter
from smart_speed.engines import hf, toy
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.hf_attention import group_heads
from smart_speed.errors import ConfigError, ModelError, RollbackError
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder, EntropyConfig
from smart_speed.testing import check_cached_model, check_drafter
from tests.contract.tiny_hf import (
    TEXT,
    VOCAB_SIZE,
    WINDOW,
    build,
    greedy_text,
    loaded,
    network_of,
    shaken,
)

KINDS = ["Llama", "GPT2", "Qwen2", "Qwen3", "Mistral", "Gemma2", "Gemma3", "Llama4"]


@pytest.mark.parametrize("kind", KINDS)
def test_hf_keeps_the_contract(kind: str) -> None:
    network = build(kind)
    check_cached_model(lambda: hf.HfModel(network), TEXT)


@pytest.mark.parametrize("kind", KINDS)
def test_grouped_heads_keep_the_contract_and_agree_with_single_ones(kind: str) -> None:
    network = build(kind)
    expected = hf.HfModel(network).feed(TEXT, last=len(TEXT))
    group_heads(network)
    check_cached_model(lambda: hf.HfModel(network), TEXT)
    grouped = hf.HfModel(network)
    rows = [grouped.feed([token], last=1)[0].copy() for token in TEXT]
    np.testing.assert_allclose(np.stack(rows), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["Mistral", "Gemma2", "Gemma3", "Llama4"])
def test_windows_matter_to_these_models(kind: str) -> None:
    """Else the suite above would not have tested them."""
    network = build(kind)
    first, second = (hf.HfModel(network).feed([token, *TEXT[1:]], last=18) for token in (5, 6))
    reach = WINDOW * network.config.num_hidden_layers
    changed = np.abs(first - second).max(axis=1) > 1e-6
    assert changed[:WINDOW].any()
    if kind == "Mistral":  # the others have a layer that sees everything
        assert not changed[reach:].any()


def test_logits_on_a_cpu_are_seen_by_numpy_without_gradients() -> None:
    network = build("Llama").to(torch.bfloat16)
    model = hf.HfModel(network)
    rows = model.feed(TEXT, last=2)
    assert isinstance(rows, np.ndarray)
    assert (rows.shape, rows.dtype) == ((2, VOCAB_SIZE), np.float32)
    check_cached_model(lambda: hf.HfModel(network), TEXT, tolerance=0.5)


def test_head_scores_no_more_rows_than_are_wanted() -> None:
    network = build("Llama")
    scored: list[int] = []
    network.lm_head.register_forward_hook(lambda *args: scored.append(args[2].shape[1]))
    model = hf.HfModel(network)
    for last in (3, 0, 1):
        model.feed(TEXT[:5], last=last)
    assert scored == [3, 1, 1]


def cannot_choose_rows(network: Any) -> Any:
    whole = network.forward

    def forward(input_ids: Any, past_key_values: Any, use_cache: bool) -> Any:
        return whole(input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache)

    network.forward = forward
    return network


def test_model_that_cannot_choose_rows_is_sliced() -> None:
    network = cannot_choose_rows(build("Llama"))
    check_cached_model(lambda: hf.HfModel(network), TEXT)


@pytest.mark.parametrize("kind", [*KINDS, "sliced"])
def test_long_passes_are_of_few_lengths_and_keep_what_was_asked(kind: str) -> None:
    """Catches: tokens read for nothing that are kept, or whose rows are handed over."""
    network = cannot_choose_rows(build("Llama")) if kind == "sliced" else build(kind)
    lengths: set[int] = set()
    embedding = network.get_input_embeddings()
    embedding.register_forward_hook(lambda *args: lengths.add(args[1][0].shape[-1]))
    text = [TEXT[at % len(TEXT)] for at in range(60)]
    model = hf.HfModel(network, context_len=58)
    model.feed(text[:1], last=0)
    alone = np.stack([model.feed([token], last=1)[0].copy() for token in text[1:57]])
    lengths.clear()
    for end in range(34, 58):
        model.rollback(1)
        rows = model.feed(text[1:end], last=2)
        np.testing.assert_allclose(rows, alone[end - 3 : end - 1], atol=1e-4)
        assert model.cached_tokens == text[:end]
        after = model.feed(text[end : end + 1], last=1)
        if end < 57:
            np.testing.assert_allclose(after[0], alone[end - 1], atol=1e-4)
    assert lengths == {1, 57}  # 64 if there were room


def test_crop_is_told_how_many_tokens_to_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 and positive numbers mean other things to other versions of transformers."""
    cropped: list[int] = []
    crop = transformers.DynamicCache.crop

    def watched(self: Any, amount: int) -> None:
        cropped.append(amount)
        crop(self, amount)

    monkeypatch.setattr(transformers.DynamicCache, "crop", watched)
    model = hf.HfModel(build("Llama"))
    model.feed(TEXT, last=0)
    for to_len in (18, 17, 17, 9, 0, 0):
        model.rollback(to_len)
    assert cropped == [-1, -8]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_pass_leaves_an_empty_cache(error: type[BaseException]) -> None:
    network = build("Llama")
    model = hf.HfModel(network)
    model.feed(TEXT[:5], last=0)

    def interrupt(*_: Any) -> None:
        raise error

    handle = network.model.layers[1].register_forward_hook(interrupt)
    with pytest.raises(error):
        model.feed(TEXT[5:9], last=1)
    handle.remove()
    assert model.cached_len == 0
    expected = hf.HfModel(network).feed(TEXT, last=1)
    assert np.allclose(model.feed(TEXT, last=1), expected)


@pytest.mark.parametrize(
    ("kind", "changes", "layers"),
    [
        ("Mamba", {"state_size": 4}, "linear_attention"),
        ("Jamba", {"mamba_d_state": 4, "num_experts": 2, "use_mamba_kernels": False}, "linear"),
        ("Qwen3Next", {"num_experts": 4, "num_experts_per_tok": 1}, "linear_attention"),
        ("Lfm2", {"layer_types": ["conv", "full_attention", "conv"]}, "conv"),
        ("Rwkv", {"attention_hidden_size": 16}, "rwkv"),
    ],
)
def test_model_with_state_is_refused(kind: str, changes: dict[str, Any], layers: str) -> None:
    network = build(kind, **changes)
    with pytest.raises(RollbackError, match=rf"layers of type .*{layers}.* cannot be rolled back"):
        hf.HfModel(network)


def test_model_without_a_cache_is_refused() -> None:
    own = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64}
    config = transformers.OpenAIGPTConfig(vocab_size=VOCAB_SIZE, **own)
    with pytest.raises(RollbackError, match="'openai-gpt'"):
        hf.HfModel(transformers.OpenAIGPTLMHeadModel(config))


def test_model_that_ignores_its_cache_is_refused() -> None:
    network = build("Llama")
    whole = network.forward
    network.forward = lambda input_ids, past_key_values, use_cache: whole(input_ids)
    with pytest.raises(ModelError, match="must cache every token it reads, got 'llama'"):
        hf.HfModel(network).feed(TEXT, last=1)


def test_encoder_decoder_is_refused() -> None:
    own = {"vocab_size": VOCAB_SIZE, "d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 4}
    config = transformers.T5Config(d_kv=4, **own)
    with pytest.raises(ModelError, match="must be decoder-only, got 't5'"):
        hf.HfModel(transformers.T5ForConditionalGeneration(config))


def test_context_len_is_the_model_s_unless_less_is_asked_for() -> None:
    network = build("Llama")
    assert hf.HfModel(network).context_len == 64
    assert hf.HfModel(network, context_len=10).context_len == 10
    for asked in (65, 0):
        with pytest.raises(ConfigError, match=f"context_len must be 1 to 64, .*got {asked}"):
            hf.HfModel(network, context_len=asked)


def test_context_ends_where_positions_would_be_recoded() -> None:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0, 1.0],
        "long_factor": [2.0, 4.0],
        "original_max_position_embeddings": 24,
    }
    network = build("Phi3", rope_parameters=rope, original_max_position_embeddings=24)
    assert hf.HfModel(network).context_len == 24


def test_model_without_a_limit_gets_a_context() -> None:
    own = {"vocab_size": VOCAB_SIZE, "hidden_size": 16, "n_layer": 2, "n_head": 4}
    network = transformers.BloomForCausalLM(transformers.BloomConfig(**own))
    assert hf.HfModel(network).context_len == 4096
    assert hf.HfModel(network, context_len=9999).context_len == 9999


STRATEGIES: list[dict[str, Any]] = [
    {"strategy": "fixed"},
    {"strategy": "absolute", "theta_abs": 1.5},
    {"strategy": "relative", "theta_rel": 1.2, "stop_placement": "before"},
    {"strategy": "svip", "svip_h": 0.5},
]


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "Qwen3"])
@pytest.mark.parametrize("cap", range(9))
def test_greedy_text_is_the_verifier_s(kind: str, cap: int) -> None:
    verifier = loaded(build(kind))
    drafter = loaded(shaken(build(kind), seed=1, strength=0.1))
    expected = greedy_text(network_of(verifier), TEXT[:6], 16)
    accepted = 0
    for settings in STRATEGIES:
        config = EntropyConfig(max_draft_len=cap, **settings)
        decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config)
        result = decoder.generate(TEXT[:6], max_new_tokens=16, sampling=Sampling(ignore_eos=True))
        assert list(result.tokens) == expected, settings
        accepted += sum(turn.record.accepted_len for turn in result.rounds)
    assert (accepted > 0) == (cap > 0)


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "Qwen2", "Gemma3"])
def test_a_stranger_as_drafter_changes_no_token(kind: str) -> None:
    verifier, drafter = loaded(build(kind)), loaded(build(kind, seed=1))
    decoder = EntropyBasedSpeculativeDecoder(
        verifier, drafter, EntropyConfig(strategy="fixed", max_draft_len=4)
    )
    for prompt_len in (1, 6, 3):
        prompt = TEXT[:prompt_len]
        expected = greedy_text(network_of(verifier), prompt, 16)
        result = decoder.generate(prompt, max_new_tokens=16, sampling=Sampling(ignore_eos=True))
        assert list(result.tokens) == expected


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(repetition_penalty=1.3),
        Sampling(temperature=0.7, repetition_penalty=1.3, top_k=9, top_p=0.9, min_p=0.01),
        Sampling(temperature=1.2),
    ],
    ids=["penalty", "everything", "temperature"],
)
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16])
def test_the_loop_reads_tensors(sampling: Sampling, number_format: torch.dtype) -> None:
    """As they come from a GPU, in the model's own format; the text is that of NumPy's rows."""
    verifier = loaded(build("Llama").to(number_format))
    drafter = loaded(shaken(build("Llama"), seed=1, strength=0.1).to(number_format))
    texts = [
        EntropyBasedSpeculativeDecoder(*pair)
        .generate(TEXT[:6], max_new_tokens=12, sampling=sampling)
        .tokens
        for pair in ((verifier, drafter), (as_tensors(verifier), as_tensors(drafter)))
    ]
    assert texts[0] == texts[1]


class TensorModel:
    """An engine whose rows are tensors, as they are on a GPU."""

    def __init__(self, inner: hf.HfModel) -> None:
        self._inner = inner
        self.vocab_size = inner.vocab_size
        self.context_len = inner.context_len
        self.rollback = inner.rollback

    @property
    def cached_tokens(self) -> Sequence[int]:
        return self._inner.cached_tokens

    @property
    def cached_len(self) -> int:
        return self._inner.cached_len

    def feed(self, tokens: Sequence[int], *, last: int) -> torch.Tensor:
        network = self._inner.network
        return torch.asarray(self._inner.feed(tokens, last=last)).to(network.dtype)


def as_tensors(model: LoadedModel) -> LoadedModel:
    return replace(model, model=TensorModel(model.model))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "Gemma3", "OPT"])
def test_first_layers_are_a_model_that_shares_its_weights(kind: str) -> None:
    changes = {"OPT": {"ffn_dim": 24, "word_embed_proj_dim": 16}}.get(kind, {})
    whole = loaded(build(kind, **changes), context_len=40)
    before = hf.HfModel(network_of(whole)).feed(TEXT, last=3)
    part = hf.first_layers(whole, 2)
    network = network_of(part)
    check_cached_model(lambda: hf.HfModel(network), TEXT)

    assert np.array_equal(part.model.feed(TEXT, last=3), oracle_of_two_layers(kind, changes))
    assert not np.allclose(part.model.feed(TEXT, last=3), before)
    own = {weights.data_ptr() for weights in network.parameters()}
    theirs = {weights.data_ptr() for weights in network_of(whole).parameters()}
    assert own < theirs
    assert part.model.context_len == 40
    assert part.description == "first 2 of 3 layers of test"

    assert whole.model.cached_len == 0
    assert np.array_equal(whole.model.feed(TEXT, last=3), before)


def oracle_of_two_layers(kind: str, changes: dict[str, Any]) -> np.ndarray:
    """Build the model anew and delete its third layer."""
    network = build(kind, **changes)
    name = {"GPT2": "transformer.h", "OPT": "model.decoder.layers"}.get(kind, "model.layers")
    del network.get_submodule(name)[2]
    network.config.num_hidden_layers = 2
    rows: np.ndarray = hf.HfModel(network).feed(TEXT, last=3)
    return rows


def test_first_layers_draft_for_the_whole() -> None:
    verifier = loaded(build("Llama"))
    decoder = EntropyBasedSpeculativeDecoder(verifier, hf.first_layers(verifier, 2))
    expected = greedy_text(network_of(verifier), TEXT[:6], 16)
    result = decoder.generate(TEXT[:6], max_new_tokens=16, sampling=Sampling(ignore_eos=True))
    assert list(result.tokens) == expected
    assert sum(turn.record.draft_len for turn in result.rounds) > 0


def test_first_layers_of_first_layers_are_counted_anew() -> None:
    two = hf.first_layers(loaded(build("Llama")), 2)
    one = hf.first_layers(two, 1)
    assert len(network_of(one).model.layers) == 1
    with pytest.raises(ConfigError, match="num_layers must be 1 to 1 for a model of 2 layers"):
        hf.first_layers(two, 2)


def test_first_layers_need_an_hf_model() -> None:
    with pytest.raises(ModelError, match="must be given a model of the hf engine, got 'toy'"):
        hf.first_layers(toy.load("default", order=1), 1)


@pytest.mark.parametrize("num_layers", [0, 3, -1])
def test_first_layers_are_fewer_than_all(num_layers: int) -> None:
    match = rf"num_layers must be 1 to 2 for a model of 3 layers, got {num_layers}\."
    with pytest.raises(ConfigError, match=match):
        hf.first_layers(loaded(build("Llama")), num_layers)


def test_hf_model_drafter_keeps_the_contract() -> None:
    network = build("Mistral")
    check_drafter(
        lambda: ModelDrafter(hf.HfModel(network), vocab_size=VOCAB_SIZE + 2),
        TEXT,
        vocab_size=VOCAB_SIZE + 2,
    )
