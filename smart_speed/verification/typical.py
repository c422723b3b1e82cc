"""Typical acceptance: keep what the verifier finds likely enough, given how unsure it is."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

from smart_speed.entropy import law_entropy
from smart_speed.errors import check_that
from smart_speed.laws import Chance, Proposal
from smart_speed.verification.base import TargetLaws, Verdict


@final
@dataclass(frozen=True, kw_only=True)
class TypicalAcceptance:
    """Keep token x if p(x) > min(epsilon, delta exp(-H(p))), whatever the draft law; lossy.

    p is the target law, at temperature 0 that of temperature 1. What follows a rejection is drawn
    from the target law itself.

    Source: Cai et al. 2024, "Medusa", arXiv 2401.10774, section 2.3.1; for chains, and without
    the first token's being kept always.
    """

    lossless: ClassVar[bool] = False
    typical_epsilon: float = 0.09
    """The probability that is always enough."""
    typical_delta: float = 0.3

    def __post_init__(self) -> None:
        for name in ("typical_epsilon", "typical_delta"):
            value = getattr(self, name)
            check_that(0 < value <= 1, name, "above 0 and at most 1", value)

    def verify(
        self, proposal: Proposal, target: TargetLaws, chance: Chance, state: Any = None
    ) -> Verdict:
        inexact: list[int] = []
        for position, (token, draft) in enumerate(zip(proposal.tokens, proposal.laws, strict=True)):
            law = target.law(position)
            graded = target.graded(position) if target.greedy else law
            enough = min(self.typical_epsilon, self.typical_delta * math.exp(-law_entropy(graded)))
            kept = graded.prob_of(token) > enough
            # Decides nothing: it counts how often this rule and the exact one part.
            exact = chance.flip(law.prob_of(token) / draft.prob_of(token))
            if kept != exact:
                inexact.append(position)
            if not kept:
                return Verdict(position, chance.draw(law), tuple(inexact))
        whole = len(proposal.tokens)
        return Verdict(whole, chance.draw(target.law(whole)), tuple(inexact))
