"""Does the drafter's entropy tell what the verifier will reject? Three figures, ties and all.

The interval of each resamples whole prompts. A resample is a weight for every prompt, so figures
are made of sums over prompts, and of sums over pairs of prompts, that are taken once.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from smart_speed.metrics.intervals import Interval
from smart_speed.metrics.positions import JudgedTokens

_Samples = Float64[np.ndarray, " samples"]
_Weights = Float64[np.ndarray, "samples prompts"]


class Association(NamedTuple):
    """How entropy and acceptance of tested tokens go together."""

    point_biserial: Interval
    """Correlation of entropy and acceptance (1 or 0), after Pearson."""
    spearman: Interval
    """The same of ranks; equal entropies share the mean of theirs."""
    auc: Interval
    """Probability that a rejected token's entropy is above an accepted one's, ties counting
    half: 0.5 tells nothing, 1 everything."""


def entropy_acceptance(tokens: JudgedTokens, *, resamples: int = 500) -> Association:
    """Return how entropy and acceptance go together; NaN where all tokens met the same fate.

    Resamples in which all did are left out of the interval.

    Args:
        tokens: Tested ones.
        resamples: Bootstrap samples of prompts, drawn with a fixed seed.
    """
    if not len(tokens.accepted):
        unknown = Interval(float("nan"), float("nan"), float("nan"))
        return Association(unknown, unknown, unknown)
    prompts = tokens.num_prompts
    drawn = np.random.default_rng(0).multinomial(prompts, np.full(prompts, 1 / prompts), resamples)
    weights = np.vstack([np.ones(prompts), drawn])
    _, group = np.unique(tokens.entropy_nats, return_inverse=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        biserial = _point_biserial(tokens, weights)
        auc = _auc(tokens, group, weights)
        spearman = _spearman(tokens, group, weights, auc)
    return Association(*(_interval(each, prompts) for each in (biserial, spearman, auc)))


def _by_prompt(tokens: JudgedTokens, values: np.ndarray) -> Float64[np.ndarray, " prompts"]:
    """Add up a value over the tokens of each prompt."""
    return np.bincount(tokens.prompt_index, values.astype(np.float64), tokens.num_prompts)


def _counts(tokens: JudgedTokens, weights: _Weights) -> tuple[_Samples, _Samples]:
    """Return the numbers of accepted and of rejected tokens in each sample."""
    accepted = weights @ _by_prompt(tokens, tokens.accepted)
    return accepted, weights @ _by_prompt(tokens, ~tokens.accepted)


def _point_biserial(tokens: JudgedTokens, weights: _Weights) -> _Samples:
    # Measured from one of the values, so that large ones lose no digits in squares.
    entropy = tokens.entropy_nats - tokens.entropy_nats[0]
    accepted, rejected = _counts(tokens, weights)
    count = accepted + rejected
    of_accepted = weights @ _by_prompt(tokens, entropy * tokens.accepted)
    of_rejected = weights @ _by_prompt(tokens, entropy * ~tokens.accepted)
    mean = (of_accepted + of_rejected) / count
    variance = weights @ _by_prompt(tokens, entropy**2) / count - mean**2
    gap = of_accepted / accepted - of_rejected / rejected
    found: np.ndarray = gap / np.sqrt(variance) * np.sqrt(accepted * rejected) / count
    return found


def _auc(tokens: JudgedTokens, group: Int64[np.ndarray, " tokens"], weights: _Weights) -> _Samples:
    """Return the share of pairs in order; pairs are counted for each two prompts."""
    lost, prompts = ~tokens.accepted, tokens.num_prompts
    in_order = np.zeros((prompts, prompts))
    for prompt in range(prompts):
        own = group[tokens.accepted & (tokens.prompt_index == prompt)]
        counts = np.bincount(own, minlength=int(group.max()) + 1)
        below = np.cumsum(counts) - counts / 2
        in_order[prompt] = np.bincount(tokens.prompt_index[lost], below[group[lost]], prompts)
    accepted, rejected = _counts(tokens, weights)
    share: np.ndarray = ((weights @ in_order) * weights).sum(axis=1) / (accepted * rejected)
    return share


def _spearman(
    tokens: JudgedTokens, group: Int64[np.ndarray, " tokens"], weights: _Weights, auc: _Samples
) -> _Samples:
    """Return Pearson's correlation of ranks and acceptance, which only ties part from the AUC.

    The mean ranks of both kinds differ by n (1/2 - AUC); the variance of ranks is
    (n^3 - sum of t^3) / 12n, with t tokens in each group of equals.
    """
    accepted, rejected = _counts(tokens, weights)
    count = accepted + rejected
    spread = count**3 - _cubes_of_ties(tokens, group, weights)
    found: np.ndarray = (1 - 2 * auc) * np.sqrt(3 * count * accepted * rejected / spread)
    return found


def _cubes_of_ties(
    tokens: JudgedTokens, group: Int64[np.ndarray, " tokens"], weights: _Weights
) -> _Samples:
    """Add up the cubes of how many tokens each group of equal entropies has in a sample."""
    prompts = tokens.num_prompts
    cells, counts = np.unique(group * prompts + tokens.prompt_index, return_counts=True)
    groups, owners = np.divmod(cells, prompts)
    shared = np.bincount(groups)[groups] > 1
    # Nearly every entropy is met in one prompt only, where weights can be taken out of the sum.
    alone = np.bincount(owners[~shared], counts[~shared].astype(np.float64) ** 3, prompts)
    names, place = np.unique(groups[shared], return_inverse=True)
    table = np.zeros((prompts, len(names)))
    table[owners[shared], place] = counts[shared]
    cubes: np.ndarray = weights**3 @ alone + ((weights @ table) ** 3).sum(axis=1)
    return cubes


def _interval(column: _Samples, num_prompts: int) -> Interval:
    value, drawn = float(column[0]), column[1:][np.isfinite(column[1:])]
    if num_prompts < 2 or not len(drawn) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high))
