"""The loosest setting that calibration says keeps a bound; exact decoding where none does."""

from typing import Any

import pytest

from smart_speed.calibration.leniency import LENIENT, lenient_conditions, loosest_settings
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.profiles import Profile


def measured(speed: float | None, low: float, high: float | None, **settings: Any) -> Any:
    return {
        "settings": settings,
        "speedup_over_exact": {"value": speed, "low": None, "high": None},
        "divergence": {"value": low, "low": low, "high": high},
    }


PROFILE = Profile(
    config={"strategy": "fixed", "max_draft_len": 4},
    learned={
        "leniency": {
            "num_prompts": 9,
            "settings": {
                "strict": measured(1.05, 0.001, 0.004, lenience=0.6),
                "loose": measured(1.2, 0.004, 0.019, lenience=0.3),
                "looser": measured(1.4, 0.03, 0.06, lenience=0.1),
                "slow": measured(0.9, -0.01, 0.0, lenience=0.9),
                "unsure": measured(1.9, 0.0, None, lenience=0.2),
                "unknown": measured(None, 0.0, 0.0, lenience=0.4),
            },
        }
    },
)


@pytest.mark.parametrize(
    ("bound", "lenience"),
    [(100.0, 0.1), (6.0, 0.1), (5.99, 0.3), (1.9, 0.3), (1.0, 0.6), (0.39, None), (0.0, None)],
)
def test_fastest_setting_whose_upper_bound_keeps_it(bound: float, lenience: float | None) -> None:
    found = loosest_settings(PROFILE, bound)
    expected = None if lenience is None else {**PROFILE.config, "lenience": lenience}
    assert found == expected


def test_what_cannot_be_answered_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_divergence must be at least 0 per cent, got -1\.0"):
        loosest_settings(PROFILE, -1.0)
    with pytest.raises(ConfigError, match="calibrate --fidelity` made"):
        loosest_settings(Profile(config=PROFILE.config), 1.0)


def test_every_setting_that_is_tried_is_a_rule_and_lossy() -> None:
    conditions = lenient_conditions(PROFILE)
    assert len(conditions) == 1 + len(LENIENT)
    assert [name for name, info in conditions.items() if info.lossless] == ["exact"]
    for greedy in (True, False):
        for info in conditions.values():
            rule = EntropyConfig.from_dict(info.config).build_rule(greedy=greedy)
            assert rule.lossless == info.lossless
