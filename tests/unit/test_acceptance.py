"""Classes of draft laws, and the recent acceptance."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.stopping.acceptance import AcceptanceModel, log_odds
from smart_speed.stopping.calibrated import Calibration
from tests.calibrations import ACCEPTANCE, CALIBRATION


def test_class_is_where_the_score_falls() -> None:
    facts = LawFacts(entropy_nats=1.0, top_prob=0.6)
    score = 0.1 - 0.2 + log_odds(0.6) + 0.6 * 0.5
    expected = sum(edge <= score for edge in ACCEPTANCE.edges)
    assert ACCEPTANCE.class_of(facts, 0.5) == expected == 3
    assert ACCEPTANCE.class_of(facts, 0.5, shift=9.0) == 4
    assert ACCEPTANCE.class_of(facts, 0.5, shift=-9.0) == 0


@given(st.floats(0, 1))
def test_log_odds_are_finite_and_rise(prob: float) -> None:
    assert -10 < log_odds(prob) < 10
    assert log_odds(prob) <= log_odds(min(prob + 0.01, 1.0))


def test_recent_acceptance_follows_what_is_tested() -> None:
    after = ACCEPTANCE.recent_after
    assert after(0.5, accepted_len=2, draft_len=2) == pytest.approx(1 - 0.5 * 0.7**2)
    assert after(0.5, accepted_len=0, draft_len=3) == pytest.approx(0.5 * 0.7)
    assert after(0.5, accepted_len=1, draft_len=4) == pytest.approx((1 - 0.5 * 0.7) * 0.7)


def test_without_drafts_recent_acceptance_returns_to_its_start() -> None:
    recent = 0.0
    for _ in range(200):
        recent = ACCEPTANCE.recent_after(recent, accepted_len=0, draft_len=0)
    assert recent == pytest.approx(ACCEPTANCE.recent_start, abs=1e-3)


def test_a_calibration_survives_json() -> None:
    document = json.loads(json.dumps(CALIBRATION.to_json()))
    assert Calibration.from_json(document) == CALIBRATION


@pytest.mark.parametrize(
    ("field", "wrong", "rule"),
    [
        ("accept_probs", (0.1, 0.2, 0.3, 0.4, 1.5), "probabilities"),
        ("accept_probs", (), "at least one"),
        ("edges", (0.0,), "4 in number"),
        ("edges", (3.0, 2.0, 1.0, 0.0), "ascending"),
        ("next_probs", ((1.0,),), "5 rows"),
        ("first_probs", ((0.2,) * 5,), "3 rows"),
        ("first_probs", ((0.2,) * 5, (0.3,) * 5, (0.2,) * 5), "sum to 1"),
        ("recent_rate", 0.0, "above 0 and at most 1"),
    ],
)
def test_what_cannot_be_is_refused(field: str, wrong: Any, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        dataclasses.replace(ACCEPTANCE, **{field: wrong})


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"bias": "much"}, "made of numbers"),
        ({"edges": [None] * 4}, "made of numbers"),
        ({"colour": 1}, "Unknown key 'colour'"),
    ],
    ids=str,
)
def test_broken_json_is_refused(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AcceptanceModel.from_json(ACCEPTANCE.to_json() | broken)


def test_a_missing_field_is_named() -> None:
    document = ACCEPTANCE.to_json()
    del document["edges"]
    with pytest.raises(ConfigError, match="none of edges"):
        AcceptanceModel.from_json(document)
