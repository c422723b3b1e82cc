"""Seconds by hand, widths between those measured, JSON, refusals."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smart_speed.errors import ConfigError
from smart_speed.tracing.costs import CostModel, read_costs
from smart_speed.tracing.rounds import ReplayedRound, RoundCounts

COSTS = CostModel(
    drafter_step_s=0.1,
    verifier_pass_s={1: 1.0, 3: 2.0, 4: 1.5, 8: 3.5},
    first_step_extra_s=0.05,
    round_overhead_s=0.01,
    token_overhead_s=0.002,
    strategy_step_s=0.003,
)


def turn(num_passes: int, draft_len: int, accepted_len: int) -> ReplayedRound:
    return ReplayedRound(7, num_passes, draft_len, accepted_len, accepted_len + 1, "absolute")


ROUNDS = [turn(3, 2, 1), turn(1, 0, 0), turn(0, 0, 0), turn(4, 4, 4)]


def test_rounds_take_what_their_parts_take() -> None:
    assert COSTS.round_s(0, 0) == pytest.approx(1.01)
    assert COSTS.round_s(3, 2) == pytest.approx(0.01 + 2.0 + 3 * 0.105 + 0.05)
    expected = (2.01 + 0.315 + 0.05) + (1.01 + 0.105 + 0.05) + 1.01 + (2.01 + 0.42 + 0.05)
    assert COSTS.seconds(ROUNDS) == pytest.approx(expected)
    assert COSTS.seconds([]) == 0


def test_longer_contexts_take_longer() -> None:
    further = dataclasses.replace(
        COSTS,
        context_len=5,
        verifier_context_s={1: 0.001, 5: 0.003},
        drafter_context_s=0.0002,
    )
    assert further.round_s(3, 2) == COSTS.round_s(3, 2)
    assert further.round_s(3, 2, 9) == pytest.approx(COSTS.round_s(3, 2) + 4 * (0.002 + 0.0006))
    assert further.round_s(0, 0, 4) == pytest.approx(COSTS.round_s(0, 0) - 0.001)
    assert further.pass_context_s(8) == 0.003
    mixed = [each._replace(context_len=3 * at) for at, each in enumerate(ROUNDS)]
    by_count = further.seconds_of(RoundCounts.of(mixed) + RoundCounts.of(ROUNDS))
    assert by_count.tolist() == pytest.approx([further.seconds([*mixed, *ROUNDS])])


@pytest.mark.parametrize(
    ("width", "seconds"),
    [(1, 1.0), (2, 1.5), (3, 2.0), (4, 1.5), (5, 2.0), (6, 2.5), (7, 3.0), (8, 3.5)],
)
def test_widths_between_lie_on_a_line(width: int, seconds: float) -> None:
    assert COSTS.pass_s(width) == pytest.approx(seconds)


@pytest.mark.parametrize("width", [0, 9])
def test_widths_beyond_those_measured_are_refused(width: int) -> None:
    with pytest.raises(ConfigError) as caught:
        COSTS.pass_s(width)
    sentence = f"width must be 1 to 8, the widest that was measured, got {width}."
    assert str(caught.value) == sentence
    assert COSTS.max_draft_len == 7


def test_counts_cost_what_their_rounds_cost() -> None:
    counts = RoundCounts.of(ROUNDS)
    assert counts.num_tokens.tolist() == [1 + 1 + 1 + 5 + 1]
    assert counts.num_passes.tolist() == [8]
    assert counts.num_drafting.tolist() == [3]
    assert counts.num_rounds.tolist() == [4]
    assert counts.by_draft_len.tolist() == [[2, 0, 1, 0, 1]]
    np.testing.assert_allclose(COSTS.seconds_of(counts), [COSTS.seconds(ROUNDS)])
    none = RoundCounts.of([])
    assert COSTS.seconds_of(none).tolist() == [0]


def test_counts_of_texts_add_up() -> None:
    short, long = RoundCounts.of(ROUNDS[:2]), RoundCounts.of(ROUNDS[2:])
    for total in (short + long, long + short):
        assert total.by_draft_len.tolist() == [[2, 0, 1, 0, 1]]
        np.testing.assert_allclose(COSTS.seconds_of(total), [COSTS.seconds(ROUNDS)])


def test_json_and_back(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(COSTS.to_json()), "utf-8")
    assert read_costs(path) == COSTS
    least = CostModel(drafter_step_s=0.0, verifier_pass_s={1: 1.0})
    assert CostModel.from_json(least.to_json()) == least
    assert (
        CostModel.from_json({"schema": 1, "drafter_step_s": 0, "verifier_pass_s": {"1": 1}})
        == least
    )


GOOD = COSTS.to_json()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 2}, "schema of a cost model must be 1, got 2."),
        ({"drafter_step": 1}, "Unknown cost 'drafter_step'. Did you mean 'drafter_step_s'?"),
        ({"drafter_step_s": -0.1}, "drafter_step_s must be a finite number, at least 0"),
        ({"token_overhead_s": math.nan}, "token_overhead_s must be a finite number, at least 0"),
        ({"drafter_step_s": "fast"}, "A cost model must hold numbers of seconds and no other"),
        ({"verifier_pass_s": 1.0}, "verifier_pass_s must be a JSON object, got 1.0."),
        ({"verifier_pass_s": {"2": 1.0}}, "verifier_pass_s must be known for width 1"),
        ({"verifier_pass_s": {"0": 1, "1": 1}}, "verifier_pass_s must be by widths from 1"),
        ({"verifier_pass_s": {"1": 0.0}}, "verifier_pass_s of 1 must be above 0, got 0.0."),
        ({"verifier_pass_s": {"wide": 1.0}}, "A cost model must hold numbers of seconds"),
    ],
)
def test_what_no_cost_can_be_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CostModel.from_json(GOOD | change)
    assert str(caught.value).startswith(sentence)


def test_a_cost_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="drafter_step_s"):
        CostModel.from_json({"schema": 1, "verifier_pass_s": {"1": 1.0}})


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_files_that_hold_no_costs_are_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match="A cost model must be a"):
        read_costs(path)
