"""How good is a drafter for a verifier, by task, and how well does its entropy tell?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple, final

import numpy as np

from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import check_that
from smart_speed.evaluation import Interval, bootstrap_mean
from smart_speed.training.drafter_scores import AnswerScores, VerifiedAnswer, score_answer

BIN_EDGES_NATS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, float("inf"))
"""Between which entropies the calibration counts; a bin holds its lower edge."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What the answers of a task, or of all tasks, say; shares of positions but for the last."""

    num_prompts: int
    num_positions: int
    agreement: Interval
    """Positions where both models' likeliest tokens are the same."""
    overlap: Interval
    """Mean overlap of the two laws; what speculative sampling accepts at temperature 1."""
    coverage: float
    """Positions where the drafter can name the verifier's likeliest token."""
    greedy_share: float
    """Positions where that is the answer's token; far from 1, the answers are another's."""
    repeated_4gram_share: float
    """4-grams that occurred before in the same answer: text in loops flatters any drafter."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            name: value.to_json() if isinstance(value, Interval) else _known(value)
            for name, value in asdict(self).items()
        }


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyBin:
    """What came of the positions whose draft law had about the same entropy."""

    low_nats: float
    high_nats: float
    """Infinite in the last bin."""
    num_positions: int
    agreement: float
    """NaN in an empty bin, as is the next."""
    overlap: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {name: _known(value) for name, value in asdict(self).items()}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DrafterQuality:
    """A drafter's report."""

    tasks: Mapping[str, Quality]
    mean: Quality
    """Mean over tasks, each of which counts the same."""
    calibration: Sequence[EntropyBin]
    """Over the positions of all tasks together."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; what could not be computed is null."""
        return {
            "tasks": {task: quality.to_json() for task, quality in self.tasks.items()},
            "mean": self.mean.to_json(),
            "calibration": [each.to_json() for each in self.calibration],
        }


def judge_drafter(
    verifier: LoadedModel,
    drafter: LoadedModel | Drafter,
    answers: Sequence[VerifiedAnswer],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> DrafterQuality:
    """Compare a drafter with its verifier on the verifier's answers.

    Args:
        verifier: Its cache is emptied.
        drafter: A model to be paired with it, or any drafter.
        answers: To prompts that the drafter was not trained on.
        progress: Called after each answer with the number of answers so far, and of all.

    Raises:
        VocabularyError: If the models disagree on a token.
        ContextLengthError: If an answer does not fit a model's context.
        NonFiniteError: If a model's logits are not a law.
        ConfigError: If there are no answers, or one is empty.
    """
    check_that(bool(answers), "answers", "at least one", len(answers))
    if isinstance(drafter, LoadedModel):
        drafter = ModelDrafter.for_verifier(drafter, verifier)
    scores = []
    for done, answer in enumerate(answers, 1):
        scores.append(score_answer(verifier, drafter, answer))
        if progress:
            progress(done, len(answers))
    return summarise(scores)


def summarise(scores: Sequence[AnswerScores]) -> DrafterQuality:
    """Return the report on some answers, intervals by bootstrap over prompts."""
    tasks: dict[str, list[AnswerScores]] = {}
    for each in scores:
        tasks.setdefault(each.task, []).append(each)
    return DrafterQuality(
        tasks={task: _quality([group]) for task, group in tasks.items()},
        mean=_quality(list(tasks.values())),
        calibration=_calibration(scores),
    )


def _quality(groups: Sequence[Sequence[AnswerScores]]) -> Quality:
    """Average over groups of answers, each of which counts the same."""
    tables = [np.array([_sums(each) for each in group], dtype=np.float64) for group in groups]

    def share(column: str, of: str = "num_positions") -> Interval:
        above, below = _Sums._fields.index(column), _Sums._fields.index(of)
        with np.errstate(invalid="ignore"):  # answers too short to hold any 4-gram
            return bootstrap_mean(tables, lambda sums: sums[..., above] / sums[..., below])

    return Quality(
        num_prompts=sum(map(len, groups)),
        num_positions=sum(len(each.agrees) for group in groups for each in group),
        agreement=share("agrees"),
        overlap=share("overlap"),
        coverage=share("covered").value,
        greedy_share=share("greedy").value,
        repeated_4gram_share=share("num_repeated_4grams", "num_4grams").value,
    )


class _Sums(NamedTuple):
    """What is added up over the positions of an answer."""

    num_positions: int
    agrees: int
    overlap: float
    covered: int
    greedy: int
    num_4grams: int
    num_repeated_4grams: int


def _sums(scores: AnswerScores) -> _Sums:
    return _Sums(
        num_positions=len(scores.agrees),
        agrees=int(scores.agrees.sum()),
        overlap=float(scores.overlap.sum()),
        covered=int(scores.covered.sum()),
        greedy=int(scores.greedy.sum()),
        num_4grams=scores.num_4grams,
        num_repeated_4grams=scores.num_repeated_4grams,
    )


def _calibration(scores: Sequence[AnswerScores]) -> list[EntropyBin]:
    entropies = np.concatenate([each.entropy_nats for each in scores])
    agrees = np.concatenate([each.agrees for each in scores])
    overlap = np.concatenate([each.overlap for each in scores])
    found = []
    for low, high in pairwise(BIN_EDGES_NATS):
        inside = (low <= entropies) & (entropies < high)
        count = int(inside.sum())
        found.append(
            EntropyBin(
                low_nats=low,
                high_nats=high,
                num_positions=count,
                agreement=float(agrees[inside].mean()) if count else math.nan,
                overlap=float(overlap[inside].mean()) if count else math.nan,
            )
        )
    return found


def _known(value: int | float) -> int | float | None:
    """Return what JSON has a word for."""
    return value if math.isfinite(value) else None
