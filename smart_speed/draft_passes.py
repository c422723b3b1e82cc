"""What a drafter thought, pass by pass: more than a record keeps, enough to show it to people."""

from dataclasses import dataclass
from typing import NamedTuple, final


class Candidate(NamedTuple):
    """A token that might have come next."""

    token: int
    prob: float
    """By the drafter's own law, before temperature and truncation."""


@final
@dataclass(frozen=True, slots=True)
class DraftPass:
    """One pass of a drafter."""

    position: int
    """Index, in the whole text, of the token that the pass was about; the prompt counts."""
    candidates: tuple[Candidate, ...]
    """The likeliest tokens, likeliest first."""
