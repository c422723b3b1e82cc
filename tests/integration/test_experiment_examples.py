"""Every example runs, on the toy engine."""

import html
import importlib.util
import json
import runpy
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from smart_speed import experiment
from smart_speed.calibration import making
from smart_speed.experiment import ExperimentConfig
from smart_speed.run_folder import read_answers
from smart_speed.running import calibrating
from smart_speed.running.conditions import recipes
from smart_speed.running.settings import read_toml
from tests.toy_experiments import known_costs, known_profile, quiet_runner, toy_config

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_test() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {
        "quick_start.py", "experiment.toml", "lossy.toml", "own_strategy.py", "replay_a_run.py"
    }  # fmt: skip


def test_quick_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[ExperimentConfig] = []

    class Small:
        def __init__(self, config: ExperimentConfig) -> None:
            made.append(config)

        def run_full_experiment(self) -> None:
            small = toy_config(tmp_path, num_samples=2, output_dir=made[0].output_dir)
            quiet_runner(small).run_full_experiment()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "ExperimentRunner", Small)
    runpy.run_path(str(EXAMPLES / "quick_start.py"))
    assert "Report written to analysis/entropy_exp_v1/report.html." in capsys.readouterr().err
    assert (made[0].datasets, made[0].num_samples) == (("builtin",), 18)
    assert len(read_answers(tmp_path / "results" / "entropy_exp_v1")) == 8
    report = tmp_path / "analysis" / "entropy_exp_v1"
    verdicts = json.loads((report / "verdicts.json").read_text())["verdicts"]
    assert {each["hypothesis"] for each in verdicts} == {"H1", "H2", "H3"}
    page = (report / "report.html").read_text(encoding="utf-8")
    assert all(html.escape(each["sentence"]) in page for each in verdicts)


def test_experiment_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ExperimentConfig.from_dict(read_toml(EXAMPLES / "experiment.toml"))
    assert {"plain", "fixed-6", "calibrated", "eager", "cautious"} <= set(recipes(config))
    small = toy_config(tmp_path, num_samples=1)
    own = {name: each for name, each in dict(config.conditions).items() if each}  # type: ignore[arg-type]
    outcome = quiet_runner(replace(small, conditions=own)).run_full_experiment()
    assert outcome.num_done == 3


def test_lossy_toml(tmp_path: Path) -> None:
    config = ExperimentConfig.from_dict(read_toml(EXAMPLES / "lossy.toml"))
    found = recipes(config)
    assert {"plain", "calibrated", "fixed-4", "typical"} < set(found)
    assert sum(each.role == "lossy" for each in found.values()) == 3  # and one of one's own
    small = toy_config(tmp_path, num_samples=1)
    own = {name: each for name, each in dict(config.conditions).items() if each}  # type: ignore[arg-type]
    outcome = quiet_runner(replace(small, conditions=own)).run_full_experiment()
    assert outcome.num_done == 2
    lossless = {each.record.condition: each.record.lossless for each in read_answers(small.folder)}
    assert lossless == {"plain": True, "typical": False}


def test_own_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = example("own_strategy").main(engine="toy", max_new_tokens=48)
    assert ours == theirs
    assert "rounds instead of 48" in capsys.readouterr().out


def test_replay_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calibrating, "measure_costs", known_costs)
    monkeypatch.setattr(making, "make_profile", known_profile)
    settings: dict[str, Any] = {"num_samples": 2, "num_calibration_samples": 4}
    config = toy_config(tmp_path, conditions=["plain"], trace_draft_len=4, **settings)
    quiet_runner(config).run_full_experiment()
    rates = example("replay_a_run").main(config.folder)
    assert len(set(rates.values())) > 1
    assert all(rate > 0 for rate in rates.values())
    assert "tokens/s" in capsys.readouterr().out
