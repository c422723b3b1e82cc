"""Figures of a predictor, held against counting every pair and every bin."""

from itertools import product

import numpy as np
import pytest

from smart_speed.calibration.fitting import fit_acceptance
from smart_speed.calibration.quality import NUM_BINS, cross_validated, quality_of
from smart_speed.calibration.samples import TextSamples, all_samples
from smart_speed.errors import ConfigError
from tests.unit.planted import toy_texts
from tests.unit.test_calibration_fitting import classes_of


def test_the_area_is_a_count_of_pairs(generator: np.random.Generator) -> None:
    """Catches: ties that count whole, or not at all."""
    predicted = np.round(generator.random(80), 1)
    accepted = generator.random(80) < predicted
    pairs = list(product(predicted[accepted], predicted[~accepted]))
    won = sum(1.0 if high > low else 0.5 if high == low else 0.0 for high, low in pairs)
    assert quality_of(predicted, accepted).auc == pytest.approx(won / len(pairs))
    assert quality_of(1 - predicted, accepted).auc == pytest.approx(1 - won / len(pairs))


def test_calibration_error_and_loss_by_hand() -> None:
    # Two in each bin; the last bin says 0.9 and 1.0, and one of them was accepted.
    predicted = np.repeat([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.9], 2)
    predicted[-1] = 1.0
    accepted = np.array([False] * 10 + [True] * 9 + [False])
    found = quality_of(predicted, accepted)
    gaps = [0.05, 0.15, 0.25, 0.35, 0.45, 0.45, 0.35, 0.25, 0.15, 0.45]
    assert found.ece == pytest.approx(sum(gaps) / 10)
    assert len(found.reliability) == NUM_BINS
    assert found.reliability[-1] == pytest.approx((0.95, 0.5, 2))
    likelihood = [1 - each for each in predicted[:10]] + [*predicted[10:19], 0.001]
    assert found.log_loss == pytest.approx(-np.mean(np.log(likelihood)))


def test_every_text_is_predicted_by_the_others() -> None:
    """Catches: a fold that was fitted on what it predicts."""
    samples = all_samples(toy_texts())[:4]
    predicted: list[float] = []
    accepted: list[bool] = []
    for text in samples:
        model = fit_acceptance([each for each in samples if each is not text])
        classes, _ = classes_of(model, text)
        predicted += [model.accept_probs[number] for number in classes]
        accepted += text.accepted.tolist()
    expected = quality_of(np.array(predicted), np.array(accepted))
    assert cross_validated(samples) == expected


def test_a_fold_of_one_kind_is_no_end() -> None:
    text = all_samples(toy_texts())[0]
    certain = TextSamples(
        entropy_nats=np.zeros(40), log_odds=np.full(40, 9.0), accepted=np.full(40, fill_value=True)
    )
    found = cross_validated([certain, text, certain])
    assert sum(count for _, _, count in found.reliability) == 80 + len(text.accepted)
    with pytest.raises(ConfigError, match="traces must be those of two texts or more, got 1"):
        cross_validated([text])
