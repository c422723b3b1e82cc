"""Stop where the drafter is uncertain."""

from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.stopping.base import DraftView, Memoryless


@final
@dataclass(frozen=True, kw_only=True)
class AbsoluteEntropy(Memoryless):
    """Stop where the entropy exceeds a threshold."""

    theta_abs: float
    """Most entropy that is still drafted, in nats."""

    def __post_init__(self) -> None:
        check_that(self.theta_abs > 0, "theta_abs", "a positive number of nats", self.theta_abs)

    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        return "absolute" if draft.latest.entropy_nats > self.theta_abs else None
