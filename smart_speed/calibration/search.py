"""The best settings of every strategy on some traces, and how much they matter."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, final

from smart_speed.calibration.learning import replayed_rate
from smart_speed.config import EntropyConfig
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace

_NATS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_CAPS = (2, 3, 4, 6, 8, 12, 16)
_PLACES = ("before", "after")

GRIDS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "fixed": {"max_draft_len": tuple(range(1, 17))},
    "absolute": {"theta_abs": _NATS, "max_draft_len": _CAPS, "stop_placement": _PLACES},
    "relative": {
        "theta_rel": (1.02, 1.1, 1.2, 1.4, 1.6, 2.0, 2.5, 3.5, 5.0),
        "floor_nats": (0.05, 0.2, 0.5, 1.0),
        "max_draft_len": _CAPS,
        "stop_placement": _PLACES,
    },
    "window": {
        "theta_abs": _NATS,
        "window_size": (2, 3, 4),
        "max_draft_len": _CAPS,
        "stop_placement": _PLACES,
    },
    "combined": {
        "theta_abs": _NATS,
        "theta_rel": (1.2, 1.6, 2.5, 5.0),
        "require_all": (False, True),
        "max_draft_len": _CAPS,
        "stop_placement": _PLACES,
    },
    "adaptive": {
        "z": (-1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5),
        "warmup": (4, 16),
        "max_draft_len": _CAPS,
        "stop_placement": _PLACES,
    },
    "confidence": {"theta_conf": _SHARES, "max_draft_len": _CAPS, "stop_placement": _PLACES},
    "heuristic": {"start_len": (1, 2, 3, 5), "max_draft_len": _CAPS},
    "svip": {
        "svip_h": (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6),
        "max_draft_len": _CAPS,
        "stop_placement": _PLACES,
    },
    "adaedl": {
        "adaedl_gamma": (0.05, 0.1, 0.2, 0.4),
        "adaedl_lambda": _SHARES,
        "max_draft_len": _CAPS,
        "stop_placement": _PLACES,
    },
    "specdec_pp": {"specdec_h": _SHARES, "max_draft_len": _CAPS, "stop_placement": _PLACES},
    "ema": {
        "ema_alpha": (0.1, 0.2, 0.4),
        "tiers": ((1, 2), (1, 2, 3), (1, 3, 5), (1, 3, 7), (1, 2, 4, 8)),
    },
}
"""What is tried of each strategy's settings, in the order in which they are shown."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best settings of one strategy."""

    settings: Mapping[str, Any]
    """Of ``EntropyConfig``, the strategy among them."""
    rate: float
    """Tokens per second with them, predicted."""
    curves: Mapping[str, Sequence[tuple[Any, float]]]
    """How sensitive the rate is: for each setting the rates with other values of it alone."""
    num_tried: int


def best_settings(
    strategy: str,
    texts: Sequence[PreparedTrace],
    costs: CostModel,
    *,
    shared: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Found:
    """Search a strategy's settings, one after the other, until none improves.

    Coordinate descent from several starts: the rate is smooth in every threshold, and a grid of
    all combinations would only be finer than what a small set can tell apart.

    Args:
        strategy: A key of ``GRIDS``.
        texts: To learn on.
        costs: What rounds take; settings that draft farther than they know are left out.
        shared: Of ``shared_settings``; what the strategy reads beside its grid.
        progress: Called with the number of settings tried so far.
    """
    longest = min([costs.max_draft_len, *(each.trace.max_draft_len for each in texts)])
    grid = _within(GRIDS[strategy], longest)
    tried: dict[tuple[Any, ...], float] = {}

    def rate_of(values: tuple[Any, ...]) -> float:
        if values not in tried:
            settings = dict(zip(grid, values, strict=True))
            own = _capped(strategy, settings, longest)
            config = EntropyConfig.from_dict({"strategy": strategy, **own, **(shared or {})})
            tried[values] = replayed_rate(texts, config, costs)
            if progress:
                progress(len(tried))
        return tried[values]

    best = max((_descended(grid, start, rate_of) for start in _starts(grid)), key=rate_of)
    curves = {
        name: [(value, rate_of((*best[:at], value, *best[at + 1 :]))) for value in grid[name]]
        for at, name in enumerate(grid)
    }
    settings = _capped(strategy, dict(zip(grid, best, strict=True)), longest)
    return Found(
        settings={"strategy": strategy, **settings},
        rate=rate_of(best),
        curves=curves,
        num_tried=len(tried),
    )


def _within(grid: Mapping[str, Sequence[Any]], longest: int) -> dict[str, Sequence[Any]]:
    """Leave out the draft lengths that traces or costs do not reach."""
    found = dict(grid)
    if "max_draft_len" in grid:
        caps = [cap for cap in grid["max_draft_len"] if cap <= longest]
        found["max_draft_len"] = caps or [longest]
    if "tiers" in grid:
        fitting = [tiers for tiers in grid["tiers"] if tiers[-1] <= longest]
        found["tiers"] = fitting or [(1,)]
    return found


def _capped(strategy: str, settings: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """Name the cap of a strategy whose cap is not searched."""
    if strategy == "ema":
        return {**settings, "max_draft_len": min(settings["tiers"][-1], longest)}
    return dict(settings)


def _starts(grid: Mapping[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return combinations from which to begin: the middle, with every placement."""
    middles = [
        list(values) if name in ("stop_placement", "require_all") else [values[len(values) // 2]]
        for name, values in grid.items()
    ]
    return list(product(*middles))


def _descended(
    grid: Mapping[str, Sequence[Any]],
    start: tuple[Any, ...],
    rate_of: Callable[[tuple[Any, ...]], float],
) -> tuple[Any, ...]:
    """Improve one setting after the other until none can be."""
    best, improved = start, True
    while improved:
        improved = False
        for at, values in enumerate(grid.values()):
            others = [(*best[:at], value, *best[at + 1 :]) for value in values]
            better = max(others, key=rate_of)
            if rate_of(better) > rate_of(best):
                best, improved = better, True
    return best
