"""The tokenizer inside a GGUF file."""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, final

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from smart_speed.engines.base import Message
from smart_speed.errors import ModelError


def metadata(model: Any, key: str) -> str:
    """Return a value of a GGUF file's header, empty if it has none."""
    buffer = ctypes.create_string_buffer(256)
    length = llama_cpp.llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode(errors="replace") if length >= 0 else ""


@final
class LlamaTokenizer:
    """llama.cpp's vocabulary, with the chat template of the file."""

    def __init__(self, model: Any) -> None:
        """Read the vocabulary of a loaded ``llama_model``, which this object keeps loaded."""
        self._model = model
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self._size = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self._eos_ids = frozenset(
            token for token in range(self._size) if llama_cpp.llama_vocab_is_eog(self._vocab, token)
        )
        self._piece = cache(self._read_piece)

    @property
    def vocab_size(self) -> int:
        return self._size

    @property
    def bos_id(self) -> int | None:
        token = int(llama_cpp.llama_vocab_bos(self._vocab))
        return token if token >= 0 else None

    @property
    def eos_ids(self) -> frozenset[int]:
        return self._eos_ids

    def encode(self, text: str) -> list[int]:
        return self._encode(text, add_special=True)

    def _encode(self, text: str, *, add_special: bool) -> list[int]:
        raw = text.encode()
        room = len(raw) + 8  # no token is shorter than a byte, and few are added
        buffer = np.empty(room, dtype=np.int32)
        pointer = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        count = llama_cpp.llama_tokenize(
            self._vocab, raw, len(raw), pointer, room, add_special, True
        )
        assert count >= 0, "a text has at most as many tokens as bytes"
        tokens: list[int] = buffer[:count].tolist()
        return tokens

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        template = llama_cpp.llama_model_chat_template(self._model, None)
        if not template:
            raise ModelError("A chat needs a model with a chat template; this GGUF file has none.")
        eos = int(llama_cpp.llama_vocab_eos(self._vocab))
        formatter = Jinja2ChatFormatter(
            template=template.decode(),
            eos_token=self.spelling(eos) if eos >= 0 else "",
            bos_token=self.spelling(self.bos_id) if self.bos_id is not None else "",
        )
        try:
            prompt = formatter(messages=list(messages)).prompt
        except Exception as error:
            raise ModelError(
                f"The model's chat template must accept the messages: {error}."
            ) from error
        return self._encode(prompt, add_special=False)

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(self._piece(token) for token in tokens).decode(errors="replace")

    def _read_piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = llama_cpp.llama_token_to_piece(
                self._vocab, token, buffer, len(buffer), 0, False
            )
        return buffer.raw[:length]

    def spelling(self, token: int) -> str:
        text: bytes = llama_cpp.llama_vocab_get_text(self._vocab, token)
        return text.decode(errors="replace")
