"""How many times faster one condition is than another, paired by prompt."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from smart_speed.metrics.intervals import Interval, bootstrap_mean
from smart_speed.metrics.rates import Records, answered
from smart_speed.records import SequenceRecord
from smart_speed.run_folder import Answer

Answers = Sequence[Answer]


def speedup(records: Records, baseline: Records, *, resamples: int = 2000) -> Interval:
    """Tokens per second over the baseline's, paired by prompt and seed.

    The interval is a bootstrap over prompts (percentiles), because rounds of one text resemble
    each other. With fewer than two prompts it is NaN.

    Args:
        records: One condition.
        baseline: Another one; prompts that either lacks are left out.
        resamples: Bootstrap samples, drawn with a fixed seed.
    """
    return mean_speedup([(records, baseline)], resamples=resamples)


def mean_speedup(groups: Sequence[tuple[Records, Records]], *, resamples: int = 2000) -> Interval:
    """Return the mean of several groups' speed-ups, such as those of tasks; each counts the same.

    Args:
        groups: For each, the records of one condition and its baseline's.
        resamples: Bootstrap samples of the prompts of each group, drawn with a fixed seed.
    """
    tables = [_paired(_of_records(ours), _of_records(theirs)) for ours, theirs in groups]
    return bootstrap_mean(tables, times_faster, resamples)


def answers_speedup(answers: Answers, baseline: Answers, *, resamples: int = 2000) -> Interval:
    """Return the same for answers of a run; all turns of a prompt are drawn together.

    Args:
        answers: Of one condition, without repeats (``usual_answers``).
        baseline: Of another one; turns that either lacks are left out.
        resamples: Bootstrap samples, drawn with a fixed seed.
    """
    return mean_answers_speedup([(answers, baseline)], resamples=resamples)


def mean_answers_speedup(
    groups: Sequence[tuple[Answers, Answers]], *, resamples: int = 2000
) -> Interval:
    """Return the mean of several groups' speed-ups, such as those of tasks; each counts the same.

    Args:
        groups: For each, the answers of one condition and its baseline's.
        resamples: Bootstrap samples of the prompts of each group, drawn with a fixed seed.
    """
    tables = [paired_answers(ours, theirs) for ours, theirs in groups]
    return bootstrap_mean(tables, times_faster, resamples)


def paired_answers(answers: Answers, baseline: Answers) -> np.ndarray:
    """Return a row for each prompt that both have answered, turns added up.

    Its columns are tokens and seconds of the one, then of the other.

    Args:
        answers: Of one condition, without repeats.
        baseline: Of another one; turns that either lacks are left out.
    """
    return _paired(_of_answers(answers), _of_answers(baseline))


def times_faster(sums: np.ndarray) -> np.ndarray:
    """Return tokens per second over the other's, of sums over such rows."""
    # Products first: one quotient rounds once.
    quotient: np.ndarray = sums[..., 0] * sums[..., 3] / (sums[..., 1] * sums[..., 2])
    return quotient


class _Part(NamedTuple):
    """What is paired with its like in the other condition."""

    prompt: Hashable
    """Whose parts are drawn together."""
    number: int


_Parts = Mapping[_Part, SequenceRecord]


def _of_records(records: Records) -> _Parts:
    return {_Part((each.prompt_id, each.seed), 0): each for each in answered(records)}


def _of_answers(answers: Answers) -> _Parts:
    return {
        _Part(each.prompt_id, each.turn): each.record
        for each in answers
        if each.record.status == "ok"
    }


def _paired(ours: _Parts, theirs: _Parts) -> np.ndarray:
    """Return a row of tokens and seconds, twice, for each prompt that both have answered."""
    rows: dict[Hashable, np.ndarray] = {}
    for part, mine in ours.items():
        if (other := theirs.get(part)) is not None:
            row = np.array([mine.output_len, mine.decode_s, other.output_len, other.decode_s])
            rows[part.prompt] = rows.get(part.prompt, 0) + row
    return np.array(list(rows.values()), dtype=np.float64).reshape(-1, 4)
