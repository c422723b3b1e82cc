"""Byte-level tokenizers of transformers in the words of GGUF files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gguf
from transformers import PreTrainedTokenizerBase

from smart_speed.errors import ModelError, check_that
from smart_speed.training.trimmed_tokenizer import tokenizer_json


def add_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> None:
    """Put a tokenizer into the header of a GGUF file.

    Args:
        writer: A ``gguf.GGUFWriter``.
        tokenizer: A byte-level one.
        vocab_size: Rows of the embedding; those past the tokenizer's end are named "[PAD...]".

    Raises:
        ModelError: If the file format has no place for the tokenizer.
        ConfigError: If it has more tokens than that.
    """
    data = tokenizer_json(tokenizer)
    splitters = list(_parts(data["pre_tokenizer"]))
    if data["model"]["type"] != "BPE" or not any(part["type"] == "ByteLevel" for part in splitters):
        kind = data["model"]["type"]
        raise ModelError(f"A GGUF file needs a byte-level BPE tokenizer, got one of type {kind}.")
    if not data["model"]["merges"]:
        raise ModelError("A GGUF file needs a tokenizer with merges, got one that keeps none.")
    fits = len(tokenizer) <= vocab_size
    check_that(fits, "tokenizer", f"of {vocab_size} tokens at most", len(tokenizer))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitter_name(splitters))
    spellings = tokenizer.convert_ids_to_tokens(list(range(vocab_size)))
    added = tokenizer.added_tokens_decoder
    writer.add_token_list([text or f"[PAD{token}]" for token, text in enumerate(spellings)])
    writer.add_token_types(
        [_token_type(text, added.get(token)) for token, text in enumerate(spellings)]
    )
    writer.add_token_merges([" ".join(merge) for merge in data["model"]["merges"]])
    _add_named_tokens(writer, tokenizer)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _parts(splitter: Any) -> Iterator[dict[str, Any]]:
    """Return the steps in which a tokenizer splits text before its merges apply."""
    for part in (splitter or {}).get("pretokenizers", [splitter] if splitter else []):
        yield from _parts(part) if part["type"] == "Sequence" else [part]


def _splitter_name(splitters: Sequence[Mapping[str, Any]]) -> str:
    if any(part["type"] == "Digits" and part["individual_digits"] for part in splitters):
        return "smollm"
    plain = [part["type"] for part in splitters] == ["ByteLevel"] and splitters[0]["use_regex"]
    return "gpt-2" if plain else "default"


def _token_type(spelling: str | None, added: Any) -> gguf.TokenType:
    if spelling is None:
        return gguf.TokenType.UNUSED
    if added is None:
        return gguf.TokenType.NORMAL
    return gguf.TokenType.CONTROL if added.special else gguf.TokenType.USER_DEFINED


def _add_named_tokens(writer: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Name every token that llama.cpp would take token 11 for if none were named."""
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.unk_token_id
    if end is None:
        raise ModelError("A GGUF file needs a tokenizer with an end-of-text token, got none.")
    begin = tokenizer.bos_token_id
    writer.add_bos_token_id(end if begin is None else begin)
    writer.add_eos_token_id(end)
    if tokenizer.unk_token_id is not None:
        writer.add_unk_token_id(tokenizer.unk_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    around = tokenizer.backend_tokenizer.encode("").ids
    begins = around[:1] == [begin]
    writer.add_add_bos_token(begins)
    writer.add_add_eos_token(around[begins:] == [end])
