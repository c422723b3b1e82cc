"""What a drafter is: it scores the next token of a draft, and forgets what was not kept."""

from collections.abc import Sequence
from typing import Protocol, final, runtime_checkable

from smart_speed.laws import Scores


@runtime_checkable
class Drafter(Protocol):
    """Whatever proposes tokens: a model, a table of counts, a rule.

    Any scores will do: the verification rule corrects for them, whatever they are, as long as
    they depend on nothing but the tokens they are asked about: text and proposal as one sequence,
    wherever the one ends and the other begins.
    """

    @property
    def name(self) -> str:
        """A word for records and tables."""
        ...

    @property
    def context_len(self) -> int | None:
        """The longest text and draft together that it can read; ``None`` where there is no limit.

        The loop asks for no scores beyond it.
        """
        ...

    def prefill(self, text: Sequence[int]) -> None:
        """Read a new text but for its last token, ahead of its first round.

        What the drafter knows of the text before is kept as far as the two begin alike.
        """
        ...

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        """Score the token that follows the verified text and the draft so far.

        Args:
            text: Verified tokens, at least one.
            proposal: Tokens drafted since.
        """
        ...

    def rollback(self, to_len: int) -> None:
        """Forget everything past the first ``to_len`` tokens of the text, if it was seen at all."""
        ...


@runtime_checkable
class AlongDrafter(Drafter, Protocol):
    """One that scores several tokens of a text in one pass."""

    def scores_along(self, text: Sequence[int], proposal: Sequence[int]) -> list[Scores]:
        """Score what follows a text and each token of a draft.

        Returns:
            At index i, what ``scores_after`` says of the draft's first i tokens.
        """
        ...


def scores_along(drafter: Drafter, text: Sequence[int], proposal: Sequence[int]) -> list[Scores]:
    """Score what follows a text and each token of a draft, in one pass if the drafter can."""
    if isinstance(drafter, AlongDrafter):
        return drafter.scores_along(text, proposal)
    return [drafter.scores_after(text, proposal[:end]) for end in range(len(proposal) + 1)]


@final
class NoDrafter:
    """Proposes nothing; for plain decoding."""

    name = "none"
    context_len = None

    def prefill(self, text: Sequence[int]) -> None:
        """Read nothing."""

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        raise AssertionError("plain decoding never drafts")

    def rollback(self, to_len: int) -> None:
        """Forget nothing."""
