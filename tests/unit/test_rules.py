"""Lossy rules: what they read, what is refused, and that they say what they are."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.generation import Result
from smart_speed.laws import Proposal, SeededChance
from smart_speed.phases import Phases
from smart_speed.rules import PHASE_SETTINGS, RULES
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.target_laws import VerifierLaws
from smart_speed.verification.base import GlancingRule, VerificationRule
from smart_speed.verification.relaxed import RelaxedAcceptance
from tests.unit.traced import drafter_of, verifier_of

LOSSY = [name for name, kind in RULES.items() if not kind.lossless]
LOOSE: dict[str, dict[str, Any]] = {
    "relaxed": {"lenience": 0.05, "relax_in": "always"},
    "easd": {"easd_theta": 0.1, "easd_top_n": 1, "easd_overlap": 1.0},
    "typical": {"typical_epsilon": 0.01, "typical_delta": 0.05},
    "fly": {"fly_theta": 0.0},
}
"""Settings under which a toy pair's texts differ from exact ones."""


def answer(config: EntropyConfig, sampling: Sampling | None = None, seed: int = 0) -> Result:
    decoder = EntropyBasedSpeculativeDecoder(verifier_of(seed), drafter_of("model", seed), config)
    return decoder.generate([0, 1, 2], max_new_tokens=60, sampling=sampling)


def config_of(rule: Any, **settings: Any) -> EntropyConfig:
    return EntropyConfig(strategy="fixed", max_draft_len=4, verification=rule, **settings)


def test_lossless_is_the_default() -> None:
    assert EntropyConfig().lossless
    assert answer(EntropyConfig(strategy="fixed")).record.lossless
    assert not any("@" in EntropyConfig(strategy=each).name for each in ("plain", "fixed"))


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_rule_says_so_everywhere(name: str) -> None:
    config = config_of(name)
    rule = config.build_rule(greedy=True)
    assert isinstance(rule, VerificationRule)
    assert not rule.lossless
    assert not config.lossless
    assert config.name == f"fixed-4@{name}"
    record = answer(config).record
    assert not record.lossless
    assert record.condition == f"fixed-4@{name}"
    assert type(record).from_json(record.to_json()) == record


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8, top_p=0.95, seed=2)])
@pytest.mark.parametrize("name", LOSSY)
def test_what_was_decided_otherwise_is_counted(name: str, sampling: Sampling) -> None:
    """Catches: a count that stays 0, or counts what was thrown away."""
    results = [answer(config_of(name, **LOOSE[name]), sampling, seed) for seed in range(3)]
    rounds = [turn for result in results for turn in result.record.rounds]
    assert sum(turn.inexact_len for turn in rounds) > 0
    assert all(turn.inexact_len <= turn.emitted_len for turn in rounds)
    exact = EntropyConfig(strategy="fixed", max_draft_len=4)
    plain = [answer(exact, sampling, seed) for seed in range(3)]
    assert all(not turn.inexact_len for result in plain for turn in result.record.rounds)
    assert [result.tokens for result in results] != [result.tokens for result in plain]


@pytest.mark.parametrize("name", LOSSY)
def test_every_setting_reaches_the_rule_and_the_manifest(name: str) -> None:
    defaults = RULES[name].settings
    rule: Any = config_of(name).build_rule(greedy=False)
    held = {each.name: getattr(rule, each.name) for each in fields(rule)}
    if phases := held.pop("phases", None):
        held |= {each.name: getattr(phases, each.name) for each in fields(phases)}
    assert held == dict(defaults)
    assert config_of(name).resolved().items() >= defaults.items()


