"""Entropy against acceptance, beside plain loops, other people's code and a known truth."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from smart_speed.metrics.correlation import entropy_acceptance
from smart_speed.metrics.positions import JudgedTokens


def tokens_of(
    entropies: Sequence[float] | np.ndarray,
    accepted: Sequence[bool] | np.ndarray,
    prompts: Sequence[int] | np.ndarray | None = None,
) -> JudgedTokens:
    index = np.arange(len(entropies)) if prompts is None else np.array(prompts)
    return JudgedTokens(
        num_prompts=int(index.max(initial=-1)) + 1,
        prompt_index=index.astype(np.int64),
        entropy_nats=np.array(entropies, dtype=np.float64),
        top_prob=np.full(len(entropies), 0.5),
        accepted=np.array(accepted, dtype=np.bool_),
    )


def drawn(generator: np.random.Generator, *, ties: str) -> JudgedTokens:
    """Eighty tokens of six prompts, with equal entropies in one prompt, or in several, or none."""
    accepted = generator.random(80) < 0.6
    entropies = generator.exponential(np.where(accepted, 0.7, 1.5))
    index = generator.integers(6, size=80)
    index[0] = 5
    if ties != "none":
        entropies = np.round(entropies)
    if ties == "inside":
        entropies += index / 100
    return tokens_of(entropies, accepted, index)


def auc_by_pairs(tokens: JudgedTokens) -> float:
    kept, lost = tokens.entropy_nats[tokens.accepted], tokens.entropy_nats[~tokens.accepted]
    pairs = [
        1.0 if low < high else 0.5 if low == high else 0.0
        for low in kept.tolist()
        for high in lost.tolist()
    ]
    return sum(pairs) / len(pairs)


def repeated(tokens: JudgedTokens, prompts: Sequence[int]) -> JudgedTokens:
    """Return the tokens of some prompts, one behind the other."""
    places = np.concatenate([np.flatnonzero(tokens.prompt_index == each) for each in prompts])
    index = np.concatenate(
        [np.full((tokens.prompt_index == each).sum(), at) for at, each in enumerate(prompts)]
    )
    return tokens_of(tokens.entropy_nats[places], tokens.accepted[places], index)


@pytest.mark.parametrize("ties", ["none", "inside", "across"])
def test_figures_are_those_of_other_people(generator: np.random.Generator, ties: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    tokens = drawn(generator, ties=ties)
    found = entropy_acceptance(tokens)
    accepted = tokens.accepted.astype(float)
    spearman = stats.spearmanr(tokens.entropy_nats, accepted).statistic
    biserial = stats.pointbiserialr(accepted, tokens.entropy_nats).statistic
    assert found.spearman.value == pytest.approx(spearman, abs=1e-12)
    assert found.point_biserial.value == pytest.approx(biserial, abs=1e-12)
    assert found.auc.value == pytest.approx(auc_by_pairs(tokens), abs=1e-12)


@pytest.mark.parametrize("ties", ["none", "inside", "across"])
def test_intervals_are_those_of_prompts_drawn_one_by_one(
    generator: np.random.Generator, ties: str
) -> None:
    """The oracle writes each resample out, tokens and all."""
    tokens = drawn(generator, ties=ties)
    found = entropy_acceptance(tokens, resamples=150)
    counts = np.random.default_rng(0).multinomial(6, np.full(6, 1 / 6), 150)
    written = [
        entropy_acceptance(repeated(tokens, np.repeat(np.arange(6), row).tolist()), resamples=1)
        for row in counts
    ]
    for name, interval in found._asdict().items():
        values = [getattr(each, name).value for each in written]
        low, high = np.percentile(values, [2.5, 97.5])
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(
    ("entropies", "expected"),
    [((0.1, 0.2, 1.0, 2.0), 1.0), ((2.0, 1.0, 0.2, 0.1), 0.0), ((0.7,) * 4, 0.5)],
    ids=["tells all", "tells the contrary", "tells nothing"],
)
def test_ends_of_the_scale(entropies: tuple[float, ...], expected: float) -> None:
    found = entropy_acceptance(tokens_of(entropies, (True, True, False, False)))
    assert found.auc.value == expected
    if expected == 0.5:
        assert math.isnan(found.spearman.value)
        assert math.isnan(found.point_biserial.value)
    else:
        assert found.spearman.value == pytest.approx(-math.sqrt(0.8) * (2 * expected - 1))


@pytest.mark.parametrize("fate", [True, False])
def test_one_fate_for_all_leaves_it_open(*, fate: bool) -> None:
    for interval in entropy_acceptance(tokens_of((0.1, 0.2, 0.3), (fate,) * 3)):
        assert all(map(math.isnan, interval))


def test_nothing_tested_leaves_it_open() -> None:
    assert all(map(math.isnan, entropy_acceptance(tokens_of((), ())).auc))


def test_one_prompt_has_no_interval() -> None:
    found = entropy_acceptance(tokens_of((0.1, 0.9, 0.4), (True, False, True), (0, 0, 0)))
    assert found.auc.value == 1.0
    assert math.isnan(found.auc.low)


def test_ranks_do_not_mind_units(generator: np.random.Generator) -> None:
    tokens = drawn(generator, ties="none")
    stretched = tokens_of(np.exp(tokens.entropy_nats), tokens.accepted, tokens.prompt_index)
    one, other = entropy_acceptance(tokens), entropy_acceptance(stretched)
    assert one.auc == other.auc
    np.testing.assert_allclose(one.spearman, other.spearman)
    shifted = tokens_of(tokens.entropy_nats + 1000, tokens.accepted, tokens.prompt_index)
    moved = entropy_acceptance(shifted).point_biserial
    np.testing.assert_allclose(one.point_biserial, moved, atol=1e-9)


def test_interval_covers_the_truth_as_often_as_it_says(generator: np.random.Generator) -> None:
    """Entropies normal about 0 where accepted, about 1 where not: the AUC is Phi(1 / sqrt(2))."""
    truth = 0.5 * (1 + math.erf(0.5))
    covered = 0
    for _ in range(200):
        index = np.repeat(np.arange(30), 12)
        # Some prompts are easier than others, so their tokens share a fate more often than not.
        accepted = generator.random(360) < generator.beta(3, 2, size=30)[index]
        entropies = generator.normal(np.where(accepted, 0.0, 1.0))
        interval = entropy_acceptance(tokens_of(entropies, accepted, index), resamples=200).auc
        covered += interval.low <= truth <= interval.high
    assert 0.89 <= covered / 200 <= 0.99
