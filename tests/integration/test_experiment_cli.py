"""smart-speed experiment: plan, run, what is printed, what is refused."""

import argparse
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from smart_speed import analysis
from smart_speed.cli import experiment
from smart_speed.errors import ConfigError
from smart_speed.run_folder import read_answers, read_manifest
from smart_speed.running import live
from tests.toy_experiments import toy_prompts


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(
        f"""
        engine = "toy"
        dataset_name = "{toy_prompts(tmp_path)}"
        num_samples = 3
        num_calibration_samples = 0
        max_sequence_length = 64
        max_new_tokens = 8
        [conditions.plain]
        [conditions.fixed-4]
        [conditions.mine]
        strategy = "absolute"
        theta_abs = 1.5
        """
    )
    return path


class NoAnalysis:
    """Stands in for the analysis, which has tests of its own."""

    made: ClassVar[list[Path]] = []

    def __init__(self, experiment_dir: Path, **_: Any) -> None:
        self.made.append(experiment_dir)

    def run_full_analysis(self) -> None:
        raise ConfigError("analysis must be left out.")


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    experiment.add_arguments(parser)
    return experiment.run(parser.parse_args(argv))


@pytest.fixture(autouse=True)
def no_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "AnalysisPipeline", NoAnalysis)


def test_plan_run_and_what_is_said(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert run(str(settings), "--out", out, "--dry-run") == 0
    said = capsys.readouterr().err
    assert "3 conditions × 3 prompts (3 turns) × 1 repeats = 9 answers, 0 of them done" in said
    assert "Conditions: plain, fixed-4, mine." in said
    assert not Path(out).exists()
    assert run(str(settings), "--out", out, "--set", "conditions.mine.theta_abs=2.5") == 0
    assert "9 of 9 answers are in" in capsys.readouterr().err
    assert read_manifest(Path(out)).conditions["mine"].config["theta_abs"] == 2.5
    assert len(read_answers(Path(out))) == 9
    assert NoAnalysis.made[-1] == Path(out)


def test_one_document_on_stdout(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (str(settings), "--out", str(tmp_path / "run"), "--json")
    assert run(*arguments, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["num_answers"] == 9
    assert run(*arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["num_done"], document["num_failed"], document["report"]) == (9, 0, None)


def test_failed_answers_show_in_the_status(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(live.PromptPlayer, "_answer", fail)
    assert run(str(settings), "--out", str(tmp_path / "run")) == 1
    assert "0 of 9 answers are in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "CONFIG must be given once"),
        (["a.toml", "--builtin", "quick"], "CONFIG must be given once"),
        (["--builtin", "quik"], r"Did you mean 'quick'\?"),
        (["none.toml"], "An experiment must be a readable TOML file"),
        (["--builtin", "quick", "--set", "seeds=1"], r"Did you mean 'seed'\?"),
    ],
)
def test_bad_input_is_one_sentence(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(*argv)
