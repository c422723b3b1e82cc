"""A drafter that was written to a file scores and spells as the network it was written from."""

from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import pytest

from smart_speed.engines.base import UNKNOWN_TOKEN
from smart_speed.engines.hf_tokenizer import HfTokenizer
from smart_speed.training.gguf_file import write_gguf
from smart_speed.training.settings import NumberFormat
from smart_speed.training.trimmed_tokenizer import trimmed_tokenizer
from tests.contract.tiny_drafter import (
    KEPT,
    SIZE,
    Engine,
    distance,
    llama,
    load_hf,
    load_llama_cpp,
    whole_tokenizer,
)

SAYING = "the theory: in 12 things\n"
CHAT = [{"role": "user", "content": "the thing"}]


@pytest.fixture
def tokenizer() -> Any:
    return trimmed_tokenizer(whole_tokenizer(), KEPT)


@pytest.fixture
def exact_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let llama.cpp keep keys and values as they are; by default it rounds them to half floats."""
    defaults = llama_cpp.llama_context_default_params

    def params() -> Any:
        exact = defaults()
        exact.type_k = exact.type_v = llama_cpp.GGML_TYPE_F32
        exact.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        return exact

    monkeypatch.setattr(llama_cpp, "llama_context_default_params", params)


@pytest.mark.usefixtures("exact_attention")
@pytest.mark.parametrize("load", [load_llama_cpp, load_hf])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(
    ("number_format", "tolerance"), [("f32", 1e-5), ("bf16", 0.02), ("q8_0", 0.1)]
)
def test_file_scores_as_its_network(
    number_format: NumberFormat,
    tolerance: float,
    tied: bool,
    load: Engine,
    tokenizer: Any,
    tmp_path: Path,
) -> None:
    network, path = llama(tie_word_embeddings=tied), tmp_path / "new" / "drafter.gguf"
    write_gguf(network, tokenizer, path, name="tiny", number_format=number_format)
    loaded = load(path)
    assert distance(loaded, network) < tolerance
    assert loaded.model.context_len == 64
    assert [file.name for file in path.parent.iterdir()] == ["drafter.gguf"]
    tensors = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert ("output.weight" in tensors) is not tied
    assert tensors["token_embd.weight"] == number_format.upper()
    assert tensors["blk.0.attn_norm.weight"] == "F32"


@pytest.mark.parametrize("load", [load_llama_cpp, load_hf])
@pytest.mark.parametrize("digits", [True, False], ids=["digits-apart", "digits-together"])
def test_file_spells_as_its_tokenizer(digits: bool, load: Engine, tmp_path: Path) -> None:
    path = tmp_path / "drafter.gguf"
    tokenizer = trimmed_tokenizer(whole_tokenizer(digits=digits), KEPT)
    write_gguf(llama(), tokenizer, path, name="tiny", number_format="f32")
    expected, written = HfTokenizer(tokenizer), load(path).tokenizer
    assert written.vocab_size == SIZE
    assert [written.spelling(token) for token in range(SIZE)] == [
        expected.spelling(token) for token in range(SIZE)
    ]
    assert written.spelling(SIZE - 1) == UNKNOWN_TOKEN
    assert (written.bos_id, 2 in written.eos_ids) == (1, True)
    for saying in ("in 12 things\n", "日本 th"):
        assert written.encode(saying) == expected.encode(saying)
    asked = [{"role": "us", "content": "in thing"}]
    assert written.encode_chat(asked) == expected.encode_chat(asked)


def test_file_is_parsed_once_for_all_that_is_read_there(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "drafter.gguf"
    write_gguf(llama(), tokenizer, path, name="tiny", number_format="f32")
    parsed = []

    def parse(file: Any, *given: Any) -> gguf.GGUFReader:
        parsed.append(str(file))
        return reader(file, *given)

    reader = gguf.GGUFReader
    monkeypatch.setattr(gguf, "GGUFReader", parse)
    for times in (1, 2):  # what is remembered is forgotten: the file may be another one
        load_hf(path)
        assert parsed == [str(path)] * times
    assert gguf.GGUFReader is parse


def test_folder_is_read_as_it_was_written(tokenizer: Any, tmp_path: Path) -> None:
    network = llama()
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_hf(tmp_path)
    assert distance(loaded, network) == 0
    written, expected = loaded.tokenizer, HfTokenizer(tokenizer)
    assert [written.spelling(token) for token in range(written.vocab_size)] == [
        expected.spelling(token) for token in range(SIZE)
    ]
    # The pieces that were not kept are unknown, and the folder says so as well.
    assert SIZE - 1 in written.encode(SAYING)
    assert written.encode(SAYING) == expected.encode(SAYING)
    assert written.encode_chat(CHAT) == expected.encode_chat(CHAT)


@pytest.mark.parametrize("load", [load_llama_cpp, load_hf])
def test_rows_that_do_not_divide_into_blocks_are_rounded_less(
    load: Engine, tokenizer: Any, tmp_path: Path
) -> None:
    network, path = llama(intermediate_size=40), tmp_path / "drafter.gguf"
    write_gguf(network, tokenizer, path, name="tiny", number_format="q8_0")
    tensors = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert (tensors["blk.0.ffn_up.weight"], tensors["blk.0.ffn_down.weight"]) == ("Q8_0", "BF16")
    assert distance(load(path), network) < 0.1


@pytest.mark.parametrize("load", [load_llama_cpp, load_hf])
def test_vocabulary_without_named_tokens_ends_with_the_unknown(
    load: Engine, tmp_path: Path
) -> None:
    """Both libraries would put a token of their own in the place of the missing ones."""
    kept, path = KEPT[3:], tmp_path / "drafter.gguf"
    tokenizer = trimmed_tokenizer(whole_tokenizer(), kept)
    network = llama(vocab_size=len(kept) + 1, bos_token_id=None, eos_token_id=None)
    write_gguf(network, tokenizer, path, name="tiny", number_format="f32")
    written = load(path).tokenizer
    assert written.vocab_size == len(kept) + 1
    assert written.eos_ids == {len(kept)}


@pytest.mark.parametrize("load", [load_llama_cpp, load_hf])
@pytest.mark.parametrize("begins", [True, False])
def test_file_says_whether_texts_begin_with_a_token(
    begins: bool, load: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "drafter.gguf"
    tokenizer = trimmed_tokenizer(whole_tokenizer(begins=begins), KEPT)
    write_gguf(llama(), tokenizer, path, name="tiny", number_format="f32")
    assert (load(path).tokenizer.encode("in")[0] == 1) is begins


@pytest.mark.parametrize("load", [load_llama_cpp, load_hf])
def test_embedding_may_be_wider_than_the_tokenizer(
    load: Engine, tokenizer: Any, tmp_path: Path
) -> None:
    network, path = llama(vocab_size=SIZE + 3), tmp_path / "drafter.gguf"
    write_gguf(network, tokenizer, path, name="tiny", number_format="f32")
    loaded = load(path)
    assert loaded.model.vocab_size == SIZE + 3
    assert loaded.tokenizer.spelling(SIZE + 2) == f"[PAD{SIZE + 2}]"
    assert loaded.tokenizer.spelling(SIZE - 1) == UNKNOWN_TOKEN