@pytest.mark.parametrize("setting", sorted({key for name in LOSSY for key in RULES[name].settings}))
def test_a_setting_that_no_rule_would_read_is_refused(setting: str) -> None:
    default = next(kind.settings[setting] for kind in RULES.values() if setting in kind.settings)
    readers = [name for name in RULES if setting in RULES[name].settings]
    for name in ("auto", *RULES):
        if name in readers or setting == "theta_phase":
            continue
        with pytest.raises(ConfigError) as refusal:
            config_of(name, **{setting: default})
        said = f"{setting} must be left out with verification {name!r}, which does not read it, got"
        assert str(refusal.value).startswith(said)
        assert ", ".join(readers) in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"lenience": 0.0}, "lenience must be above 0 and at most 1, got 0.0."),
        ({"lenience": 1.5}, "lenience must be above 0 and at most 1, got 1.5."),
        ({"strictness": 0.9}, "strictness must be at least 1, got 0.9."),
        ({"relax_in": "low", "theta_phase": -1.0}, "theta_phase must be a positive number of"),
        ({"relax_in": "always", "phase_hysteresis": 0.1}, "phase_hysteresis must be left out with"),
        ({"relax_in": "always", "strictness": 2.0}, "strictness must be left out with"),
    ],
    ids=str,
)
def test_relaxed_refuses(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        config_of("relaxed", **settings)
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("easd", {"easd_theta": -0.1}),
        ("easd", {"easd_top_n": 0}),
        ("easd", {"easd_overlap": 0.0}),
        ("typical", {"typical_epsilon": 0.0}),
        ("typical", {"typical_delta": 1.1}),
        ("fly", {"fly_theta": 1.1}),
        ("fly", {"fly_window": -1}),
    ],
    ids=str,
)
def test_published_rules_refuse(rule: str, settings: dict[str, Any]) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(ConfigError, match=rf"{name} must be .*, got {value}\.$"):
        config_of(rule, **settings)


def test_nothing_is_lossy_where_nothing_is_drafted() -> None:
    with pytest.raises(ConfigError, match="verification must be a lossless rule with a strategy"):
        EntropyConfig(strategy="plain", verification="typical")


def test_there_is_nothing_stricter_than_exact_at_temperature_0() -> None:
    config = config_of("relaxed", strictness=2.0)
    assert isinstance(config.build_rule(greedy=False), RelaxedAcceptance)
    with pytest.raises(ConfigError, match="strictness must be 1 at temperature 0, got 2"):
        config.build_rule(greedy=True)


def test_entropies_of_the_verifier_are_recorded_where_phases_are_asked_for() -> None:
    """The same text has the same entropies whatever drafted it."""
    plain = answer(EntropyConfig(strategy="plain", theta_phase=1.0))
    drafted = answer(EntropyConfig(strategy="fixed", theta_phase=0.5))
    found = [
        [nats for turn in result.record.rounds for nats in turn.verifier_entropies_nats]
        for result in (plain, drafted)
    ]
    assert drafted.record.lossless
    assert len(found[0]) == 60
    assert found[0] == pytest.approx(found[1])
    without = answer(EntropyConfig(strategy="fixed"))
    assert not any(turn.verifier_entropies_nats for turn in without.record.rounds)


def test_phases_are_asked_for_by_a_threshold_or_by_a_rule() -> None:
    assert EntropyConfig().phases is None
    assert config_of("relaxed", relax_in="always").phases is None
    assert config_of("relaxed").phases == Phases(**PHASE_SETTINGS)
    given = EntropyConfig(theta_phase=0.6, phase_hysteresis=0.0)
    assert given.phases == Phases(theta_phase=0.6, phase_hysteresis=0.0)
    assert given.resolved()["theta_phase"] == 0.6


def test_only_easd_glances_at_what_the_drafter_thought() -> None:
    """Others must not pay for it."""
    glancing = [
        name for name in LOSSY if isinstance(config_of(name).build_rule(greedy=True), GlancingRule)
    ]
    assert glancing == ["easd"]


def test_an_empty_proposal_is_plain_decoding() -> None:
    target = VerifierLaws(np.array([[0.0, 1.0, 2.0]]), Sampling(), text=[0], proposed=[])
    for name in LOSSY:
        rule = config_of(name).build_rule(greedy=True)
        verdict = rule.verify(Proposal([], []), target, SeededChance(0))
        assert (verdict.accepted_len, verdict.next_token, verdict.inexact) == (0, 2, ())
