"""Several drafters of one verifier, of whom one at a time drafts."""

from collections.abc import Mapping, Sequence
from typing import final

from smart_speed.drafters.base import Drafter
from smart_speed.errors import check_that
from smart_speed.laws import Scores

PREFIX = "route:"
"""Begins the name of drafters to choose among, which are separated by commas."""


@final
class RoutedDrafter:
    """Drafts with whoever is chosen, at first with the first.

    The others stand still: a model reads what it missed once it is chosen, n-grams likewise. All
    forget what was not kept.
    """

    def __init__(self, drafters: Mapping[str, Drafter]) -> None:
        """Gather drafters.

        Args:
            drafters: At least one, by the names that they are chosen by; this object's to use.
        """
        check_that(len(drafters) > 0, "drafters", "at least one", list(drafters))
        self.names = tuple(drafters)
        self.name = f"{PREFIX}{','.join(drafters)}"
        self._drafters = tuple(drafters.values())
        self._active = self._drafters[0]

    @property
    def drafters(self) -> tuple[Drafter, ...]:
        """Those that may be chosen."""
        return self._drafters

    def choose(self, index: int) -> None:
        """Have one of them draft from now on."""
        self._active = self._drafters[index]

    @property
    def context_len(self) -> int | None:
        return self._active.context_len

    def prefill(self, text: Sequence[int]) -> None:
        self._active = self._drafters[0]
        for each in self._drafters:
            each.prefill(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        return self._active.scores_after(text, proposal)

    def rollback(self, to_len: int) -> None:
        for each in self._drafters:
            each.rollback(to_len)
