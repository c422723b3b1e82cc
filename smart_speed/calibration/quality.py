"""How well does the model of acceptance know? Judged on texts that it was not fitted to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float64

from smart_speed.calibration.fitting import FEATURES, fit_acceptance
from smart_speed.calibration.samples import TextSamples
from smart_speed.errors import check_that

NUM_FOLDS = 5
NUM_BINS = 10
_LEAST_PROB = 1e-3


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FitQuality:
    """Of probabilities of acceptance, position by position."""

    auc: float
    """Probability that an accepted token was given a higher one than a rejected token."""
    ece: float
    """Expected calibration error: mean distance of what was predicted and what happened, over
    bins of like size."""
    log_loss: float
    """Mean negative log-likelihood, in nats."""
    reliability: tuple[tuple[float, float, int], ...]
    """For each bin what was predicted, the share that was accepted, and the number of tokens."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def quality_of(
    predicted: Float64[np.ndarray, " positions"], accepted: Bool[np.ndarray, " positions"]
) -> FitQuality:
    """Return how good predicted probabilities are; there must be both kinds of tokens."""
    bounded = np.clip(predicted, _LEAST_PROB, 1 - _LEAST_PROB)
    likelihood = np.where(accepted, bounded, 1 - bounded)
    parts = np.array_split(np.argsort(predicted, kind="stable"), NUM_BINS)
    rows = [
        (float(predicted[part].mean()), float(accepted[part].mean()), len(part))
        for part in parts
        if len(part)
    ]
    ece = sum(abs(said - found) * count for said, found, count in rows) / len(predicted)
    return FitQuality(
        auc=_auc(predicted, accepted),
        ece=ece,
        log_loss=float(-np.log(likelihood).mean()),
        reliability=tuple(rows),
    )


def cross_validated(
    samples: Sequence[TextSamples], features: Sequence[str] = FEATURES
) -> FitQuality:
    """Fit on all but a part of the texts, predict that part, and so on; judge all predictions.

    Args:
        samples: At least two texts.
        features: Of ``fit_acceptance``.

    Raises:
        ConfigError: If there is only one text, or scikit-learn is not installed.
    """
    check_that(len(samples) >= 2, "traces", "those of two texts or more", len(samples))
    number = min(NUM_FOLDS, len(samples))
    folds = [list(range(start, len(samples), number)) for start in range(number)]
    predicted, accepted = [], []
    for held_out in folds:
        kept = [each for at, each in enumerate(samples) if at not in set(held_out)]
        model = fit_acceptance(kept, features=features)
        for each in (samples[at] for at in held_out):
            scores = (
                model.bias
                + model.per_nat * each.entropy_nats
                + model.per_log_odds * each.log_odds
                + model.per_recent * each.recent(model.recent_start, model.recent_rate)
            )
            classes = np.searchsorted(model.edges, scores, side="right")
            predicted.append(np.array(model.accept_probs)[classes])
            accepted.append(each.accepted)
    return quality_of(np.concatenate(predicted), np.concatenate(accepted))


def _auc(predicted: np.ndarray, accepted: np.ndarray) -> float:
    """Return the area under the ROC curve, from ranks; ties count half."""
    _, inverse, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = int(accepted.sum())
    negative = len(accepted) - positive
    above = ranks[accepted].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))
