"""Figures from records, and how sure of them one may be."""

import argparse
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smart_speed.cli import evaluate
from smart_speed.errors import ConfigError, OutputError
from smart_speed.evaluation import (
    Interval,
    bootstrap,
    bootstrap_mean,
    evaluate_run,
    mean_speedup,
    ratio_of_medians,
    speedup,
)
from smart_speed.metrics.intervals import bootstrap_across
from smart_speed.records import RoundRecord, SequenceRecord
from smart_speed.run_folder import ANSWERS_NAME, Answer, PromptInfo
from tests.unit.answered import answer, turn, write_run


def quotient(sums: np.ndarray) -> np.ndarray:
    found: np.ndarray = sums[..., 0] / sums[..., 1]
    return found


def known(interval: Interval) -> list[bool]:
    return [math.isfinite(value) for value in interval]


@pytest.fixture
def record(outcome: Callable[..., RoundRecord]) -> Callable[..., SequenceRecord]:
    def build(prompt_id: str, *, decode_s: float, output_len: int = 10) -> SequenceRecord:
        return SequenceRecord(
            condition="test",
            prompt_id=prompt_id,
            seed=0,
            status="ok",
            lossless=True,
            engine="toy",
            prompt_len=3,
            reused_len=0,
            output_len=output_len,
            finish_reason="length",
            prefill_s=0.0,
            decode_s=decode_s,
            rounds=(outcome(drafted=1, accepted=1),),
        )

    return build


def test_tables_count_the_same_whatever_their_length() -> None:
    short, long = np.array([[1.0, 2.0]] * 2), np.array([[9.0, 10.0]] * 50)
    assert bootstrap_mean([short, long], quotient) == Interval(0.7, 0.7, 0.7)


def test_median_of_tables_does_not_mind_one_that_is_far_off() -> None:
    tables = [np.array([[share, 1.0]] * 3) for share in (0.5, 0.6, 90.0)]
    assert bootstrap_across(np.median, tables, quotient) == Interval(0.6, 0.6, 0.6)


def test_end_of_an_interval_between_infinite_quotients_is_not_known() -> None:
    def unguarded(sums: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(sums[..., 0] / sums[..., 1])

    table = np.array([[1.0, 0.0]] * 5 + [[1.0, 1.0]])
    interval = bootstrap(table, unguarded)
    assert interval.value == 6
    assert interval.to_json()["high"] is None


def test_one_table_is_the_bootstrap(generator: np.random.Generator) -> None:
    table = generator.random((20, 2)) + 1
    alone = bootstrap(table, quotient)
    assert alone == bootstrap_mean([table], quotient)
    assert alone.low < alone.value < alone.high


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], [False, False, False]),
        ([0, 5], [False, False, False]),
        ([1, 5], [True, False, False]),
        ([2, 5], [True, True, True]),
    ],
)
def test_too_few_rows_leave_the_interval_open(rows: list[int], expected: list[bool]) -> None:
    assert known(bootstrap_mean([np.ones((count, 2)) for count in rows], quotient)) == expected


def test_interval_covers_the_truth_as_often_as_it_says(generator: np.random.Generator) -> None:
    covered = 0
    for _ in range(200):
        # Shares of prompts of unlike lengths, of two tasks whose true shares are 0.3 and 0.7.
        tables = []
        for share in (0.3, 0.7):
            lens = generator.integers(20, 100, size=40)
            own = np.clip(generator.normal(share, 0.1, size=40), 0, 1)
            tables.append(np.stack([generator.binomial(lens, own), lens], axis=1).astype(float))
        interval = bootstrap_mean(tables, quotient, 500)
        covered += interval.low <= 0.5 <= interval.high
    assert 0.9 <= covered / 200 <= 0.99


def test_ratio_of_medians_is_not_moved_by_an_interruption() -> None:
    above = [2.0] * 20 + [1000.0]
    assert ratio_of_medians(above, [4.0] * 21) == Interval(0.5, 0.5, 0.5)


def test_ratio_of_medians_keeps_pairs_together() -> None:
    """A machine that slows down slows both: each pair's quotient is the same, so is theirs."""
    below = np.linspace(1, 3, 41)
    ratio = ratio_of_medians((below / 4).tolist(), below.tolist())
    np.testing.assert_allclose(ratio, 0.25)


@pytest.mark.parametrize(("count", "expected"), [(0, [False] * 3), (1, [True, False, False])])
def test_ratio_of_few(count: int, expected: list[bool]) -> None:
    assert known(ratio_of_medians([1.0] * count, [2.0] * count)) == expected


