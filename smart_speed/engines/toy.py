"""A table model on NumPy: for law tests, for documentation, and to see the loop at work."""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float

from smart_speed.engines.base import CachedTokens, LoadedModel, Message, check_feed, check_rollback
from smart_speed.errors import ModelError, check_that

_VERSE = (
    "the drafter writes and the verifier reads, the drafter guesses and the verifier weeds; "
    "what both would have written stays where it stands, what was mistaken goes out of its hands. "
)


@final
class TableModel(CachedTokens):
    """Logits looked up by the last tokens, float64."""

    def __init__(
        self, table: Float[np.ndarray, "*contexts vocab"], *, context_len: int = 4096
    ) -> None:
        """Wrap a table.

        Args:
            table: ``table[..., b, a]`` are the logits of what follows tokens ... b, a; one axis
                per token of context and one for the vocabulary, all of the vocabulary's size.
                Where the text is shorter than that, token 0 stands in.
            context_len: The most tokens the model will hold.
        """
        check_that(len(set(table.shape)) == 1, "table", "as wide on every axis", table.shape)
        self._table = table
        super().__init__(vocab_size=int(table.shape[-1]), context_len=context_len)

    def feed(self, tokens: Sequence[int], *, last: int) -> Float[np.ndarray, "last vocab"]:
        check_feed(tokens, last, self.cached_len, self.context_len)
        self._tokens.extend(tokens)
        order = self._table.ndim - 1
        padded = [0] * order + self._tokens
        ends = range(len(padded) - last + 1, len(padded) + 1)
        rows = [self._table[tuple(padded[end - order : end])] for end in ends]
        return np.array(rows).reshape(last, self.vocab_size)

    def rollback(self, to_len: int) -> None:
        check_rollback(to_len, self.cached_len)
        del self._tokens[to_len:]


@final
class LetterTokenizer:
    """One token a letter of an alphabet; the last token ends a text and spells nothing."""

    def __init__(self, alphabet: str) -> None:
        self._alphabet = alphabet

    @property
    def vocab_size(self) -> int:
        return len(self._alphabet) + 1

    @property
    def bos_id(self) -> int | None:
        return len(self._alphabet)

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset({len(self._alphabet)})

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text; letters outside the alphabet are left out."""
        return [self._alphabet.index(letter) for letter in text.lower() if letter in self._alphabet]

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        raise ModelError("A chat needs a model with a chat template; the toy engine has none.")

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self._alphabet[token] for token in tokens if token < len(self._alphabet))

    def spelling(self, token: int) -> str:
        return self._alphabet[token] if token < len(self._alphabet) else "<end>"


@final
class ToyText:
    """Letter statistics of a text, from which toy models of any order can be made."""

    def __init__(self, text: str) -> None:
        self.tokenizer = LetterTokenizer("".join(sorted(set(text))))
        self._tokens = self.tokenizer.encode(text)

    def model(self, order: int) -> TableModel:
        """Return the model that has counted what follows every ``order`` letters."""
        size = self.tokenizer.vocab_size
        counts = np.full((size,) * (order + 1), 1e-3)
        for end in range(order, len(self._tokens)):
            counts[tuple(self._tokens[end - order : end + 1])] += 1
        return TableModel(np.log(counts))


def load(path: str, *, order: int) -> LoadedModel:
    """Load a toy model.

    Args:
        path: "default" for the built-in verse, or a text file to count letters in.
        order: Letters of context; the verifier has more than the drafter.

    Raises:
        ModelError: If the file cannot be read as text, or holds none.
    """
    text = _VERSE if path == "default" else _read(Path(path))
    toy = ToyText(text)
    description = f"letters, order {order}, {toy.tokenizer.vocab_size} tokens"
    return LoadedModel(
        model=toy.model(order),
        tokenizer=toy.tokenizer,
        engine="toy",
        path=path,
        description=description,
    )


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").lower()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"The toy engine must be given a text file, got {str(path)!r}: {error}."
        ) from error
    # A table of a wide alphabet's cube would not fit in memory.
    if not 2 <= len(set(text)) <= 64:
        raise ModelError(
            f"The toy engine must be given a text of 2 to 64 different letters, "
            f"got {len(set(text))} in {str(path)!r}."
        )
    return text
