"""Settings of an experiment: checked at construction, from TOML, from the command line."""

from pathlib import Path
from typing import Any

import pytest

from smart_speed.errors import ConfigError
from smart_speed.running.builtin import BUILTINS, builtin_settings
from smart_speed.running.settings import ExperimentConfig, as_json, read_toml, with_changes

OTHERS: dict[str, Any] = {
    "drafter_model_path": "nano",
    "verifier_model_path": "big.gguf",
    "dataset_name": ("gsm8k", "mbpp"),
    "dataset_split": "train",
    "num_samples": 7,
    "max_sequence_length": 300,
    "max_new_tokens": 20,
    "experiment_name": "mine",
    "output_dir": "somewhere",
    "baseline_k_values": (2, 3),
    "conditions": ("plain", "svip"),
    "ablations": ("window",),
    "confirm_live": 2,
    "calibration_dataset_name": "gsm8k:train",
    "num_calibration_samples": 9,
    "trace_draft_len": 12,
    "cost_resolution": 0.1,
    "cost_seconds": 9.0,
    "profile": "profile.json",
    "temperature": 0.5,
    "sampling": {"top_p": 0.9},
    "seed": 3,
    "repeats": 2,
    "chat_template": "never",
    "engine": "hf",
    "device": "cpu",
    "dtype": "bfloat16",
    "quantize": "none",
    "threads": 1,
    "executor": "ray",
    "num_workers": 2,
    "time_budget_s": 60.0,
}


def test_every_setting_comes_back_from_json() -> None:
    made = ExperimentConfig(**OTHERS)
    unchanged = [
        name for name, value in OTHERS.items() if value == getattr(ExperimentConfig(), name)
    ]
    assert unchanged == []
    assert set(made.to_json()) == set(OTHERS)
    assert ExperimentConfig.from_dict(made.to_json()) == made
    assert made.to_json() == as_json(made.to_json())


