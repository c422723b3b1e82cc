"""The table of stopping strategies: what each is built from, and what it reads."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal

from smart_speed.errors import unknown_name
from smart_speed.stopping.absolute import AbsoluteEntropy
from smart_speed.stopping.adaedl import AdaEdl
from smart_speed.stopping.adaptive import AdaptiveEntropy
from smart_speed.stopping.base import StoppingStrategy
from smart_speed.stopping.calibrated import Calibrated
from smart_speed.stopping.combined import Combined
from smart_speed.stopping.confidence import Confidence
from smart_speed.stopping.ema import Ema
from smart_speed.stopping.fixed import NeverStop
from smart_speed.stopping.heuristic import Heuristic
from smart_speed.stopping.relative import RelativeEntropy
from smart_speed.stopping.route import Route
from smart_speed.stopping.specdec_pp import SpecDecPp
from smart_speed.stopping.svip import Svip
from smart_speed.stopping.window import WindowEntropy

PLUGIN_GROUP = "smart_speed.strategies"
"""Entry points of this group name callables that build a strategy from ``options``."""

_STOPPING = ("stop_placement",)
"""What no strategy reads that asks no law."""

_DRAFTING = (
    "max_draft_len", "min_draft_len", "stop_placement",
    "entropy_type", "entropy_of", "renyi_order", "entropy_top_k",
)  # fmt: skip
"""What no strategy reads that never drafts."""

Build = Callable[..., StoppingStrategy[Any]]


@dataclass(frozen=True, slots=True)
class StrategyKind:
    """How a strategy is built from flat settings."""

    build: Build
    max_draft_len: int
    """Cap where none is set: the published one, or 8."""
    required: Mapping[str, Any] = field(default_factory=dict)
    """Values of settings for which the strategy itself has no default."""
    stop_placement: Literal["after", "before"] = "after"
    """Where it stops, if the configuration does not say; the published place of a rival."""
    ignores: tuple[str, ...] = ()
    """Settings of every other strategy that this one would not read."""

    @property
    def reads_calibration(self) -> bool:
        """Whether it needs what was learned of acceptance."""
        return "calibration" in self.required

    def settings(self) -> dict[str, Any]:
        """Return every setting that the strategy reads, with its default."""
        if "options" in self.required or not dataclasses.is_dataclass(self.build):
            return dict(self.required)
        own = {
            item.name: item.default
            for item in dataclasses.fields(self.build)
            if item.default is not dataclasses.MISSING
        }
        return own | dict(self.required)


def _combined(
    *, theta_abs: float, theta_rel: float, window_size: int | None, require_all: bool
) -> Combined:
    """Compose absolute (or window, if a window is given) with relative."""
    level: StoppingStrategy[Any] = (
        AbsoluteEntropy(theta_abs=theta_abs)
        if window_size is None
        else WindowEntropy(theta_abs=theta_abs, window_size=window_size)
    )
    parts = (level, RelativeEntropy(theta_rel=theta_rel))
    return Combined(parts=parts, require_all=require_all)


def _ours(build: Build, **required: Any) -> StrategyKind:
    """Describe a strategy of this project: a cap of 8, and no token where it is uncertain."""
    return StrategyKind(build, max_draft_len=8, required=required, stop_placement="before")


STRATEGIES: Mapping[str, StrategyKind] = {
    "plain": StrategyKind(NeverStop, max_draft_len=0, ignores=_DRAFTING),
    "fixed": StrategyKind(NeverStop, max_draft_len=5, ignores=_STOPPING),
    "absolute": _ours(AbsoluteEntropy, theta_abs=1.0),
    "relative": _ours(RelativeEntropy, theta_rel=1.6),
    "window": _ours(WindowEntropy, theta_abs=1.0),
    "combined": _ours(_combined, theta_abs=1.0, theta_rel=1.6, window_size=None, require_all=False),
    "adaptive": _ours(AdaptiveEntropy),
    "calibrated": StrategyKind(
        Calibrated,
        max_draft_len=16,
        required={"calibration": None},
        stop_placement="before",
        ignores=_STOPPING,
    ),
    "route": StrategyKind(
        Route,
        max_draft_len=16,
        required={"routing": None},
        stop_placement="before",
        ignores=(*_STOPPING, "min_draft_len"),
    ),
    "confidence": StrategyKind(Confidence, max_draft_len=20),
    "heuristic": StrategyKind(Heuristic, max_draft_len=20, ignores=_STOPPING),
    "svip": StrategyKind(Svip, max_draft_len=40),
    "adaedl": StrategyKind(AdaEdl, max_draft_len=20),
    "specdec_pp": StrategyKind(SpecDecPp, max_draft_len=20, required={"calibration": None}),
    "ema": StrategyKind(Ema, max_draft_len=7, ignores=_STOPPING),
}
"""The built-in strategies; a plug-in's name must not be among them."""


def kind_of(strategy: str) -> StrategyKind:
    """Look a strategy up: built-in ones first, then plug-ins, loaded only when asked for."""
    if strategy in STRATEGIES:
        return STRATEGIES[strategy]
    plugins = entry_points(group=PLUGIN_GROUP)
    for plugin in plugins:
        if plugin.name == strategy:
            return StrategyKind(plugin.load(), max_draft_len=8, required={"options": {}})
    raise unknown_name("strategy", strategy, [*STRATEGIES, *(plugin.name for plugin in plugins)])
