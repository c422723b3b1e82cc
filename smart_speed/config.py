"""Settings: flat names for people, typed strategies and rules inside."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, final

from smart_speed.entropy import EntropyType, LawFacts, facts_measure
from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.laws import Scores
from smart_speed.stopping.absolute import AbsoluteEntropy
from smart_speed.stopping.adaedl import AdaEdl
from smart_speed.stopping.adaptive import AdaptiveEntropy
from smart_speed.stopping.base import StoppingStrategy
from smart_speed.stopping.combined import Combined
from smart_speed.stopping.confidence import Confidence
from smart_speed.stopping.ema import Ema
from smart_speed.stopping.fixed import NeverStop
from smart_speed.stopping.heuristic import Heuristic
from smart_speed.stopping.relative import RelativeEntropy
from smart_speed.stopping.svip import Svip
from smart_speed.stopping.window import WindowEntropy
from smart_speed.verification.base import VerificationRule
from smart_speed.verification.block import BlockVerification
from smart_speed.verification.greedy import GreedyMatch
from smart_speed.verification.speculative import SpeculativeSampling

PLUGIN_GROUP = "smart_speed.strategies"
"""Entry points of this group name callables that build a strategy from ``options``."""

Build = Callable[..., StoppingStrategy[Any]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a strategy is built from flat settings."""

    build: Build
    max_draft_len: int
    """Cap where none is set: the published one, or 8."""
    required: Mapping[str, Any] = field(default_factory=dict)
    """Values of settings for which the strategy itself has no default."""
    reads: tuple[str, ...] = ()
    """Settings it reads besides those of its own fields."""

    def settings(self) -> dict[str, Any]:
        """Return every setting that the strategy reads, with its default."""
        if "options" in self.required or not dataclasses.is_dataclass(self.build):
            return dict.fromkeys(self.reads) | dict(self.required)
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


STRATEGIES: Mapping[str, _Kind] = {
    "plain": _Kind(NeverStop, max_draft_len=0),
    "fixed": _Kind(NeverStop, max_draft_len=5),
    "absolute": _Kind(AbsoluteEntropy, max_draft_len=8, required={"theta_abs": 1.0}),
    "relative": _Kind(RelativeEntropy, max_draft_len=8, required={"theta_rel": 1.6}),
    "window": _Kind(WindowEntropy, max_draft_len=8, required={"theta_abs": 1.0}),
    "combined": _Kind(
        _combined,
        max_draft_len=8,
        required={"theta_abs": 1.0, "theta_rel": 1.6, "window_size": None, "require_all": False},
    ),
    "adaptive": _Kind(AdaptiveEntropy, max_draft_len=8),
    "confidence": _Kind(Confidence, max_draft_len=20),
    "heuristic": _Kind(Heuristic, max_draft_len=20),
    "svip": _Kind(Svip, max_draft_len=40),
    "adaedl": _Kind(AdaEdl, max_draft_len=20),
    "ema": _Kind(Ema, max_draft_len=7),
}
"""The built-in strategies; a plug-in's name must not be among them."""

