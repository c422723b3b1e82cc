"""Stop where uncertainty has grown within the round."""

from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.stopping.base import DraftView, Memoryless


@final
@dataclass(frozen=True, kw_only=True)
class RelativeEntropy(Memoryless):
    """Stop where the entropy has grown by a factor since the round began."""

    theta_rel: float
    """Allowed growth over the round's first position, a ratio above 1."""
    floor_nats: float = 0.1
    """Stands in for a first entropy near zero, which would make any growth look large."""

    def __post_init__(self) -> None:
        check_that(self.theta_rel > 1, "theta_rel", "a ratio above 1", self.theta_rel)
        check_that(self.floor_nats > 0, "floor_nats", "a positive number of nats", self.floor_nats)

    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        limit = self.theta_rel * max(draft.first.entropy_nats, self.floor_nats)
        return "relative" if draft.latest.entropy_nats > limit else None