def test_mean_speedup_averages_tasks(record: Callable[..., SequenceRecord]) -> None:
    fast = [record(f"fast/{at}", decode_s=1.0) for at in range(3)]
    slow = [record(f"slow/{at}", decode_s=2.0) for at in range(9)]
    plain = [dataclasses.replace(each, decode_s=2.0) for each in [*fast, *slow]]
    assert speedup([*fast, *slow], plain).value == pytest.approx(24 / 21)
    mean = mean_speedup([(fast, plain[:3]), (slow, plain[3:])])
    np.testing.assert_allclose(mean, 1.5)


def test_what_is_not_known_is_null() -> None:
    document = Interval(1.5, float("nan"), float("inf")).to_json()
    assert json.dumps(document) == '{"value": 1.5, "low": null, "high": null}'


def both(prompt_id: str, *, ours_s: float, task: str = "code", **fields: Any) -> list[Answer]:
    """Answer a prompt plainly, one token a second for ten, and with drafts."""
    kept = turn(1, 1)
    return [
        answer(prompt_id=prompt_id, task=task, decode_s=10.0, output_len=10, **fields),
        answer(
            kept, condition="svip", prompt_id=prompt_id, task=task, decode_s=ours_s,
            output_len=10, **fields,
        ),
    ]  # fmt: skip


def value_of(document: dict[str, Any], condition: str = "svip") -> float:
    value: float = document["conditions"][condition]["overall"]["speedup_over_plain"]["value"]
    return value


def test_document_is_json_without_nan(tmp_path: Path) -> None:
    run = write_run(tmp_path, [*both("a", ours_s=5.0), *both("b", ours_s=5.0)])
    document = evaluate_run(run)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert value_of(document) == 2.0
    assert document["run"]["complete"]


def test_tasks_count_the_same(tmp_path: Path) -> None:
    slow = [each for at in range(4) for each in both(f"m{at}", ours_s=10.0, task="math")]
    document = evaluate_run(write_run(tmp_path, [*both("a", ours_s=5.0), *slow]))
    assert value_of(document) == 1.5
    pooled = document["conditions"]["svip"]["overall"]["pooled_speedup_over_plain"]["value"]
    assert pooled == 50 / 45


def test_one_task_is_evaluated_alone(tmp_path: Path) -> None:
    answers = [*both("a", ours_s=5.0), *both("b", ours_s=2.5, task="math")]
    run = write_run(tmp_path, answers)
    document = evaluate_run(run, tasks=["math"])
    assert (document["tasks"], value_of(document)) == (["math"], 4.0)
    assert document["run"]["num_prompts"] == 1
    assert document["run"]["complete"]
    with pytest.raises(ConfigError, match=r"Unknown task 'maths'\. Did you mean 'math'\?"):
        evaluate_run(run, tasks=["maths"])


def test_timings_of_two_machines_are_not_mixed(tmp_path: Path) -> None:
    answers = [*both("a", ours_s=5.0, machine="one"), *both("b", ours_s=2.5, machine="two")]
    failed = answer(condition="svip", prompt_id="c", machine="one", error="It broke.")
    run = write_run(tmp_path, [*answers, failed])
    with pytest.raises(ConfigError, match=r"of one machine, got answers made on 'one' and 'two'"):
        evaluate_run(run)
    document = evaluate_run(run, machine="two")
    assert (value_of(document), document["run"]["num_prompts_evaluated"]) == (4.0, 1)
    assert document["run"]["machine"] == "two"
    assert document["failures"]["num_failed"] == 1
    with pytest.raises(ConfigError, match="Unknown machine 'three'"):
        evaluate_run(run, machine="three")


def test_of_repeats_the_median_counts(tmp_path: Path) -> None:
    answers = [
        each
        for at, ours_s in enumerate((90.0, 2.0, 5.0))
        for each in both("a", ours_s=ours_s, repeat=at)
    ]
    document = evaluate_run(write_run(tmp_path, answers, repeats=3))
    assert value_of(document) == 2.0
    assert document["conditions"]["svip"]["overall"]["num_sequences"] == 1
    assert document["run"]["complete"]


def test_a_prompt_counts_once_all_turns_have_been_answered_by_all(tmp_path: Path) -> None:
    answers = [
        *both("a", ours_s=5.0), *both("a", ours_s=10.0, turn=1),
        *both("b", ours_s=1.0), both("b", ours_s=1.0, turn=1)[0],
    ]  # fmt: skip
    prompts = [PromptInfo(prompt_id=each, task="code", num_turns=2) for each in "ab"]
    document = evaluate_run(write_run(tmp_path, answers, prompts=prompts))
    assert document["run"]["num_prompts_evaluated"] == 1
    assert not document["run"]["complete"]
    assert value_of(document) == 20 / 15
    assert document["conditions"]["svip"]["overall"]["num_prompts"] == 1


