"""Benchmarks on toys: what they keep, and that they go on from it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.drafters_live import LivePlan, run_live
from benchmarks.resumable import ResumableRows
from benchmarks.unseen_prompts import UnseenPrompt
from benchmarks.verified_answers import verified_answers
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]

PROMPTS = [
    UnseenPrompt(prompt_id=f"{task}/{number}", task=task, prompt="abcde"[number:])
    for number in range(2)
    for task in ("math", "chat")
]
ABOUT = {"drafter_files": {"small": {"drafter.gguf": "b179"}}}


def test_rows_outlive_the_run_and_a_torn_line_does_not(tmp_path: Path) -> None:
    path = tmp_path / "new/rows.jsonl"
    ResumableRows(path, {"a": 1}).add({"row": 1})
    with path.open("a") as file:
        file.write('{"row": 2')
    again = ResumableRows(path, {"a": 1})
    assert again.rows == [{"row": 1}]
    again.add({"row": 3})
    assert ResumableRows(path, {"a": 1}).rows == [{"row": 1}, {"row": 3}]


def test_rows_of_other_settings_are_refused(tmp_path: Path) -> None:
    ResumableRows(tmp_path / "rows.jsonl", {"a": 1}).add({"row": 1})
    with pytest.raises(ConfigError, match=r"made with these settings .* \(not so: a\)"):
        ResumableRows(tmp_path / "rows.jsonl", {"a": 2})


def test_answers_are_the_verifiers_own_and_made_once(random_pair: Pair, tmp_path: Path) -> None:
    verifier, _ = random_pair()
    path, seen = tmp_path / "answers.jsonl", list[tuple[int, int]]()

    def answer(prompts: list[UnseenPrompt]) -> list[tuple[str, int, int]]:
        made = verified_answers(
            verifier,
            prompts,
            path,
            max_new_tokens=7,
            progress=lambda done, total: seen.append((done, total)),
        )
        return [(each.task, len(each.prompt), len(each.answer)) for each in made]

    assert answer(PROMPTS[:2]) == [("math", 5, 7), ("chat", 5, 7)]
    assert answer(PROMPTS) == [
        ("math", 5, 7), ("chat", 5, 7), ("math", 4, 7), ("chat", 4, 7),
    ]  # fmt: skip
    assert seen == [(1, 2), (2, 2), (3, 4), (4, 4)]
    with pytest.raises(ConfigError):
        verified_answers(verifier, PROMPTS, path, max_new_tokens=8, progress=lambda *_: None)


def plan_of(pair: tuple[LoadedModel, LoadedModel], prompts: list[UnseenPrompt]) -> LivePlan:
    drafters: dict[str, Drafter] = {
        "small": ModelDrafter.for_verifier(pair[1], pair[0]),
        "ngram": NgramDrafter(),
    }
    return LivePlan(
        verifier=pair[0],
        drafters=drafters,
        prompts=prompts,
        conditions=["fixed:1", "absolute"],
        max_new_tokens=9,
    )


def run(pair: tuple[LoadedModel, LoadedModel], folder: Path, prompts: list[UnseenPrompt]) -> Any:
    out = folder / "out.json"
    run_live(plan_of(pair, prompts), ABOUT, rows=folder / "rows.jsonl", out=out)
    return json.loads(out.read_text("utf-8"))


def test_live_runs_go_on_where_they_stopped(random_pair: Pair, tmp_path: Path) -> None:
    run(random_pair(), tmp_path, PROMPTS[:2])
    rows = (tmp_path / "rows.jsonl").read_text("utf-8")
    document = run(random_pair(), tmp_path, PROMPTS)
    assert (tmp_path / "rows.jsonl").read_text("utf-8").startswith(rows)
    assert document["num_prompts"] == {"math": 2, "chat": 2}
    names = ["plain", "small fixed-1", "small absolute", "ngram fixed-1", "ngram absolute"]
    assert list(document["figures"]) == list(document["conditions"]) == names
    plain, small = document["figures"]["plain"], document["figures"]["small fixed-1"]
    assert plain["mean_speedup"] == pytest.approx({"value": 1.0, "low": 1.0, "high": 1.0})
    assert set(small["speedup_by_task"]) == {"math", "chat"}
    assert small["num_divergences"] == 0
    assert 0 < small["acceptance_rate"] <= 1
    assert document["drafter_files"] == ABOUT["drafter_files"]


def test_rows_of_another_drafter_are_refused(random_pair: Pair, tmp_path: Path) -> None:
    run(random_pair(), tmp_path, PROMPTS[:1])
    with pytest.raises(ConfigError, match="drafter_files"):
        run_live(
            plan_of(random_pair(), PROMPTS),
            {"drafter_files": {"small": {"drafter.gguf": "c953"}}},
            rows=tmp_path / "rows.jsonl",
            out=tmp_path / "out.json",
        )


def test_live_conditions_must_be_known(random_pair: Pair, tmp_path: Path) -> None:
    verifier, _ = random_pair()
    plan = LivePlan(
        verifier=verifier, drafters={}, prompts=PROMPTS, conditions=["absolut"], max_new_tokens=3
    )
    with pytest.raises(ConfigError, match="Did you mean 'absolute'"):
        run_live(plan, ABOUT, rows=tmp_path / "rows.jsonl", out=tmp_path / "out.json")
    assert not (tmp_path / "rows.jsonl").exists()
