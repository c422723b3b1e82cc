"""What holds for the entropy of every law."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import (
    EntropyType,
    facts_measure,
    renyi_entropy,
    shannon_entropy,
    topk_entropy,
)
from smart_speed.laws import Scores, softmax

Measure = Callable[[Any], Any]
ToArray = Callable[[Any], Any]

ROUNDING = 1e-9

LOGITS = (
    st.lists(st.floats(-30, 30) | st.just(-math.inf), min_size=1, max_size=12)
    .filter(lambda row: max(row) > -math.inf)
    .map(np.array)
)
ORDERS = st.floats(0.1, 8).filter(lambda order: abs(order - 1) > 0.05)

every_kind = pytest.mark.parametrize(
    "measure",
    [
        pytest.param(shannon_entropy, id="shannon"),
        *(
            pytest.param(partial(renyi_entropy, order=order), id=f"renyi-{order}")
            for order in (0.5, 2.0, 5.0)
        ),
        pytest.param(partial(topk_entropy, k=3), id="topk-3"),
    ],
)


@every_kind
@given(logits=LOGITS)
def test_lies_between_certainty_and_a_uniform_law(
    measure: Measure, logits: np.ndarray, to_array: ToArray
) -> None:
    nats = float(measure(to_array(logits)))
    assert -ROUNDING <= nats <= math.log(len(logits)) + ROUNDING


@every_kind
@given(size=st.integers(1, 300))
def test_reaches_the_upper_bound_where_all_tokens_are_alike(measure: Measure, size: int) -> None:
    kept = min(size, getattr(measure, "keywords", {}).get("k", size))
    assert float(measure(np.zeros(size))) == pytest.approx(math.log(kept), abs=ROUNDING)


@every_kind
@given(logits=LOGITS, shift=st.floats(-100, 100))
def test_ignores_a_shift_of_all_logits(
    measure: Measure, logits: np.ndarray, shift: float, to_array: ToArray
) -> None:
    shifted = float(measure(to_array(logits + shift)))
    assert shifted == pytest.approx(float(measure(to_array(logits))), abs=ROUNDING)


@every_kind
@given(logits=LOGITS, data=st.data())
def test_ignores_the_order_of_tokens(
    measure: Measure, logits: np.ndarray, data: st.DataObject, to_array: ToArray
) -> None:
    shuffled = np.array(data.draw(st.permutations(logits.tolist())))
    expected = float(measure(to_array(logits)))
    assert float(measure(to_array(shuffled))) == pytest.approx(expected, abs=ROUNDING)


@given(logits=LOGITS, orders=st.tuples(ORDERS, ORDERS).map(sorted))
def test_renyi_never_rises_with_its_order(
    logits: np.ndarray, orders: list[float], to_array: ToArray
) -> None:
    lower, higher = (float(renyi_entropy(to_array(logits), order=order)) for order in orders)
    assert higher <= lower + ROUNDING


@given(logits=LOGITS, order=ORDERS)
def test_shannon_is_renyi_of_order_one(logits: np.ndarray, order: float, to_array: ToArray) -> None:
    shannon = float(shannon_entropy(to_array(logits)))
    renyi = float(renyi_entropy(to_array(logits), order=order))
    assert (renyi - shannon) * (1 - order) >= -ROUNDING


@given(logits=LOGITS, k=st.integers(1, 12))
def test_topk_grows_with_k_up_to_shannon(logits: np.ndarray, k: int, to_array: ToArray) -> None:
    fewer, more = (float(topk_entropy(to_array(logits), k=size)) for size in (k, k + 1))
    assert fewer <= math.log(k) + ROUNDING
    assert fewer <= more + ROUNDING
    assert more <= float(shannon_entropy(to_array(logits))) + ROUNDING


@pytest.mark.parametrize("kind", ["shannon", "renyi", "topk"])
@given(logits=LOGITS)
def test_facts_hold_the_likeliest_probability_of_the_law(
    kind: EntropyType, logits: np.ndarray, to_array: ToArray
) -> None:
    scores = Scores(to_array(logits))
    facts = facts_measure(kind, order=2.0, k=3)(scores)
    assert facts.top_prob == pytest.approx(float(softmax(scores).probs.max()), abs=ROUNDING)
    assert 0 <= facts.entropy_nats <= math.log(len(logits)) + ROUNDING
