"""Flat settings become typed strategies, and none that would not be read is accepted."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from itertools import product
from typing import Any

import numpy as np
import pytest

from smart_speed import strategies as strategies_module
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.laws import Scores
from smart_speed.stopping.absolute import AbsoluteEntropy
from smart_speed.stopping.base import DraftView, Memoryless
from smart_speed.stopping.calibrated import Calibration
from smart_speed.stopping.combined import Combined
from smart_speed.stopping.fixed import NeverStop
from smart_speed.stopping.relative import RelativeEntropy
from smart_speed.stopping.routing import Routing
from smart_speed.stopping.window import WindowEntropy
from smart_speed.strategies import PLUGIN_GROUP, STRATEGIES
from smart_speed.verification.block import BlockVerification
from smart_speed.verification.greedy import GreedyMatch
from smart_speed.verification.speculative import SpeculativeSampling
from tests.calibrations import CALIBRATION, ROUTING, beside

UNUSUAL: dict[str, Any] = {
    "theta_abs": 1.25,
    "theta_rel": 2.5,
    "floor_nats": 0.3,
    "window_size": 4,
    "require_all": True,
    "z": 0.25,
    "warmup": 9,
    "theta_conf": 0.7,
    "start_len": 3,
    "svip_h": 0.4,
    "svip_c": 0.2,
    "adaedl_gamma": 0.3,
    "adaedl_lambda": 0.6,
    "ema_alpha": 0.5,
    "tiers": (2, 4),
    "specdec_h": 0.4,
    "calibration": dataclasses.replace(CALIBRATION, price=2.0),
    "routing": dataclasses.replace(ROUTING, rate=2.0),
    "route_by": "chain",
    "online": True,
    "options": {"level": 2.0},
}
"""A value of each strategy setting that is nobody's default."""

UNUSUAL_ELSEWHERE: dict[str, tuple[Any, dict[str, Any]]] = {
    "strategy": ("relative", {}),
    "max_draft_len": (11, {}),
    "min_draft_len": (2, {}),
    "stop_placement": ("before", {}),
    "entropy_type": ("renyi", {}),
    "entropy_of": ("sampled", {}),
    "renyi_order": (3.0, {"entropy_type": "renyi"}),
    "entropy_top_k": (7, {"entropy_type": "topk"}),
    "verification": ("block", {}),
    "theta_phase": (0.7, {}),
    "phase_hysteresis": (0.4, {"theta_phase": 1.1}),
    "lenience": (0.25, {"verification": "relaxed"}),
    "strictness": (1.5, {"verification": "relaxed"}),
    "relax_in": ("high", {"verification": "relaxed"}),
    "easd_theta": (1.5, {"verification": "easd"}),
    "easd_top_n": (3, {"verification": "easd"}),
    "easd_overlap": (0.8, {"verification": "easd"}),
    "typical_epsilon": (0.2, {"verification": "typical"}),
    "typical_delta": (0.4, {"verification": "typical"}),
    "fly_theta": (0.5, {"verification": "fly"}),
    "fly_window": (3, {"verification": "fly"}),
    "fly_full": (True, {"verification": "fly"}),
}
"""The same of every other setting, with what it needs beside it."""

FIELDS = {field.name: field.default for field in dataclasses.fields(EntropyConfig)}
PAIRS = list(product(STRATEGIES, UNUSUAL))


def reads(strategy: str, setting: str) -> bool:
    return setting in STRATEGIES[strategy].settings()


def test_every_setting_is_covered_here() -> None:
    assert FIELDS.keys() == UNUSUAL.keys() | UNUSUAL_ELSEWHERE.keys()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_builds_with_its_defaults(strategy: str) -> None:
    config = EntropyConfig(strategy=strategy, **beside(strategy))
    built = config.build_strategy()
    assert built == config.build_strategy()
    defaults = STRATEGIES[strategy].settings() | beside(strategy)
    shown = {name: learned.to_json() for name, learned in beside(strategy).items()}
    assert config.resolved() | shown == config.resolved() | defaults | shown
    if not isinstance(built, Combined):
        assert {name: getattr(built, name) for name in defaults} == defaults


@pytest.mark.parametrize(("strategy", "setting"), [pair for pair in PAIRS if reads(*pair)])
def test_a_setting_that_is_read_reaches_the_strategy(strategy: str, setting: str) -> None:
    value = UNUSUAL[setting]
    config = EntropyConfig(strategy=strategy, **beside(strategy) | {setting: value})
    shown = value.to_json() if isinstance(value, Calibration | Routing) else value
    assert config.resolved()[setting] == shown
    built = config.build_strategy()
    parts = built.parts if isinstance(built, Combined) else ()
    assert value in [getattr(part, setting, None) for part in (built, *parts)]


