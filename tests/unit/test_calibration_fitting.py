"""The model of acceptance finds what was planted, and counts as plain loops do."""

import sys
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import mul

import numpy as np
import pytest

from smart_speed.calibration.fitting import FEATURES, NUM_CLASSES, fit_acceptance, logistic
from smart_speed.calibration.samples import TextSamples, all_samples
from smart_speed.errors import ConfigError
from smart_speed.stopping.acceptance import AcceptanceModel
from tests.unit.planted import toy_texts

BIAS, PER_NAT, PER_ODDS = 0.4, -1.5, 0.7


def planted(generator: np.random.Generator, count: int) -> TextSamples:
    """Tokens that are accepted with a probability that is known."""
    nats, odds = generator.uniform(0, 3, count), generator.normal(size=count)
    probs = 1 / (1 + np.exp(-(BIAS + PER_NAT * nats + PER_ODDS * odds)))
    return TextSamples(entropy_nats=nats, log_odds=odds, accepted=generator.random(count) < probs)


def classes_of(model: AcceptanceModel, text: TextSamples) -> tuple[list[int], list[int]]:
    """Return classes, and kinds of rounds that would begin there, position by position."""
    recent, classes, kinds = model.recent_start, [], []
    for at, kept in enumerate(text.accepted.tolist()):
        facts = float(text.entropy_nats[at]), float(text.log_odds[at]), recent
        weights = model.per_nat, model.per_log_odds, model.per_recent
        score = model.bias + sum(map(mul, weights, facts))
        classes.append(bisect_right(model.edges, score))
        kinds.append(model.kind_of_round(recent))
        recent = model.recent_after(recent, accepted_len=int(kept), draft_len=1)
    return classes, kinds


def test_planted_weights_are_found(generator: np.random.Generator) -> None:
    text = planted(generator, 20_000)
    bias, weights = logistic([text.entropy_nats, text.log_odds], text.accepted)
    assert bias == pytest.approx(BIAS, abs=0.1)
    assert weights == pytest.approx([PER_NAT, PER_ODDS], abs=0.08)


def test_units_do_not_matter(generator: np.random.Generator) -> None:
    text = planted(generator, 2_000)
    bias, (per_nat, per_odds) = logistic([text.entropy_nats, text.log_odds], text.accepted)
    scaled, (per_bit, same) = logistic([1000 * text.entropy_nats, text.log_odds], text.accepted)
    assert per_bit == pytest.approx(per_nat / 1000, rel=1e-3)
    assert (scaled, same) == pytest.approx((bias, per_odds), rel=1e-3)


def test_classes_are_as_likely_as_they_say(generator: np.random.Generator) -> None:
    """Catches: edges on the wrong side, shares of another class."""
    texts = [planted(generator, 4_000) for _ in range(2)]
    model = fit_acceptance(texts, features=("entropy_nats", "log_odds"))
    assert len(model.accept_probs) == NUM_CLASSES
    assert list(model.accept_probs) == sorted(model.accept_probs)
    scores = np.concatenate(
        [
            model.bias + model.per_nat * each.entropy_nats + model.per_log_odds * each.log_odds
            for each in texts
        ]
    )
    sizes = np.histogram(scores, [-np.inf, *model.edges, np.inf])[0]
    assert sizes.min() > 0.9 * len(scores) / NUM_CLASSES
    truth = 1 / (1 + np.exp(-scores))
    classes = np.searchsorted(model.edges, scores, side="right")
    for number, prob in enumerate(model.accept_probs):
        assert prob == pytest.approx(truth[classes == number].mean(), abs=0.06)
    assert model.per_recent == 0


def counted(pairs: Sequence[tuple[int, int]], num_rows: int, size: int) -> list[list[float]]:
    """Shares with a few rows' worth of what follows anything, as plain loops count them."""
    counts = [[0.0] * size for _ in range(num_rows)]
    for row, column in pairs:
        counts[row][column] += 1
    totals = [sum(row[column] for row in counts) for column in range(size)]
    overall = [(each + 1) / (len(pairs) + size) for each in totals]
    smoothed = [
        [each + 4 * share for each, share in zip(row, overall, strict=True)] for row in counts
    ]
    return [[each / sum(row) for each in row] for row in smoothed]


def test_the_chain_is_what_plain_loops_count() -> None:
    """Catches: a class taken to follow one of another text, or one whose token was rejected."""
    samples = all_samples(toy_texts())
    model = fit_acceptance(samples)
    following, beginning = [], []
    for text in samples:
        classes, kinds = classes_of(model, text)
        beginning += list(zip(kinds, classes, strict=True))
        following += [
            pair for pair, kept in zip(pairwise(classes), text.accepted, strict=False) if kept
        ]
    size = len(model.accept_probs)
    np.testing.assert_allclose(model.next_probs, counted(following, size, size))
    np.testing.assert_allclose(model.first_probs, counted(beginning, len(model.first_probs), size))


def test_features_that_are_left_out_get_no_weight() -> None:
    samples = all_samples(toy_texts())
    names = {"entropy_nats": "per_nat", "log_odds": "per_log_odds", "recent": "per_recent"}
    for feature in FEATURES:
        model = fit_acceptance(samples, features=[feature])
        weighted = {name for name, weight in names.items() if getattr(model, weight)}
        assert weighted == {feature}


def test_without_features_there_is_one_class() -> None:
    samples = all_samples(toy_texts())
    model = fit_acceptance(samples, features=())
    share = np.concatenate([each.accepted for each in samples]).mean()
    assert model.edges == ()
    assert model.accept_probs == pytest.approx((share,), abs=0.01)
    assert model.next_probs == ((1.0,),)
    assert 1 / (1 + np.exp(-model.bias)) == pytest.approx(share)


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_never_otherwise_is_learned_as_such(kept: bool) -> None:
    """Catches: a fold without any rejection, on which a logistic model cannot be fitted."""
    text = TextSamples(
        entropy_nats=np.linspace(0, 3, 50),
        log_odds=np.linspace(2, -2, 50),
        accepted=np.full(50, fill_value=kept),
    )
    model = fit_acceptance([text])
    assert (model.per_nat, model.per_log_odds, model.per_recent) == (0, 0, 0)
    (prob,) = model.accept_probs
    assert abs(prob - kept) < 0.02


def test_bad_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = all_samples(toy_texts())
    with pytest.raises(ConfigError, match="num_classes must be at least 1, got 0"):
        fit_acceptance(samples, num_classes=0)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ConfigError, match=r"run `pip install 'smart-speed\[calibrate\]'`"):
        fit_acceptance(samples)
