"""Models in pairs: shared between decoders, of other contexts, of other minds."""

from collections.abc import Callable

import numpy as np
import pytest

from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, SmartSpeedError
from smart_speed.prompting import encode_prompt
from tests.unit.test_speculative_decoding import ALPHABET, decoder_of, slow_greedy

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]
Scripted = Callable[..., LoadedModel]


def test_a_text_that_was_overtaken_leaves_the_new_one_alone(random_pair: Pair) -> None:
    decoder = decoder_of(*random_pair(), strategy="fixed")
    first = decoder.stream([1, 2], max_new_tokens=30)
    next(iter(first))
    second = decoder.stream([3, 4], max_new_tokens=30)
    next(iter(second))
    with pytest.raises(SmartSpeedError):
        first.finish()
    assert list(second.finish().tokens) == slow_greedy(random_pair()[0].model, [3, 4], 30)


def test_greedy_decoding_measures_the_raw_law(scripted: Scripted) -> None:
    pair = scripted(ALPHABET), scripted(ALPHABET, unsure="abcdef")
    decoder = decoder_of(*pair, entropy_of="sampled")
    turn = decoder.generate("a", max_new_tokens=20).record.rounds[0]
    assert turn.entropies_nats[0] > 1


def test_a_drafter_whose_context_is_full_drafts_no_more(scripted: Scripted) -> None:
    pair = scripted(ALPHABET), scripted(ALPHABET, context_len=8)
    assert (
        decoder_of(*pair, strategy="fixed").generate("a", max_new_tokens=20).text
        == ("bcdefa" * 4)[:20]
    )


def test_one_model_cannot_be_both(scripted: Scripted) -> None:
    model = scripted(ALPHABET)
    with pytest.raises(ConfigError):
        decoder_of(model, model, strategy="fixed")


def test_decoders_that_share_a_model_never_mix_texts_of_one_length(random_pair: Pair) -> None:
    pair = random_pair()
    a, b = decoder_of(*pair, strategy="plain"), decoder_of(*pair, strategy="plain")
    first = a.stream([1, 2, 3], max_new_tokens=10)
    next(iter(first))
    b.generate([4, 4, 4], max_new_tokens=1)
    with pytest.raises(SmartSpeedError):
        first.finish()


def test_heuristic_counts_a_full_acceptance_of_what_was_drafted(scripted: Scripted) -> None:
    verifier, drafter = scripted(ALPHABET), scripted(ALPHABET | {"c": "a"})
    decoder = decoder_of(verifier, drafter, strategy="heuristic", start_len=1, min_draft_len=4)
    rounds = decoder.generate("a", max_new_tokens=60).record.rounds
    assert [t.draft_len for t in rounds][:3] == [4, 4, 4], [
        (t.draft_len, t.accepted_len) for t in rounds
    ]


def test_tokens_of_numpy_are_tokens(scripted: Scripted) -> None:
    assert encode_prompt(list(np.array([0, 1])), scripted(ALPHABET)) == [0, 1]
