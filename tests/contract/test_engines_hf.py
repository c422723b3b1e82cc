"""The hf engine, on tiny models with random weights that are built here: no hub, no network."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from smart_speed.engines import hf
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.hf_tokenizer import HfTokenizer
from smart_speed.errors import ConfigError, ModelError, RollbackError
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder, EntropyConfig
from smart_speed.testing import check_cached_model, check_drafter

WORDS = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *"abcdefghijklmnopqrstuvwxyz?.:"]
VOCAB_SIZE = 40
"""More than there are words: models pad their embeddings."""
WINDOW = 5
TEXT = np.random.default_rng(7).integers(5, len(WORDS), size=18).tolist()

CHATML = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('No system turns') }}{% endif %}"
    "<|im_start|> {{ message['role'][0] }} : {{ message['content'] }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> a :{% endif %}"
)


def build(kind: str, *, seed: int = 0, **changes: Any) -> Any:
    """Return a tiny model of an architecture, with weights spread enough to have opinions."""
    size = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": 64,
        "initializer_range": 0.5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    own: dict[str, dict[str, Any]] = {
        "GPT2": {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 64},
        "Mistral": {"sliding_window": WINDOW},
        "Gemma2": {"sliding_window": WINDOW},
        "Gemma3": {
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        "Llama4": {
            "attention_chunk_size": WINDOW,
            "intermediate_size_mlp": 24,
            "num_local_experts": 2,
        },
    }
    if kind == "GPT2":
        size = {key: size[key] for key in size if key not in ("hidden_size", "num_hidden_layers")}
    suffix = "TextConfig" if kind in ("Gemma3", "Llama4") else "Config"
    config_class = getattr(transformers, kind + suffix)
    model_class = getattr(transformers, kind + ("LMHeadModel" if kind == "GPT2" else "ForCausalLM"))
    torch.manual_seed(seed)
    return model_class(config_class(**{**size, **own.get(kind, {}), **changes})).eval()


def shaken(network: Any, *, seed: int, strength: float) -> Any:
    """Add noise to a model's weights, so that it often but not always agrees with what it was."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weights in network.parameters():
            weights += strength * weights.std() * torch.randn_like(weights)
    return network


def fast_tokenizer(**settings: Any) -> Any:
    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        **settings,
    )


def loaded(network: Any, **settings: Any) -> LoadedModel:
    return LoadedModel(
        model=hf.HfModel(network, **settings),
        tokenizer=HfTokenizer(fast_tokenizer(), network.generation_config),
        engine="hf",
        path="test",
        description="made for a test",
    )


def network_of(model: LoadedModel) -> Any:
    assert isinstance(model.model, hf.HfModel)
    return model.model.network


def greedy_text(network: Any, prompt: Sequence[int], count: int) -> list[int]:
    """Decode without a cache: the slow oracle."""
    text = list(prompt)
    for _ in range(count):
        with torch.inference_mode():
            logits = network(input_ids=torch.tensor([text]), use_cache=False).logits
        text.append(int(logits[0, -1].argmax()))
    return text[len(prompt) :]


KINDS = ["Llama", "GPT2", "Qwen2", "Qwen3", "Mistral", "Gemma2", "Gemma3", "Llama4"]


@pytest.mark.parametrize("kind", KINDS)
def test_hf_keeps_the_contract(kind: str) -> None:
    network = build(kind)
    check_cached_model(lambda: hf.HfModel(network), TEXT)


@pytest.mark.parametrize("kind", ["Mistral", "Gemma2", "Gemma3", "Llama4"])
def test_windows_matter_to_these_models(kind: str) -> None:
    """Else the suite above would not have tested them."""
    network = build(kind)
    first, second = (hf.HfModel(network).feed([token, *TEXT[1:]], last=18) for token in (5, 6))
    reach = WINDOW * network.config.num_hidden_layers
    changed = (first - second).abs().amax(dim=1) > 1e-6
    assert changed[:WINDOW].any()
    if kind == "Mistral":  # the others have a layer that sees everything
        assert not changed[reach:].any()


def test_logits_stay_in_the_model_s_own_format() -> None:
    network = build("Llama").to(torch.bfloat16)
    model = hf.HfModel(network)
    rows = model.feed(TEXT, last=2)
    assert (rows.shape, rows.dtype, rows.device.type) == ((2, VOCAB_SIZE), torch.bfloat16, "cpu")
    assert not rows.requires_grad
    check_cached_model(lambda: hf.HfModel(network), TEXT, tolerance=0.5)


def test_model_that_cannot_choose_rows_is_sliced() -> None:
    network = build("Llama")
    whole = network.forward

    def forward(input_ids: Any, past_key_values: Any, use_cache: bool) -> Any:
        return whole(input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache)

    network.forward = forward
    check_cached_model(lambda: hf.HfModel(network), TEXT)


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
    assert torch.allclose(model.feed(TEXT, last=1), expected)


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
    with pytest.raises(ModelError, match="decoder-only model, got 't5'"):
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
def test_sampling_reads_tensors(sampling: Sampling, number_format: torch.dtype) -> None:
    verifier = loaded(build("Llama").to(number_format))
    drafter = loaded(shaken(build("Llama"), seed=1, strength=0.1).to(number_format))
    texts = [
        EntropyBasedSpeculativeDecoder(verifier, drafter)
        .generate(TEXT[:6], max_new_tokens=12, sampling=sampling)
        .tokens
        for _ in range(2)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "Gemma3", "OPT"])
