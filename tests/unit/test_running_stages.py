"""Stages before the first answer, and what is said of them: traces, costs, facts, progress."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import smart_speed
from smart_speed.errors import ConfigError, SmartSpeedError
from smart_speed.loading import LoadOptions
from smart_speed.profiles import Profile
from smart_speed.running import about, calibrating
from smart_speed.running.calibrating import (
    PROFILE_NAME,
    ROUTE_PROFILE_NAME,
    costs_path,
    learn,
    measure_drafter,
    read_measured,
    traces_folder,
)
from smart_speed.running.progress import LineProgress, in_words
from smart_speed.running.traced import Models, TracedPrompt, TraceSettings, Tracing, load_models
from smart_speed.sampling import Sampling
from smart_speed.tracing.trace_files import read_manifest, read_recorded, read_traces
from tests.toy_experiments import known_costs, known_profile

SETTINGS = TraceSettings(max_draft_len=4, max_new_tokens=8, sampling=Sampling())


def traced(prompt_id: str, text: str) -> TracedPrompt:
    return TracedPrompt(prompt_id, "a", text, (text,))


PROMPTS = [traced(f"a/{number}", text) for number, text in enumerate(["the", "drafter"])]
TOO_LONG = traced("a/long", "the drafter " * 500)


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("default", ["default", "ngram"], LoadOptions(engine="toy"))


def test_drafters_are_named_once() -> None:
    with pytest.raises(ConfigError, match="drafters must be named once each, got 'ngram,ngram'"):
        load_models("default", ["ngram", "ngram"], LoadOptions(engine="toy"))


def test_what_cannot_be_traced_is_left_out(tmp_path: Path, models: Models) -> None:
    failed: list[str] = []
    shown: list[tuple[int, int]] = []

    def trace(prompts: list[TracedPrompt]) -> None:
        tracing = Tracing(
            tmp_path,
            models,
            prompts,
            SETTINGS,
            failed=lambda prompt_id, error: failed.append(prompt_id),
        )
        tracing.record(progress=lambda done, total: shown.append((done, total)))
        tracing.finish()

    prompts = [PROMPTS[0], TOO_LONG, PROMPTS[1]]
    trace(prompts)
    assert (failed, shown) == (["a/long"], [(0, 3), (1, 3), (1, 3)])
    assert {each.prompt_id for each in read_traces(tmp_path)} == {"a/0", "a/1"}
    assert len(read_traces(tmp_path)) == 4  # two drafters
    before = read_manifest(tmp_path)
    trace(prompts)  # nothing is left to be done
    assert (read_manifest(tmp_path), len(failed)) == (before, 1)
    with pytest.raises(ConfigError, match="prompts must stay the same"):
        trace([*prompts[:2], traced("a/1", "another")])


def test_without_anyone_to_tell_a_failure_is_the_end(tmp_path: Path, models: Models) -> None:
    with pytest.raises(SmartSpeedError, match="shorter than the context"):
        Tracing(tmp_path, models, [TOO_LONG], SETTINGS).record()


def test_traces_are_read_before_there_are_all_of_them(tmp_path: Path, models: Models) -> None:
    tracing = Tracing(tmp_path, models, PROMPTS, SETTINGS)
    assert read_recorded(tmp_path) == []
    tracing.record(["a/1"])
    assert [each.prompt_id for each in read_recorded(tmp_path)] == ["a/1"] * 2  # two drafters
    again = Tracing(tmp_path, models, PROMPTS, SETTINGS)
    again.record(["a/0"])
    again.finish()
    found = [each.prompt_id for each in read_recorded(tmp_path)]
    assert found == [each.prompt_id for each in read_traces(tmp_path)] == ["a/0"] * 2 + ["a/1"] * 2


def test_calibration_of_two_drafters_takes_the_faster(
    tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smart_speed.calibration import making

    monkeypatch.setattr(calibrating, "measure_costs", known_costs)
    made: list[str] = []

    def profile(texts: Any, costs: Any, made_for: Any, **settings: Any) -> Any:
        made.append(made_for.drafter["name"])
        found = known_profile(texts, costs, made_for, **settings)
        calibration = {**found.config["calibration"], "rate": float(len(made))}
        return replace(found, config={**found.config, "calibration": calibration})

    def route_profile(texts: Any, made: Any, costs: Any, drafter: Any) -> Profile:
        assert [each.trace.drafter for each in texts[0]] == list(made) == list(costs)
        learned = {"predicted": {"route": {"over_fixed": {"value": 1.5}}}}
        return Profile(drafter=drafter, learned=learned)

    monkeypatch.setattr(making, "make_profile", profile)
    monkeypatch.setattr(making, "make_route_profile", route_profile)
    said: list[str] = []
    tracing = Tracing(traces_folder(tmp_path), models, PROMPTS, SETTINGS)
    tracing.record()
    tracing.finish()
    with pytest.raises(ConfigError, match="costs must be measured before anything is learned"):
        learn(tmp_path, say=said.append)
    for name, drafter in models.drafters.items():
        measured = [
            measure_drafter(
                tmp_path, name, (models.verifier, drafter), [each.prompt for each in PROMPTS],
                max_draft_len=4, resolution=0.1, most_s=1.0,
            )
            for _ in range(2)
        ]  # fmt: skip
        assert measured == [True, False]
    costs, machine = read_measured(costs_path(tmp_path, "ngram"))
    assert costs.spread == 0.02
    assert machine["cores"]
    found = learn(tmp_path, say=said.append)
    assert made == ["default", "ngram"]
    assert found.drafter is not None
    assert (
        found.drafter["name"]
        == json.loads((tmp_path / PROFILE_NAME).read_text())["drafter"]["name"]
    )
    assert said == [
        f"Fastest drafter: {found.drafter['name']} (predicted tokens/s: default 1.0, ngram 2.0).",
        (
            "Chosen among before each round: 1.500 times the speed of the fastest alone, as "
            "predicted; --drafter route:default,ngram --profile "
            f"{tmp_path / ROUTE_PROFILE_NAME}."
        ),
    ]


def test_lines_come_now_and_then_and_say_what_is_left() -> None:
    now, said = 0.0, list[str]()
    show = LineProgress(every_s=30.0, clock=lambda: now, say=said.append)
    for second in range(0, 100, 10):
        now = float(second)
        show("answers", 50 + second // 10, 100, "1 failed")
    assert said == [
        "53 of 100 answers, 1 failed, about 8 minutes left.",
        "56 of 100 answers, 1 failed, about 7 minutes left.",
        "59 of 100 answers, 1 failed, about 7 minutes left.",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "about a minute"),
        (95.0, "about 2 minutes"),
        (7199.0, "about 120 minutes"),
        (7200.0, "about 2 hours"),
        (47.9 * 3600, "about 48 hours"),
        (60 * 3600.0, "about 2 days"),
    ],
)
def test_long_times_are_not_said_in_minutes(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_facts_are_json_and_name_the_commit_of_a_checkout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = about.facts_of_a_run()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["machine_id"] == about.machine_id()
    assert "numpy" in facts["packages"]
    package = tmp_path / "smart_speed" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.setattr(smart_speed, "__file__", str(package))
    assert about._git() is None
    git = _git_in(tmp_path)
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "all")
    found = about._git()
    assert found is not None
    assert len(found["commit"]) == 40
    assert not found["dirty"]
    package.write_text("changed")
    assert (about._git() or {})["dirty"]


def _git_in(folder: Path) -> Callable[..., None]:
    def git(*arguments: str) -> None:
        names = [
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.org",
            "-c",
            "commit.gpgsign=false",
        ]
        subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)

    return git
