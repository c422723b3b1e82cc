"""Experiments that come with the package, by name."""

from collections.abc import Mapping
from typing import Any

from smart_speed.errors import unknown_name

BUILTINS: Mapping[str, Mapping[str, Any]] = {
    "quick": {
        "experiment_name": "quick",
        "num_samples": 18,
        "num_calibration_samples": 12,
        "max_new_tokens": 48,
        "baseline_k_values": [4, 8],
        "conditions": "quick",
        "trace_draft_len": 10,
        "cost_resolution": 0.08,
        "cost_seconds": 40.0,
    },
    "standard": {"experiment_name": "standard", "num_samples": 40},
}
"""Settings of ``ExperimentConfig``: the embedded pair on the built-in prompts, in minutes and in
about an hour."""


def builtin_settings(name: str) -> dict[str, Any]:
    """Return the settings of an experiment by name.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in BUILTINS:
        raise unknown_name("experiment", name, BUILTINS)
    return dict(BUILTINS[name])
