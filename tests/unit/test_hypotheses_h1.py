"""H1 on runs whose speeds are known."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from smart_speed.hypotheses.h1 import judge_h1
from smart_speed.hypotheses.judging import judge_hypotheses
from smart_speed.hypotheses.rivals import chosen_condition
from smart_speed.hypotheses.verdict import Verdict
from smart_speed.loaded_run import LoadedRun, load_run
from tests.unit.answered import write_run
from tests.unit.judged_runs import LEARNED, TASKS, loaded, timed, timed_run


def verdicts(run: LoadedRun) -> Mapping[str, Verdict]:
    found = {each.variant: each for each in judge_h1(run)}
    for each in found.values():
        json.dumps(each.to_json(), allow_nan=False)
        assert (each.power is not None) == (each.outcome == "undecided" and bool(each.figures))
    return found


def speeds(absolute: Any, **others: Any) -> dict[str, Any]:
    return {"fixed-4": 10.0, "fixed-best": 10.5, "absolute": absolute, **others}


def test_planted_difference_is_found() -> None:
    found = verdicts(timed_run(speeds(11.8)))["absolute/grid"]
    assert found.outcome == "supported"
    assert found.figures["num_above"] >= 3
    assert 1.15 < found.figures["overall"]["value"] < 1.21


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_planted_zero_is_never_supported(spread: float) -> None:
    outcomes = [
        verdicts(timed_run(speeds(10.0), spread=spread, seed=seed))["absolute/grid"].outcome
        for seed in range(4)
    ]
    assert "supported" not in outcomes
    assert ("refuted" in outcomes) == (spread == 0.02)


def test_exactly_ten_percent_is_no_support() -> None:
    outcomes = [
        verdicts(timed_run(speeds(11.0), num_prompts=8, spread=0.2, seed=seed))["absolute/grid"]
        for seed in range(4)
    ]
    assert {each.outcome for each in outcomes} == {"undecided"}


def test_half_of_the_tasks_are_enough() -> None:
    mixed = [12.5, 12.5, 12.5, 9.0, 9.0, 9.0]
    assert verdicts(timed_run(speeds(mixed)))["absolute/grid"].outcome == "supported"
    found = verdicts(timed_run(speeds([12.5, 12.5, 9.0, 9.0, 9.0, 9.0])))["absolute/grid"]
    assert (found.outcome, found.figures["num_above"], found.figures["num_below"]) == (
        "refuted", 2, 4,
    )  # fmt: skip
    sides = [found.figures["tasks"][task]["side"] for task in TASKS]
    assert sides == ["above", "above", "below", "below", "below", "below"]


def test_judged_against_standard_and_tuned_lengths() -> None:
    found = verdicts(timed_run(speeds(11.8, **{"fixed-best": 12.0})))
    assert found["absolute/grid"].outcome == "supported"
    assert found["absolute/tuned"].outcome == "refuted"
    assert found["absolute/tuned"].figures["baseline"] == "fixed-best"


def test_choices_are_those_of_the_calibration_prompts() -> None:
    """On the run's own prompts, window and fixed-6 are the faster ones."""
    found = verdicts(timed_run(speeds(11.8, window=12.9, **{"fixed-6": 11.5})))
    chosen = found["chosen/grid"]
    assert (chosen.figures["condition"], chosen.figures["baseline"]) == ("absolute", "fixed-4")
    assert (chosen.figures["chosen"], chosen.figures["hindsight"]) == (True, False)
    assert chosen.figures["tasks"] == found["absolute/grid"].figures["tasks"]
    assert list(found) == [
        "chosen/grid", "absolute/grid", "window/grid",
        "chosen/tuned", "absolute/tuned", "window/tuned",
    ]  # fmt: skip


def test_published_rule_that_reads_the_calibration_is_predicted_too() -> None:
    names = ["plain", "absolute", "specdec_pp"]
    assert chosen_condition(loaded(names, {}), names) == "specdec_pp"


def test_without_a_calibration_choices_are_in_hindsight_or_not_made() -> None:
    run = timed_run(speeds(11.8, **{"fixed-6": 11.5}), learned=None)
    found = verdicts(run)
    assert found["absolute/grid"].figures["baseline"] == "fixed-6"
    assert found["absolute/grid"].figures["hindsight"] is True
    assert "in hindsight" in found["absolute/grid"].sentence
    assert found["chosen/grid"].outcome == "undecided"
    assert "has none" in found["chosen/grid"].sentence


def test_sentences_say_where_the_length_to_beat_was_chosen() -> None:
    sentence = verdicts(timed_run(speeds(11.8)))["absolute/tuned"].sentence
    assert "as fast as fixed-best, the best fixed length of all on the calibration" in sentence


def test_a_standard_length_may_be_the_best_of_all() -> None:
    curve = {"fixed": {"curves": {"max_draft_len": [[2, 80.0], [4, 90.0]]}}}
    learned = {**LEARNED, "strategies": curve}
    run = timed_run({"fixed-4": 10.0, "absolute": 11.8}, learned=learned)
    assert verdicts(run)["absolute/tuned"].figures["baseline"] == "fixed-4"


