"""The contract between the decoding loop and whatever runs a model.

A model is *fed whatever its cache has not seen* and rolled back to an *absolute* length, so one
call is prefill, draft step and scoring, and no loop needs an off-by-one.

What comes later fits without touching callers: a token tree adds the parents of the fed tokens
as an optional argument of ``feed``; several sequences in one pass are a model whose ``feed``
takes one list per sequence.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, final, runtime_checkable

from jaxtyping import Float

from smart_speed.errors import RollbackError, check_that

EngineName = Literal["hf", "llama_cpp", "openvino", "toy"]
Message = dict[str, str]
"""One turn of a chat: ``role`` ("system", "user", "assistant") and ``content``."""

OPENVINO_GRAPH = "openvino_model.xml"
"""File that a folder holds which `optimum-cli export openvino` wrote."""
UNKNOWN_TOKEN = "<|outside|>"
"""Last token of a trimmed vocabulary: stands for whatever the drafter does not know."""


@runtime_checkable
class CachedModel(Protocol):
    """A causal language model and the cache of one sequence."""

    @property
    def vocab_size(self) -> int:
        """Width of a row of logits; may exceed the tokenizer's size by padding."""
        ...

    @property
    def context_len(self) -> int:
        """The most tokens that the cache can hold."""
        ...

    @property
    def cached_tokens(self) -> Sequence[int]:
        """The tokens that the cache covers; not to be changed.

        The model itself keeps them, so that whoever uses it next can tell what it need not read
        again.
        """
        ...

    @property
    def cached_len(self) -> int:
        """How many they are."""
        ...

    def feed(self, tokens: Sequence[int], *, last: int) -> Float[Any, "last vocab"]:
        """Append ``tokens`` to the cache and score what follows the last of them.

        Row ``i`` holds the logits that follow token ``len(tokens) - last + i``. The result stays
        where the engine made it and may be overwritten by the next ``feed``.

        Args:
            tokens: At least one, at most what the context still holds.
            last: How many rows are wanted, from 0 to ``len(tokens)``; fewer are cheaper.
        """
        ...

    def rollback(self, to_len: int) -> None:
        """Forget everything past the first ``to_len`` tokens.

        Raises:
            RollbackError: If ``to_len`` exceeds ``cached_len``.
        """
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Text to tokens and back."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens that mean something; ids run from 0."""
        ...

    @property
    def bos_id(self) -> int | None:
        """Token that a text may begin with, if the model knows one."""
        ...

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a text."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, with whatever the model wants put before it."""
        ...

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of a chat in the model's own template, ready for its next answer.

        Raises:
            ModelError: If the model has no chat template, or the template refuses the messages.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of some tokens, special tokens left out, broken characters as U+FFFD."""
        ...

    def spelling(self, token: int) -> str:
        """Return the vocabulary's own entry for a token, for comparison between models."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model, its tokenizer, and where they came from."""

    model: CachedModel
    tokenizer: Tokenizer
    engine: EngineName
    path: str
    """What was asked for: a folder, a file, a hub id."""
    description: str
    """A line for people: architecture, number format, device, threads."""


class CachedTokens(ABC):
    """The part of ``CachedModel`` that every engine keeps alike: sizes, and the tokens it holds."""

    def __init__(self, *, vocab_size: int, context_len: int) -> None:
        self._vocab_size = vocab_size
        self._context_len = context_len
        self._tokens: list[int] = []

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def context_len(self) -> int:
        return self._context_len

    @property
    def cached_tokens(self) -> Sequence[int]:
        return self._tokens

    @property
    def cached_len(self) -> int:
        return len(self._tokens)

    @abstractmethod
    def rollback(self, to_len: int) -> None: ...


def check_rollback(to_len: int, cached_len: int) -> None:
    """Check the argument of ``CachedModel.rollback``; every engine calls this first.

    Raises:
        RollbackError: If the cache does not hold that many tokens.
    """
    if not 0 <= to_len <= cached_len:
        raise RollbackError(f"to_len must be 0 to {cached_len}, got {to_len}.")


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_feed(tokens: Sequence[int], last: int, cached_len: int, context_len: int) -> None:
    """Check the arguments of ``CachedModel.feed``; every engine calls this first.

    Raises:
        ConfigError: If they break the contract.
    """
    room = context_len - cached_len
    check_that(0 < len(tokens) <= room, "tokens", f"1 to {room} in number", len(tokens))
    check_that(0 <= last <= len(tokens), "last", f"0 to {len(tokens)}", last)


def read_ahead(model: CachedModel, text: Sequence[int]) -> int:
    """Bring a model's cache to all of a text but its last token.

    Returns:
        How many of those tokens were in the cache already.
    """
    reused_len = shared_len(model.cached_tokens, text[:-1])
    model.rollback(reused_len)
    if unread := text[reused_len:-1]:
        model.feed(unread, last=0)
    return reused_len


def shared_len(old: Sequence[int], new: Sequence[int]) -> int:
    """Return how many leading tokens two texts have in common."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))
