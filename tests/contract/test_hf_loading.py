"""What is loaded is what was asked for, and what cannot be is refused in one sentence."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers

from smart_speed.engines import hf
from smart_speed.engines.hf_tokenizer import HfTokenizer
from smart_speed.errors import ConfigError, ModelError
from smart_speed.testing import check_cached_model
from tests.contract.tiny_hf import (
    CHATML,
    TEXT,
    WORDS,
    build,
    fast_tokenizer,
    network_of,
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
    np.testing.assert_allclose(model.model.feed(TEXT, last=4), expected, atol=1e-5)
    assert model.model.context_len == 50
    assert model.tokenizer.eos_ids == {2, 4}
    assert (model.engine, model.path) == ("hf", str(folder))
    assert (
        model.description
        == "LlamaForCausalLM, 3 layers, float32, cpu, 1 threads, packed weights, grouped heads"
    )
    assert capfd.readouterr() == ("", "")


def test_loading_keeps_what_transformers_has_to_say_to_itself(folder: Path) -> None:
    edit_config(folder, num_hidden_layers=2)  # weights of a third layer are left over
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    hf.load(str(folder))
    assert said.getvalue() == ""
    logger.warning("heard")
    logger.removeHandler(handler)
    assert said.getvalue() == "heard\n"


def test_loaded_number_format_is_as_asked(folder: Path) -> None:
    assert network_of(hf.load(str(folder), dtype="bfloat16")).dtype == torch.bfloat16
    assert network_of(hf.load(str(folder), device="cpu")).dtype == torch.float32


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


@pytest.mark.parametrize("hub_id", ["nobody/nothing-of-this-name", "no..hub.id", "-"])
def test_hub_id_out_of_reach_is_refused(hub_id: str) -> None:
    message = refusal(hub_id)
    assert message.startswith(f"The model {hub_id!r} is neither a folder here")
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
    assert "must be decoder-only, got 't5'" in refusal(folder)