_RULES: Mapping[str, Callable[[], VerificationRule]] = {
    "greedy": GreedyMatch,
    "speculative": SpeculativeSampling,
    "block": BlockVerification,
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyConfig:
    """How to draft and how to verify.

    Settings that are ``None`` take the strategy's own default. A setting that the chosen
    strategy would not read is refused rather than ignored.
    """

    strategy: str = "absolute"
    """A key of ``STRATEGIES``, or the name of a plug-in."""
    max_draft_len: int | None = None
    """Most tokens a round may draft. ``None``: a rival's published cap, 5 for fixed, else 8."""
    min_draft_len: int = 0
    """Tokens that a round drafts before the strategy is asked."""
    stop_placement: Literal["after", "before"] = "after"
    """Whether the token whose law was uncertain is still proposed ("after"; its drafter pass is
    already paid) or not ("before")."""
    entropy_type: EntropyType = "shannon"
    entropy_of: Literal["raw", "sampled"] = "raw"
    """The law that is measured: the drafter's own, or the one that is drawn from."""
    renyi_order: float | None = None
    """Order of Rényi's entropy; ``None`` means 2."""
    entropy_top_k: int | None = None
    """Tokens that the top-k entropy keeps; ``None`` means 50."""
    verification: Literal["auto", "greedy", "speculative", "block"] = "auto"
    """"auto" is greedy match at temperature 0, else speculative sampling."""
    theta_abs: float | None = None
    theta_rel: float | None = None
    floor_nats: float | None = None
    window_size: int | None = None
    require_all: bool | None = None
    """Whether both parts of "combined" must want to stop."""
    z: float | None = None
    warmup: int | None = None
    theta_conf: float | None = None
    start_len: int | None = None
    svip_h: float | None = None
    svip_c: float | None = None
    adaedl_gamma: float | None = None
    adaedl_lambda: float | None = None
    ema_alpha: float | None = None
    tiers: tuple[int, ...] | None = None
    options: Mapping[str, Any] | None = None
    """Settings of a plug-in strategy."""

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        cap = self.max_draft_len
        check_that(cap is None or cap >= 0, "max_draft_len", "at least 0", cap)
        check_that(self.min_draft_len >= 0, "min_draft_len", "at least 0", self.min_draft_len)
        check_that(
            self.min_draft_len <= self.draft_cap,
            "min_draft_len",
            f"at most max_draft_len ({self.draft_cap})",
            self.min_draft_len,
        )
        k = self.entropy_top_k
        check_that(k is None or k >= 1, "entropy_top_k", "at least 1", k)
        order = self.renyi_order
        positive = order is None or (order > 0 and order != 1)
        check_that(positive, "renyi_order", "positive and not 1", order)
        for name, kind in (("renyi_order", "renyi"), ("entropy_top_k", "topk")):
            unread = getattr(self, name) is not None and self.entropy_type != kind
            check_that(
                not unread, name, f'left out unless entropy_type is "{kind}"', getattr(self, name)
            )
        self.build_strategy()

    @property
    def draft_cap(self) -> int:
        """The most tokens a round may draft, defaults resolved."""
        if self.max_draft_len is not None and self.strategy != "plain":
            return self.max_draft_len
        return _kind(self.strategy).max_draft_len

    def build_strategy(self) -> StoppingStrategy[Any]:
        """Return the strategy with its settings.

        Raises:
            ConfigError: If the name is unknown, a value breaks a rule, or a setting is given that
                the strategy would not read.
        """
        kind = _kind(self.strategy)
        given = {
            name: getattr(self, name)
            for name in _STRATEGY_SETTINGS
            if getattr(self, name) is not None
        }
        reads = kind.settings()
        for name, value in given.items():
            if name not in reads:
                readers = [key for key, other in STRATEGIES.items() if name in other.settings()]
                raise ConfigError(
                    f"{name} must be left out with strategy {self.strategy!r}, which does not read "
                    f"it, got {value!r}; {', '.join(readers) or 'a plug-in'} would."
                )
        if self.strategy == "plain" and self.max_draft_len is not None:
            raise ConfigError(
                "max_draft_len must be left out with strategy 'plain', which never drafts, "
                f"got {self.max_draft_len!r}."
            )
        if "options" in reads:
            return kind.build(**(self.options or {}))
        return kind.build(**(dict(kind.required) | given))

    def build_rule(self, *, greedy: bool) -> VerificationRule:
        """Return the verification rule.

        Args:
            greedy: Whether the output law is one token, as at temperature 0.

        Raises:
            ConfigError: If greedy match is asked for at another temperature: it would not be
                lossless there.
        """
        if self.verification == "auto":
            return GreedyMatch() if greedy else SpeculativeSampling()
        check_that(
            greedy or self.verification != "greedy",
            "verification",
            '"speculative", "block" or "auto" above temperature 0',
            self.verification,
        )
        return _RULES[self.verification]()

    def build_measure(self) -> Callable[[Scores], LawFacts]:
        """Return the function that measures a draft law."""
        return facts_measure(
            self.entropy_type,
            order=2.0 if self.renyi_order is None else self.renyi_order,
            k=50 if self.entropy_top_k is None else self.entropy_top_k,
        )

    @property
    def name(self) -> str:
        """A word for records and tables: the strategy, and the cap where it is the point."""
        return f"fixed-{self.draft_cap}" if self.strategy == "fixed" else self.strategy

    def resolved(self) -> dict[str, Any]:
        """Return every setting that is in force, defaults included, for a manifest."""
        kind = _kind(self.strategy)
        given = {key: value for key in _FIELDS if (value := getattr(self, key)) is not None}
        cap = {} if self.strategy == "plain" else {"max_draft_len": self.draft_cap}
        return kind.settings() | cap | given

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "EntropyConfig":
        """Build from parsed TOML or JSON.

        Raises:
            ConfigError: If a key is unknown, with the nearest name and the full list.
        """
        for key in settings:
            if key not in _FIELDS:
                raise unknown_name("setting", key, _FIELDS)
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in settings.items()
        }
        return cls(**values)


_FIELDS = tuple(item.name for item in dataclasses.fields(EntropyConfig))
_STRATEGY_SETTINGS = _FIELDS[_FIELDS.index("theta_abs") :]
_CHOICES = {
    "stop_placement": ("after", "before"),
    "entropy_type": ("shannon", "renyi", "topk"),
    "entropy_of": ("raw", "sampled"),
    "verification": ("auto", *_RULES),
}


def _kind(strategy: str) -> _Kind:
    """Look a strategy up: built-in ones first, then plug-ins, loaded only when asked for."""
    if strategy in STRATEGIES:
        return STRATEGIES[strategy]
    plugins = entry_points(group=PLUGIN_GROUP)
    for plugin in plugins:
        if plugin.name == strategy:
            return _Kind(plugin.load(), max_draft_len=8, required={"options": {}})
    raise unknown_name("strategy", strategy, [*STRATEGIES, *(plugin.name for plugin in plugins)])
