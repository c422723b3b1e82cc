"""Published rival: SVIP, a bound on acceptance from the drafter's entropy."""

import math
from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.stopping.base import DraftView, Memoryless


@final
@dataclass(frozen=True, kw_only=True)
class Svip(Memoryless):
    """Stop where sqrt(svip_c * H) exceeds a threshold: with the defaults, where H > 0.6 nats.

    Source: Zhang et al. 2024, "Draft Model Knows When to Stop", arXiv 2411.18462, with the
    constants of its published code.
    """

    svip_h: float = 0.3
    """Threshold on the square root."""
    svip_c: float = 0.15
    """Factor inside the square root."""

    def __post_init__(self) -> None:
        check_that(self.svip_h > 0, "svip_h", "positive", self.svip_h)
        check_that(self.svip_c > 0, "svip_c", "positive", self.svip_c)

    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        root = math.sqrt(self.svip_c * draft.latest.entropy_nats)
        return "svip" if root > self.svip_h else None
