"""Speculative sampling: the ratio test, token by token."""

from dataclasses import dataclass
from typing import Any, final

from smart_speed.laws import Chance, Proposal
from smart_speed.verification.base import TargetLaws, Verdict


@final
@dataclass(frozen=True)
class SpeculativeSampling:
    """Keep token x with probability min(1, target(x) / draft(x)); correct from the residual law.

    Source: Leviathan et al. 2023 (arXiv 2211.17192), algorithm 1, where p is the target law and
    q the draft law; Chen et al. 2023 (arXiv 2302.01318), algorithm 2, with the letters swapped.
    """

    lossless: bool = True

    def verify(
        self, proposal: Proposal, target: TargetLaws, chance: Chance, state: Any = None
    ) -> Verdict:
        for position, (token, draft) in enumerate(zip(proposal.tokens, proposal.laws, strict=True)):
            law = target.law(position)
            if not chance.flip(law.prob_of(token) / draft.prob_of(token)):
                return Verdict(position, chance.draw(law.residual(draft)))
        return Verdict(len(proposal.tokens), chance.draw(target.law(len(proposal.tokens))))
