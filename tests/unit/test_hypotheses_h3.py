"""H3 on traces in which one of the two strategies is known to be the more robust."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from smart_speed.hypotheses.h3 import judge_h3
from smart_speed.hypotheses.judging import judge_hypotheses
from smart_speed.hypotheses.replayed import best_indices, ladder, replayable
from smart_speed.hypotheses.verdict import Verdict
from smart_speed.loaded_run import LoadedRun
from smart_speed.tracing.prepared import PreparedTrace
from tests.unit.judged_runs import LEARNED, loaded, trace_with, traced_run


def traces_of(
    levels: Mapping[str, tuple[Sequence[float], float]], *, prompts: int = 3, length: int = 24
) -> list[Any]:
    """Runs of right tokens with entropies of the first kind, ended by a wrong one of the second."""
    rng = np.random.default_rng(3)
    found = []
    for task, (right, wrong) in levels.items():
        for number in range(prompts):
            nats: list[float] = []
            while len(nats) < length:
                nats += [*rng.permuted(right).tolist()[: rng.integers(1, 4)], wrong]
            agrees = [each != wrong for each in nats[:length]]
            found.append(trace_with(task, number, nats[:length], agrees))
    return found


SHORT = {"prompts": 2, "length": 8}
"""Enough where it is not the losses that count."""
SCALED = {"low": ([0.15] * 3, 0.45), "middle": ([0.6] * 3, 1.8), "high": ([1.7] * 3, 5.1)}
"""Wrong tokens have three times the entropy of right ones, whose scale is the task's."""
LEVEL = {"even": ([0.5, 0.5, 0.5], 0.6), "uneven": ([0.11, 0.5, 0.5], 0.6)}
"""Wrong tokens are above one threshold, which is a small or a large multiple of the first."""


def verdicts(run: LoadedRun) -> Mapping[str, Verdict]:
    found = {each.variant: each for each in judge_h3(run)}
    for each in found.values():
        json.dumps(each.to_json(), allow_nan=False)
    assert list(found) == ["transfer", "perturbation"]
    return found


def test_scales_of_their_own_make_relative_robust() -> None:
    found = verdicts(traced_run(traces_of(SCALED)))["transfer"]
    assert found.outcome == "supported"
    figures = found.figures
    assert figures["difference"]["low"] > 0.02
    absolute, relative = (figures["strategies"][name] for name in ("absolute", "relative"))
    assert figures["tasks"] == ["low", "middle", "high"]
    assert np.diag(absolute["transfer"]).tolist() == [0.0] * 3
    assert absolute["transfer"][0][2] > 0.1  # a threshold for low entropies never drafts here
    assert np.abs(relative["transfer"]).max() < 1e-9
    assert absolute["worst_loss"] == np.max(absolute["transfer"])
    assert [0.15 <= absolute["tuned"]["low"] < 0.45, 1.7 <= absolute["tuned"]["high"] < 5.1] == [
        True, True,
    ]  # fmt: skip
    assert 1 < relative["tuned"]["middle"] < 3


@cache
def level() -> Mapping[str, Verdict]:
    return verdicts(traced_run(traces_of(LEVEL)))


def test_one_level_for_all_makes_absolute_robust() -> None:
    found = level()["transfer"]
    assert found.outcome == "refuted"
    losses = {name: each["mean_loss"]["value"] for name, each in _strategies(found).items()}
    assert losses["relative"] > losses["absolute"]
    assert found.figures["relative_speed"] < 1


def test_a_narrow_gap_is_missed_by_a_threshold_that_is_off() -> None:
    """Above 0.5 and below 0.6 nats: 25 % off in either direction is outside."""
    found = level()["perturbation"]
    off = _strategies(found)["absolute"]["perturbation"]["even"]
    assert set(off) == {"0.75", "1.25"}
    assert min(off.values()) > 0.01


def test_settings_but_for_the_threshold_are_the_learned_ones() -> None:
    learned = dict(LEARNED["strategies"])
    learned["absolute"] = {
        "settings": {"theta_abs": 1.0, "max_draft_len": 3, "stop_placement": "after"}
    }
    learned["relative"] = {"settings": {"theta_rel": 1.5, "floor_nats": 0.5, "max_draft_len": 2}}
    run = traced_run(traces_of(SCALED, **SHORT), learned={"strategies": learned})
    strategies = _strategies(verdicts(run)["transfer"])
    assert strategies["absolute"]["settings"] == {
        "strategy": "absolute", "max_draft_len": 3, "stop_placement": "after",
    }  # fmt: skip
    assert strategies["relative"]["settings"] == {
        "strategy": "relative", "max_draft_len": 3, "floor_nats": 0.5,
    }  # fmt: skip


def test_drafts_are_no_longer_than_traces_hold() -> None:
    strategies = _strategies(
        verdicts(traced_run(traces_of(SCALED, **SHORT), learned=None))["transfer"]
    )
    assert {each["settings"]["max_draft_len"] for each in strategies.values()} == {4}


def test_turns_are_of_one_prompt() -> None:
    turns = traces_of({"low": SCALED["low"]}, prompts=3)
    for each, name in zip(turns, ("a", "a/turn-2", "b"), strict=True):
        object.__setattr__(each, "prompt_id", name)
    run = loaded([], {"a": "low", "b": "low"}, texts=[PreparedTrace(each) for each in turns])
    first, second = replayable(run).tasks["low"]
    assert [text.trace.prompt_id for text in first] == ["a", "a/turn-2"]
    assert [text.trace.prompt_id for text in second] == ["b"]


def test_one_task_cannot_lend_a_threshold() -> None:
    found = verdicts(traced_run(traces_of({"low": SCALED["low"]}, **SHORT)))
    assert "those of low alone" in found["transfer"].sentence
    assert found["perturbation"].figures["tasks"] == ["low"]


def test_what_is_undecided_says_what_it_takes() -> None:
    few = {"one": ([0.5, 0.5, 0.5], 0.7), "other": ([0.4, 0.5, 0.3], 0.6)}
    found = verdicts(traced_run(traces_of(few, prompts=2, length=12)))
    open_ones = [each for each in found.values() if each.outcome == "undecided"]
    assert open_ones
    for each in open_ones:
        assert each.power is not None
        assert "with 80 % power" in each.power


def test_best_is_in_the_middle_of_what_is_as_good() -> None:
    seconds = np.array([[5.0, 3.0, 3.0, 3.0, 4.0], [1.0, 2.0, 2.0, 2.0, 2.0]])
    assert best_indices(seconds).tolist() == [2, 0]


def test_ladder() -> None:
    rungs = ladder(0.5, 2.0)
    np.testing.assert_allclose(np.array(rungs[2:]) / rungs[:-2], 1.25)
    assert rungs[0] == 0.5
    assert rungs[-2] < 2.0 <= rungs[-1]


def test_all_three_are_judged() -> None:
    found = judge_hypotheses(traced_run(traces_of(SCALED, **SHORT)))
    assert [each.hypothesis for each in found] == ["H1", "H1", "H2", "H2", "H3", "H3"]


def _strategies(verdict: Verdict) -> Mapping[str, Any]:
    strategies: Mapping[str, Any] = verdict.figures["strategies"]
    return strategies
