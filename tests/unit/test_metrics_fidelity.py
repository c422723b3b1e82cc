"""Lossy texts beside exact ones: figures by hand, and what is left out of them."""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.cli import evaluate
from smart_speed.errors import ConfigError
from smart_speed.evaluation import evaluate_run
from smart_speed.metrics.fidelity import (
    Beside,
    beside,
    compare_texts,
    exact_partner,
    fidelity_figures,
)
from smart_speed.metrics.task_scores import Checker, program_id
from smart_speed.records import TextScore
from smart_speed.run_folder import (
    OUTCOMES_NAME,
    Answer,
    ConditionInfo,
    PromptInfo,
    read_answers,
    read_outcomes,
    write_outcomes,
)
from tests.unit.answered import answer, write_run


def scored(tokens: str, nats: float, *, decode_s: float = 1.0, **fields: Any) -> Answer:
    """Answer with one token a letter, whose cost is known; each law's entropy is 1."""
    made = answer(
        tokens=[ord(letter) for letter in tokens],
        output_len=len(tokens),
        decode_s=decode_s,
        prefill_s=0.5,
        **fields,
    )
    score = TextScore(len(tokens), -nats, float(len(tokens)))
    return replace(made, text=tokens, score=score)


EXACT = [
    scored("abcd", 2.0, prompt_id="a", decode_s=4.0),
    scored("abcdefgh", 2.0, prompt_id="b", decode_s=8.0),
]
LOSSY = [
    scored("abxd", 2.2, prompt_id="a", decode_s=2.0),
    scored("abcdefgh", 2.0, prompt_id="b", decode_s=5.0),
]


def nothing(_: Answer) -> None:
    return None


def figures(*groups: Beside) -> dict[str, Any]:
    found = fidelity_figures(groups)
    return {
        name: each["value"] if isinstance(each, dict) and "value" in each else each
        for name, each in found.items()
    }


def test_figures_by_hand() -> None:
    found = figures(beside(LOSSY, EXACT, EXACT, nothing))
    assert [found.pop(name) for name in ("score", "exact_score", "score_difference")] == [None] * 3
    assert found.pop("first_divergence") == {"p50": 2.0, "p90": 2.0, "p99": 2.0}
    assert found == pytest.approx(
        {
            "num_compared": 2,
            "num_same": 1,
            "agreement": 11 / 12,
            "agreement_of_longer": 11 / 12,
            "shared_len": (2 + 8) / 2,
            "length_ratio": 1.0,
            "speedup_over_exact": 12 / 7,
            "time_to_answer_ratio": 8 / 13,
            "time_to_answer_s": 4.0,
            "exact_time_to_answer_s": 6.5,
            "ended_share": 0.0,
            "exact_ended_share": 0.0,
            "log_likelihood_per_token": -4.2 / 12,
            "exact_log_likelihood_per_token": -4 / 12,
            "sampled_log_likelihood_per_token": -1.0,
            "divergence": 0.05,
        },
        rel=1e-12,
    )


@pytest.mark.parametrize(
    ("tokens", "exact", "expected"),
    [
        ("abc", "abc", (3, 3, 3, 3)),
        ("abc", "abcde", (3, 3, 3, 5)),
        ("abcde", "xbc", (2, 0, 3, 5)),
        ("", "ab", (0, 0, 0, 2)),
        ("", "", (0, 0, 0, 0)),
    ],
)
def test_texts_of_unlike_length(tokens: str, exact: str, expected: tuple[int, ...]) -> None:
    assert compare_texts(tokens.encode(), exact.encode()) == expected


