"""Block verification: judge the prefixes of a draft jointly."""

from dataclasses import dataclass
from typing import Any, final

from smart_speed.laws import Chance, Proposal
from smart_speed.verification.base import TargetLaws, Verdict


@final
@dataclass(frozen=True)
class BlockVerification:
    """Keep the longest prefix whose own test passes; never fewer tokens in expectation.

    With ratio r_i = target(x_i) / draft(x_i) and weight w_i = min(1, w_{i-1} r_i), w_0 = 1, the
    prefix of length i < k passes with probability R_i / (R_i + 1 - w_i), where R_i is the mass of
    (w_i target_{i+1} - draft_{i+1})+; the whole draft passes with probability w_k. What follows
    prefix i is drawn from that positive part, normalised.

    Source: Sun et al. 2024, "Block Verification Accelerates Speculative Decoding", arXiv
    2403.10444, algorithm 2.
    """

    lossless: bool = True

    def verify(
        self, proposal: Proposal, target: TargetLaws, chance: Chance, state: Any = None
    ) -> Verdict:
        weights = [1.0]
        laws = []
        for position, (token, draft) in enumerate(zip(proposal.tokens, proposal.laws, strict=True)):
            laws.append(target.law(position))
            ratio = laws[-1].prob_of(token) / draft.prob_of(token)
            weights.append(min(1.0, weights[-1] * ratio))
        whole = len(proposal.tokens)
        if chance.flip(weights[whole]):
            return Verdict(whole, chance.draw(target.law(whole)))
        for kept in range(whole - 1, -1, -1):
            draft, weight = proposal.laws[kept], weights[kept]
            excess = laws[kept].excess_over(draft, weight)
            passing = excess / (excess + 1 - weight) if excess > 0 else 0.0
            if kept == 0 or chance.flip(passing):
                return Verdict(kept, chance.draw(laws[kept].residual(draft, weight)))
        raise AssertionError("the empty prefix always passes")