@pytest.mark.parametrize(("strategy", "setting"), [pair for pair in PAIRS if not reads(*pair)])
def test_a_setting_that_is_not_read_is_refused(strategy: str, setting: str) -> None:
    readers = [other for other in STRATEGIES if reads(other, setting)]
    with pytest.raises(ConfigError) as caught:
        EntropyConfig(strategy=strategy, **{setting: UNUSUAL[setting]})
    assert str(caught.value) == (
        f"{setting} must be left out with strategy {strategy!r}, which does not read it, "
        f"got {UNUSUAL[setting]!r}; {', '.join(readers) or 'a plug-in'} would."
    )


@pytest.mark.parametrize("setting", UNUSUAL_ELSEWHERE)
def test_every_other_setting_is_shown_as_it_was_set(setting: str) -> None:
    value, beside = UNUSUAL_ELSEWHERE[setting]
    assert value != FIELDS[setting]
    assert EntropyConfig(**{setting: value}, **beside).resolved()[setting] == value


@pytest.mark.parametrize(
    ("settings", "cap"),
    [
        ({"strategy": "plain"}, 0),
        ({"strategy": "fixed"}, 5),
        ({}, 8),
        ({"strategy": "svip"}, 40),
        ({"strategy": "svip", "max_draft_len": 3}, 3),
        ({"strategy": "specdec_pp", "calibration": CALIBRATION}, 20),
        ({"max_draft_len": 0}, 0),
    ],
    ids=str,
)
def test_the_cap_is_the_one_given_or_the_strategys_own(settings: dict[str, Any], cap: int) -> None:
    config = EntropyConfig(**settings)
    assert config.draft_cap == cap
    expected = {} if config.strategy == "plain" else {"max_draft_len": cap}
    assert config.resolved().items() >= expected.items()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"strategy": "fixed"}, "fixed-5"),
        ({"strategy": "fixed", "max_draft_len": 8}, "fixed-8"),
        ({"strategy": "svip"}, "svip"),
    ],
)
def test_a_configuration_is_named_by_its_strategy(settings: dict[str, Any], name: str) -> None:
    assert EntropyConfig(**settings).name == name


def test_combined_is_composed_of_a_level_and_a_growth() -> None:
    growth = RelativeEntropy(theta_rel=1.6)
    assert EntropyConfig(strategy="combined").build_strategy() == Combined(
        parts=(AbsoluteEntropy(theta_abs=1.0), growth)
    )
    assert EntropyConfig(strategy="combined", window_size=2).build_strategy() == Combined(
        parts=(WindowEntropy(theta_abs=1.0, window_size=2), growth)
    )


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({}, 1.213),
        ({"entropy_type": "renyi"}, 1.068),
        ({"entropy_type": "renyi", "renyi_order": 0.5}, 1.299),
        ({"entropy_type": "topk"}, 1.213),
        ({"entropy_type": "topk", "entropy_top_k": 2}, 0.637),
    ],
    ids=str,
)
def test_the_measure_is_the_one_asked_for(settings: dict[str, Any], facts: float) -> None:
    """By hand, of 1/2, 1/4, 1/8, 1/8; order 2 is ln(32/11), order 1/2 is 2 ln(1.9142)."""
    measure = EntropyConfig(**settings).build_measure()
    scores = Scores(np.log([0.5, 0.25, 0.125, 0.125]))
    assert measure(scores).entropy_nats == pytest.approx(facts, abs=5e-4)


@pytest.mark.parametrize(
    ("verification", "greedy", "rule"),
    [
        ("auto", True, GreedyMatch),
        ("auto", False, SpeculativeSampling),
        ("greedy", True, GreedyMatch),
        ("speculative", True, SpeculativeSampling),
        ("speculative", False, SpeculativeSampling),
        ("block", False, BlockVerification),
    ],
)
def test_the_rule_is_the_one_asked_for(verification: Any, greedy: bool, rule: type) -> None:
    built = EntropyConfig(verification=verification).build_rule(greedy=greedy)
    assert type(built) is rule
    assert built.lossless


def test_greedy_match_is_refused_where_it_would_lose_something() -> None:
    with pytest.raises(ConfigError) as caught:
        EntropyConfig(verification="greedy").build_rule(greedy=False)
    assert str(caught.value) == (
        'verification must be "speculative", "block" or "auto" above temperature 0, got \'greedy\'.'
    )