def test_what_is_undecided_says_what_it_takes() -> None:
    found = verdicts(timed_run(speeds(11.3), num_prompts=6, spread=0.1))["absolute/grid"]
    assert found.outcome == "undecided"
    assert found.power is not None
    tasks = found.figures["tasks"].values()
    distances = [task["detectable_percent"] for task in tasks if task["side"] == "open"]
    said = f"6 prompts of an open task would have shown a distance of {min(distances):.1f} to"
    assert said in found.power
    assert max(task["prompts_needed"] or 0 for task in tasks) > 6


def test_what_no_number_of_prompts_would_find_is_not_passed_over() -> None:
    """One task is at the threshold itself, the other a little above it."""
    others = {"code": (1.5, 0.7), "math": (1.5, 0.9)}
    answers = [
        timed(name, f"{task}/{number}", 10, 1.0 if name == "absolute" else seconds, task=task)
        for task, pair in others.items()
        for number, seconds in enumerate(pair)
        for name in ("fixed-4", "absolute")
    ]
    prompts = {each.prompt_id: each.task for each in answers}
    found = verdicts(loaded(["fixed-4", "absolute"], prompts, answers=answers))["absolute/grid"]
    needed = found.figures["tasks"]["math"]["prompts_needed"]
    assert found.figures["tasks"]["code"]["prompts_needed"] is None
    assert f"takes {needed} to more than a million prompts" in (found.power or "")


def test_one_prompt_of_a_task_leaves_it_open() -> None:
    found = verdicts(timed_run(speeds(13.0), num_prompts=1))["absolute/grid"]
    assert found.outcome == "undecided"
    task = found.figures["tasks"]["code"]
    assert (task["num_prompts"], task["side"], task["corrected"]) == (1, "open", None)
    assert task["ratio"]["value"] == pytest.approx(1.3, rel=0.2)


def test_figures_of_a_task() -> None:
    task = verdicts(timed_run(speeds(13.0)))["absolute/grid"].figures["tasks"]["code"]
    assert task["corrected"]["low"] < task["ratio"]["low"] < task["ratio"]["value"]
    assert task["median_log_ratio"] == pytest.approx(0.262, abs=0.05)
    assert task["rank_biserial"] == 1.0
    assert task["wilcoxon_p_value"] == pytest.approx(2 / 2**12)
    assert task["wilcoxon_holm_p_value"] == pytest.approx(12 / 2**12)
    assert task["p_value"] <= task["level"]


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (timed_run({"fixed-4": 10.0}), "stops by entropy, and the run has none"),
        (timed_run({"absolute": 10.0}), r"standard fixed lengths \(fixed-4 …\)"),
        (loaded(["fixed-4", "absolute"], {}), "that were answered"),
    ],
)
def test_what_is_missing_is_said(run: LoadedRun, said: str) -> None:
    found = verdicts(run)["chosen/grid"]
    assert (found.outcome, found.figures) == ("undecided", {})
    assert re.search(said, found.sentence)


def test_timings_of_two_machines_are_not_compared() -> None:
    answers = [
        timed("fixed-4", "a", 10, 1.0, machine="here"),
        timed("absolute", "a", 10, 1.0, machine="there"),
    ]
    run = loaded(["fixed-4", "absolute"], {"a": "code"}, answers=answers)
    assert "of one machine" in verdicts(run)["chosen/grid"].sentence


def test_one_machine_of_several_can_be_judged() -> None:
    answers = [
        timed(name, f"p{number}", 10, seconds, machine=machine)
        for machine, ours_s in (("here", 1.0), ("there", 2.0))
        for number in range(4 * (machine == "there"), 4 + 4 * (machine == "there"))
        for name, seconds in (("fixed-4", 1.3), ("absolute", ours_s))
    ]
    prompts = {f"p{number}": "code" for number in range(8)}
    run = loaded(["fixed-4", "absolute"], prompts, answers=answers)
    found = {each.variant: each for each in judge_hypotheses(run, "here")}["absolute/grid"]
    assert found.figures["tasks"]["code"]["num_prompts"] == 4
    assert found.figures["overall"]["value"] == pytest.approx(1.3)


def test_repeats_count_once_and_failures_not_at_all() -> None:
    answers = [
        timed(name, f"p{number}", 10, seconds * slower, repeat=repeat)
        for name, seconds in (("fixed-4", 1.3), ("absolute", 1.0))
        for number in range(4)
        for repeat, slower in enumerate((1.0, 9.0, 1.0))
    ]
    answers += [timed("fixed-4", "bad", 0, 0.0, error="No."), timed("absolute", "bad", 10, 1.0)]
    prompts = {**{f"p{number}": "code" for number in range(4)}, "bad": "code"}
    run = loaded(["fixed-4", "absolute"], prompts, answers=answers)
    task = verdicts(run)["absolute/grid"].figures["tasks"]["code"]
    assert task["num_prompts"] == 4
    assert task["ratio"] == {key: pytest.approx(1.3) for key in ("value", "low", "high")}


def test_a_run_is_read_from_its_folder(tmp_path: Path) -> None:
    answers = [
        timed(name, f"p{number}", 10, seconds * (1 + number / 100))
        for name, seconds in (("fixed", 1.3), ("ours", 1.0))
        for number in range(4)
    ]
    folder = write_run(tmp_path, answers, roles={"fixed": "fixed", "ours": "entropy"})
    found = {each.variant: each for each in judge_hypotheses(load_run(folder)) if each.figures}
    assert {name: each.outcome for name, each in found.items()} == {"ours/grid": "supported"}
