"""Published rival: AdaEDL, an entropy bound on acceptance with a threshold that follows it."""

import math
from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView


@final
@dataclass(frozen=True, slots=True)
class AdaEdlState:
    """What AdaEDL carries from round to round."""

    threshold: float
    """Least acceptance, as bounded from entropy, that is still drafted."""
    acceptance: float
    """Running share of the drafted tokens that were accepted."""


@final
@dataclass(frozen=True, kw_only=True)
class AdaEdl:
    """Stop where 1 - sqrt(gamma * H) falls below a threshold that steers the acceptance rate.

    After a round: AR <- 0.5 AR + 0.5 accepted/drafted; the threshold rises by 0.01 if AR < 0.9,
    else falls by 0.01 unless everything was accepted, and is smoothed with weight 0.9.

    Source: Agrawal et al. 2024, "AdaEDL", arXiv 2410.18351.
    """

    adaedl_gamma: float = 0.2
    """Factor inside the square root."""
    adaedl_lambda: float = 0.5
    """Threshold at the start; the paper sweeps 0.3 to 0.9."""

    def __post_init__(self) -> None:
        check_that(self.adaedl_gamma > 0, "adaedl_gamma", "positive", self.adaedl_gamma)
        inside = 0 < self.adaedl_lambda < 1
        check_that(inside, "adaedl_lambda", "between 0 and 1", self.adaedl_lambda)

    def initial_state(self) -> AdaEdlState:
        return AdaEdlState(threshold=self.adaedl_lambda, acceptance=1.0)

    def max_len(self, state: AdaEdlState) -> int | None:
        return None

    def reason_to_stop(self, draft: DraftView, state: AdaEdlState) -> str | None:
        bound = 1 - math.sqrt(self.adaedl_gamma * draft.latest.entropy_nats)
        return "adaedl" if bound < state.threshold else None

    def after_round(self, state: AdaEdlState, outcome: RoundRecord) -> AdaEdlState:
        if outcome.draft_len == 0:
            return state
        acceptance = 0.5 * state.acceptance + 0.5 * outcome.accepted_len / outcome.draft_len
        threshold = state.threshold
        if acceptance < 0.9:
            threshold += 0.01
        elif outcome.accepted_len != outcome.draft_len:
            threshold -= 0.01
        return AdaEdlState(0.9 * state.threshold + 0.1 * threshold, acceptance)
