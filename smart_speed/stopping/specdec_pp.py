"""Published rival: SpecDec++, a cap on the probability that a draft holds a rejected token."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

from smart_speed.errors import check_that
from smart_speed.records import RoundRecord
from smart_speed.stopping.acceptance import AcceptanceModel, Chances, draft_chances
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.calibrated import Calibration, given_calibration


@final
@dataclass(frozen=True, kw_only=True)
class SpecDecPp:
    """Stop where 1 - a_1 a_2 … a_i > specdec_h, with a learned acceptance a of each token.

    The paper trains a head on the drafter's hidden states to predict a, the drawn token's among
    them. Here it is the profile's model of acceptance, which knows the laws alone and is the one
    that "calibrated" uses: so the two differ in the rule, and this one knows no costs.

    Source: Huang et al. 2024, "SpecDec++", arXiv 2405.19715, with the constants of its published
    code.
    """

    calibration: Calibration | None = None
    """Always needed; from a profile."""
    specdec_h: float = 0.3
    """Most probability of a rejected token with which drafting goes on."""

    def __post_init__(self) -> None:
        given_calibration(self.calibration, "specdec_pp")
        inside = 0 < self.specdec_h < 1
        check_that(inside, "specdec_h", "between 0 and 1", self.specdec_h)

    def initial_state(self) -> float:
        """Return the recent acceptance that a text begins with."""
        return self._acceptance.recent_start

    def max_len(self, state: float) -> None:
        return None

    def reason_to_stop(self, draft: DraftView, state: float) -> str | None:
        before, kind = self._chances(draft.facts, state, 0.0)
        survival = before * self._acceptance.accept_probs[kind]
        return "specdec_pp" if 1 - survival > self.specdec_h else None

    def after_round(self, state: float, outcome: RoundRecord) -> float:
        return self._acceptance.recent_after(
            state, accepted_len=outcome.accepted_len, draft_len=outcome.draft_len
        )

    @cached_property
    def _chances(self) -> Chances:
        return draft_chances(self._acceptance)

    @cached_property
    def _acceptance(self) -> AcceptanceModel:
        return given_calibration(self.calibration, "specdec_pp").acceptance
