"""Conditions: every name is what it says, and an ablation varies one setting."""

from dataclasses import replace
from typing import Any

import pytest

from smart_speed.calibration.search import GRIDS
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.profiles import Profile
from smart_speed.running.conditions import (
    ABLATIONS,
    ENTROPY,
    RIVALS,
    made_conditions,
    recipes,
    screened,
)
from smart_speed.running.planning import condition_names
from smart_speed.running.settings import ExperimentConfig
from tests.toy_experiments import LEARNED, PROFILE

CONFIG = ExperimentConfig(baseline_k_values=(4, 8))


def test_the_profile_of_these_tests_has_all_strategies() -> None:
    assert set(LEARNED) == set(GRIDS)


def test_standard_conditions_are_what_their_names_say() -> None:
    made = made_conditions(CONFIG, PROFILE)
    roles = {name: info.role for name, info in made.items()}
    assert next(iter(made)) == "plain"
    assert roles == (
        {"plain": "plain", "fixed-4": "fixed", "fixed-8": "fixed", "fixed-best": "tuned-fixed"}
        | dict.fromkeys(ENTROPY, "entropy")
        | dict.fromkeys([*RIVALS, *(f"{name}-learned" for name in RIVALS)], "rival")
        | dict.fromkeys(["calibrated", "calibrated-online"], "calibrated")
    )
    assert made["fixed-8"].config == {"strategy": "fixed", "max_draft_len": 8}
    assert made["fixed-best"].config["max_draft_len"] == 3
    assert made["absolute"].config == {"strategy": "absolute", **LEARNED["absolute"]}
    assert made["svip"].config == {"strategy": "svip"}
    assert made["svip-learned"].config == {"strategy": "svip", **LEARNED["svip"]}
    calibration = PROFILE.config["calibration"]
    shared = {"strategy": "specdec_pp", "calibration": calibration}
    assert made["specdec_pp"].config == shared
    assert made["specdec_pp-learned"].config == {**shared, **LEARNED["specdec_pp"]}
    assert EntropyConfig.from_dict(made["calibrated-online"].config).online
    learned = {name for name, info in made.items() if info.learned}
    assert learned == set(made) - {"plain", "fixed-4", "fixed-8", *RIVALS}
    assert all(info.lossless for info in made.values())


def test_own_conditions_stand_beside_known_ones() -> None:
    own = {"strategy": "svip", "svip_h": 0.7}
    config = replace(CONFIG, conditions={"mine": own, "quick": {}, "absolute-default": {}})
    made = made_conditions(config, PROFILE)
    assert made["mine"].role == "rival"
    assert made["mine"].config == own
    assert made["absolute-default"].config == {"strategy": "absolute"}
    assert not made["absolute-default"].learned
    assert {"plain", "fixed-4", "calibrated"} <= set(made)


def test_every_ablation_varies_one_setting() -> None:
    config = replace(CONFIG, conditions=["plain"], ablations=tuple(ABLATIONS))
    made = made_conditions(config, PROFILE)
    assert {info.group for info in made.values()} == {"", *ABLATIONS} - {"temperature"}
    for name, info in made.items():
        if name == "plain":
            continue
        strategy, _, rest = name.partition("/")
        setting, _, value = rest.partition("=")
        base = {"strategy": strategy, **LEARNED[strategy]}
        before = EntropyConfig.from_dict(base).resolved()
        changed = EntropyConfig.from_dict(info.config).resolved()
        differing = {key for key in changed if changed[key] != before.get(key)}
        # Rényi's and top-k entropy have a parameter of their own.
        assert differing - {"renyi_order", "entropy_top_k"} == {setting}
        assert str(changed[setting]) == value
        assert (info.role, info.learned) == ("ablation", True)
    assert "absolute/theta_abs=0.6" in made
    assert "relative/theta_rel=1.01" in made
    assert "absolute/stop_placement=before" in made
    assert "absolute/stop_placement=after" not in made
    assert "absolute/max_draft_len=4" not in made


def test_another_entropy_is_given_another_threshold() -> None:
    config = replace(CONFIG, conditions=["plain"], ablations=("entropy_type",))
    asked = []

    def relearn(settings: Any, name: str) -> float:
        asked.append((settings["strategy"], settings["entropy_type"], name))
        return 1.25

    made = made_conditions(config, PROFILE, relearn)
    assert made["absolute/entropy_type=renyi"].config["theta_abs"] == 1.25
    assert made["relative/entropy_type=topk"].config["theta_rel"] == 1.25
    assert ("relative", "topk", "theta_rel") in asked


def test_what_was_not_learned_is_refused() -> None:
    with pytest.raises(ConfigError, match="a profile must be one with learned settings"):
        made_conditions(CONFIG, None)
    before = {key: val for key, val in PROFILE.learned["strategies"].items() if key != "specdec_pp"}
    older = replace(PROFILE, learned={"strategies": before})
    config = replace(CONFIG, conditions=["specdec_pp-learned"])
    with pytest.raises(ConfigError, match="learned settings of 'specdec_pp'"):
        made_conditions(config, older)
    config = replace(CONFIG, conditions=["specdec_pp"])
    assert not made_conditions(config, older)["specdec_pp"].learned
    with pytest.raises(ConfigError, match="calibration must be given with strategy 'specdec_pp'"):
        made_conditions(config, Profile(config={"strategy": "absolute"}))
    with pytest.raises(ConfigError, match="num_calibration_samples must be at least 1"):
        replace(config, num_calibration_samples=0)
    config = replace(CONFIG, conditions=["calibrated"])
    with pytest.raises(ConfigError, match="learned settings of 'calibrated'"):
        made_conditions(config, Profile(config={"strategy": "absolute"}))


def test_screened_settings_are_an_ablation() -> None:
    name, info = screened("svip", 2, {"strategy": "svip", "svip_h": 0.4})
    assert (name, info.role, info.group) == ("svip/screened-2", "ablation", "screening")


def test_plan_counts_what_is_made() -> None:
    config = replace(CONFIG, conditions="quick", ablations=("window",))
    counted = condition_names(config)
    assert counted.pop("window/window_size") == 5
    assert list(counted) == list(recipes(config))
