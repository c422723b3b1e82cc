"""Entropy-aware speculative decoding: reject what both models are unsure of in the same way."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

from smart_speed.errors import check_that
from smart_speed.laws import Chance, Glance, Proposal
from smart_speed.verification.base import TargetLaws, Verdict


@final
@dataclass(frozen=True, kw_only=True)
class EntropyAware:
    """The exact test, then a penalty on what it keeps; lossy, for accuracy and not for speed.

    A kept token is rejected all the same where both raw laws have an entropy above ``easd_theta``
    and their sets of ``easd_top_n`` likeliest tokens share at least ``easd_overlap`` of them; the
    verifier then draws as if that token did not exist.

    Source: Su et al. 2025, "Entropy-Aware Speculative Decoding", arXiv 2512.23765.
    """

    lossless: ClassVar[bool] = False
    easd_theta: float = 2.0
    """Nats; a percentile of a calibration set, as published."""
    easd_top_n: int = 5
    easd_overlap: float = 0.6
    """Share of ``easd_top_n``, however many tokens a drafter knows."""

    def __post_init__(self) -> None:
        finite = 0 <= self.easd_theta < math.inf
        check_that(finite, "easd_theta", "a number of nats of at least 0", self.easd_theta)
        check_that(self.easd_top_n >= 1, "easd_top_n", "at least 1", self.easd_top_n)
        share = 0 < self.easd_overlap <= 1
        check_that(share, "easd_overlap", "above 0 and at most 1", self.easd_overlap)

    @property
    def glance_len(self) -> int:
        """The likeliest tokens of each draft law that are compared."""
        return self.easd_top_n

    def verify(
        self, proposal: Proposal, target: TargetLaws, chance: Chance, state: Any = None
    ) -> Verdict:
        drafted = zip(proposal.tokens, proposal.laws, proposal.glances, strict=True)
        for position, (token, draft, glance) in enumerate(drafted):
            law = target.law(position)
            if not chance.flip(law.prob_of(token) / draft.prob_of(token)):
                return Verdict(position, chance.draw(law.residual(draft)))
            if self._penalises(glance, target, position):
                return Verdict(position, chance.draw(target.without(position, token)), (position,))
        whole = len(proposal.tokens)
        return Verdict(whole, chance.draw(target.law(whole)))

    def _penalises(self, glance: Glance, target: TargetLaws, position: int) -> bool:
        if glance.entropy_nats <= self.easd_theta:
            return False
        if target.entropy_nats(position) <= self.easd_theta:
            return False
        shared = glance.top_tokens & target.top_tokens(position, self.easd_top_n)
        return len(shared) >= self.easd_overlap * self.easd_top_n
