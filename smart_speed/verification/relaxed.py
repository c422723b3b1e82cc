"""Relaxed acceptance: lenient in one phase of the text, exact or stricter in the other."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from smart_speed.errors import check_that
from smart_speed.laws import Chance, Law, Proposal
from smart_speed.phases import Phase, Phases
from smart_speed.verification.base import TargetLaws, Verdict

RelaxIn = Literal["low", "high", "always"]


@final
@dataclass(frozen=True, kw_only=True)
class RelaxedAcceptance:
    """Keep token x with probability min(1, target(x) / (l draft(x))); lossy.

    The lenience l is ``lenience`` in the phase that ``relax_in`` names and ``strictness`` in the
    other. What was rejected is corrected from the residual law of the exact test, so that with
    l < 1 no token is written more often than target(x) / l, and the law of a drafted position is
    off by no more than what was kept beyond the exact test: that is its total variation.

    At temperature 0 a token is kept that is the verifier's own, or whose probability at
    temperature 1 is at least l times the likeliest one's.

    Source: the lenience of Leviathan et al. 2023 (arXiv 2211.17192), appendix A.5, there constant.
    """

    lossless: ClassVar[bool] = False
    lenience: float = 0.5
    strictness: float = 1.0
    """1 for the exact test."""
    relax_in: RelaxIn = "low"
    """The predictable phases ("low" entropy), the reasoning ones ("high"), or both ("always")."""
    phases: Phases = field(default_factory=Phases)

    def __post_init__(self) -> None:
        share = 0 < self.lenience <= 1
        check_that(share, "lenience", "above 0 and at most 1", self.lenience)
        check_that(self.strictness >= 1, "strictness", "at least 1", self.strictness)

    def verify(
        self, proposal: Proposal, target: TargetLaws, chance: Chance, state: Phase | None = None
    ) -> Verdict:
        inexact: list[int] = []
        phase = state
        for position, (token, draft) in enumerate(zip(proposal.tokens, proposal.laws, strict=True)):
            law = target.law(position)
            phase = self._phase_at(target, position, phase)
            ratio = law.prob_of(token) / draft.prob_of(token)
            exact = chance.flip(ratio)
            lenience = self._lenience_in(phase)
            if lenience == 1:
                kept = exact
            elif target.greedy:
                kept = exact or _good_enough(target.graded(position), token, lenience)
            else:
                kept = _decided_again(exact, ratio, lenience, chance)
            if kept != exact:
                inexact.append(position)
            if not kept:
                corrected = chance.draw(law.residual(draft))
                return Verdict(position, corrected, tuple(inexact), phase)
        whole = len(proposal.tokens)
        bonus = chance.draw(target.law(whole))
        return Verdict(whole, bonus, tuple(inexact), self._phase_at(target, whole, phase))

    def _phase_at(self, target: TargetLaws, position: int, phase: Phase | None) -> Phase | None:
        """Return the phase of a position, given that of the one before."""
        if self.relax_in == "always":
            return None  # and no entropy is asked for
        return self.phases.phase_after(phase, target.entropy_nats(position))

    def _lenience_in(self, phase: Phase | None) -> float:
        relaxed = {"low": "predictable", "high": "reasoning", "always": None}[self.relax_in]
        return self.lenience if phase == relaxed else self.strictness


def _good_enough(graded: Law, token: int, lenience: float) -> bool:
    return graded.prob_of(token) >= lenience * graded.top_prob


def _decided_again(exact: bool, ratio: float, lenience: float, chance: Chance) -> bool:
    """Turn what the exact test said into a test of another lenience, by the same uniform number.

    Args:
        exact: Whether the exact test, which passes with probability min(1, ratio), has passed.
        ratio: Of the target's probability to the draft's.
        lenience: Not 1.
        chance: Decides what of the uniform number is still open.
    """
    before, after = min(1.0, ratio), min(1.0, ratio / lenience)
    if exact:
        return lenience < 1 or chance.flip(after / before)
    return lenience < 1 and chance.flip((after - before) / (1 - before))
