"""Greedy match: keep what the verifier would have written itself."""

from dataclasses import dataclass
from typing import Any, final

from smart_speed.laws import Chance, Proposal
from smart_speed.verification.base import TargetLaws, Verdict


@final
@dataclass(frozen=True)
class GreedyMatch:
    """Keep the proposed tokens up to the first that is not the verifier's own choice.

    Lossless where the target law is one token, as at temperature 0; ``EntropyConfig`` and the
    decoder refuse it elsewhere. There it equals the ratio test, without asking for probabilities.
    """

    lossless: bool = True

    def verify(
        self, proposal: Proposal, target: TargetLaws, chance: Chance, state: Any = None
    ) -> Verdict:
        for position, token in enumerate(proposal.tokens):
            wanted = chance.draw(target.law(position))
            if token != wanted:
                return Verdict(position, wanted)
        return Verdict(len(proposal.tokens), chance.draw(target.law(len(proposal.tokens))))