def test_an_exact_text_has_no_divergence_and_an_interval_of_width_zero() -> None:
    found = fidelity_figures([beside(EXACT, EXACT, EXACT, nothing)])
    assert found["divergence"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["agreement"]["value"] == found["speedup_over_exact"]["value"] == 1.0
    assert found["first_divergence"]["p50"] is None


def test_divergence_is_of_cost_per_token_whatever_the_length() -> None:
    longer = [scored("abcdabcd", 4.0, prompt_id="a"), scored("a" * 16, 4.0, prompt_id="b")]
    found = figures(beside(longer, EXACT, EXACT, nothing))
    assert (found["divergence"], found["length_ratio"]) == (0.0, 2.0)


def test_tasks_count_the_same_and_one_without_scores_does_not_count() -> None:
    unscored = [replace(each, score=None) for each in LOSSY]
    few = beside(LOSSY[:1], EXACT, EXACT, nothing)
    many = beside([LOSSY[1]] * 1, EXACT, EXACT, nothing)
    none = beside(unscored, EXACT, EXACT, nothing)
    assert figures(few, many, none)["divergence"] == pytest.approx((0.1 + 0.0) / 2)
    assert figures(none)["divergence"] is None
    assert figures()["agreement"] is None


def test_turns_behind_one_that_differs_are_not_compared_as_texts() -> None:
    exact = [*EXACT, scored("zz", 1.0, prompt_id="a", turn=1)]
    lossy = [scored("xx", 3.0, prompt_id="a", turn=1), *LOSSY]
    found = figures(beside(lossy, exact, exact, nothing))
    assert (found["num_compared"], found["num_same"]) == (2, 1)
    assert found["divergence"] == pytest.approx((7.2 / 14) / (5 / 14) - 1)
    assert found["time_to_answer_s"] == pytest.approx((2.5 + 1.5 + 5.5) / 3)


def test_ended_share_is_of_answers() -> None:
    ended = [replace(each, record=replace(each.record, finish_reason="eos")) for each in LOSSY[:1]]
    found = figures(beside([*ended, LOSSY[1]], EXACT, EXACT, nothing))
    assert (found["ended_share"], found["exact_ended_share"]) == (0.5, 0.0)


def test_interval_covers_the_truth(generator: np.random.Generator) -> None:
    """Texts that cost 5 % more on average, over 150 simulated sets of prompts."""
    covered = 0
    for _ in range(150):
        lens = generator.integers(40, 120, size=30)
        exact_nats = lens * generator.gamma(8, 0.05, size=30)
        ratios = 1.05 + generator.normal(0, 0.05, size=30)
        table = np.stack([exact_nats * ratios, lens, exact_nats, lens, lens], axis=1)
        empty = Beside(
            np.empty((0, 6)), table.astype(float), np.empty((0, 9)), np.empty((0, 3)), ()
        )
        found = fidelity_figures([empty])["divergence"]
        covered += found["low"] <= 0.05 <= found["high"]
    assert 0.88 <= covered / 150 <= 0.99


def info(lossless: bool = True, role: Any = "entropy", **config: Any) -> ConditionInfo:
    return ConditionInfo(role=role, config=config, lossless=lossless)


def test_partner_drafts_in_the_same_way() -> None:
    relaxed = {"verification": "relaxed", "lenience": 0.5, "theta_abs": 1.0, "max_draft_len": 4}
    conditions = {
        "plain": info(role="plain", strategy="plain"),
        "short": info(strategy="absolute", theta_abs=1.0),
        "same": info(strategy="absolute", theta_abs=1.0, max_draft_len=4, verification="block"),
        "other": info(strategy="absolute", theta_abs=2.0, max_draft_len=4),
        "lossy": info(lossless=False, strategy="absolute", **relaxed),
        "lossy-too": info(lossless=False, strategy="absolute", theta_abs=1.0),
        "lonely": info(lossless=False, strategy="svip"),
    }
    assert exact_partner("lossy", conditions) == "same"
    assert exact_partner("lossy-too", conditions) == "short"
    assert exact_partner("lonely", conditions) == "plain"
    conditions["calibrated"] = info(role="calibrated", strategy="calibrated")
    assert exact_partner("lonely", conditions) == "calibrated"
    assert exact_partner("lonely", {"lonely": conditions["lonely"]}) is None


NUMBER = AnswerCheck(kind="number", expected="4")
PROGRAM = AnswerCheck(kind="python", expected="assert two == 2")


def lossy_run(folder: Path, *, temperature: float = 0.0) -> Path:
    answers = []
    for task, texts in (
        ("sums", (("it is 4", "it is 5"), ("4", "so 4"))),
        ("code", (("two = 2", "two = 3"), ("two = 2", "two = 2"))),
    ):
        for at, (exact, lossy) in enumerate(texts):
            fields = {"prompt_id": f"{task}/{at}", "task": task}
            answers += [
                scored(exact, 2.0, decode_s=4.0, **fields),
                scored(lossy, 2.0, decode_s=2.0, condition="relaxed", **fields),
            ]
    prompts = [
        PromptInfo(prompt_id=f"{task}/{at}", task=task, check=check)
        for task, check in (("sums", NUMBER), ("code", PROGRAM))
        for at in range(2)
    ]
    roles = {"plain": "plain", "relaxed": "lossy"}
    return write_run(folder, answers, roles=roles, prompts=prompts, temperature=temperature)


def test_run_is_evaluated_without_running_anything(tmp_path: Path) -> None:
    document = evaluate_run(lossy_run(tmp_path))
    assert document["task_scores"]["num_programs_to_run"] == 2
    scores = document["task_scores"]["conditions"]
    assert scores["plain"]["sums"]["num_right"] == 2
    assert (scores["relaxed"]["sums"]["num_right"], scores["relaxed"]["sums"]["num_checked"]) == (
        1,
        2,
    )
    assert "code" not in scores["relaxed"]
    fidelity = document["fidelity"]
    assert fidelity["conditions"].keys() == {"relaxed"}
    relaxed = fidelity["conditions"]["relaxed"]
    assert relaxed["exact_partner"] == "plain"
    assert relaxed["by_task"]["sums"]["score_difference"]["value"] == -0.5
    assert relaxed["by_task"]["code"]["score"]["value"] is None
    assert relaxed["overall"]["agreement"]["value"] < 1


def test_outcomes_of_programs_are_read(tmp_path: Path) -> None:
    run = lossy_run(tmp_path)
    checker = Checker({"code/0": PROGRAM, "code/1": PROGRAM}, {})
    found = checker.programs([answer(prompt_id="code/0"), *read_answers(run)])
    assert sorted(program.split("\n")[0] for program in found.values()) == ["two = 2", "two = 3"]
    assert all(key == program_id(program) for key, program in found.items())
    write_outcomes(run, {key: "two = 2" in program for key, program in found.items()})
    document = evaluate_run(run)
    assert document["task_scores"]["num_programs_to_run"] == 0
    assert document["task_scores"]["conditions"]["relaxed"]["code"]["score"]["value"] == 0.5
    relaxed = document["fidelity"]["conditions"]["relaxed"]
    assert relaxed["overall"]["score_difference"]["value"] == -0.5


def shown(run: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    assert evaluate.run(parser.parse_args([str(run), *flags])) == 0
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_command_runs_programs_only_when_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = lossy_run(tmp_path)
    text = shown(run, capsys)
    assert "2 programs in answers were not run" in text
    assert not (run / OUTCOMES_NAME).exists()
    text = shown(run, capsys, "--run-code")
    assert "programs in answers" not in text
    assert "relaxed (lossy)" in text
    assert sorted(read_outcomes(run).values()) == [False, True]
    monkeypatch.setattr("smart_speed.evaluation.run_program", None)
    assert shown(run, capsys, "--run-code") == text


def test_above_temperature_zero_no_text_is_the_exact_one(tmp_path: Path) -> None:
    fidelity = evaluate_run(lossy_run(tmp_path, temperature=0.7))["fidelity"]
    assert not fidelity["texts_compared"]
    overall = fidelity["conditions"]["relaxed"]["overall"]
    assert overall["agreement"]["value"] is None
    assert overall["num_compared"] == 0
    assert math.isfinite(overall["divergence"]["value"])


@pytest.mark.parametrize("text", ["[", "[]", '{"schema": 1}', '{"schema": 2, "passed": {}}'])
def test_strange_outcomes_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / OUTCOMES_NAME).write_text(text)
    with pytest.raises(ConfigError, match="outcomes of programs"):
        read_outcomes(tmp_path)
