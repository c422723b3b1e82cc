"""What a lossy condition's texts are worth beside exact ones: how far off, how good, how soon.

All figures are paired by prompt. Two conditions are compared with: the *exact text*, that of plain
decoding; and the *exact partner*, the lossless condition that drafts in the same way, whose
seconds say what leniency gains.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from smart_speed.metrics.intervals import Interval, bootstrap_mean
from smart_speed.metrics.seconds import quantiles
from smart_speed.metrics.speed import Answers
from smart_speed.metrics.texts import first_difference
from smart_speed.run_folder import Answer, ConditionInfo

IsRight = Callable[[Answer], bool | None]
"""Judges an answer; ``None`` where it cannot be checked."""


class TextPair(NamedTuple):
    """What is counted of a text and the exact one."""

    equal_len: int
    """Positions where both have the same token."""
    shared_len: int
    """Tokens before the first that differs; all of them if none does."""
    shorter_len: int
    longer_len: int


def compare_texts(tokens: Sequence[int], exact: Sequence[int]) -> TextPair:
    """Count how far two texts agree, position by position."""
    shorter, longer = sorted((len(tokens), len(exact)))
    parted = first_difference(tokens, exact)
    equal = sum(one == other for one, other in zip(tokens, exact, strict=False))
    return TextPair(equal, longer if parted is None else parted, shorter, longer)


class Beside(NamedTuple):
    """Tables of one task: a row for each prompt, its turns added up."""

    texts: np.ndarray
    """Columns of ``TextPair``, texts compared, texts that are the same."""
    likelihoods: np.ndarray
    """Nats that the own text costs and its tokens; those of the exact text; entropy along it."""
    times: np.ndarray
    """Tokens, decode seconds, all seconds, answers that ended by themselves; the partner's;
    answers."""
    results: np.ndarray
    """Right answers, the exact text's right ones, answers checked."""
    parted_at: tuple[int, ...]
    """First positions that differ, of the texts that do."""


def beside(
    answers: Answers,
    exact: Answers,
    partner: Answers,
    is_right: IsRight,
    *,
    texts: bool = True,
) -> Beside:
    """Pair a lossy condition's answers with exact ones.

    Turns of a chat behind one that differed answer something else, so their tokens are not
    compared; what they cost and take is.

    Args:
        answers: Of the lossy condition, without repeats.
        exact: Of the condition whose text counts as exact.
        partner: Of the lossless condition that is compared in speed.
        is_right: For the task's score.
        texts: Whether tokens are compared; not above temperature 0, where no text is the exact one.
    """
    pairs, likelihoods, times, results = (_Rows() for _ in range(4))
    parted: dict[str, int] = {}
    exacts, partners = _by_turn(exact), _by_turn(partner)
    for own in sorted(answers, key=lambda each: each.turn):
        other = exacts.get((own.prompt_id, own.turn))
        if texts and other is not None and own.prompt_id not in parted:
            pair = compare_texts(own.tokens, other.tokens)
            if (position := first_difference(own.tokens, other.tokens)) is not None:
                parted[own.prompt_id] = position
            pairs.add(own.prompt_id, [*pair, 1, position is None])
        if other is not None and own.score is not None and other.score is not None:
            likelihoods.add(own.prompt_id, [*_cost(own), *_cost(other), other.score.entropy_nats])
        right, other_right = is_right(own), is_right(other) if other else None
        if right is not None and other_right is not None:
            results.add(own.prompt_id, [right, other_right, 1])
        if (timed := partners.get((own.prompt_id, own.turn))) is not None:
            times.add(own.prompt_id, [*_time(own), *_time(timed), 1])
    return Beside(
        pairs.table(6), likelihoods.table(5), times.table(9), results.table(3),
        tuple(parted.values()),
    )  # fmt: skip


def fidelity_figures(groups: Sequence[Beside]) -> dict[str, Any]:
    """Return the figures of a lossy condition as JSON values: means of groups, such as tasks.

    ::

        {"num_compared", "num_same", "agreement": INTERVAL, "agreement_of_longer": INTERVAL,
         "shared_len": INTERVAL, "first_divergence": QUANTILES, "length_ratio": INTERVAL,
         "speedup_over_exact": INTERVAL, "time_to_answer_ratio": INTERVAL,
         "time_to_answer_s", "exact_time_to_answer_s", "ended_share", "exact_ended_share",
         "log_likelihood_per_token": INTERVAL, "exact_log_likelihood_per_token": INTERVAL,
         "sampled_log_likelihood_per_token": INTERVAL, "divergence": INTERVAL,
         "score": INTERVAL, "exact_score": INTERVAL, "score_difference": INTERVAL}

    Args:
        groups: Each counts the same, whatever its number of prompts; those without a row for a
            figure are left out of it.
    """
    texts = [each.texts for each in groups]
    parted_at = [float(position) for each in groups for position in each.parted_at]
    figures = {
        name: _mean([getattr(each, table) for each in groups], of_sums)
        for name, (table, of_sums) in _FIGURES.items()
    }
    seconds = [each.times for each in groups if len(each.times)]
    return {
        "num_compared": int(sum(each[:, 4].sum() for each in texts)),
        "num_same": int(sum(each[:, 5].sum() for each in texts)),
        **{name: figure.to_json() for name, figure in figures.items()},
        "first_divergence": quantiles(parted_at).to_json(),
        "time_to_answer_s": _per_answer(seconds, 2),
        "exact_time_to_answer_s": _per_answer(seconds, 6),
        "ended_share": _per_answer(seconds, 3),
        "exact_ended_share": _per_answer(seconds, 7),
    }


