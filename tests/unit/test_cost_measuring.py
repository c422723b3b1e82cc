"""What costs are measured to be, on a machine whose costs are known."""

from typing import Any

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError, MeasurementError
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.tracing.context_costs import UNKNOWN, measure_context_costs
from smart_speed.tracing.cost_measuring import measure_costs
from smart_speed.tracing.measured_costs import MeasuredCosts, RoughCostsError
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.replay import replay
from tests.calibrations import CALIBRATION
from tests.unit.simulated_machine import (
    PASS_CONTEXT_S,
    PASS_S,
    STEP_CONTEXT_S,
    STEP_S,
    Machine,
    timed_pair,
)
from tests.unit.traced import drafter_of, verifier_of

PROMPTS = [[2], [0, 1, 2, 3, 4, 3] * 20]
LONGEST = 4


def measured(machine: Machine, **settings: Any) -> MeasuredCosts:
    verifier, drafter = timed_pair(machine)
    given: dict[str, Any] = {"max_draft_len": LONGEST, "most_s": 1e5, "clock": machine} | settings
    return measure_costs(verifier, drafter, PROMPTS, **given)


@pytest.mark.parametrize(
    ("machine", "within"),
    [
        (Machine(), 0.002),
        (Machine(noise=0.05), 0.03),
        (Machine(noise=0.05, interrupted=0.02), 0.04),
    ],
    ids=["quiet", "noisy", "interrupted"],
)
def test_costs_are_those_of_the_machine(machine: Machine, within: float) -> None:
    """Catches: means in place of midmeans, context counted twice, a first pass taken for a step."""
    found = measured(machine)
    costs = found.costs
    for width, seconds in PASS_S.items():
        for context_len in (20, 150):
            expected = seconds + PASS_CONTEXT_S[width] * context_len
            further = costs.pass_context_s(width) * (context_len - costs.context_len)
            assert costs.pass_s(width) + further == pytest.approx(expected, rel=within)
    step_s = STEP_S + STEP_CONTEXT_S * costs.context_len
    assert costs.drafter_step_s == pytest.approx(step_s, rel=2 * within)
    for width, slope_s in PASS_CONTEXT_S.items():
        assert costs.pass_context_s(width) == pytest.approx(slope_s, abs=2e-4)
    assert costs.drafter_context_s == pytest.approx(STEP_CONTEXT_S, abs=1e-4)
    assert costs.round_overhead_s < 1e-4
    assert found.spread < 0.1


def test_without_room_for_a_long_context_none_is_measured() -> None:
    machine = Machine()
    verifier, _ = timed_pair(machine)
    short = drafter_of("short", 1)
    found = measure_context_costs(verifier, short, [2] * 500, max_width=5, clock=machine)
    assert found == UNKNOWN


def test_of_a_long_prompt_the_beginning_is_the_short_context() -> None:
    machine = Machine()
    verifier, drafter = timed_pair(machine)
    found = measure_context_costs(verifier, drafter, [2] * 1500, max_width=5, clock=machine)
    for width, slope_s in PASS_CONTEXT_S.items():
        assert found.verifier_s[width].value == pytest.approx(slope_s, rel=0.01)
    assert found.drafter_s.value == pytest.approx(STEP_CONTEXT_S, rel=0.01)


def test_intervals_hold_the_truth() -> None:
    """Nineteen times of twenty, roughly: 6 machines, 5 widths."""
    inside = []
    for seed in range(6):
        found = measured(Machine(noise=0.05, seed=seed))
        for width, seconds in PASS_S.items():
            figure = found.figures[f"verifier_pass_s of {width}"]
            truth = seconds + PASS_CONTEXT_S[width] * found.costs.context_len
            inside.append(figure.low <= truth <= figure.high)
    assert sum(inside) >= 24


def test_measurement_goes_on_until_it_is_sure() -> None:
    quick = measured(Machine(noise=0.02))
    slow = measured(Machine(noise=0.1))
    assert slow.num_rounds > 2 * quick.num_rounds
    least = measured(Machine(), least_s=2000.0)
    assert least.seconds >= 2000


def test_what_cannot_be_told_is_refused() -> None:
    told = r"must be known to .* after 2\d\d s; measure on a"
    with pytest.raises(RoughCostsError, match=told) as caught:
        measured(Machine(noise=0.9), most_s=200.0, resolution=0.01)
    rough = caught.value.measured
    assert rough.spread > 0.01
    assert rough.seconds >= 200.0
    assert set(rough.costs.verifier_pass_s) == set(range(1, LONGEST + 2))
    with pytest.raises(MeasurementError, match="8 rounds or more of each draft length"):
        measured(Machine(), most_s=20.0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_draft_len": 0}, "max_draft_len must be at least 1, got 0."),
        ({"resolution": 1.0}, "resolution must be between 0 and 1, got 1.0."),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        measured(Machine(), **settings)
    assert str(caught.value) == sentence


def test_prompts_leave_room_for_every_length() -> None:
    verifier, drafter = verifier_of(1), drafter_of("short", 1)
    with pytest.raises(ConfigError, match="short enough for 14 more tokens in the drafter's"):
        measure_costs(verifier, drafter, [[2] * 10], max_draft_len=LONGEST)
    with pytest.raises(ConfigError, match="prompts must be at least one, got 0"):
        measure_costs(verifier, drafter, [], max_draft_len=LONGEST)


def test_asking_a_strategy_is_part_of_a_step() -> None:
    """Its own time is measured, and its wish is not heard."""
    config = EntropyConfig(strategy="calibrated", calibration=CALIBRATION)
    found = measured(Machine(), config=config)
    assert found.costs.strategy_step_s > 0
    assert found.costs.drafter_step_s == pytest.approx(
        STEP_S + STEP_CONTEXT_S * found.costs.context_len, rel=0.01
    )


@pytest.mark.parametrize("strategy", ["fixed", "absolute", "window"])
def test_predictions_from_measured_costs_are_what_decoding_takes(strategy: str) -> None:
    """From trace and measurement to seconds, none of which was measured on the policy itself."""
    machine = Machine()
    costs = measured(machine).costs
    recorder = TraceRecorder(verifier_of(1), {"model": drafter_of("model", 1)}, max_draft_len=4)
    (trace,) = recorder.record([2, 3], prompt_id="p", max_new_tokens=80)
    config = EntropyConfig(strategy=strategy, max_draft_len=LONGEST)
    verifier, drafter = timed_pair(machine)
    decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config, clock=machine)
    record = decoder.generate([2, 3], max_new_tokens=80).record
    predicted_s = costs.seconds(replay(PreparedTrace(trace), config))
    assert predicted_s == pytest.approx(record.decode_s, rel=0.01)


def test_findings_survive_json() -> None:
    found = measured(Machine(noise=0.02))
    assert MeasuredCosts.from_json(found.to_json()) == found
    document = found.to_json()
    document["figures"]["drafter_step_s"]["low"] = float("nan")
    with pytest.raises(ConfigError, match="finite numbers"):
        MeasuredCosts.from_json(document)
    with pytest.raises(ConfigError, match="made of numbers"):
        MeasuredCosts.from_json(found.to_json() | {"spread": "wide"})
    with pytest.raises(ConfigError, match="odd"):
        MeasuredCosts.from_json(found.to_json() | {"odd": 1})
