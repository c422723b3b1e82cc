"""Experiments on the toy engine: letters, a moment long."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.experiment import ExperimentConfig, ExperimentRunner
from smart_speed.profiles import Profile
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.measured_costs import Figure, MeasuredCosts
from smart_speed.tracing.prepared import PreparedTrace
from tests.calibrations import CALIBRATION
from tests.unit.traced import costs_of

WORDS = ("the", "what", "stays", "both", "guesses")
MORE = ("reads", "writes", "stands", "goes")

LEARNED: dict[str, dict[str, Any]] = {
    "fixed": {"max_draft_len": 3},
    "absolute": {"theta_abs": 0.8, "max_draft_len": 4, "stop_placement": "after"},
    "relative": {"theta_rel": 1.4, "max_draft_len": 4},
    "window": {"theta_abs": 0.6, "window_size": 2, "max_draft_len": 4},
    "combined": {"theta_abs": 0.6, "theta_rel": 2.5, "max_draft_len": 4},
    "adaptive": {"z": 0.3, "max_draft_len": 4},
    "confidence": {"theta_conf": 0.3, "max_draft_len": 4},
    "heuristic": {"start_len": 2, "max_draft_len": 4},
    "svip": {"svip_h": 0.2, "max_draft_len": 4},
    "adaedl": {"adaedl_gamma": 0.1, "max_draft_len": 4},
    "specdec_pp": {"specdec_h": 0.4, "max_draft_len": 4},
    "ema": {"ema_alpha": 0.1, "tiers": [1, 2], "max_draft_len": 2},
}
PROFILE = Profile(
    config={"strategy": "calibrated", "calibration": CALIBRATION.to_json(), "max_draft_len": 8},
    learned={
        "strategies": {
            name: {"settings": {"strategy": name, **settings}} for name, settings in LEARNED.items()
        }
    },
)
"""Every strategy with settings that are not its own."""


def toy_prompts(folder: Path) -> str:
    """Write twenty texts to go on with, one a line, and return the path."""
    path = folder / "texts.txt"
    path.write_text("\n".join(f"{word} {more} what the drafter" for word in WORDS for more in MORE))
    return str(path)


def toy_config(folder: Path, **settings: Any) -> ExperimentConfig:
    """Return a small experiment that learns nothing."""
    values: dict[str, Any] = {
        "engine": "toy",
        "dataset_name": toy_prompts(folder),
        "num_samples": 6,
        "max_sequence_length": 64,
        "max_new_tokens": 16,
        "num_calibration_samples": 0,
        "conditions": ("plain", "fixed-4", "absolute-default", "svip"),
        "output_dir": str(folder / "run"),
    }
    return ExperimentConfig(**(values | settings))


def quiet_runner(config: ExperimentConfig, **settings: Any) -> ExperimentRunner:
    """Return a runner that says nothing."""
    values: dict[str, Any] = {"progress": _ignore, "say": _ignore}
    return ExperimentRunner(config, **(values | settings))


def known_costs(
    verifier: LoadedModel, drafter: Drafter, prompts: Any, **settings: Any
) -> MeasuredCosts:
    """Stand in for a measurement."""
    return MeasuredCosts(
        costs=costs_of(widest=settings["max_draft_len"] + 1),
        figures={"drafter_step_s": Figure(0.2, 0.19, 0.21, 100)},
        spread=0.02,
        widest="drafter_step_s",
        num_rounds=100,
        seconds=1.0,
    )


def known_profile(
    texts: Sequence[PreparedTrace], costs: CostModel, made_for: Any, **settings: Any
) -> Profile:
    """Stand in for what is learned."""
    learned = {
        **PROFILE.learned,
        "measured": settings["measured"],
        "split": {
            "prompt_ids": [each.trace.prompt_id for each in texts],
            "text_hashes": list(settings["text_hashes"].values()),
        },
    }
    return replace(
        PROFILE,
        config={**PROFILE.config, "max_draft_len": 4},
        verifier=made_for.verifier,
        drafter=made_for.drafter,
        engine=made_for.engine,
        sampling=made_for.sampling,
        learned=learned,
    )


def _ignore(*_: object) -> None:
    pass
