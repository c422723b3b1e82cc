"""Loose verification: keep a mismatch where the verifier wavers, unless another soon follows."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

from smart_speed.errors import check_that
from smart_speed.laws import Chance, Proposal
from smart_speed.verification.base import TargetLaws, Verdict


@final
@dataclass(frozen=True, kw_only=True)
class LooseVerification:
    """Keep what the exact test rejects where the verifier's entropy is high; lossy.

    A mismatch, a token that the exact test rejects, is kept where the entropy of the verifier's
    raw law is above ``fly_theta`` of what it can be, log(vocabulary). If another mismatch follows
    within ``fly_window`` tokens, the first is rejected after all: the verifier had objected to
    where it led. The draft ends the window.

    Source: Li et al. 2025, "Training-Free Loosely Speculative Decoding", arXiv 2511.22972, there
    at temperature 0.
    """

    lossless: ClassVar[bool] = False
    fly_theta: float = 0.3
    """Share of the largest entropy."""
    fly_window: int = 6
    fly_full: bool = False
    """Whether a mismatch is rejected, too, whose window the draft does not fill."""

    def __post_init__(self) -> None:
        check_that(0 <= self.fly_theta <= 1, "fly_theta", "between 0 and 1", self.fly_theta)
        check_that(self.fly_window >= 0, "fly_window", "at least 0", self.fly_window)

    def verify(
        self, proposal: Proposal, target: TargetLaws, chance: Chance, state: Any = None
    ) -> Verdict:
        mismatches: list[int] = []
        limit = self.fly_theta * math.log(target.vocab_size)
        whole = len(proposal.tokens)
        for position, (token, draft) in enumerate(zip(proposal.tokens, proposal.laws, strict=True)):
            if chance.flip(target.law(position).prob_of(token) / draft.prob_of(token)):
                continue
            if mismatches and position - mismatches[-1] <= self.fly_window:
                return _rejected(mismatches[-1], mismatches, proposal, target, chance)
            if target.entropy_nats(position) <= limit:
                return _rejected(position, mismatches, proposal, target, chance)
            mismatches.append(position)
        if self.fly_full and mismatches and whole - 1 - mismatches[-1] < self.fly_window:
            return _rejected(mismatches[-1], mismatches, proposal, target, chance)
        return Verdict(whole, chance.draw(target.law(whole)), tuple(mismatches))


def _rejected(
    position: int, mismatches: list[int], proposal: Proposal, target: TargetLaws, chance: Chance
) -> Verdict:
    """Correct a position; the mismatches that were kept before it stay."""
    corrected = chance.draw(target.law(position).residual(proposal.laws[position]))
    return Verdict(position, corrected, tuple(each for each in mismatches if each < position))
