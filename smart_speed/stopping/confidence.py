"""Published rival: stop at a token that the drafter itself thinks unlikely."""

from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.stopping.base import DraftView, Memoryless


@final
@dataclass(frozen=True, kw_only=True)
class Confidence(Memoryless):
    """Stop where the likeliest token's probability falls below a threshold.

    transformers uses 0.4 on the drawn token's probability, Kangaroo 0.6 (cap 6), llama.cpp 0.75
    renormalised over its top ten (cap 16). Here it is the likeliest token's in the full law,
    which is the drawn token's under greedy decoding and peeks at nothing under sampling.
    """

    theta_conf: float = 0.4
    """Least probability of the likeliest token that is still drafted."""

    def __post_init__(self) -> None:
        inside = 0 < self.theta_conf < 1
        check_that(inside, "theta_conf", "a probability between 0 and 1", self.theta_conf)

    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        return "confidence" if draft.latest.top_prob < self.theta_conf else None
