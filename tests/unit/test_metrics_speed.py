"""Speed-ups: pairs, turns of a chat, and how often an interval holds what it promises."""

import math

import numpy as np
import pytest

from smart_speed.metrics.intervals import Interval
from smart_speed.metrics.speed import (
    answers_speedup,
    mean_answers_speedup,
    mean_speedup,
    speedup,
)
from smart_speed.records import SequenceRecord
from tests.unit.answered import answer, record

NUM_SETS = 300
NUM_PROMPTS = 40


def timed(seconds: list[float], lens: list[int]) -> list[SequenceRecord]:
    return [
        record(prompt_id=str(at), decode_s=each, output_len=length)
        for at, (each, length) in enumerate(zip(seconds, lens, strict=True))
    ]


def simulated(generator: np.random.Generator, factor: float) -> Interval:
    """Prompts of unlike lengths; gains differ from prompt to prompt, and clocks are noisy."""
    lens = generator.integers(20, 200, size=NUM_PROMPTS)
    speed = lens / 50 * generator.lognormal(sigma=0.05, size=NUM_PROMPTS)
    gains = generator.lognormal(sigma=0.15, size=NUM_PROMPTS)
    ours = speed * gains / np.exp(0.15**2 / 2) / factor
    return speedup(
        timed(ours.tolist(), lens.tolist()), timed(speed.tolist(), lens.tolist()), resamples=400
    )


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_interval_covers_a_planted_speedup_as_often_as_it_says(
    generator: np.random.Generator, factor: float
) -> None:
    found = [simulated(generator, factor) for _ in range(NUM_SETS)]
    covered = sum(each.low <= factor <= each.high for each in found) / NUM_SETS
    assert 0.9 <= covered <= 0.98
    above_one = sum(each.low > 1 for each in found) / NUM_SETS
    if factor == 1.0:
        assert above_one <= 0.05  # a planted zero is not found
    else:
        assert above_one >= 0.9  # ten per cent are


def test_what_only_one_has_answered_is_left_out() -> None:
    ours = [*timed([1.0, 1.0], [10, 10]), record(prompt_id="2", error="no")]
    theirs = timed([2.0, 2.0, 100.0], [10, 10, 10])
    assert speedup(ours, theirs) == Interval(2.0, 2.0, 2.0)
    assert speedup(theirs, ours) == Interval(0.5, 0.5, 0.5)
    assert all(map(math.isnan, speedup(ours, [])))


def test_longer_answers_are_no_gain() -> None:
    """Twice the tokens in twice the time is the same speed."""
    found = speedup(timed([2.0, 4.0], [20, 40]), timed([1.0, 2.0], [10, 20]))
    assert found == Interval(1.0, 1.0, 1.0)


def test_turns_of_a_prompt_are_drawn_together() -> None:
    """Gains of 4 and 4/7 in each chat: drawn apart, turns would have shown a spread."""
    seconds = {"ours": (1.0, 7.0), "theirs": (4.0, 4.0)}
    chats = {
        name: [
            answer(prompt_id=prompt, turn=turn, decode_s=each, output_len=10)
            for prompt in "abc"
            for turn, each in enumerate(pair)
        ]
        for name, pair in seconds.items()
    }
    assert answers_speedup(chats["ours"], chats["theirs"]) == Interval(1.0, 1.0, 1.0)
    apart = speedup(
        [each.record for each in chats["ours"]], [each.record for each in chats["theirs"]]
    )
    assert apart.low < 0.8 < 1.3 < apart.high


def test_mean_of_tasks_is_that_of_records_where_there_are_no_turns() -> None:
    groups, records = [], []
    for task, factor in (("code", 2.0), ("math", 1.0)):
        pair = tuple(
            [
                answer(prompt_id=f"{task}/{at}", task=task, decode_s=each + at, output_len=10)
                for at in range(4)
            ]
            for each in (1.0, factor)
        )
        groups.append((pair[0], pair[1]))
        records.append(tuple([each.record for each in part] for part in pair))
    assert mean_answers_speedup(groups) == mean_speedup([(one, two) for one, two in records])
