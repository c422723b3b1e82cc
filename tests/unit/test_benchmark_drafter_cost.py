"""The sweep over drafter costs: one thing is changed, nothing pays where nothing can, and so on."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks.drafter_cost import (
    RULES,
    Known,
    Played,
    at_cost,
    at_length,
    costs_at,
    evenly,
    main,
    measured_share,
    rule_config,
)
from benchmarks.drafter_cost_report import findings, side
from smart_speed.calibration.fitting import fit_acceptance
from smart_speed.calibration.samples import all_samples
from smart_speed.calibration.search import GRIDS
from smart_speed.errors import ConfigError
from smart_speed.profiles import Profile
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.trace_files import TraceFolder, TraceManifest
from tests.calibrations import CALIBRATION
from tests.unit.traced import PROMPTS, costs_of, trace_of

LONGEST = 2
COSTS = replace(costs_of(0.2, widest=LONGEST + 1), drafter_context_s=0.001, context_len=10)
PROFILE = Profile(
    config={"strategy": "calibrated", "calibration": CALIBRATION.to_json()},
    verifier={"name": "toy", "id": "1"},
    drafter={"name": "model", "id": "2"},
    engine="toy",
    learned={"measured": {"costs": COSTS.to_json()}},
)


@pytest.fixture(autouse=True)
def _few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, own in {"absolute": "theta_abs", "relative": "theta_rel"}.items():
        few = {own: (1.2, 1.6), "max_draft_len": (LONGEST,), "stop_placement": ("before",)}
        monkeypatch.setitem(cast("dict[str, Any]", GRIDS), name, few)


def texts_of(seed: int, num_tokens: int = 24) -> list[PreparedTrace]:
    return [
        PreparedTrace(trace_of("model", seed, prompt, max_new_tokens=num_tokens, longest=LONGEST))
        for prompt in PROMPTS[:2]
    ]


@cache
def known() -> Known:
    texts = texts_of(0, 64)
    return Known(texts, fit_acceptance(all_samples(texts), num_classes=4), PROFILE, LONGEST)


def test_only_the_drafters_own_passes_get_dearer() -> None:
    assert costs_at(COSTS, measured_share(COSTS)) == COSTS
    twice = costs_at(COSTS, 2 * measured_share(COSTS))
    names = ("drafter_step_s", "first_step_extra_s", "drafter_context_s")
    assert twice == replace(COSTS, **{name: 2 * getattr(COSTS, name) for name in names})
    assert measured_share(costs_at(COSTS, 0.3)) == pytest.approx(0.3)


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"c must be a positive share"):
        costs_at(COSTS, 0.0)
    with pytest.raises(ConfigError, match=r"drafter_step_s must be above 0"):
        costs_at(CostModel(drafter_step_s=0.0, verifier_pass_s={1: 1.0}), 0.1)


def test_calibrated_drafts_where_it_pays_and_is_plain_decoding_where_nothing_does() -> None:
    """Catches: costs that are judged but not learned on, or the other way round."""
    played = Played(texts_of(1))
    cheap, dear = (at_cost(known(), played, costs_at(COSTS, share)) for share in (0.01, 4.0))
    assert not cheap["plain_is_best"]
    assert dear["plain_is_best"]
    assert cheap["policies"]["calibrated"]["speed"]["value"] > 1.2
    assert cheap["oracle"]["speed"]["value"] > cheap["policies"]["calibrated"]["speed"]["value"]
    assert set(dear["policies"]["plain"]["calibrated_over_it"]["mean_of_tasks"].values()) == {1.0}
    assert dear["policies"]["calibrated"]["mean_draft_len"] == 0
    for name in ("fixed tuned", "absolute learned", "llama.cpp 3"):
        slower = dear["policies"][name]
        assert slower["speed"]["value"] < 0.7
        assert slower["calibrated_over_it"]["mean_of_tasks"]["low"] > 1


def test_caps_bound_every_draft() -> None:
    rows = [at_length(known(), Played(texts_of(1)), costs_at(COSTS, 0.01), cap) for cap in (1, 2)]
    for name, each in rows[0]["policies"].items():
        assert 0 < each["mean_draft_len"] <= 1
        assert rows[1]["policies"][name]["mean_draft_len"] >= each["mean_draft_len"]
    assert rows[1]["policies"]["fixed"]["mean_draft_len"] > 1


@pytest.mark.parametrize("name", RULES)
def test_other_rules_reach_as_far_as_the_traces_and_no_farther(name: str) -> None:
    config = rule_config(RULES[name], known())
    assert config.draft_cap == LONGEST
    assert (config.strategy == "specdec_pp") == (config.calibration is not None)


def test_texts_are_taken_evenly_of_each_task() -> None:
    texts = [
        PreparedTrace(replace(trace_of("model", 0, (2,)), prompt_id=f"{task}{number}", task=task))
        for number in range(6)
        for task in ("a", "b")
        if task == "a" or number < 2
    ]
    ids = [each.trace.prompt_id for each in evenly(texts, 3)]
    assert ids == ["a0", "a2", "a4", "b0", "b1"]
    assert evenly(texts, None) == texts
    with pytest.raises(ConfigError, match="per_task must be at least 1"):
        evenly(texts, 0)


def figure(value: float, reach: float) -> dict[str, float]:
    return {"value": value, "low": value - reach, "high": value + reach}


def test_who_is_beaten_is_read_from_intervals() -> None:
    assert side({"value": None, "low": None, "high": None}) == "even"
    rows: list[dict[str, Any]] = [
        {
            "c": c,
            "plain_is_best": c > 0.3,
            "policies": {
                name: {
                    "speed": figure(1.0, 0.0),
                    "mean_draft_len": 0.0,
                    "calibrated_over_it": {
                        "mean_of_tasks": figure(mean, 0.1),
                        "by_task": {"a": figure(mean + 0.3, 0.1), "b": figure(mean - 0.3, 0.1)},
                    },
                }
                for name in ("calibrated", "plain", "fixed tuned", "svip")
            },
        }
        for c, mean in ((0.1, 0.8), (0.2, 1.05), (0.4, 1.5))
    ]
    found = findings({"by_cost": rows})
    assert found["against_calibrated"]["svip"] == {
        "beaten": [0.4],
        "even": [0.2],
        "ahead": [0.1],
        "ahead_on": {"0.1": ["b"], "0.2": ["b"]},
    }
    (nothing_pays,) = found["where_plain_is_best"]
    assert nothing_pays["c"] == 0.4
    assert nothing_pays["slowest_task"]["value"] == pytest.approx(1.2)


def folder_of(path: Path, texts: list[PreparedTrace]) -> None:
    manifest = TraceManifest(
        models={"verifier": "toy", "drafters": ["model"]},
        engine="toy",
        settings={"max_draft_len": LONGEST},
        prompt_ids=tuple(each.trace.prompt_id for each in texts),
        prompts_sha256="",
    )
    folder = TraceFolder(path, manifest)
    folder.open()
    for each in texts:
        folder.write([each.trace])
    folder.finish()


def test_it_goes_on_where_it_was_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("matplotlib")
    PROFILE.write(tmp_path / "cal/profile.json")
    folder_of(tmp_path / "cal/traces", list(known().texts))
    folder_of(tmp_path / "test", texts_of(1))
    words = ["--calibration", tmp_path / "cal", "--test", tmp_path / "test", "--c", "0.2"]
    words += ["--work", tmp_path / "work", "--out", tmp_path / "out/sweep.json"]
    argv = [str(each) for each in words]
    main(argv)
    document = json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))
    assert [row["c"] for row in document["by_cost"]] == [0.2]
    assert [row["max_draft_len"] for row in document["by_length"]] == [1, 2]
    assert (tmp_path / "out/sweep.svg").read_text("utf-8").count("llama.cpp confident") == 1
    monkeypatch.setattr("benchmarks.drafter_cost.at_length", None)
    monkeypatch.setattr("benchmarks.drafter_cost.at_cost", None)
    main(argv)
    assert json.loads((tmp_path / "out/sweep.json").read_text("utf-8")) == document
    with pytest.raises(SystemExit, match="2"):
        main([*argv, "--per-task", "1"])
    assert "must have been made with these settings" in capsys.readouterr().err


def test_a_calibration_that_is_none_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Profile(config={"strategy": "absolute"}).write(tmp_path / "profile.json")
    with pytest.raises(SystemExit, match="2"):
        main(["--calibration", str(tmp_path), "--test", str(tmp_path)])
    said = capsys.readouterr().err
    assert "must be a profile that `smart-speed calibrate` made" in " ".join(said.split())
