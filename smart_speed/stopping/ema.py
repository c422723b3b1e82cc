"""Published rival: draft a little more than was accepted of late."""

from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView


@final
@dataclass(frozen=True, kw_only=True)
class Ema:
    """Draft round(EMA of accepted lengths) + 1 tokens, raised to the next of a few tiers.

    Source: the adaptive step count of SGLang; its tiers are the widths it keeps graphs for.
    """

    ema_alpha: float = 0.2
    """Weight of the newest round."""
    tiers: tuple[int, ...] = (1, 3, 7)
    """Draft lengths to choose from, ascending."""

    def __post_init__(self) -> None:
        check_that(0 < self.ema_alpha <= 1, "ema_alpha", "above 0 and at most 1", self.ema_alpha)
        ascending = list(self.tiers) == sorted(set(self.tiers)) and min(self.tiers, default=0) >= 1
        check_that(ascending, "tiers", "ascending draft lengths of at least 1", self.tiers)

    def initial_state(self) -> float:
        """Start as if the middle tier had just been accepted."""
        return float(self.tiers[len(self.tiers) // 2] - 1)

    def max_len(self, state: float) -> int:
        wanted = round(state) + 1
        return next((tier for tier in self.tiers if tier >= wanted), self.tiers[-1])

    def reason_to_stop(self, draft: DraftView, state: float) -> str | None:
        return None

    def after_round(self, state: float, outcome: RoundRecord) -> float:
        return (1 - self.ema_alpha) * state + self.ema_alpha * outcome.accepted_len
