"""The benchmark that holds replays against live decoding: it finds equality, and it can fail."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks import replay_equality
from benchmarks.replay_equality import compare_rounds, conditions_of
from smart_speed.config import EntropyConfig
from smart_speed.profiles import Profile
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.replay import replay
from smart_speed.tracing.rounds import ReplayedRound
from tests.calibrations import CALIBRATION
from tests.unit.traced import drafter_of, verifier_of

PROFILE = Profile(
    config={"strategy": "calibrated", "max_draft_len": 8, "calibration": CALIBRATION.to_json()},
    learned={"strategies": {"absolute": {"settings": {"strategy": "absolute", "theta_abs": 2.0}}}},
)


def compared() -> dict[str, dict[str, Any]]:
    rows = compare_rounds(
        verifier_of(0), drafter_of("model", 0), [0, 1, 2], conditions_of(PROFILE), 40
    )
    return {row["condition"]: row for row in rows}


def test_conditions_are_all_strategies_and_what_was_learned() -> None:
    configs = conditions_of(PROFILE)
    assert configs["absolute learned"].theta_abs == 2.0
    assert configs["absolute"].theta_abs is None
    assert configs["calibrated online"].online is True
    assert configs["calibrated"].online is None
    assert configs["specdec_pp"].calibration == CALIBRATION
    assert not {"calibrated", "specdec_pp"} & set(conditions_of(None))


def test_toys_play_the_rounds_of_the_replay() -> None:
    rows = compared()
    assert set(rows) == set(conditions_of(PROFILE))
    assert {row["num_different"] for row in rows.values()} == {0}
    assert all(row["largest_entropy_gap"] == 0 for row in rows.values())
    assert not any("divergence" in row for row in rows.values())
    assert rows["plain"]["num_rounds"] == 40


def test_a_round_that_differs_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def another(prepared: PreparedTrace, config: EntropyConfig) -> list[ReplayedRound]:
        rounds = replay(prepared, config)
        return [rounds[0]._replace(stop_reason="else"), *rounds[1:]]

    monkeypatch.setattr(replay_equality, "replay", another)
    row = compared()["svip"]
    assert row["num_different"] == 1
    assert row["first_different"]["replayed"]["stop_reason"] == "else"
    assert row["first_different"]["live"]["context_len"] == 3


def test_texts_that_part_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    record = TraceRecorder.record

    def other_text(self: Any, *args: Any, **settings: Any) -> Any:
        (trace,) = record(self, *args, **settings)
        tokens = trace.tokens.copy()
        tokens[-1] = (tokens[-1] + 1) % 11
        return [replace(trace, tokens=tokens)]

    monkeypatch.setattr(TraceRecorder, "record", other_text)
    row = compared()["plain"]
    assert row["num_rounds"] == 39
    assert row["divergence"]["position"] == 39
    assert not row["divergence"]["near_tie"]