def test_quick_start_of_the_issue() -> None:
    config = ExperimentConfig(
        drafter_model_path="path/to/small-model", verifier_model_path="path/to/large-model",
        dataset_name="wikitext", dataset_split="test", num_samples=1000, max_sequence_length=512,
        experiment_name="entropy_exp_v1", output_dir="./results/entropy_exp_v1",
    )  # fmt: skip
    assert config.folder == Path("results/entropy_exp_v1")
    assert config.datasets == ("wikitext",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"max_new_tokens": 510}, "max_sequence_length must be at least 8 above"),
        ({"baseline_k_values": [4, 0]}, "baseline_k_values must be at least 1 each"),
        ({"cost_resolution": 1.5}, "between 0 and 1"),
        ({"time_budget_s": -1.0}, "time_budget_s must be a positive number of seconds, or 0"),
        ({"cost_seconds": 0.0}, "cost_seconds must be a positive number of seconds"),
        ({"executor": "rey"}, r"Did you mean 'ray'\?"),
        ({"num_workers": 2}, "num_workers must be left out unless executor"),
        ({"engine": "lama_cpp"}, r"Did you mean 'llama_cpp'\?"),
        ({"sampling": {"topp": 1}}, r"Did you mean 'top_p'\?"),
        ({"sampling": {"top_p": 0.9}}, "top_p must be left out at temperature 0"),
        ({"conditions": "quik"}, r"Unknown condition 'quik'. Did you mean 'quick'\?"),
        ({"conditions": {"mine": {"theta": 1.0}}}, "Unknown setting 'theta'"),
        ({"conditions": {"quick": {"theta_abs": 1.0}}}, "conditions.quick must be an empty table"),
        ({"conditions": {"mine": 3}}, "conditions.mine must be a table, got 3"),
        ({"sampling": {"top_p": "x"}, "temperature": 1.0}, "sampling.top_p must be a number, got"),
        ({"conditions": {"plain": {"strategy": "svip"}}}, "conditions.plain must be plain decod"),
        ({"profile": "p.json", "ablations": ["temperature"]}, "'temperature' must be left out"),
        ({"ablations": ["windows"]}, r"Did you mean 'window'\?"),
        ({"num_calibration_samples": 0}, "num_calibration_samples must be at least 1, or a prof"),
        ({"num_sample": 3}, r"Unknown setting of an experiment 'num_sample'. Did you mean 'num_s"),
        ({"num_samples": "3"}, "num_samples must be a whole number, got '3'"),
        ({"num_samples": True}, "num_samples must be a whole number, got True"),
        ({"baseline_k_values": [4, "6"]}, "baseline_k_values must be a list"),
        ({"dataset_name": 3}, "dataset_name must be a word or a list"),
        ({"dataset_name": []}, "dataset_name must be at least one name"),
        (
            {"temperature": 1.0, "conditions": {"x": {"verification": "greedy"}}},
            "verification must be",
        ),
    ],
)  # fmt: skip
def test_bad_settings_are_one_sentence(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        ExperimentConfig.from_dict(settings)
    assert "\n" not in str(refusal.value)


def test_toml_and_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('num_samples = 3\n[conditions.mine]\nstrategy = "absolute"\ntheta_abs = 1.5\n')
    changes = [
        "num_samples=5",
        "baseline_k_values=2, 3",
        "temperature=1",
        "sampling.top_p=0.9",
        "conditions.mine.theta_abs=2.5",
        "conditions.plain.strategy=plain",
        "dataset_name=a.jsonl,b.jsonl",
        "dtype=none",
        "profile=a=b.json",
    ]
    config = ExperimentConfig.from_dict(with_changes(read_toml(path), changes))
    assert (config.num_samples, config.baseline_k_values, config.temperature) == (5, (2, 3), 1)
    assert config.sampling == {"top_p": 0.9}
    assert config.conditions == {
        "mine": {"strategy": "absolute", "theta_abs": 2.5},
        "plain": {"strategy": "plain"},
    }
    assert (config.dataset_name, config.dtype) == (("a.jsonl", "b.jsonl"), None)
    assert config.profile == "a=b.json"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, ["standard"]),
        ({"conditions": "quick"}, ["quick"]),
        ({"conditions": ["plain", "mine"]}, ["plain"]),
    ],
)
def test_changing_one_condition_keeps_those_that_are_named(
    given: dict[str, Any], kept: list[str]
) -> None:
    changes = ["conditions.mine.strategy=svip", "conditions.mine.svip_h=0.5"]
    config = ExperimentConfig.from_dict(with_changes(given, changes))
    mine = {"strategy": "svip", "svip_h": 0.5}
    assert config.conditions == {**{name: {} for name in kept}, "mine": mine}
    alone = with_changes(given, ["conditions=plain", *changes])
    assert alone["conditions"] == {"plain": {}, "mine": mine}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("num_samples", "--set must be of the form key=value"),
        ("num_smples=3", r"Did you mean 'num_samples'\?"),
        ("num_samples=many", "num_samples must be a whole number, got 'many'"),
        ("baseline_k_values=4,x", "baseline_k_values must be a whole number, got 'x'"),
        ("conditions.mine.strategy.x=1", "strategy must be a table, for a setting inside"),
        ("dataset_name.x=1", "dataset_name must be a table, for a setting inside of it to be set"),
    ],
)
def test_bad_changes_are_refused(change: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        with_changes({"conditions": {"mine": {"strategy": "svip"}}, "dataset_name": "a"}, [change])


def test_unreadable_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("num_samples = ")
    for name in ("bad.toml", "none.toml"):
        with pytest.raises(ConfigError, match="An experiment must be a readable TOML file"):
            read_toml(tmp_path / name)


def test_builtin_experiments_are_sound() -> None:
    for name in BUILTINS:
        ExperimentConfig.from_dict(builtin_settings(name))
    with pytest.raises(ConfigError, match=r"Did you mean 'quick'\?"):
        builtin_settings("quik")


@pytest.mark.parametrize(
    ("settings", "budget_s"),
    [
        ({}, 900.0),
        ({"verifier_model_path": "toy"}, None),
        ({"time_budget_s": 0.0}, None),
        ({"time_budget_s": 60.0, "verifier_model_path": "toy"}, 60.0),
    ],
)
def test_only_the_embedded_verifier_has_a_limit_of_its_own(
    settings: dict[str, Any], budget_s: float | None
) -> None:
    assert ExperimentConfig.from_dict(settings).budget_s == budget_s
