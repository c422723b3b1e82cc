"""Settings: flat names for people, typed strategies and rules inside."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final, get_args, get_type_hints

from smart_speed.entropy import EntropyType, LawFacts, facts_measure
from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.laws import Scores
from smart_speed.phases import Phases
from smart_speed.rules import PHASE_SETTINGS, RULES, is_lossless, readers_of, settings_read_by
from smart_speed.stopping.base import StoppingStrategy
from smart_speed.stopping.calibrated import Calibration
from smart_speed.stopping.routing import Routing
from smart_speed.strategies import STRATEGIES, kind_of
from smart_speed.verification.base import VerificationRule
from smart_speed.verification.relaxed import RelaxIn


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyConfig:
    """How to draft and how to verify.

    Settings that are ``None`` take the strategy's or the rule's own default. A setting that the
    chosen strategy or rule would not read is refused rather than ignored.
    """

    strategy: str = "absolute"
    """A key of ``STRATEGIES``, or the name of a plug-in."""
    max_draft_len: int | None = None
    """Most tokens a round may draft. ``None``: a rival's published cap, 5 for fixed, else 8."""
    min_draft_len: int = 0
    """Tokens that a round drafts before the strategy is asked."""
    stop_placement: Literal["after", "before"] | None = None
    """Whether the token whose law was uncertain is still proposed ("after"; its drafter pass is
    already paid) or not ("before"; the verifier's pass is narrower). ``None``: "before" for the
    entropy strategies of this project, "after", as published, for its rivals."""
    entropy_type: EntropyType = "shannon"
    entropy_of: Literal["raw", "sampled"] = "raw"
    """The law that is measured: the drafter's own, or the one that is drawn from."""
    renyi_order: float | None = None
    """Order of Rényi's entropy; ``None`` means 2."""
    entropy_top_k: int | None = None
    """Tokens that the top-k entropy keeps; ``None`` means 50."""
    verification: Literal[
        "auto", "greedy", "speculative", "block", "relaxed", "easd", "typical", "fly"
    ] = "auto"
    """"auto" is greedy match at temperature 0, else speculative sampling. The last four are lossy:
    they write what the verifier might not have written."""
    theta_phase: float | None = None
    """Nats between predictable and reasoning phases. "relaxed" reads it; with any rule, the
    verifier's entropies are recorded where it is given."""
    phase_hysteresis: float | None = None
    lenience: float | None = None
    strictness: float | None = None
    relax_in: RelaxIn | None = None
    easd_theta: float | None = None
    easd_top_n: int | None = None
    easd_overlap: float | None = None
    typical_epsilon: float | None = None
    typical_delta: float | None = None
    fly_theta: float | None = None
    fly_window: int | None = None
    fly_full: bool | None = None
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
    specdec_h: float | None = None
    ema_alpha: float | None = None
    tiers: tuple[int, ...] | None = None
    calibration: Calibration | None = None
    """Of "calibrated" and "specdec_pp": what a profile holds."""
    routing: Routing | None = None
    """Of "route": what a profile of several drafters holds."""
    route_by: str | None = None
    """Of "route": "gain", "chain", "hedge", or the drafter that is always to draft."""
    online: bool | None = None
    """Whether "calibrated" keeps adjusting to the text at hand."""
    options: Mapping[str, Any] | None = None
    """Settings of a plug-in strategy."""

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, str(getattr(self, name)), filter(None, known))
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
        drafts = kind_of(self.strategy).max_draft_len > 0
        rule = "a lossless rule with a strategy that drafts nothing"
        check_that(drafts or self.lossless, "verification", rule, self.verification)
        self.build_strategy()
        self._rule()

    @property
    def lossless(self) -> bool:
        """Whether the output law is exactly the verifier's, or its only text at temperature 0."""
        return is_lossless(self.verification)

    @property
    def phases(self) -> Phases | None:
        """What tells phases apart, where they are asked for."""
        if self.theta_phase is None and "theta_phase" not in self._rule_reads:
            return None
        return Phases(**(dict(PHASE_SETTINGS) | self._given(PHASE_SETTINGS)))

    @property
    def draft_cap(self) -> int:
        """The most tokens a round may draft, defaults resolved."""
        if self.max_draft_len is not None and self.strategy != "plain":
            return self.max_draft_len
        return kind_of(self.strategy).max_draft_len

    @property
    def keeps_uncertain(self) -> bool:
        """Whether the token whose law was uncertain is still proposed."""
        return (self.stop_placement or kind_of(self.strategy).stop_placement) == "after"

    def build_strategy(self) -> StoppingStrategy[Any]:
        """Return the strategy with its settings.

        Raises:
            ConfigError: If the name is unknown, a value breaks a rule, or a setting is given that
                the strategy would not read.
        """
        kind = kind_of(self.strategy)
        given = self._given(_STRATEGY_SETTINGS)
        reads = kind.settings()
        for name, value in given.items():
            if name not in reads:
                readers = [key for key, other in STRATEGIES.items() if name in other.settings()]
                raise ConfigError(
                    f"{name} must be left out with strategy {self.strategy!r}, which does not read "
                    f"it, got {value!r}; {', '.join(readers) or 'a plug-in'} would."
                )
        for name in kind.ignores:
            value, default = getattr(self, name), _DEFAULTS[name]
            rule = f"left out with strategy {self.strategy!r}, which does not read it"
            check_that(value == default, name, rule, value)
        if "options" in reads:
            try:
                return kind.build(**(self.options or {}))
            except TypeError as error:
                raise ConfigError(
                    f"options must be those of strategy {self.strategy!r}, got {self.options!r}: "
                    f"{error}."
                ) from error
        return kind.build(**(dict(kind.required) | given))

    def build_rule(self, *, greedy: bool) -> VerificationRule:
        """Return the verification rule.

        Args:
            greedy: Whether the output law is one token, as at temperature 0.

        Raises:
            ConfigError: If greedy match is asked for at another temperature: it would not be
                lossless there; or a rule stricter than exact at temperature 0, where there is none.
        """
        if self.verification == "auto":
            return RULES["greedy" if greedy else "speculative"].build()
        check_that(
            greedy or self.verification != "greedy",
            "verification",
            '"speculative", "block" or "auto" above temperature 0',
            self.verification,
        )
        strict = greedy and self.strictness not in (None, 1)
        check_that(not strict, "strictness", "1 at temperature 0", self.strictness)
        return self._rule()

    @property
    def _rule_reads(self) -> Mapping[str, Any]:
        return settings_read_by(self.verification, self.relax_in)

    def _given(self, names: Iterable[str]) -> dict[str, Any]:
        """Return those of some settings that are not left to their defaults."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _rule(self) -> VerificationRule:
        """Return the rule that is named with its settings, the exact test for "auto"."""
        name, given = self.verification, self._given(_RULE_SETTINGS)
        reads = {*self._rule_reads}
        if self.phases:
            reads |= {*PHASE_SETTINGS}
        for key, value in given.items():
            if key not in reads:
                raise ConfigError(
                    f"{key} must be left out with verification {name!r}, which does not read it, "
                    f"got {value!r}; {', '.join(readers_of(key))} would."
                )
        kind = RULES["speculative" if name == "auto" else name]
        wanted = {**kind.settings, **given}
        return kind.build(**{key: wanted[key] for key in kind.settings})

    def build_measure(self) -> Callable[[Scores], LawFacts]:
        """Return the function that measures a draft law."""
        return facts_measure(
            self.entropy_type,
            order=_RENYI_ORDER if self.renyi_order is None else self.renyi_order,
            k=_TOP_K if self.entropy_top_k is None else self.entropy_top_k,
        )

    @property
    def name(self) -> str:
        """A word for records and tables: the strategy, the cap where it is the point, a lossy rule.

        The rule stands behind an "@".
        """
        drafting = f"fixed-{self.draft_cap}" if self.strategy == "fixed" else self.strategy
        return drafting if self.lossless else f"{drafting}@{self.verification}"

    def resolved(self) -> dict[str, Any]:
        """Return every setting that is in force, defaults included, for a manifest."""
        kind = kind_of(self.strategy)
        given = {key: value for key in _FIELDS if (value := getattr(self, key)) is not None}
        defaults = {**kind.settings(), **self._rule_reads}
        if self.phases:
            defaults |= PHASE_SETTINGS
        defaults["max_draft_len"] = self.draft_cap
        defaults["stop_placement"] = kind.stop_placement
        if self.entropy_type == "renyi":
            defaults["renyi_order"] = _RENYI_ORDER
        if self.entropy_type == "topk":
            defaults["entropy_top_k"] = _TOP_K
        found = {key: val for key, val in (defaults | given).items() if key not in kind.ignores}
        for name in _LEARNED:
            if (learned := getattr(self, name)) is not None:
                found[name] = learned.to_json()
        return found

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "EntropyConfig":
        """Build from parsed TOML or JSON.

        Raises:
            ConfigError: If a key is unknown, with the nearest name and the full list, or a value
                is of another type.
        """
        for key in settings:
            if key not in _FIELDS:
                raise unknown_name("setting", key, _FIELDS)
        values: dict[str, Any] = {}
        hints = get_type_hints(cls)
        for key, value in settings.items():
            if key in _LEARNED and isinstance(value, Mapping):
                values[key] = _LEARNED[key](value)
                continue
            values[key] = tuple(value) if isinstance(value, list) else value
            kinds = [kind for kind in _KINDS if kind in (hints[key], *get_args(hints[key]))]
            for kind in kinds:
                fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
                fits = fits or (kind is float and isinstance(value, int) and value is not True)
                check_that(fits, key, _KINDS[kind], value)
        return cls(**values)


_DEFAULTS = {item.name: item.default for item in dataclasses.fields(EntropyConfig)}
_LEARNED: Mapping[str, Callable[[Any], Any]] = {
    "calibration": Calibration.from_json,
    "routing": Routing.from_json,
}
"""What is read from JSON objects."""
_KINDS = {str: "a word", bool: "true or false", int: "a whole number", float: "a number"}
_RENYI_ORDER = 2.0
_TOP_K = 50
_FIELDS = tuple(item.name for item in dataclasses.fields(EntropyConfig))
_RULE_SETTINGS = _FIELDS[_FIELDS.index("theta_phase") : _FIELDS.index("theta_abs")]
_STRATEGY_SETTINGS = _FIELDS[_FIELDS.index("theta_abs") :]
_CHOICES = {
    "stop_placement": (None, "after", "before"),
    "entropy_type": ("shannon", "renyi", "topk"),
    "entropy_of": ("raw", "sampled"),
    "verification": ("auto", *RULES),
    "relax_in": (None, *get_args(RelaxIn)),
}
