"""The n-gram law against its definition, and what the drafter remembers."""

import math

import numpy as np
import pytest

from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.entropy import facts_measure
from smart_speed.errors import ConfigError
from smart_speed.laws import Scores, softmax

TEXTS = [
    pytest.param([7], [], id="one token"),
    pytest.param([7, 7], [], id="one token twice"),
    pytest.param([1, 2, 3, 1, 2], [], id="repetition"),
    pytest.param([1, 2, 3, 1, 2, 4, 1], [2], id="two continuations"),
    pytest.param([1, 2, 3, 1, 2, 4, 1], [2, 3, 1], id="a draft longer than the context"),
    pytest.param([1, 2, 3], [9, 8], id="a draft of unseen tokens"),
]


def slow_law(text: list[int], max_order: int) -> dict[int, float]:
    """Interpolate by the definition, from no context up to the longest."""
    law = {token: text.count(token) / len(text) for token in text}
    for order in range(1, min(max_order, len(text)) + 1):
        context = text[-order:]
        followers = [
            text[end] for end in range(order, len(text)) if text[end - order : end] == context
        ]
        kinds = len(set(followers))
        if followers:
            whole = len(followers) + kinds
            law = {
                token: (followers.count(token) + kinds * prob) / whole
                for token, prob in law.items()
            }
    return law


def table_of(scores: Scores) -> dict[int, float]:
    assert scores.ids is not None
    probs = np.exp(scores.logits).tolist()  # a law already, before any normalisation
    return dict(zip(scores.ids.tolist(), probs, strict=True))


@pytest.mark.parametrize("max_order", [1, 2, 5])
@pytest.mark.parametrize(("text", "proposal"), TEXTS)
def test_law_is_that_of_the_definition(
    text: list[int], proposal: list[int], max_order: int
) -> None:
    table = table_of(NgramDrafter(max_order).scores_after(text, proposal))
    assert table == pytest.approx(slow_law([*text, *proposal], max_order))
    assert math.fsum(table.values()) == pytest.approx(1, abs=1e-12)
    assert list(table) == sorted({*text, *proposal})


def test_law_of_a_random_text_is_that_of_the_definition(generator: np.random.Generator) -> None:
    text = generator.integers(0, 4, size=80).tolist()
    drafter = NgramDrafter(3)
    for end in range(1, 80, 7):
        table = table_of(drafter.scores_after(text[:end], text[end : end + 2]))
        assert table == pytest.approx(slow_law(text[: end + 2], 3))


def test_another_draft_is_forgotten(generator: np.random.Generator) -> None:
    text = generator.integers(0, 4, size=30).tolist()
    drafter = NgramDrafter()
    before = table_of(drafter.scores_after(text, []))
    drafter.scores_after(text, [0, 1, 2, 3])
    assert table_of(drafter.scores_after(text, [])) == before


def test_growing_with_the_text_equals_starting_from_it(generator: np.random.Generator) -> None:
    text = generator.integers(0, 4, size=40).tolist()
    grown = NgramDrafter()
    grown.prefill(text[:5])
    for end in (6, 9, 10, 25, 40):
        grown.rollback(end - 1)  # as the loop does after each round
        fresh = NgramDrafter()
        fresh.prefill(text[:end])
        expected = table_of(fresh.scores_after(text[:end], []))
        assert table_of(grown.scores_after(text[:end], [])) == expected


@pytest.mark.parametrize("kept", [0, 3, 20])
def test_another_text_is_all_that_is_remembered(kept: int, generator: np.random.Generator) -> None:
    """It may begin as the one before did."""
    first = generator.integers(0, 4, size=20).tolist()
    second = [*first[:kept], *generator.integers(2, 6, size=20).tolist()]
    drafter = NgramDrafter()
    drafter.prefill(first)
    drafter.scores_after(first, [])
    drafter.prefill(second)
    expected = NgramDrafter().scores_after(second, [])
    assert table_of(drafter.scores_after(second, [])) == table_of(expected)


def test_a_cut_text_is_counted_again(generator: np.random.Generator) -> None:
    text = generator.integers(0, 4, size=20).tolist()
    drafter = NgramDrafter()
    drafter.prefill(text)
    drafter.rollback(7)
    expected = NgramDrafter().scores_after(text[:7], [])
    assert table_of(drafter.scores_after(text[:7], [])) == table_of(expected)


def test_entropy_is_low_inside_a_repeated_passage_and_high_elsewhere(
    generator: np.random.Generator,
) -> None:
    text = generator.integers(0, 30, size=120).tolist()
    text += text[20:60]
    drafter, measure = NgramDrafter(), facts_measure("shannon", order=2.0, k=50)
    nats = [measure(drafter.scores_after(text[:end], [])).entropy_nats for end in range(1, 160)]
    inside, elsewhere = nats[125:], nats[60:119]
    assert max(inside) < 0.6 * min(elsewhere)
    guesses = [
        int(np.argmax(softmax(NgramDrafter().scores_after(text[:end], [])).probs))
        for end in range(125, 159)
    ]
    ids = sorted(set(text))
    assert [ids[guess] for guess in guesses] == text[125:159]


def test_a_longest_context_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^max_order must be at least 1, got 0\.$"):
        NgramDrafter(0)
