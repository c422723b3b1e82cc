"""Two runs side by side: a difference where there can be one, and ratios alone where not."""

import json
from pathlib import Path

import pytest

from smart_speed.cli import main
from smart_speed.errors import ConfigError
from smart_speed.evaluation import evaluate_run
from smart_speed.reporting.run_pairs import compare_runs
from tests.unit.report_runs import CONDITIONS, TASKS, write_run

FEW = {name: CONDITIONS[name] for name in ("plain", "fixed-best", "absolute")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    first, second = (tmp_path_factory.mktemp("pair") / name for name in ("first", "second"))
    write_run(first, with_profile=False, with_traces=False)
    write_run(second, with_profile=False, with_traces=False, slower=1.25, conditions=FEW)
    return first, second


def test_a_planted_difference_is_found(folders: tuple[Path, Path]) -> None:
    document = compare_runs(*folders)
    assert document["comparable"]
    assert document["only_in"] == [["fixed-4", "calibrated"], []]
    assert set(document["conditions"]) == set(FEW)
    for name in ("absolute", "fixed-best"):
        overall = document["conditions"][name]["overall"]
        first, second = (each["value"] for each in overall["speedup_over_plain"])
        assert second == pytest.approx(first / 1.25)
        assert overall["difference"]["value"] == pytest.approx(second - first)
        assert overall["difference"]["high"] < 0
    plain = document["conditions"]["plain"]["overall"]["difference"]
    assert plain == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_speeds_are_those_of_the_evaluation(folders: tuple[Path, Path]) -> None:
    document = compare_runs(*folders)
    for at, folder in enumerate(folders):
        evaluated = evaluate_run(folder)["conditions"]
        for name, each in document["conditions"].items():
            expected = evaluated[name]["overall"]["speedup_over_plain"]
            assert each["overall"]["speedup_over_plain"][at] == expected
            for task in TASKS:
                expected = evaluated[name]["by_task"][task]["speedup_over_plain"]
                assert each["by_task"][task]["speedup_over_plain"][at] == expected


def test_another_machine_gives_ratios_alone(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_run(tmp_path, with_profile=False, with_traces=False, conditions=FEW, machine="there")
    document = compare_runs(folders[0], tmp_path)
    assert document["same_prompts"]
    assert not document["comparable"]
    assert "differ in their machine" in document["sentence"]
    assert document["conditions"]["absolute"]["overall"]["difference"] is None
    assert document["conditions"]["absolute"]["overall"]["speedup_over_plain"][1]["value"] > 0


def test_other_prompts_give_ratios_alone(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_run(
        tmp_path, with_profile=False, with_traces=False, conditions=FEW, tasks={"verse": 0},
        names={"verse-0": "another"},
    )  # fmt: skip
    document = compare_runs(folders[0], tmp_path)
    assert document["tasks"] == ["verse"]
    assert "differ in their prompts" in document["sentence"]
    assert document["conditions"]["absolute"]["overall"]["difference"] is None


def test_nothing_in_common_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_run(tmp_path, with_profile=False, with_traces=False, conditions=FEW, tasks={"riddle": 0})
    with pytest.raises(ConfigError, match="tasks of two runs must be partly the same"):
        compare_runs(folders[0], tmp_path)


def run_command(*argv: str) -> None:
    assert main(["compare", *argv]) == 0


def test_the_command_shows_both(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(*map(str, folders), "--tasks")
    shown = capsys.readouterr().err
    assert "1: a small run" in shown
    assert "2: a small run" in shown
    assert "Same prompts, same machine" in " ".join(shown.split())
    assert "Only in 1: fixed-4, calibrated." in shown
    run_command(*map(str, folders), "--json")
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
