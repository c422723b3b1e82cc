"""Where an output ends, and how its tokens become text while it is still growing."""

from collections.abc import Sequence
from typing import NamedTuple, final

from smart_speed.engines.base import Tokenizer
from smart_speed.records import FinishReason
from smart_speed.sampling import Sampling

_BROKEN = "\ufffd"
"""What a tokenizer decodes an unfinished character to."""


class Kept(NamedTuple):
    """What is left of a round's tokens."""

    tokens: tuple[int, ...]
    finish_reason: FinishReason | None
    """Why the output ends with them, if it does."""


@final
class OutputText:
    """Assembles the text of one output, token by token, and says where it ends.

    Decides per token, as plain decoding would, so that the output does not depend on how tokens
    fell into rounds.
    """

    def __init__(self, tokenizer: Tokenizer, sampling: Sampling) -> None:
        """Start an empty output."""
        self._tokenizer = tokenizer
        eos_ids = frozenset() if sampling.ignore_eos else tokenizer.eos_ids
        self._reasons: dict[int, FinishReason] = dict.fromkeys(eos_ids, "eos")
        self._reasons |= dict.fromkeys(sampling.stop_tokens, "stop")
        self._stop_strings = sampling.stop_strings
        self._tokens: list[int] = []
        self._shown = 0
        """Tokens whose text is complete."""
        self._anchor = 0
        """Where decoding restarts: the first piece may lose a space, so a shown one is redone."""
        self._text = ""
        self._taken = 0
        self._cut = False

    @property
    def ending_tokens(self) -> frozenset[int]:
        """Tokens after which nothing follows; drafting past one is in vain."""
        return frozenset(self._reasons)

    def add(self, tokens: Sequence[int]) -> Kept:
        """Append verified tokens, up to the one that ends the output."""
        for count, token in enumerate(tokens, start=1):
            self._tokens.append(token)
            if token in self._reasons:
                return Kept(tuple(tokens[:count]), self._reasons[token])
            if self._stop_strings:
                self._decode()
                if self._cut_at_stop():
                    return Kept(tuple(tokens[:count]), "stop")
        return Kept(tuple(tokens), None)

    def take(self, *, final: bool) -> str:
        """Return the text that is certain and was not returned before.

        Args:
            final: Whether the output has ended, so that nothing needs to be held back: neither
                half a character nor what may be the beginning of a stop string.
        """
        if not self._cut:
            self._decode()
            self._cut_at_stop()
        text = self.whole() if final else self._text
        upto = len(text) if final else len(text) - self._possible_stop_len()
        piece = text[self._taken : upto]
        self._taken = max(self._taken, upto)
        return piece

    def whole(self) -> str:
        """Return the text as it is if nothing follows; changes nothing."""
        if self._cut:
            return self._text
        text = self._text + self._unshown()
        return text[: min(self._stops_in(text), default=len(text))]

    def _unshown(self) -> str:
        """Return the text of the tokens since the last complete one."""
        before = self._tokenizer.decode(self._tokens[self._anchor : self._shown])
        return self._tokenizer.decode(self._tokens[self._anchor :])[len(before) :]

    def _decode(self) -> None:
        """Append what is complete; a token that spells nothing must not become the anchor."""
        grown = self._unshown()
        if grown and not grown.endswith(_BROKEN):
            self._text += grown
            self._anchor, self._shown = self._shown, len(self._tokens)

    def _stops_in(self, text: str) -> list[int]:
        return [at for stop in self._stop_strings if (at := text.find(stop)) >= 0]

    def _cut_at_stop(self) -> bool:
        found = self._stops_in(self._text)
        if found:
            self._text = self._text[: min(found)]
            self._cut = True
        return bool(found)

    def _possible_stop_len(self) -> int:
        """How many last characters may yet grow into a stop string."""
        lens = (
            size
            for stop in self._stop_strings
            for size in range(len(stop) - 1, 0, -1)
            if self._text.endswith(stop[:size])
        )
        return max(lens, default=0)
