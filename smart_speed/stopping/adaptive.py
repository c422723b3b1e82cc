"""Stop where entropy is unusual for this text."""

import math
from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView


@final
@dataclass(frozen=True, slots=True)
class Moments:
    """Running count, mean and squared deviations of a series (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> "Moments":
        """Return the moments with one more value."""
        count = self.count + 1
        mean = self.mean + (value - self.mean) / count
        return Moments(count, mean, self.squares + (value - self.mean) * (value - mean))

    @property
    def std(self) -> float:
        """Standard deviation of the values so far."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0


@final
@dataclass(frozen=True, kw_only=True)
class AdaptiveEntropy:
    """Stop where the entropy exceeds this text's running mean by ``z`` standard deviations."""

    z: float = 1.0
    warmup: int = 16
    """Positions to watch before the strategy may stop anything."""

    def __post_init__(self) -> None:
        check_that(math.isfinite(self.z), "z", "a finite number of standard deviations", self.z)
        check_that(self.warmup >= 1, "warmup", "at least 1", self.warmup)

    def initial_state(self) -> Moments:
        return Moments()

    def max_len(self, state: Moments) -> int | None:
        return None

    def reason_to_stop(self, draft: DraftView, state: Moments) -> str | None:
        if state.count < self.warmup:
            return None
        limit = state.mean + self.z * state.std
        return "adaptive" if draft.latest.entropy_nats > limit else None

    def after_round(self, state: Moments, outcome: RoundRecord) -> Moments:
        # Laws past the first rejection belong to a text that was never written.
        for entropy in outcome.entropies_nats[: outcome.accepted_len + 1]:
            state = state.add(entropy)
        return state