def test_first_layers_are_a_model_that_shares_its_weights(kind: str) -> None:
    changes = {"OPT": {"ffn_dim": 24, "word_embed_proj_dim": 16}}.get(kind, {})
    whole = loaded(build(kind, **changes), context_len=40)
    before = hf.HfModel(network_of(whole)).feed(TEXT, last=3)
    part = hf.first_layers(whole, 2)
    network = network_of(part)
    check_cached_model(lambda: hf.HfModel(network), TEXT)

    assert torch.equal(part.model.feed(TEXT, last=3), oracle_of_two_layers(kind, changes))
    assert not torch.allclose(part.model.feed(TEXT, last=3), before)
    own = {weights.data_ptr() for weights in network.parameters()}
    theirs = {weights.data_ptr() for weights in network_of(whole).parameters()}
    assert own < theirs
    assert part.model.context_len == 40
    assert part.description == "first 2 of 3 layers of test"

    assert whole.model.cached_len == 0
    assert torch.equal(whole.model.feed(TEXT, last=3), before)


def oracle_of_two_layers(kind: str, changes: dict[str, Any]) -> torch.Tensor:
    """Build the model anew and delete its third layer."""
    network = build(kind, **changes)
    name = {"GPT2": "transformer.h", "OPT": "model.decoder.layers"}.get(kind, "model.layers")
    del network.get_submodule(name)[2]
    network.config.num_hidden_layers = 2
    return hf.HfModel(network).feed(TEXT, last=3)


def test_first_layers_draft_for_the_whole() -> None:
    verifier = loaded(build("Llama"))
    decoder = EntropyBasedSpeculativeDecoder(verifier, hf.first_layers(verifier, 2))
    expected = greedy_text(network_of(verifier), TEXT[:6], 16)
    result = decoder.generate(TEXT[:6], max_new_tokens=16, sampling=Sampling(ignore_eos=True))
    assert list(result.tokens) == expected
    assert sum(turn.record.draft_len for turn in result.rounds) > 0


@pytest.mark.parametrize("num_layers", [0, 3, -1])
def test_first_layers_are_fewer_than_all(num_layers: int) -> None:
    match = rf"num_layers must be 1 to 2 for a model of 3 layers, got {num_layers}\."
    with pytest.raises(ConfigError, match=match):
        hf.first_layers(loaded(build("Llama")), num_layers)


def test_hf_model_drafter_keeps_the_contract() -> None:
    from smart_speed.drafters.model import ModelDrafter

    network = build("Mistral")
    check_drafter(
        lambda: ModelDrafter(hf.HfModel(network), vocab_size=VOCAB_SIZE + 2),
        TEXT,
        vocab_size=VOCAB_SIZE + 2,
    )


def test_tokenizer_speaks_of_words() -> None:
    tokenizer = HfTokenizer(fast_tokenizer())
    assert tokenizer.vocab_size == len(WORDS)
    assert [tokenizer.spelling(token) for token in range(len(WORDS))] == WORDS
    assert tokenizer.bos_id == 1
    assert tokenizer.encode("a b ?") == [5, 6, WORDS.index("?")]
    assert tokenizer.decode([1, 5, 6, 4]) == "a b"
    assert tokenizer.decode([]) == ""


def test_ends_of_text_are_gathered_from_everywhere() -> None:
    assert HfTokenizer(fast_tokenizer()).eos_ids == {2}
    assert HfTokenizer(fast_tokenizer(chat_template=CHATML)).eos_ids == {2, 4}
    for named, expected in ((7, {2, 7}), ([7, 8], {2, 7, 8}), (None, {2})):
        config = transformers.GenerationConfig(eos_token_id=named)
        assert HfTokenizer(fast_tokenizer(), config).eos_ids == expected
    # An answer that ends in an ordinary word, or is not shown at all, ends with nothing special.
    for template in ("{{ messages[-1]['content'] }} a", "a", "{{ raise_exception('no') }}"):
        assert HfTokenizer(fast_tokenizer(chat_template=template)).eos_ids == {2}


