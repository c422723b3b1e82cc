"""Fit the model of acceptance: a logistic score, classes of it, and how they follow each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from smart_speed.calibration.samples import TextSamples
from smart_speed.errors import ConfigError, check_that
from smart_speed.stopping.acceptance import AcceptanceModel, log_odds

FEATURES = ("entropy_nats", "log_odds", "recent")
"""What the score may be made of."""
NUM_CLASSES = 16
NUM_KINDS = 4
"""Of rounds, by recent acceptance."""
RECENT_RATE = 0.12
_PRIOR_ROWS = 4.0
"""Positions that a class is taken to have been followed by, evenly, before any was counted."""


def fit_acceptance(
    samples: Sequence[TextSamples],
    *,
    features: Sequence[str] = FEATURES,
    num_classes: int = NUM_CLASSES,
) -> AcceptanceModel:
    """Fit the model to what was accepted.

    Args:
        samples: Texts to learn from.
        features: Some of ``FEATURES``; the others get no weight.
        num_classes: Of draft laws, as even in number as ties allow.

    Raises:
        ConfigError: If scikit-learn is not installed.
    """
    check_that(num_classes >= 1, "num_classes", "at least 1", num_classes)
    accepted = np.concatenate([each.accepted for each in samples])
    start = float(accepted.mean())
    recents = [each.recent(start, RECENT_RATE) for each in samples]
    table = {
        "entropy_nats": np.concatenate([each.entropy_nats for each in samples]),
        "log_odds": np.concatenate([each.log_odds for each in samples]),
        "recent": np.concatenate(recents),
    }
    bias, weights = logistic([table[name] for name in features], accepted)
    by_name = dict(zip(features, weights, strict=True))
    scores = bias + sum(by_name[name] * table[name] for name in features)
    scores = np.asarray(scores, dtype=np.float64) + np.zeros(len(accepted))
    edges = _edges(scores, num_classes)
    classes = np.searchsorted(edges, scores, side="right")
    size = len(edges) + 1
    accept_probs = _rising(classes, accepted, size)
    first_edges = _edges(table["recent"], NUM_KINDS)
    kinds = np.searchsorted(first_edges, table["recent"], side="right")
    ends = np.cumsum([len(each.accepted) for each in samples]).tolist()
    return AcceptanceModel(
        bias=bias,
        per_nat=by_name.get("entropy_nats", 0.0),
        per_log_odds=by_name.get("log_odds", 0.0),
        per_recent=by_name.get("recent", 0.0),
        recent_rate=RECENT_RATE,
        recent_start=start,
        edges=tuple(edges.tolist()),
        accept_probs=tuple(accept_probs),
        next_probs=_followed_by(classes, accepted, ends, size),
        first_edges=tuple(first_edges.tolist()),
        first_probs=_counted(kinds, classes, len(first_edges) + 1, size),
    )


def logistic(columns: Sequence[np.ndarray], accepted: np.ndarray) -> tuple[float, list[float]]:
    """Return bias and weights of the logistic model that makes what was accepted likeliest.

    Columns are put to one scale before a light penalty, so that units do not matter. Where all
    tokens were accepted, or none, no column can tell anything, and none gets a weight.
    """
    kept = int(accepted.sum())
    if kept in (0, len(accepted)):
        return log_odds(kept / len(accepted)), [0.0] * len(columns)
    if not columns:
        return float(np.log(kept / (len(accepted) - kept))), []
    linear = _sklearn("linear_model")
    table = np.stack(columns, axis=1)
    middle, spread = table.mean(axis=0), table.std(axis=0) + 1e-9
    fitted = linear.LogisticRegression(C=1.0, max_iter=1000).fit(
        (table - middle) / spread, accepted
    )
    weights = fitted.coef_[0] / spread
    return float(fitted.intercept_[0] - weights @ middle), weights.tolist()


def _edges(values: np.ndarray, number: int) -> np.ndarray:
    """Return what parts values into as many groups of like size, fewer where many are equal."""
    cuts = np.quantile(values, np.linspace(0, 1, number + 1)[1:-1])
    edges = np.unique(cuts)
    above: np.ndarray = edges[edges > values.min()]
    return above


def _rising(classes: np.ndarray, accepted: np.ndarray, size: int) -> list[float]:
    """Return each class's share of accepted tokens, made to rise with the score."""
    totals = np.bincount(classes, minlength=size)
    kept = np.bincount(classes, weights=accepted, minlength=size)
    shares = (kept + 0.5) / (totals + 1)
    isotonic = _sklearn("isotonic").IsotonicRegression(y_min=0.0, y_max=1.0)
    rising: list[float] = isotonic.fit_transform(
        np.arange(size), shares, sample_weight=totals + 1
    ).tolist()
    return rising


def _followed_by(
    classes: np.ndarray, accepted: np.ndarray, ends: Sequence[int], size: int
) -> tuple[tuple[float, ...], ...]:
    """Return what class follows each class in a draft, once its token was accepted."""
    inside = accepted[:-1].copy()
    inside[np.array(ends[:-1], dtype=np.int64) - 1] = False  # another text begins there
    return _counted(classes[:-1][inside], classes[1:][inside], size, size)


def _counted(
    rows: np.ndarray, columns: np.ndarray, num_rows: int, num_columns: int
) -> tuple[tuple[float, ...], ...]:
    """Return the shares of columns in each row, smoothed towards those of all rows together."""
    counts = np.zeros((num_rows, num_columns))
    np.add.at(counts, (rows, columns), 1)
    overall = (counts.sum(axis=0) + 1) / (counts.sum() + num_columns)
    counts += _PRIOR_ROWS * overall
    shares = counts / counts.sum(axis=1, keepdims=True)
    return tuple(tuple(row) for row in shares.tolist())


def _sklearn(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ConfigError(
            "Calibrating needs the module sklearn, which is not installed: run "
            "`pip install 'smart-speed[calibrate]'`."
        ) from error
