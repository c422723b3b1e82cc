"""Workers that die, with something small in Ray's place."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smart_speed.errors import ModelError
from smart_speed.loaded_run import load_run
from smart_speed.run_folder import Answer, ConditionInfo
from smart_speed.running import on_ray
from smart_speed.running.live import PromptPlayer, Work, failed_answer
from smart_speed.running.on_ray import MOST_DEATHS, _Pool
from smart_speed.running.prompts import LivePrompt
from smart_speed.running.traced import load_models
from smart_speed.sampling import Sampling
from tests.toy_experiments import quiet_runner, toy_config

WORK = Work(
    {"plain": ConditionInfo(role="plain", config={"strategy": "plain"})},
    Sampling(),
    max_new_tokens=4,
    repeats=1,
)
PROMPTS = [
    LivePrompt(prompt_id=f"a/{number}", task="a", turns=("abc",), chat=False, tokens=(0, 1, 2))
    for number in range(5)
]


class DiedError(Exception):
    """A worker that is gone."""


class SmallRay:
    """One node whose workers die of certain prompts."""

    exceptions = SimpleNamespace(RayActorError=DiedError)

    def __init__(self, deadly: Sequence[str]) -> None:
        self._deadly = deadly

    def nodes(self) -> list[dict[str, bool]]:
        return [{"Alive": True}]

    def remote(self, _: Any) -> Any:
        worker = SimpleNamespace(
            play=SimpleNamespace(remote=lambda prompt, _: (prompt.prompt_id, prompt))
        )
        kind = SimpleNamespace(remote=lambda *_: worker)
        return SimpleNamespace(options=lambda **_: kind)

    def wait(self, tasks: list[Any], *, num_returns: int) -> tuple[list[Any], list[Any]]:
        return tasks[:num_returns], tasks[num_returns:]

    def get(self, task: tuple[str, LivePrompt]) -> list[Answer]:
        if task[0] in self._deadly:
            raise DiedError("The actor died.\nValueError: no such file")
        (key,) = WORK.keys(task[1])
        return [failed_answer(WORK, task[1], key, "made", engine="toy", machine="m")]


def play_as_workers_would(
    config: Any, work: Work, prompts: Any, done: Any, is_over: Any, **_: Any
) -> Iterator[list[Answer]]:
    models = load_models("default", ["default"], config.load_options())
    player = PromptPlayer(models.verifier, models.drafters["default"], work)
    for prompt in prompts:
        if not work.is_done(prompt, done):
            yield [answer for made in player.play(prompt, done) for answer in made]


def test_prompts_are_traced_once_the_workers_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: traces made first, so that a run that is killed early has no answers."""
    monkeypatch.setattr(on_ray, "play_on_ray", play_as_workers_would)
    config = toy_config(tmp_path, executor="ray", conditions=("plain", "fixed-4"))
    said: list[str] = []
    shown: list[str] = []

    def stop(what: str, done: int, total: int, note: str) -> None:
        shown.append(what)
        if len(shown) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet_runner(config, progress=stop).run_full_experiment()
    run = load_run(config.folder)
    assert (len(run.answers), run.texts, set(shown)) == (4, [], {"answers"})
    assert quiet_runner(config, say=said.append).run_full_experiment().is_complete
    assert len(load_run(config.folder).texts) == 6
    assert "The workers are done; 6 prompts are traced here for replay." in said
    said.clear()
    quiet_runner(config, say=said.append).run_full_experiment()
    assert not any("traced" in each for each in said)


def test_answers_that_failed_do_not_keep_a_prompt_from_being_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "play_on_ray", play_as_workers_would)
    monkeypatch.setattr(PromptPlayer, "_answer", fail)
    config = toy_config(tmp_path, executor="ray", num_samples=2, conditions=("plain",))
    assert quiet_runner(config).run_full_experiment().num_failed == 2
    assert len(load_run(config.folder).texts) == 2


def fail(*_: Any) -> None:
    raise RuntimeError("out of memory")


def answered(folder: Path, deadly: Sequence[str]) -> list[tuple[str, str]]:
    pool = _Pool(SmallRay(deadly), toy_config(folder), WORK, "toy", lambda _: None)
    made = pool.answers(deque(PROMPTS), {}, lambda: False)
    return [(each.prompt_id, each.record.error or "") for answers in made for each in answers]


def test_prompt_that_workers_die_of_fails_and_the_others_go_on(tmp_path: Path) -> None:
    found = answered(tmp_path, ["a/0"])
    assert [prompt_id for prompt_id, said in found if said == "made"] == [
        "a/1", "a/2", "a/3", "a/4"
    ]  # fmt: skip
    assert found[-1] == ("a/0", f"Workers died of it {MOST_DEATHS} times: The actor died.")


def test_workers_that_never_answer_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"died of 3 prompts, .*: ValueError: no such file"):
        answered(tmp_path, [each.prompt_id for each in PROMPTS])