KNOWN_STRATEGIES = ", ".join(sorted(STRATEGIES))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        *(
            ({"strategy": name}, f"Unknown strategy {name!r}.{hint} Known: {KNOWN_STRATEGIES}.")
            for name, hint in [
                ("entropy_absolute", " Did you mean 'absolute'?"),
                ("Relative", " Did you mean 'relative'?"),
                ("xyz", ""),
            ]
        ),
        ({"theta_abs": -1.0}, "theta_abs must be a positive number of nats, got -1.0."),
        (
            {"strategy": "relative", "theta_rel": -2.0},
            "theta_rel must be a ratio above 1, got -2.0.",
        ),
        ({"max_draft_len": -1}, "max_draft_len must be at least 0, got -1."),
        ({"min_draft_len": -1}, "min_draft_len must be at least 0, got -1."),
        ({"min_draft_len": 9}, "min_draft_len must be at most max_draft_len (8), got 9."),
        (
            {"min_draft_len": 4, "max_draft_len": 3},
            "min_draft_len must be at most max_draft_len (3), got 4.",
        ),
        (
            {"strategy": "plain", "max_draft_len": 4},
            "max_draft_len must be left out with strategy 'plain', which does not read it, got 4.",
        ),
        (
            {"entropy_type": "renyi", "renyi_order": 1.0},
            "renyi_order must be positive and not 1, got 1.0.",
        ),
        (
            {"entropy_type": "topk", "entropy_top_k": 0},
            "entropy_top_k must be at least 1, got 0.",
        ),
        (
            {"renyi_order": 2.0},
            'renyi_order must be left out unless entropy_type is "renyi", got 2.0.',
        ),
        (
            {"entropy_top_k": 5, "entropy_type": "renyi"},
            'entropy_top_k must be left out unless entropy_type is "topk", got 5.',
        ),
    ],
)
def test_settings_that_break_a_rule_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EntropyConfig(**settings)
    assert str(caught.value) == sentence


def test_parsed_toml_becomes_a_configuration() -> None:
    settings = {"strategy": "ema", "tiers": [1, 2, 4], "max_draft_len": 4}
    assert EntropyConfig.from_dict(settings) == EntropyConfig(
        strategy="ema", tiers=(1, 2, 4), max_draft_len=4
    )


def test_resolved_settings_build_the_same_configuration() -> None:
    config = EntropyConfig(strategy="window", window_size=5, min_draft_len=1)
    again = EntropyConfig.from_dict(config.resolved())
    assert again.build_strategy() == config.build_strategy()
    assert again.resolved() == config.resolved()


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("theta_relative", " Did you mean 'theta_rel'?"),
        ("max_draft_length", " Did you mean 'max_draft_len'?"),
        ("qqq", ""),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_and_all(key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EntropyConfig.from_dict({key: 1})
    names = ", ".join(sorted(FIELDS))
    assert str(caught.value) == f"Unknown setting {key!r}.{hint} Known: {names}."


@dataclass(frozen=True)
class Level(Memoryless):
    """Somebody else's strategy."""

    level: float
    theta_abs: float = 5.0

    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        return "level" if draft.latest.entropy_nats > self.level else None


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Install a plug-in called "mine"."""

    def install_plugin(plugin: Any) -> None:
        point = EntryPoint("mine", "somewhere:Somebody", PLUGIN_GROUP)
        monkeypatch.setattr(EntryPoint, "load", lambda self: plugin)
        monkeypatch.setattr(
            strategies_module,
            "entry_points",
            lambda *, group: EntryPoints([point]).select(group=group),
        )

    return install_plugin


@pytest.mark.parametrize(
    "plugin", [Level, lambda **options: Level(**options)], ids=["class", "function"]
)
def test_a_plug_in_is_found_and_built_with_its_options(
    plugin: Any, install: Callable[[Any], None]
) -> None:
    install(plugin)
    config = EntropyConfig(strategy="mine", options={"level": 2.0})
    assert config.build_strategy() == Level(level=2.0)
    assert config.draft_cap == 8
    assert config.name == "mine"
    assert config.resolved()["options"] == {"level": 2.0}


def test_a_plug_in_may_do_without_options(install: Callable[[Any], None]) -> None:
    install(NeverStop)
    config = EntropyConfig(strategy="mine", max_draft_len=3)
    assert config.build_strategy() == NeverStop()
    assert config.draft_cap == 3


@pytest.mark.parametrize(
    "plugin", [Level, lambda **options: Level(**options)], ids=["class", "function"]
)
def test_a_plug_in_reads_nothing_but_its_options(
    plugin: Any, install: Callable[[Any], None]
) -> None:
    install(plugin)
    with pytest.raises(ConfigError, match=r"^theta_abs must be left out with strategy 'mine', "):
        EntropyConfig(strategy="mine", theta_abs=2.0, options={"level": 2.0})


def test_plug_ins_are_among_the_known_names(install: Callable[[Any], None]) -> None:
    install(Level)
    with pytest.raises(ConfigError, match=r"Did you mean 'mine'\? Known: .*\bmine\b.*\bplain\b"):
        EntropyConfig(strategy="mines")


def test_a_built_in_strategy_is_not_looked_for_among_plug_ins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(strategies_module, "entry_points")
    EntropyConfig(strategy="absolute")


def test_the_measures_default_in_force_is_shown() -> None:
    assert EntropyConfig(entropy_type="renyi").resolved()["renyi_order"] == 2.0
    assert EntropyConfig(entropy_type="topk").resolved()["entropy_top_k"] == 50


def test_options_that_a_plug_in_does_not_know_are_refused(install: Callable[..., None]) -> None:
    install(Level)
    with pytest.raises(ConfigError):
        EntropyConfig(strategy="mine", options={"height": 2.0})
