"""H2 on traces whose best thresholds are known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from smart_speed.hypotheses.h2 import judge_h2
from smart_speed.hypotheses.ranks import permutation_p, spearman
from smart_speed.hypotheses.verdict import Verdict
from smart_speed.loaded_run import LoadedRun
from tests.unit.judged_runs import trace_with, traced_run

THETAS = (0.3, 0.5, 0.8, 1.3, 2.0, 3.0)


def traces_of(
    thetas: Sequence[float], complexities: Sequence[float], *, prompts: int = 4, length: int = 40
) -> list[Any]:
    """The drafter is right below a task's threshold, never above it."""
    rng = np.random.default_rng(5)
    found = []
    for at, (theta, complexity) in enumerate(zip(thetas, complexities, strict=True)):
        for number in range(prompts):
            nats = theta * rng.choice([0.5, 0.9, 1.1, 1.6], p=[0.4, 0.3, 0.2, 0.1], size=length)
            found.append(
                trace_with(
                    f"task {at}", number, nats, nats < theta,
                    verifier_nats=complexity, verifier_prob=float(np.exp(-complexity)),
                )
            )  # fmt: skip
    return found


def verdicts(run: LoadedRun) -> Mapping[str, Verdict]:
    found = {each.variant: each for each in judge_h2(run)}
    for each in found.values():
        json.dumps(each.to_json(), allow_nan=False)
    assert list(found) == ["entropy", "perplexity"]
    return found


@cache
def rising() -> Mapping[str, Verdict]:
    return verdicts(traced_run(traces_of(THETAS, [0.2, 0.3, 0.4, 0.5, 0.6, 0.7])))


def test_thresholds_that_rise_with_complexity() -> None:
    found = rising()
    for verdict in found.values():
        assert verdict.outcome == "supported"
        assert verdict.power is None
        assert verdict.figures["correlation"]["value"] == 1.0
        assert verdict.figures["p_value"] == pytest.approx(2 / 720)
    for at, theta in enumerate(THETAS):
        point = found["entropy"].figures["tasks"][f"task {at}"]
        assert point["theta"]["value"] == pytest.approx(theta, rel=0.1)
        assert point["complexity"]["value"] == pytest.approx(0.2 + at / 10)
        perplexity = found["perplexity"].figures["tasks"][f"task {at}"]["complexity"]["value"]
        assert perplexity == pytest.approx(np.exp(0.2 + at / 10))


def test_thresholds_that_fall_with_it_are_correlated_as_well() -> None:
    found = verdicts(traced_run(traces_of(THETAS, [0.7, 0.6, 0.5, 0.4, 0.3, 0.2])))["entropy"]
    assert (found.outcome, found.figures["correlation"]["value"]) == ("supported", -1.0)


def test_groups_are_parts_of_tasks() -> None:
    figures = rising()["entropy"].figures
    assert [each["num_prompts"] for each in figures["groups"]] == [2] * 12
    assert figures["group_correlation"] > 0.9
    many = traces_of(THETAS, [0.2] * 6, prompts=9, length=6)
    groups = verdicts(traced_run(many))["entropy"].figures["groups"]
    assert [each["num_prompts"] for each in groups[:4]] == [3, 2, 2, 2]


def test_few_tasks_in_no_order_are_undecided() -> None:
    found = verdicts(traced_run(traces_of(THETAS, [0.4, 0.7, 0.2, 0.5, 0.3, 0.6], length=20)))[
        "entropy"
    ]
    assert found.outcome == "undecided"
    assert found.power is not None
    assert "(6) would have shown a correlation of 0.93" in found.power


def test_many_tasks_in_no_order_refute_it() -> None:
    thetas = np.geomspace(0.1, 4.0, 40)
    ranks = np.arange(40)
    complexities = 0.1 + 0.02 * np.where(ranks % 2, 39 - ranks, ranks)  # one up, one down
    traces = traces_of(thetas.tolist(), complexities.tolist(), prompts=2, length=12)
    assert verdicts(traced_run(traces))["entropy"].outcome == "refuted"


def test_spearman_by_hand() -> None:
    # Ranks 1 2 3 4 and 2 1 4 3: one less six times four over sixty.
    rows = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]])
    others = np.array([[20.0, 10.0, 40.0, 30.0], [1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_allclose(spearman(rows, others), [1 - 6 * 4 / 60, 0.0])


def test_permutations_by_hand() -> None:
    assert permutation_p([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(2 / 6)
    assert permutation_p([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]) == pytest.approx(2 / 24)
    many = np.arange(12.0).tolist()
    assert permutation_p(many, many) == pytest.approx(1e-4)


def test_sampled_texts_have_no_perplexity() -> None:
    traces = [
        replace(each, accept_prob=np.ones(12, np.float32), overlap=np.ones(12, np.float32))
        for each in traces_of(THETAS, THETAS, prompts=2, length=12)
    ]
    found = verdicts(traced_run(traces))
    assert found["entropy"].figures
    assert "traces of sampled text do not hold it" in found["perplexity"].sentence


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (traced_run([]), "the run has none of 'planted'"),
        (traced_run(traces_of(THETAS[:4], THETAS[:4])), "at least 5 tasks"),
        (traced_run(traces_of(THETAS, THETAS, prompts=1)), "and the run has 0"),
        (traced_run(traces_of(THETAS, THETAS), costs=None), "measured costs"),
    ],
)
def test_what_is_missing_is_said(run: LoadedRun, said: str) -> None:
    for verdict in verdicts(run).values():
        assert (verdict.outcome, verdict.figures) == ("undecided", {})
        assert said in verdict.sentence
