"""The law that is drawn from, against plain loops over dictionaries."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smart_speed.errors import ConfigError, NonFiniteError
from smart_speed.laws import Law, Scores
from smart_speed.sampling import Sampling

ToArray = Callable[[Any], Any]
Table = dict[int, float]
"""Something of each token: its logit, or its probability."""

EDGE = 1e-9
"""Two roundings of one share may fall on either side of a threshold this near."""

LOGITS = st.lists(
    st.sampled_from([-2.0, -0.5, 0.0, 0.5, 2.0]) | st.floats(-8, 8), min_size=1, max_size=9
)
"""Few values, so that ties are common."""
CONTEXTS = st.lists(st.integers(0, 12), max_size=5)
"""Tokens before; some are past the vocabulary."""
PENALTIES = st.sampled_from([1.0, 0.5, 1.3, 4.0])
WARM = st.fixed_dictionaries(
    {
        "repetition_penalty": PENALTIES,
        "temperature": st.sampled_from([0.3, 1.0, 1.7]),
        "top_k": st.none() | st.integers(1, 10),
        "top_p": st.none() | st.floats(0.05, 1),
        "min_p": st.none() | st.floats(0.01, 1),
    }
)
COLD = st.fixed_dictionaries({"repetition_penalty": PENALTIES})


def slow_softmax(logits: Table) -> Table:
    top = max(logits.values())
    weights = {token: math.exp(logit - top) for token, logit in logits.items()}
    return {token: weight / math.fsum(weights.values()) for token, weight in weights.items()}


def slow_penalty(logits: Table, penalty: float, context: Sequence[int]) -> Table:
    return {
        token: logit if token not in context else logit / penalty if logit > 0 else logit * penalty
        for token, logit in logits.items()
    }


def slow_top_k(logits: Table, k: int) -> Table:
    last = sorted(logits.values(), reverse=True)[min(k, len(logits)) - 1]
    return {token: logit for token, logit in logits.items() if logit >= last}


def slow_top_p(logits: Table, top_p: float) -> Table:
    probs = slow_softmax(logits)
    kept: Table = {}
    for token in sorted(probs, key=lambda token: (-probs[token], token)):
        reached = math.fsum(probs[other] for other in kept)
        assume(abs(reached - top_p) > EDGE)
        if reached > top_p:
            break
        kept[token] = logits[token]
    return kept


def slow_min_p(logits: Table, min_p: float) -> Table:
    probs = slow_softmax(logits)
    least = min_p * max(probs.values())
    assume(all(prob == max(probs.values()) or abs(prob - least) > EDGE for prob in probs.values()))
    return {token: logit for token, logit in logits.items() if probs[token] >= least}


def slow_law(logits: Table, sampling: Sampling, context: Sequence[int]) -> Table:
    """Apply the processors in the order of the fields of ``Sampling``."""
    kept = slow_penalty(logits, sampling.repetition_penalty, context)
    if sampling.temperature == 0:
        return {max(kept, key=lambda token: (kept[token], -token)): 1.0}
    kept = {token: logit / sampling.temperature for token, logit in kept.items()}
    if sampling.top_k is not None:
        kept = slow_top_k(kept, sampling.top_k)
    if sampling.top_p is not None and sampling.top_p < 1:
        kept = slow_top_p(kept, sampling.top_p)
    if sampling.min_p is not None:
        kept = slow_min_p(kept, sampling.min_p)
    return slow_softmax(kept)


def table_of(law: Law) -> Table:
    tokens = range(len(law.probs)) if law.ids is None else law.ids.tolist()
    pairs = zip(tokens, law.probs.tolist(), strict=True)
    return {token: prob for token, prob in pairs if prob > 0}


@given(logits=LOGITS, settings=WARM, context=CONTEXTS)
def test_law_is_that_of_the_plain_loops(
    logits: list[float], settings: dict[str, Any], context: list[int], to_array: ToArray
) -> None:
    sampling = Sampling(**settings)
    expected = slow_law(dict(enumerate(logits)), sampling, context)
    law = sampling.law(Scores(to_array(np.array(logits))), context)
    assert table_of(law) == pytest.approx(expected)
    assert math.fsum(law.probs.tolist()) == pytest.approx(1)
    assert law.ids is None or law.ids.tolist() == sorted(law.ids.tolist())


@given(logits=LOGITS, settings=COLD, context=CONTEXTS)
def test_temperature_zero_leaves_the_lowest_of_the_likeliest_tokens(
    logits: list[float], settings: dict[str, Any], context: list[int], to_array: ToArray
) -> None:
    sampling = Sampling(**settings)
    expected = slow_law(dict(enumerate(logits)), sampling, context)
    scores = Scores(to_array(np.array(logits)))
    assert table_of(sampling.law(scores, context)) == expected
    shaped = sampling.shape(scores, context)
    assert [shaped.token_at(0)] == list(expected)
    assert len(shaped.logits) == 1


@given(
    logits=st.lists(st.integers(-20, 20).map(lambda step: step / 2), min_size=1, unique=True),
    context=CONTEXTS,
)
def test_temperature_zero_is_the_limit_of_small_ones(
    logits: list[float], context: list[int], to_array: ToArray
) -> None:
    scores = Scores(to_array(np.array(logits)))
    (likeliest,) = table_of(Sampling().law(scores, context))
    assert Sampling(temperature=0.01).law(scores, context).prob_of(likeliest) > 1 - 1e-12


@given(
    table=st.dictionaries(st.integers(0, 9), st.floats(-8, 8), min_size=1),
    settings=WARM | COLD,
    context=CONTEXTS,
)
def test_sparse_scores_are_dense_ones_that_miss_tokens(
    table: Table, settings: dict[str, Any], context: list[int], to_array: ToArray
) -> None:
    sampling = Sampling(**settings)
    expected = slow_law(table, sampling, context)
    ids = sorted(table)
    sparse = Scores(to_array(np.array([table[token] for token in ids])), to_array(np.array(ids)))
    dense = Scores(to_array(np.array([table.get(token, -math.inf) for token in range(10)])))
    assert table_of(sampling.law(sparse, context)) == pytest.approx(expected)
    assert table_of(sampling.law(dense, context)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 1}, [1, 3]),  # all that equal the last one kept
        ({"top_k": 3}, [1, 3, 4, 5]),
        ({"top_p": 0.3}, [1]),  # the lowest id first among equals
        ({"min_p": 1.0}, [1, 3]),
        ({"top_k": 1, "top_p": 0.5}, [1]),  # top-k first: half of what is left is enough
    ],
)
def test_ties_are_broken_as_documented(
    settings: dict[str, Any], kept: list[int], to_array: ToArray
) -> None:
    logits = to_array(np.array([0.0, 2.0, 0.0, 2.0, 1.0, 1.0]))
    assert list(table_of(Sampling(temperature=1.0, **settings).law(Scores(logits), ()))) == kept


@pytest.mark.parametrize(("top_p", "kept"), [(0.25, 256), (0.5, 512), (0.501, 514), (1.0, 1024)])
def test_nucleus_stops_as_soon_as_it_reaches_its_share(
    top_p: float, kept: int, to_array: ToArray
) -> None:
    law = Sampling(temperature=1.0, top_p=top_p).law(Scores(to_array(np.zeros(1024))), ())
    assert table_of(law) == pytest.approx(dict.fromkeys(range(kept), 1 / kept))


def test_penalty_comes_before_temperature(to_array: ToArray) -> None:
    """By hand: 1.0 / 2 / 0.5 = 1 and -1.0 * 2 / 0.5 = -4, beside an untouched 0 / 0.5 = 0; the
    largest is then shifted to 0."""
    sampling = Sampling(repetition_penalty=2.0, temperature=0.5)
    shaped = sampling.shape(Scores(to_array(np.array([1.0, -1.0, 0.0]))), [1, 0, 0, 1])
    assert shaped.logits.tolist() == [0, -5, -1]


def test_shaping_leaves_the_models_own_scores_alone(to_array: ToArray) -> None:
    logits = to_array(np.array([1.0, -1.0, 0.5]))
    sampling = Sampling(repetition_penalty=2.0, temperature=0.7, top_k=2, top_p=0.9, min_p=0.1)
    sampling.law(Scores(logits), [0, 1])
    assert logits.tolist() == [1.0, -1.0, 0.5]


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_is_normalised_in_float32(half: str) -> None:
    torch = pytest.importorskip("torch")
    logits = torch.linspace(-4, 4, 3000).to(getattr(torch, half))
    law = Sampling(temperature=0.7, top_p=0.9).law(Scores(logits), ())
    assert law.probs.dtype == torch.float32
    assert float(law.probs.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        *(
            {"temperature": 1.0, **cut}
            for cut in ({}, {"top_k": 1}, {"top_p": 0.5}, {"min_p": 0.5})
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "logits", [[0.0, math.nan], [0.0, math.inf], [-math.inf, -math.inf]], ids=str
)
def test_scores_that_are_no_law_are_refused(
    settings: dict[str, Any], logits: list[float], to_array: ToArray
) -> None:
    with pytest.raises(
        NonFiniteError, match=r"^A model's law must be finite, got logits that hold "
    ):
        Sampling(**settings).law(Scores(to_array(np.array(logits))), ())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"repetition_penalty": 0.0}, "repetition_penalty must be a positive ratio, got 0.0."),
        ({"repetition_penalty": math.nan}, "repetition_penalty must be a positive ratio, got nan."),
        ({"temperature": -0.1}, "temperature must be a finite number of at least 0, got -0.1."),
        ({"temperature": math.inf}, "temperature must be a finite number of at least 0, got inf."),
        ({"temperature": 1.0, "top_k": 0}, "top_k must be at least 1, got 0."),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0."),
        ({"temperature": 1.0, "min_p": 1.1}, "min_p must be above 0 and at most 1, got 1.1."),
        ({"seed": -1}, "seed must be at least 0, got -1."),
        (
            {"stop_strings": ("a", "")},
            "stop_strings must be texts of at least one character, got ('a', '').",
        ),
        *(
            (
                {name: value},
                f"{name} must be left out at temperature 0, which never reads it, got {value}.",
            )
            for name, value in (("top_k", 3), ("top_p", 0.5), ("min_p", 0.5))
        ),
    ],
)
def test_settings_that_break_a_rule_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Sampling(**settings)
    assert str(caught.value) == sentence