def test_chat_is_put_into_the_model_s_template() -> None:
    tokenizer = HfTokenizer(fast_tokenizer(chat_template=CHATML))
    tokens = tokenizer.encode_chat([{"role": "user", "content": "a b"}])
    assert [WORDS[token] for token in tokens] == [
        "<|im_start|>",
        "u",
        ":",
        "a",
        "b",
        "<|im_end|>",
        "<|im_start|>",
        "a",
        ":",
    ]
    with pytest.raises(ModelError, match="template refuses the messages: No system turns"):
        tokenizer.encode_chat([{"role": "system", "content": "a"}])
    with pytest.raises(ModelError, match="A chat needs a model with a chat template"):
        HfTokenizer(fast_tokenizer()).encode_chat([{"role": "user", "content": "a"}])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a saved model and tokenizer."""
    build("Llama").save_pretrained(tmp_path)
    fast_tokenizer(chat_template=CHATML).save_pretrained(tmp_path)
    return tmp_path


def test_saved_model_is_loaded(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = hf.load(str(folder), device="cpu", threads=1, context_len=50)
    expected = hf.HfModel(build("Llama")).feed(TEXT, last=4)
    assert torch.equal(model.model.feed(TEXT, last=4), expected)
    assert model.model.context_len == 50
    assert model.tokenizer.eos_ids == {2, 4}
    assert (model.engine, model.path) == ("hf", str(folder))
    assert model.description == "LlamaForCausalLM, 3 layers, float32, cpu, 1 threads"
    assert capfd.readouterr() == ("", "")


def test_loaded_number_format_is_as_asked(folder: Path) -> None:
    assert hf.load(str(folder), dtype="bfloat16").model.feed(TEXT, last=1).dtype == torch.bfloat16
    assert hf.load(str(folder), device="cpu").model.feed(TEXT, last=1).dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"dtype": "float31"}, r"Unknown dtype 'float31'\. Did you mean 'float32'\?"),
        ({"device": "abacus"}, "device must be one that this PyTorch can use, got 'abacus'"),
        ({"device": "cuda:99"}, "device must be one that this PyTorch can use, got 'cuda:99'"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"context_len": 65}, "context_len must be 1 to 64"),
    ],
)
def test_settings_are_checked_before_weights_are_read(
    folder: Path, settings: dict[str, Any], complaint: str
) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=complaint):
        hf.load(str(folder), **settings)


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    """Write a tiny Llama with a byte-pair tokenizer."""
    generator = np.random.default_rng(3)
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(16)
    writer.add_block_count(2)
    writer.add_feed_forward_length(24)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(4)
    writer.add_vocab_size(len(WORDS) + 1)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*WORDS, "ab"])
    writer.add_token_types([3] * 5 + [1] * (len(WORDS) - 4))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    shapes = {"token_embd": (len(WORDS) + 1, 16), "output_norm": (16,)}
    for layer in range(2):
        shapes |= {f"blk.{layer}.{name}": (16,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{layer}.{name}": (16, 16) for name in ("attn_q", "attn_output")}
        shapes |= {f"blk.{layer}.{name}": (8, 16) for name in ("attn_k", "attn_v")}
        shapes |= {f"blk.{layer}.{name}": (24, 16) for name in ("ffn_gate", "ffn_up")}
        shapes[f"blk.{layer}.ffn_down"] = (16, 24)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", generator.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_gguf_is_loaded(gguf_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = hf.load(str(gguf_file))
    assert model.description.startswith("LlamaForCausalLM, 2 layers, float32, ")
    assert model.model.context_len == 64
    assert model.tokenizer.eos_ids == {2}
    assert model.tokenizer.encode("abc") == [len(WORDS), WORDS.index("c")]
    network = network_of(model)
    check_cached_model(lambda: hf.HfModel(network), TEXT)
    assert capfd.readouterr() == ("", "")


def test_truncated_gguf_is_refused(gguf_file: Path) -> None:
    gguf_file.write_bytes(gguf_file.read_bytes()[:-5000])
    assert "cannot be read" in refusal(gguf_file)


def refusal(path: Path | str) -> str:
    """Return the one sentence that a path is refused with."""
    with pytest.raises(ModelError) as caught:
        hf.load(str(path))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_model_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "none.gguf", "no such thing", "a/b/c", "b.gguf"):
        assert refusal(path).startswith("A model must be a folder, a GGUF file or a hub id")


def test_hub_id_out_of_reach_is_refused() -> None:
    message = refusal("nobody/nothing-of-this-name")
    assert message.startswith("The model 'nobody/nothing-of-this-name' is neither a folder here")
    assert message.endswith("a local folder or GGUF file may be given instead.")


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "must hold a config.json" in refusal(tmp_path)


def test_text_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("GG")
    assert "must be in GGUF format" in refusal(file)


@pytest.mark.parametrize("content", [b"GGUF", b"GGUF\x03\0\0\0" + b"rubbish" * 40])
def test_broken_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    assert refusal(file).startswith(f"The model {str(file)!r} cannot be read: ")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"rubbish"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{rubbish"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{}"), "cannot be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot be read"),
        (lambda folder: edit_config(folder, num_hidden_layers=4), "lacks 'model.layers.3."),
        (lambda folder: edit_config(folder, hidden_size=8), "cannot be read"),
    ],
    ids=["no-weights", "weights", "config", "empty-config", "tokenizer", "layers", "width"],
)
def test_damaged_folder_is_refused(
    folder: Path, damage: Callable[[Path], object], complaint: str
) -> None:
    damage(folder)
    assert complaint in refusal(folder)


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_refused_architectures_are_not_read_first(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    edit_config(folder, model_type="lfm2", layer_types=["conv"] * 3)
    assert "layers of type conv" in refusal(folder)
    edit_config(folder, model_type="t5")
    assert "decoder-only model, got 't5'" in refusal(folder)
