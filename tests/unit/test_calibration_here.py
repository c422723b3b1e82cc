"""What was learned elsewhere, with the costs of the machine at hand, measured once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smart_speed.calibration import here
from smart_speed.calibration.here import default_profile, profile_for, shipped_profile
from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, MeasurementError
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.profiles import Profile, read_profile
from smart_speed.stopping.calibrated import Calibration
from smart_speed.tracing.cost_measuring import measure_costs
from smart_speed.tracing.measured_costs import RoughCostsError
from tests.calibrations import CALIBRATION
from tests.unit.simulated_machine import PASS_S, STEP_S, Machine, timed_pair

NAMES = ("default", "model")
LONGEST = max(PASS_S) - 1
CALIBRATED = replace(
    CALIBRATION, costs=replace(CALIBRATION.costs, wider_s=CALIBRATION.costs.wider_s[:LONGEST])
)
Pair = tuple[LoadedModel, Drafter]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def pair(machine: Machine) -> Pair:
    return timed_pair(machine)


def profile_of(pair: Pair, **changes: Any) -> Profile:
    verifier = verifier_id(NAMES[0], pair[0])
    given: dict[str, Any] = {
        "config": {
            "strategy": "calibrated",
            "entropy_type": "renyi",
            "max_draft_len": LONGEST,
            "calibration": CALIBRATED.to_json(),
        },
        "verifier": {"name": NAMES[0], "id": verifier},
        "drafter": {"name": NAMES[1], "id": drafter_id(NAMES[1], pair[1], verifier)},
        "engine": "toy",
        "learned": {"machine": {"processor": "theirs"}, "measured": {"costs": {}}},
    }
    return Profile(**(given | changes))


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: Pair) -> Path:
    """A folder of shipped profiles: one for something else, one for the pair."""
    folder = tmp_path / "shipped"
    profile_of(pair, engine="hf").write(folder / "a.json")
    profile_of(pair).write(folder / "b.json")
    monkeypatch.setattr(here, "SHIPPED_FOLDER", folder)
    monkeypatch.setenv("SMART_SPEED_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> list[dict[str, Any]]:
    """Measure by the machine's own clock, on prompts that letters spell; keep what was asked."""
    asked: list[dict[str, Any]] = []

    def simulated(verifier: LoadedModel, drafter: Drafter, prompts: Any, **settings: Any) -> Any:
        asked.append(settings)
        given = settings | {"clock": machine, "most_s": 1e5}
        return measure_costs(verifier, drafter, [[2], [0, 1, 2, 3, 4, 3] * 20], **given)

    monkeypatch.setattr(here, "measure_costs", simulated)
    return asked


def calibration_of(profile: Profile | None) -> Calibration:
    assert profile is not None
    return Calibration.from_json(profile.config["calibration"])


def test_costs_are_measured_here_and_the_rest_is_kept(
    pair: Pair, measured: list[dict[str, Any]]
) -> None:
    said: list[str] = []
    profile = default_profile(NAMES, *pair, said.append)
    found = calibration_of(profile)
    assert profile is not None
    assert found.acceptance == CALIBRATED.acceptance
    assert found.costs.max_draft_len == LONGEST
    assert 0.9 * STEP_S < found.costs.step_s < 2 * STEP_S
    assert found.rate != CALIBRATED.rate
    assert EntropyConfig.from_dict(profile.config).entropy_type == "renyi"
    assert profile.learned["machine"] != {"processor": "theirs"}
    assert profile.learned["measured"]["costs"]["verifier_pass_s"]["1"] > PASS_S[1]
    assert len(said) == 1
    assert said[0].startswith("Measuring what drafting costs on this machine, once")
    (settings,) = measured
    assert settings["max_draft_len"] == LONGEST
    assert settings["config"].strategy == "calibrated"


def test_they_are_measured_once(pair: Pair, measured: list[dict[str, Any]]) -> None:
    first = default_profile(NAMES, *pair, print)
    said: list[str] = []
    again = default_profile(NAMES, *pair, said.append)
    assert calibration_of(again) == calibration_of(first)
    assert len(measured) == 1
    assert said == []


def test_costs_that_could_not_be_measured_are_those_of_the_profile(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **settings: Any) -> Any:
        raise MeasurementError("Too short.")

    monkeypatch.setattr(here, "measure_costs", refuse)
    said: list[str] = []
    profile = default_profile(NAMES, *pair, said.append)
    assert calibration_of(profile) == CALIBRATED
    assert said[-1] == "Too short. The costs of the profile's own machine are used."


def test_rough_costs_of_this_machine_are_preferred_to_those_of_another(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact: Any = vars(here)["measure_costs"]

    def rough(*args: Any, **settings: Any) -> Any:
        raise RoughCostsError("Too noisy.", exact(*args, **settings))

    monkeypatch.setattr(here, "measure_costs", rough)
    said: list[str] = []
    found = calibration_of(default_profile(NAMES, *pair, said.append))
    assert 0.9 * STEP_S < found.costs.step_s < 2 * STEP_S
    assert found.costs != CALIBRATED.costs
    assert said[-1] == "Too noisy. What was found is used."


def test_models_without_a_profile_are_not_measured(
    pair: Pair, measured: list[dict[str, Any]], shipped: Path
) -> None:
    assert default_profile(("default", "another"), *pair, print) is None
    (shipped / "b.json").unlink()
    assert default_profile(NAMES, *pair, print) is None
    assert measured == []


def test_the_shipped_profile_is_that_of_the_engine(pair: Pair) -> None:
    profile = profile_of(pair)
    assert profile.verifier
    assert profile.drafter
    ids = {"verifier": profile.verifier["id"], "drafter": profile.drafter["id"]}
    for engine in ("toy", "hf"):
        found = shipped_profile(engine, **ids)
        assert found is not None
        assert found.engine == engine
    assert shipped_profile("llama_cpp", **ids) is None
    assert shipped_profile("toy", verifier=ids["verifier"], drafter="?") is None


def test_a_file_is_read_as_it_is(
    pair: Pair, tmp_path: Path, measured: list[dict[str, Any]]
) -> None:
    profile_of(pair).write(tmp_path / "own.json")
    found = profile_for(str(tmp_path / "own.json"), NAMES, *pair, print)
    assert calibration_of(found) == CALIBRATED
    assert measured == []
    assert calibration_of(profile_for("default", NAMES, *pair, _silent)) != CALIBRATED


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"engine": "hf"}, "engine must be 'hf' for this profile, got 'toy'"),
        ({"drafter": {"name": "mine", "id": "0"}}, "drafter must be the 'mine' that this profile"),
    ],
)
def test_a_file_for_something_else_is_refused(
    pair: Pair, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    profile_of(pair, **change).write(tmp_path / "own.json")
    with pytest.raises(ConfigError, match=sentence):
        profile_for(str(tmp_path / "own.json"), NAMES, *pair, print)


def _silent(sentence: str) -> None:
    pass


def test_what_ships_can_be_read() -> None:
    """Catches: a shipped profile that this version would refuse."""
    folder = Path(here.__file__).parent / "shipped"
    for path in folder.glob("*.json"):
        config = EntropyConfig.from_dict(read_profile(path).config)
        assert config.strategy == "calibrated"
