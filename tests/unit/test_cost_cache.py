"""Measured once per machine, and what becomes of what cannot be measured or kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from smart_speed.errors import MeasurementError
from smart_speed.tracing import cost_cache
from smart_speed.tracing.cost_cache import REFUSED_FOR_S, cached_costs, cost_folder
from smart_speed.tracing.measured_costs import Figure, MeasuredCosts, RoughCostsError
from tests.unit.traced import costs_of

KEY = {"engine": "toy", "longest": 8}
MEASURED = MeasuredCosts(
    costs=costs_of(),
    figures={"drafter_step_s": Figure(0.2, 0.19, 0.21, 40)},
    spread=0.02,
    widest="a drafter pass",
    num_rounds=100,
    seconds=9.0,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMART_SPEED_CACHE", str(tmp_path))
    return tmp_path / "costs"


class Measure:
    """Counts how often something is measured."""

    def __init__(self, error: str = "") -> None:
        self.times, self._error = 0, error

    def __call__(self) -> MeasuredCosts:
        self.times += 1
        if self._error:
            raise MeasurementError(self._error)
        return MEASURED


def test_each_key_is_measured_once(folder: Path) -> None:
    measure, said = Measure(), list[str]()
    for _ in range(3):
        assert cached_costs(KEY, measure, said.append) == MEASURED
    assert measure.times == 1
    cached_costs(KEY | {"longest": 4}, measure, said.append)
    assert measure.times == 2
    assert said == []
    assert cost_folder() == folder
    assert len(list(folder.iterdir())) == 2


def test_another_machine_measures_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Measure()
    cached_costs(KEY, measure, print)
    monkeypatch.setattr(cost_cache, "machine_facts", lambda: {"processor": "another"})
    cached_costs(KEY, measure, print)
    assert measure.times == 2


@pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"costs": 1}), "7"])
def test_files_that_say_nothing_are_measured_anew(folder: Path, content: str) -> None:
    measure = Measure()
    cached_costs(KEY, measure, print)
    (file,) = folder.iterdir()
    file.write_text(content)
    assert cached_costs(KEY, measure, print) == MEASURED
    assert measure.times == 2
    cached_costs(KEY, measure, print)
    assert measure.times == 2


def test_a_refusal_is_kept_for_a_while(folder: Path) -> None:
    measure, times = Measure("too noisy"), [0.0, 0.0, 9.0, 9.0 + REFUSED_FOR_S]
    clock: Any = iter([*times, 1e5]).__next__
    for _ in range(2):
        with pytest.raises(MeasurementError, match="too noisy"):
            cached_costs(KEY, measure, print, now=clock)
    assert measure.times == 1
    fine = Measure()
    assert cached_costs(KEY, fine, print, now=lambda: 2 * REFUSED_FOR_S) == MEASURED
    assert fine.times == 1


def test_a_refusal_keeps_what_was_found() -> None:
    def measure() -> MeasuredCosts:
        raise RoughCostsError("too noisy", MEASURED)

    for source in (measure, Measure()):
        with pytest.raises(RoughCostsError, match="too noisy") as caught:
            cached_costs(KEY, source, print, now=lambda: 0.0)
        assert caught.value.measured == MEASURED


def test_what_cannot_be_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SMART_SPEED_CACHE", str(tmp_path / "file"))
    said: list[str] = []
    assert cached_costs(KEY, Measure(), said.append) == MEASURED
    assert len(said) == 1
    assert said[0].startswith("Measured costs")