def test_a_condition_that_always_fails_spoils_no_other(tmp_path: Path) -> None:
    failed = [answer(condition="ema", prompt_id=each, error="It broke.") for each in "ab"]
    answers = [*both("a", ours_s=5.0), *both("b", ours_s=5.0), *failed]
    document = evaluate_run(write_run(tmp_path, answers))
    assert value_of(document) == 2.0
    broken = document["conditions"]["ema"]
    assert broken["num_failed"] == document["failures"]["num_failed"] == 2
    assert broken["overall"]["speedup_over_plain"]["value"] is None
    assert broken["overall"]["tokens_per_decode_s"] is None
    assert broken["overall"]["num_sequences"] == 0


def test_a_run_without_answers_has_no_figures(tmp_path: Path) -> None:
    prompts = [PromptInfo(prompt_id="a", task="code")]
    run = write_run(tmp_path, [], roles={"plain": "plain", "svip": "rival"}, prompts=prompts)
    document = evaluate_run(run)
    assert document["tasks"] == []
    assert document["run"]["num_prompts_evaluated"] == 0
    assert value_of(document) is None
    (run / ANSWERS_NAME).unlink()
    assert evaluate_run(run) == document


def test_sampled_texts_are_not_compared(tmp_path: Path) -> None:
    answers = both("a", ours_s=5.0)
    found = evaluate_run(write_run(tmp_path, answers, temperature=0.8))["identity"]
    assert not found["compared"]
    assert "temperature" in found["reason"]
    assert found["conditions"] == {}


def test_without_plain_decoding_speed_is_not_known(tmp_path: Path) -> None:
    run = write_run(tmp_path, both("a", ours_s=5.0)[1:])
    document = evaluate_run(run)
    assert document["run"]["baselines"] == {"plain": None, "fixed_best": None}
    assert value_of(document) is None
    assert document["conditions"]["svip"]["overall"]["tokens_per_decode_s"] == 2.0
    assert not document["identity"]["compared"]


def test_answers_of_conditions_that_nobody_planned_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, both("a", ours_s=5.0), roles={"plain": "plain"})
    with pytest.raises(ConfigError, match="Unknown condition of an answer 'svip'"):
        evaluate_run(run)


def command(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(argv))


def test_command_writes_what_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [*both("a", ours_s=5.0), *both("b", ours_s=5.0)])
    assert command(str(run), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((run / evaluate.DOCUMENT_NAME).read_text()) == evaluate_run(run)
    assert sorted(path.name for path in run.iterdir()) == [
        "evaluation.json", "run.json", "sequences.jsonl",
    ]  # fmt: skip


def test_command_shows_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, [*both("a", ours_s=5.0), *both("b", ours_s=5.0, task="math")])
    assert command(str(run)) == 0
    told = capsys.readouterr()
    assert told.out == ""
    for word in ("2 of 2 prompts", "svip", "2.000", "by task", "evaluation.json"):
        assert word in told.err


def test_names_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = answer(turn(1, 1), condition="own[/x]", decode_s=1.0)
    plain = answer(turn(), decode_s=2.0)
    other = [dataclasses.replace(each, prompt_id="b", task="[b]") for each in (own, plain)]
    assert command(str(write_run(tmp_path, [own, plain, *other]))) == 0
    told = capsys.readouterr().err
    assert "own[/x]" in told
    assert "[b]" in told


def test_figures_of_a_part_do_not_replace_those_of_all(tmp_path: Path) -> None:
    answers = [*both("a", ours_s=5.0), *both("b", ours_s=5.0, task="math")]
    run, out = write_run(tmp_path, answers), tmp_path / "part.json"
    assert command(str(run), "--task", "math") == 0
    assert not (run / evaluate.DOCUMENT_NAME).exists()
    assert command(str(run), "--task", "math", "--out", str(out)) == 0
    assert json.loads(out.read_text())["tasks"] == ["math"]


def test_command_counts_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = answer(condition="svip", prompt_id="b", error="It broke.")
    run = write_run(tmp_path, [*both("a", ours_s=5.0), failed])
    assert command(str(run)) == 1
    assert "1 answer failed" in capsys.readouterr().err


def test_command_refuses_what_is_no_run_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"in which `smart-speed experiment` has begun .*without"):
        command(str(tmp_path))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConfigError, match=r"A run must be a folder with a readable run\.json"):
        command(str(tmp_path))
    run = write_run(tmp_path / "run", both("a", ours_s=5.0))
    with pytest.raises(OutputError, match="Figures must go to a folder that can be written"):
        command(str(run), "--out", str(tmp_path / "none" / "figures.json"))
