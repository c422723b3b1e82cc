"""Tokenizers of transformers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import gguf
from jinja2 import TemplateError
from tokenizers import Tokenizer, pre_tokenizers
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from smart_speed.engines.base import Message
from smart_speed.engines.hf_files import read
from smart_speed.errors import ModelError

_ANSWER = "smart_speed"
"""Stands for an assistant's answer when a chat template is asked how it ends one."""


_DIGITS_APART = ("smollm",)
"""Names that GGUF files give to tokenizers which split off every digit first."""


def read_tokenizer(
    path: str, source: dict[str, Any], config: PretrainedConfig
) -> PreTrainedTokenizerBase:
    """Read a model's tokenizer.

    Args:
        path: What was asked for.
        source: Where it lies, from ``hf_files.find``.
        config: The model's own.

    Raises:
        ModelError: If there is none, or it cannot be read.
    """
    tokenizer: PreTrainedTokenizerBase = read(path, lambda: AutoTokenizer.from_pretrained(**source))
    if "gguf_file" in source:
        split_as_trained(tokenizer, Path(path).expanduser())
        _drop_tokens_past(tokenizer, config.get_text_config().vocab_size)
    return tokenizer


def split_as_trained(tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Give a tokenizer read from a GGUF file the splitting that its model was trained with.

    transformers reads the vocabulary and the merges of such a file, and not how text is split
    before they apply, so that whatever stands before a digit would get other tokens.
    """
    field = gguf.GGUFReader(str(path)).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() in _DIGITS_APART:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )


def _drop_tokens_past(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> None:
    """Take from a tokenizer read from a GGUF file what its model has no embedding for.

    transformers gives such tokenizers an end-of-text token of its own if the file has no token of
    that name.
    """
    if len(tokenizer) > vocab_size:
        data = json.loads(tokenizer.backend_tokenizer.to_str())
        data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < vocab_size]
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(data))


@final
class HfTokenizer:
    """A tokenizer of transformers, and all that may end a text of its model."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, generation_config: GenerationConfig | None = None
    ) -> None:
        """Wrap a tokenizer.

        Args:
            tokenizer: Slow or fast.
            generation_config: The model's own, for the tokens that it says end a text.
        """
        self._tokenizer = tokenizer
        self._spellings = _spellings(tokenizer)
        ends = [
            *_as_list(getattr(generation_config, "eos_token_id", None)),
            *_as_list(tokenizer.eos_token_id),
            *_as_list(_turn_end(tokenizer)),
        ]
        self._eos_ids = frozenset(ends)

    @property
    def backend(self) -> PreTrainedTokenizerBase:
        """The tokenizer of transformers; not to be changed."""
        return self._tokenizer

    @property
    def vocab_size(self) -> int:
        return len(self._spellings)

    @property
    def bos_id(self) -> int | None:
        bos_id: int | None = self._tokenizer.bos_token_id
        return bos_id

    @property
    def eos_ids(self) -> frozenset[int]:
        return self._eos_ids

    def encode(self, text: str) -> list[int]:
        # Without verbose=False, a text longer than the model's context is warned about in print.
        tokens: list[int] = self._tokenizer.encode(text, verbose=False)
        return tokens

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        if not self._tokenizer.chat_template:
            raise ModelError(
                f"A chat needs a model with a chat template, got {self._tokenizer.name_or_path!r}, "
                "which has none; give it a plain text."
            )
        try:
            tokens: list[int] = self._tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise ModelError(f"The model's chat template refuses the messages: {error}") from error
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def spelling(self, token: int) -> str:
        return self._spellings[token]


def _as_list(ids: int | Sequence[int] | None) -> Sequence[int]:
    if ids is None:
        return []
    return [ids] if isinstance(ids, int) else ids


def _spellings(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the vocabulary by id; ids that it leaves out spell nothing."""
    entries: list[str | None] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [entry or "" for entry in entries]


def _turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the special token that the chat template puts after an answer, if it does.

    Models often name another token as their end of text, and would go on talking to themselves.
    """
    if not tokenizer.chat_template:
        return None
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}]
    try:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False)
    except (TemplateError, ValueError, TypeError):
        return None
    _, found, tail = text.rpartition(_ANSWER)
    tokens = tokenizer.encode(tail.lstrip(), add_special_tokens=False) if found else []
    added: dict[int, Any] = tokenizer.added_tokens_decoder
    special = bool(tokens) and tokens[0] in added and added[tokens[0]].special
    return int(tokens[0]) if special else None
