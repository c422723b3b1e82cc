"""The search finds what was planted, tries far fewer settings than there are, and keeps caps."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import pytest

from smart_speed.calibration import search
from smart_speed.calibration.learning import replayed_rate
from smart_speed.calibration.search import GRIDS, best_settings
from smart_speed.config import EntropyConfig
from smart_speed.strategies import STRATEGIES
from smart_speed.tracing.oracle import best_fixed
from tests.calibrations import CALIBRATION, beside
from tests.unit.planted import toy_texts
from tests.unit.traced import LONGEST, costs_of

COSTS = costs_of(0.1)
SETTINGS = {strategy: tuple(GRIDS[strategy]) for strategy in GRIDS}


def planted(monkeypatch: pytest.MonkeyPatch, rate: Callable[[EntropyConfig], float]) -> None:
    monkeypatch.setattr(search, "replayed_rate", lambda texts, config, costs: rate(config))


def test_every_strategy_with_settings_has_a_grid() -> None:
    assert set(GRIDS) == set(STRATEGIES) - {"plain", "calibrated", "route"}
    for strategy, grid in GRIDS.items():
        for name, values in grid.items():
            assert len(set(values)) == len(values) > 1, (strategy, name)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_planted_optimum_is_found(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Catches: a descent that ends after one turn; one start, where placements are two hills."""
    wanted = {"theta_abs": 2.5, "window_size": 4, "max_draft_len": 4, "stop_placement": place}

    def rate(config: EntropyConfig) -> float:
        assert config.theta_abs
        assert config.window_size
        assert config.max_draft_len
        # A ridge: the threshold that is best depends on the cap.
        off = config.theta_abs - (0.5 + config.max_draft_len / 2)
        best = 1.0 if config.stop_placement == place else 0.9
        return (
            best
            - 0.1 * off**2
            - 0.01 * (config.max_draft_len - 4) ** 2
            + (0.001 * config.window_size)
        )

    planted(monkeypatch, rate)
    found = best_settings("window", toy_texts(), COSTS)
    assert found.settings == {"strategy": "window", **wanted}
    assert found.rate == rate(EntropyConfig.from_dict(found.settings))
    everything = prod(map(len, GRIDS["window"].values()))
    assert found.num_tried < everything / 4


def test_curves_change_one_setting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, lambda config: -abs((config.theta_abs or 0) - 0.8))
    found = best_settings("absolute", toy_texts(), COSTS)
    assert tuple(found.curves) == SETTINGS["absolute"]
    assert dict(found.curves["theta_abs"])[2.0] == pytest.approx(-1.2)
    assert max(rate for _, rate in found.curves["theta_abs"]) == found.rate == 0
    assert {rate for _, rate in found.curves["max_draft_len"]} == {0}


def test_the_best_fixed_length_is_the_oracles() -> None:
    found = best_settings("fixed", toy_texts(), COSTS)
    lens = range(1, LONGEST + 1)
    fixed = best_fixed(toy_texts(), COSTS, lens)
    assert found.settings == {"strategy": "fixed", "max_draft_len": fixed.draft_len}
    assert found.num_tried == len(lens)


def test_no_single_setting_improves_what_was_found() -> None:
    found = best_settings("relative", toy_texts(), COSTS)
    for name, curve in found.curves.items():
        for value, rate in curve:
            config = EntropyConfig.from_dict({**found.settings, name: value})
            assert replayed_rate(toy_texts(), config, COSTS) == rate <= found.rate


@pytest.mark.parametrize("longest", [1, 3, 5])
@pytest.mark.parametrize("strategy", list(GRIDS))
def test_no_setting_drafts_farther_than_costs_are_known(
    strategy: str, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps: list[int] = []

    def rate(config: EntropyConfig) -> float:
        caps.append(config.draft_cap)
        return float(config.draft_cap)

    planted(monkeypatch, rate)
    shared = beside(strategy)
    found = best_settings(strategy, toy_texts(), costs_of(widest=longest + 1), shared=shared)
    assert 1 <= max(caps) <= longest
    assert EntropyConfig.from_dict({**found.settings, **shared}).draft_cap == max(caps)


def test_what_is_shared_is_read_but_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def rate(config: EntropyConfig) -> float:
        assert config.calibration == CALIBRATION
        return -abs((config.specdec_h or 0) - 0.7)

    planted(monkeypatch, rate)
    shared = {"calibration": CALIBRATION.to_json()}
    found = best_settings("specdec_pp", toy_texts(), COSTS, shared=shared)
    assert found.settings["specdec_h"] == 0.7
    assert set(found.settings) == {"strategy", *GRIDS["specdec_pp"]}


def test_progress_counts_what_was_tried() -> None:
    seen: list[int] = []
    found = best_settings("heuristic", toy_texts(), COSTS, progress=seen.append)
    assert seen == list(range(1, found.num_tried + 1))


def test_settings_are_those_of_a_profile() -> None:
    """JSON knows no tuples: what was found must be read again as it was."""
    found = best_settings("ema", toy_texts(), COSTS).settings

    def listed(value: Any) -> Any:
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value

    read = EntropyConfig.from_dict({name: listed(value) for name, value in found.items()})
    assert read == EntropyConfig.from_dict(found)
    assert read.tiers
    assert read.draft_cap == read.tiers[-1]
