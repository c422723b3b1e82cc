"""A calibration in the middle of what toy models do, so that every decision is sometimes taken."""

from dataclasses import replace
from typing import Any

from smart_speed.stopping.acceptance import AcceptanceModel
from smart_speed.stopping.calibrated import Calibration
from smart_speed.stopping.draft_value import RoundCosts
from smart_speed.stopping.routing import Arm, Routing
from smart_speed.strategies import STRATEGIES

ACCEPTANCE = AcceptanceModel(
    bias=0.1,
    per_nat=-0.2,
    per_log_odds=1.0,
    per_recent=0.6,
    recent_rate=0.3,
    recent_start=0.5,
    edges=(-0.6, -0.1, 0.4, 1.2),
    accept_probs=(0.15, 0.35, 0.5, 0.65, 0.9),
    next_probs=(
        (0.4, 0.2, 0.2, 0.1, 0.1),
        (0.2, 0.3, 0.2, 0.2, 0.1),
        (0.1, 0.2, 0.3, 0.2, 0.2),
        (0.1, 0.1, 0.2, 0.3, 0.3),
        (0.05, 0.05, 0.1, 0.2, 0.6),
    ),
    first_edges=(0.35, 0.6),
    first_probs=(
        (0.6, 0.3, 0.1, 0.0, 0.0),
        (0.2, 0.2, 0.2, 0.2, 0.2),
        (0.1, 0.1, 0.2, 0.3, 0.3),
    ),
)
COSTS = RoundCosts(
    plain_s=1.0,
    step_s=0.12,
    first_step_extra_s=0.03,
    wider_s=(0.25, 0.1, 0.12, 0.1, 0.3, 0.1, 0.1, 0.1),
)
CALIBRATION = Calibration(acceptance=ACCEPTANCE, costs=COSTS, rate=1.15, price=1.3)
GROWING = replace(
    CALIBRATION,
    costs=replace(
        COSTS, context_len=4, plain_context_s=0.05, step_context_s=0.01, wider_context_s=(0.02,) * 8
    ),
)
"""Passes take longer the longer the context, wide ones by more."""


def routing_of(*drafters: str, reads_verifier: bool = True) -> Routing:
    """Return a routing that favours now the one and now the other, and at times nobody."""
    size = len(drafters)
    arms = []
    for at, name in enumerate(drafters):
        # Each likes another regime, so that verifier, drafts and acceptance all decide at times.
        verifier = ((-1.0) ** at, 0.05 * at) if reads_verifier else (0.0, 0.0)
        recents = [0.3 if at == other else -0.3 for other in range(size)]
        arms.append(
            Arm(
                drafter=name,
                calibration=CALIBRATION,
                catch_up_s=0.02,
                bias=-0.2 if reads_verifier else 0.1,
                weights=(*verifier, 0.1 * at, 0.3, -0.1, 0.3 - 0.3 * at, *recents),
            )
        )
    return Routing(arms=tuple(arms), means=(1.4, 0.0, 1.0, 0.3, 0.4, 1.0, *(0.5,) * size), rate=1.2)


ROUTING = routing_of("model")
"""Of one drafter: is it to draft at all?"""


def beside(strategy: str) -> dict[str, Any]:
    """Return what a strategy cannot be built without."""
    if strategy == "route":
        return {"routing": ROUTING}
    return {"calibration": CALIBRATION} if STRATEGIES[strategy].reads_calibration else {}
