"""Stop where the drafter has been uncertain for a while."""

from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.stopping.base import DraftView, Memoryless


@final
@dataclass(frozen=True, kw_only=True)
class WindowEntropy(Memoryless):
    """Stop where the mean entropy of the round's last positions exceeds a threshold."""

    theta_abs: float
    """Most mean entropy that is still drafted, in nats."""
    window_size: int = 3
    """Positions to average; fewer while the round is shorter than that."""

    def __post_init__(self) -> None:
        check_that(self.theta_abs > 0, "theta_abs", "a positive number of nats", self.theta_abs)
        check_that(self.window_size >= 1, "window_size", "at least 1", self.window_size)

    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        recent = draft.facts[-self.window_size :]
        mean = sum(facts.entropy_nats for facts in recent) / len(recent)
        return "window" if mean > self.theta_abs else None