def divergence(sums: np.ndarray) -> np.ndarray:
    """Return the loss of log-likelihood per token, as a share of the exact text's.

    Args:
        sums: Of rows of ``Beside.likelihoods``.
    """
    # What a text costs is minus its log-likelihood, so both signs are turned.
    loss: np.ndarray = sums[..., 0] * sums[..., 3] / (sums[..., 1] * sums[..., 2]) - 1
    return loss


def exact_partner(name: str, conditions: Mapping[str, ConditionInfo]) -> str | None:
    """Return the lossless condition that a lossy one is to be compared with in speed.

    The one that drafts in the same way: whose every setting but the rule the lossy one has, too;
    of several, that with the most settings in common. If there is none, a calibrated one, else
    plain decoding.

    Args:
        name: Of the lossy condition.
        conditions: Of the run.
    """
    own = conditions[name].config
    found: tuple[int, str] | None = None
    for other, info in conditions.items():
        settings = {key: val for key, val in info.config.items() if key != "verification"}
        same = info.lossless and all(key in own and own[key] == settings[key] for key in settings)
        if same and settings and (found is None or len(settings) > found[0]):
            found = (len(settings), other)
    if found:
        return found[1]
    lossless = {each: info.role for each, info in conditions.items() if info.lossless}
    firsts = (
        each for role in ("calibrated", "plain") for each in lossless if lossless[each] == role
    )
    return next(firsts, None)


class _Rows:
    """Rows of numbers by prompt; rows of one prompt are added up."""

    def __init__(self) -> None:
        self._rows: dict[str, np.ndarray] = {}

    def add(self, prompt_id: str, row: Sequence[int | float | bool]) -> None:
        new = np.array(row, dtype=np.float64)
        self._rows[prompt_id] = self._rows.get(prompt_id, np.zeros_like(new)) + new

    def table(self, width: int) -> np.ndarray:
        return np.array(list(self._rows.values()), dtype=np.float64).reshape(-1, width)


def _by_turn(answers: Answers) -> dict[tuple[str, int], Answer]:
    return {(each.prompt_id, each.turn): each for each in answers if each.record.status == "ok"}


def _cost(answer: Answer) -> tuple[float, int]:
    assert answer.score is not None
    return -answer.score.log_likelihood, answer.score.num_tokens


def _time(answer: Answer) -> tuple[int, float, float, bool]:
    record = answer.record
    ended = record.finish_reason in ("eos", "stop")
    return record.output_len, record.decode_s, record.prefill_s + record.decode_s, ended


def _mean(tables: Sequence[np.ndarray], of_sums: Callable[[np.ndarray], np.ndarray]) -> Interval:
    with np.errstate(divide="ignore", invalid="ignore"):
        return bootstrap_mean([each for each in tables if len(each)], of_sums)


def _per_answer(tables: Sequence[np.ndarray], column: int) -> float | None:
    """Return a column's mean over answers, the mean of groups; ``None`` without answers."""
    means = [each[:, column].sum() / each[:, 8].sum() for each in tables]
    return float(np.mean(means)) if means else None


def _quotient(above: int, below: int, sign: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    def of_sums(sums: np.ndarray) -> np.ndarray:
        found: np.ndarray = sign * sums[..., above] / sums[..., below]
        return found

    return of_sums


_FIGURES: Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "agreement": ("texts", _quotient(0, 2)),
    "agreement_of_longer": ("texts", _quotient(0, 3)),
    "shared_len": ("texts", _quotient(1, 4)),
    "length_ratio": ("times", _quotient(0, 4)),
    "speedup_over_exact": (
        "times", lambda sums: sums[..., 0] * sums[..., 5] / (sums[..., 1] * sums[..., 4])
    ),
    "time_to_answer_ratio": ("times", _quotient(2, 6)),
    "log_likelihood_per_token": ("likelihoods", _quotient(0, 1, -1.0)),
    "exact_log_likelihood_per_token": ("likelihoods", _quotient(2, 3, -1.0)),
    "sampled_log_likelihood_per_token": ("likelihoods", _quotient(4, 3, -1.0)),
    "divergence": ("likelihoods", divergence),
    "score": ("results", _quotient(0, 2)),
    "exact_score": ("results", _quotient(1, 2)),
    "score_difference": ("results", lambda sums: (sums[..., 0] - sums[..., 1]) / sums[..., 2]),
}  # fmt: skip
"""Each figure's table, and what it is of sums over the table's rows."""
