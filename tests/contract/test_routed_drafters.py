"""Drafters that take turns: whoever is chosen says what it would if it had never been idle."""

from collections.abc import Callable

import numpy as np
import pytest

from smart_speed.drafters.base import Drafter
from smart_speed.drafters.blend import BlendDrafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.drafters.routed import RoutedDrafter
from smart_speed.engines.toy import TableModel
from smart_speed.errors import ConfigError
from smart_speed.laws import softmax
from smart_speed.testing import check_drafter

TEXT = [1, 2, 3, 0, 4, 1, 2, 2, 1, 2, 3, 0]
WIDTH = 6


def model_of(seed: int) -> ModelDrafter:
    table = np.random.default_rng(seed).normal(size=(WIDTH, WIDTH, WIDTH))
    return ModelDrafter(TableModel(table), vocab_size=WIDTH)


MAKERS: dict[str, Callable[[], Drafter]] = {
    "small": lambda: model_of(0),
    "nano+ngram": lambda: BlendDrafter(model_of(1)),
    "ngram": NgramDrafter,
}


def routed() -> RoutedDrafter:
    return RoutedDrafter({name: make() for name, make in MAKERS.items()})


@pytest.mark.parametrize("index", range(len(MAKERS)))
def test_any_of_them_keeps_the_contract_of_a_drafter(index: int) -> None:
    first = [*MAKERS][index:] + [*MAKERS][:index]
    check_drafter(
        lambda: RoutedDrafter({name: MAKERS[name]() for name in first}), TEXT, vocab_size=WIDTH
    )


def test_idle_drafters_catch_up_once_they_are_chosen() -> None:
    """Catches: a drafter that does not forget what another one drafted, or reads on from where it
    stopped as if nothing had been written since."""
    rng = np.random.default_rng(0)
    drafter, text = routed(), TEXT[:4]
    drafter.prefill(text)
    chosen = []
    for _ in range(60):
        index = int(rng.integers(len(MAKERS)))
        drafter.choose(index)
        chosen.append(index)
        fresh = [*MAKERS.values()][index]()
        fresh.prefill(text)
        proposal: list[int] = []
        for _ in range(int(rng.integers(4))):
            scores = drafter.scores_after(text, proposal)
            expected = fresh.scores_after(text, proposal)
            got, wanted = (softmax(each).probs for each in (scores, expected))
            np.testing.assert_allclose(got, wanted, atol=1e-12)
            proposal.append(int(rng.integers(WIDTH)))
        kept = proposal[: int(rng.integers(len(proposal) + 1))]
        text = [*text, *kept, int(rng.integers(WIDTH))]
        drafter.rollback(len(text) - 1)
    assert {*chosen} == {0, 1, 2}


def test_a_new_text_begins_with_the_first() -> None:
    drafter = routed()
    drafter.choose(2)
    drafter.prefill(TEXT)
    assert softmax(drafter.scores_after(TEXT, [])).probs.shape == (WIDTH,)
    assert drafter.name == "route:small,nano+ngram,ngram"


def test_nobody_is_not_a_choice() -> None:
    with pytest.raises(ConfigError, match="drafters must be at least one"):
        RoutedDrafter({})
