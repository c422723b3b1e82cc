"""Entropies against plain loops in float64, and the facts that strategies read."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from smart_speed.entropy import (
    EntropyType,
    facts_measure,
    largest,
    renyi_entropy,
    shannon_entropy,
    topk_entropy,
)
from smart_speed.errors import ConfigError, NonFiniteError
from smart_speed.laws import Scores

Measure = Callable[[Any], Any]
ToArray = Callable[[Any], Any]


def slow_law(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def slow_shannon(logits: Sequence[float]) -> float:
    return -math.fsum(prob * math.log(prob) for prob in slow_law(logits) if prob > 0)


def slow_renyi(logits: Sequence[float], order: float) -> float:
    powers = [prob**order for prob in slow_law(logits) if prob > 0]
    return math.log(math.fsum(powers)) / (1 - order)


def slow_topk(logits: Sequence[float], k: int) -> float:
    return slow_shannon(sorted(logits, reverse=True)[:k])


PAIRS = [
    pytest.param(shannon_entropy, slow_shannon, id="shannon"),
    *(
        pytest.param(
            partial(renyi_entropy, order=order),
            partial(slow_renyi, order=order),
            id=f"renyi-{order}",
        )
        for order in (0.5, 2.0, 5.0)
    ),
    *(
        pytest.param(partial(topk_entropy, k=k), partial(slow_topk, k=k), id=f"topk-{k}")
        for k in (1, 3, 50, 5000)
    ),
]


@pytest.mark.parametrize(("fast", "slow"), PAIRS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_every_row_of_a_batch_agrees_with_the_plain_loop(
    fast: Measure,
    slow: Measure,
    dtype: str,
    tolerance: float,
    to_array: ToArray,
    generator: np.random.Generator,
) -> None:
    logits = generator.normal(scale=4, size=(2, 3, 400)).astype(dtype)
    measured = fast(to_array(logits))
    assert measured.shape == (2, 3)
    for at in np.ndindex(2, 3):
        assert float(measured[at]) == pytest.approx(slow(logits[at].tolist()), abs=tolerance)


@pytest.mark.parametrize(("fast", "slow"), PAIRS)
def test_impossible_tokens_add_nothing(fast: Measure, slow: Measure, to_array: ToArray) -> None:
    possible = [0.3, -1.2, 2.0]
    logits = np.array([-math.inf, 0.3, -math.inf, -1.2, 2.0])
    assert float(fast(to_array(logits))) == pytest.approx(slow(possible), abs=1e-12)


@pytest.mark.parametrize(("fast", "slow"), PAIRS)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(fast: Measure, slow: Measure, half: str) -> None:
    torch = pytest.importorskip("torch")
    logits = torch.linspace(-8, 8, 3000).to(getattr(torch, half))
    measured = fast(logits)
    assert measured.dtype == torch.float32
    assert float(measured) == pytest.approx(slow(logits.tolist()), abs=1e-5)


@pytest.mark.parametrize(("k", "nats"), [(1, 0.0), (2, 0.637), (3, 0.956), (4, 1.213), (9, 1.213)])
def test_topk_renormalises_the_likeliest_tokens(k: int, nats: float, to_array: ToArray) -> None:
    """By hand, of 1/2, 1/4, 1/8, 1/8: k = 2 keeps 2/3 and 1/3, k = 3 keeps 4/7, 2/7 and 1/7."""
    logits = to_array(np.log([0.125, 0.5, 0.125, 0.25]))
    assert float(topk_entropy(logits, k=k)) == pytest.approx(nats, abs=5e-4)


def test_largest_never_loses_nan(to_array: ToArray) -> None:
    kept = largest(to_array(np.array([1.0, math.nan, 3.0, 2.0])), 2)
    assert sorted(map(str, kept.tolist())) == ["3.0", "nan"]


@pytest.mark.parametrize("order", [0.0, 1.0, -2.0, math.nan])
def test_renyi_refuses_orders_that_define_nothing(order: float) -> None:
    with pytest.raises(
        ConfigError, match=rf"^renyi_order must be positive and not 1, got {order}\.$"
    ):
        renyi_entropy(np.zeros(3), order=order)


def test_topk_refuses_to_keep_nothing() -> None:
    with pytest.raises(ConfigError, match=r"^entropy_top_k must be at least 1, got 0\.$"):
        topk_entropy(np.zeros(3), k=0)


@pytest.mark.parametrize(
    ("kind", "slow"),
    [
        ("shannon", slow_shannon),
        ("renyi", partial(slow_renyi, order=3.0)),
        ("topk", partial(slow_topk, k=2)),
    ],
)
def test_facts_hold_the_chosen_entropy_and_the_top_probability(
    kind: EntropyType, slow: Measure, to_array: ToArray
) -> None:
    logits = [0.5, 3.0, -1.0, 2.5]
    scores = Scores(to_array(np.array(logits)), to_array(np.array([2, 3, 5, 7])))
    facts = facts_measure(kind, order=3.0, k=2)(scores)
    assert facts.entropy_nats == pytest.approx(slow(logits), abs=1e-12)
    assert facts.top_prob == pytest.approx(max(slow_law(logits)), abs=1e-12)


@pytest.mark.parametrize("kind", ["shannon", "renyi", "topk"])
def test_facts_of_a_certain_law_are_never_below_zero(kind: EntropyType, to_array: ToArray) -> None:
    logits = to_array(np.array([0.1 + 0.2, -60.0, -70.0], dtype=np.float32))
    facts = facts_measure(kind, order=2.0, k=3)(Scores(logits))
    assert 0 <= facts.entropy_nats < 1e-6
    assert facts.top_prob == 1


@pytest.mark.parametrize("kind", ["shannon", "renyi", "topk"])
@pytest.mark.parametrize(
    "logits",
    [[0.0, math.nan, 1.0], [0.0, math.inf, 1.0], [-math.inf] * 3],
    ids=["nan", "+inf", "all -inf"],
)
def test_facts_of_what_is_no_law_are_refused(
    kind: EntropyType, logits: list[float], to_array: ToArray
) -> None:
    with pytest.raises(NonFiniteError, match=r"^A draft law must have a finite entropy, got nan: "):
        facts_measure(kind, order=2.0, k=2)(Scores(to_array(np.array(logits))))
