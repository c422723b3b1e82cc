"""The benchmark of what could be known: it sees what is planted, and nothing from later."""

import numpy as np
import pytest

from benchmarks.calibrated_ceiling import SETS, features_of, judge_set
from smart_speed.calibration.judging import Judge
from smart_speed.tracing.prepared import PreparedTrace
from tests.unit.planted import COSTS, planted_trace

LONGEST = 2
RIGHT = [[True, True, False, False, True], [True, False, False, True, True, True]]


def texts_where_entropy_decides() -> list[PreparedTrace]:
    texts = []
    for number in range(8):
        right = (RIGHT[number % 2] * 20)[:80]
        nats = [0.1 if kept else 2.0 for kept in right]
        texts.append(PreparedTrace(planted_trace(right, entropies_nats=nats, task="a")))
    return texts


def test_what_decides_is_seen_and_earns_the_gap() -> None:
    """Catches: labels one off, laws of another position, prices of another scale."""
    texts = texts_where_entropy_decides()
    features = [features_of(each, LONGEST) for each in texts]
    known, tests = features[:4], features[4:]
    judges = (Judge(texts[:4], COSTS), Judge(texts[4:], COSTS))
    blind, _, _ = judge_set(["position"], known, tests, judges, 1.2)
    seeing, judgement, _ = judge_set(["position", "shannon"], known, tests, judges, 1.2)
    assert blind.auc < 0.7
    assert seeing.auc == pytest.approx(1.0)
    assert seeing.ece < 0.02
    assert judgement.share.value > 0
    assert judgement.acceptance_rate > 0.95


def test_no_feature_knows_what_is_still_to_come() -> None:
    """Texts that are one up to a position have the same features up to there."""
    nats = np.linspace(0.1, 2.0, 12).tolist()
    right = [True, False, True, True, False, True] * 2
    other = [*right[:6], *(not each for each in right[6:])]
    one, two = (
        features_of(PreparedTrace(planted_trace(kept, entropies_nats=nats)), LONGEST)
        for kept in (right, other)
    )
    for name in {each for more in SETS.values() for each in more}:
        np.testing.assert_array_equal(one.columns[name][:5], two.columns[name][:5], err_msg=name)


def test_features_of_the_text_are_those_before_it() -> None:
    nats = [0.1, 0.2, 0.3, 0.4]
    text = features_of(
        PreparedTrace(planted_trace([True, False, True, True], entropies_nats=nats)), LONGEST
    )
    columns = {name: values[:, 0] for name, values in text.columns.items()}
    np.testing.assert_array_equal(columns["nats_1"], [np.nan, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(columns["nats_2"], [np.nan, np.nan, 0.1, 0.2])
    np.testing.assert_array_equal(columns["accepted_before_1"], [np.nan, 1, 0, 1])
    np.testing.assert_allclose(columns["nats_mean"], [np.nan, 0.1, 0.15, 0.2])
    np.testing.assert_allclose(columns["verifier_nats"], [np.nan, 0.7, 0.7, 0.7])
    assert text.columns["position"][0].tolist() == [0, 1]
    assert text.columns["survival"][0].tolist() == [1.0, 0.5]
