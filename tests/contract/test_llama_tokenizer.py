"""The tokenizer inside a GGUF file says what that of transformers says, and loses no byte."""

from pathlib import Path

import pytest
import transformers

from smart_speed.engines import hf_files
from smart_speed.engines import llama_cpp as engine
from smart_speed.engines.embedded import embedded_model
from smart_speed.engines.hf_tokenizer import HfTokenizer, split_as_trained
from smart_speed.engines.llama_tokenizer import LlamaTokenizer
from smart_speed.errors import ModelError
from smart_speed.workloads.builtin import builtin_prompts
from tests.contract import tiny_gguf


@pytest.fixture(scope="module")
def tokenizer() -> LlamaTokenizer:
    """That of the embedded verifier."""
    return LlamaTokenizer(engine._open(embedded_model()))


@pytest.fixture
def tiny_tokenizer(tmp_path: Path) -> LlamaTokenizer:
    return LlamaTokenizer(engine._open(tiny_gguf.write(tmp_path / "tiny.gguf")))


TEXTS = [
    "The drafter writes.",
    "  leading and   inner spaces ",
    "line\n\n\tindented\r\n",
    "naïve façade – “quoted”…",
    "日本語のテキスト",
    "👩‍👩‍👧‍👦 e\u0301 ﷽",
    "x = 12345 * 67.89  # sum",
    "a\x00b\u200b\u2028",
    "",
    " ",
    "ab" * 300,
]

CHATS = [
    [{"role": "user", "content": "What is 2 + 2?"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "日本?"},
    ],
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_survives_its_tokens(text: str, tokenizer: LlamaTokenizer) -> None:
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert all(0 <= token < tokenizer.vocab_size for token in tokens)


def test_tokens_of_half_a_character_are_broken(tokenizer: LlamaTokenizer) -> None:
    tokens = tokenizer.encode("語")
    assert len(tokens) > 1
    assert "\ufffd" in tokenizer.decode(tokens[:1])
    assert tokenizer.decode(tokens) == "語"


def test_special_tokens_are_read_but_never_written(tokenizer: LlamaTokenizer) -> None:
    tokens = tokenizer.encode("<|im_start|>user\nHi<|im_end|>\n")
    assert (tokens[0], tokens[-2]) == (1, 2)
    assert [tokenizer.spelling(token) for token in (1, 2)] == ["<|im_start|>", "<|im_end|>"]
    assert tokenizer.decode(tokens) == "user\nHi\n"
    assert tokenizer.bos_id == 1
    assert tokenizer.eos_ids >= {0, 2}
    assert not tokenizer.eos_ids & set(tokenizer.encode(TEXTS[0]))


@pytest.mark.slow
def test_tokenizer_agrees_with_that_of_transformers(tokenizer: LlamaTokenizer) -> None:
    """Both are read from the same file, by two libraries."""
    path = str(embedded_model())
    load = transformers.AutoTokenizer.from_pretrained
    fast = hf_files.read(path, lambda: load(**hf_files.find(path)))
    split_as_trained(fast, embedded_model())
    other = HfTokenizer(fast)
    prompts = [prompt.text for prompt in builtin_prompts()]
    for text in (*TEXTS, *prompts, "<|im_start|>user\nHi<|im_end|>\n", "Two ways:\n\n1. Go."):
        assert tokenizer.encode(text) == other.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == other.decode(other.encode(text))
    for messages in CHATS:
        assert tokenizer.encode_chat(messages) == other.encode_chat(messages)
    tokens = range(tokenizer.vocab_size)
    assert [tokenizer.spelling(token) for token in tokens] == [*map(other.spelling, tokens)]
    assert tokenizer.vocab_size == other.vocab_size
    assert tokenizer.bos_id == other.bos_id
    assert tokenizer.eos_ids >= other.eos_ids


def test_chat_is_put_into_the_file_s_template(
    tiny_tokenizer: LlamaTokenizer, tmp_path: Path
) -> None:
    assert tiny_tokenizer.encode_chat(CHATS[0]) == tiny_tokenizer.encode(
        "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    )
    with pytest.raises(ModelError, match=r"must accept the messages: No robots\."):
        tiny_tokenizer.encode_chat([{"role": "robot", "content": "a"}])
    silent = tiny_gguf.write(tmp_path / "silent.gguf", chat_template=None)
    with pytest.raises(ModelError, match="this GGUF file has none"):
        LlamaTokenizer(engine._open(silent)).encode_chat(CHATS[0])


def test_vocabulary_is_the_file_s(tiny_tokenizer: LlamaTokenizer) -> None:
    assert tiny_tokenizer.vocab_size == len(tiny_gguf.VOCABULARY)
    spelled = [tiny_tokenizer.spelling(token) for token in range(tiny_tokenizer.vocab_size)]
    assert spelled == list(tiny_gguf.VOCABULARY)
    assert tiny_tokenizer.bos_id == 1
    assert tiny_tokenizer.eos_ids == {0, 2}
