"""The recording drafter changes nothing, and remembers every pass in the order of the record."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.drafters.recording import RecordingDrafter, candidates
from smart_speed.engines import toy
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError
from smart_speed.laws import Scores
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

ToArray = Callable[[Any], Any]
LOGITS = np.log(np.array([0.1, 0.4, 0.05, 0.3, 0.15]))


class OverwritingDrafter:
    """Scores into the one row that it has, as engines may."""

    name = "overwriting"
    context_len = None

    def __init__(self) -> None:
        self._row = np.zeros(3)

    def prefill(self, text: Sequence[int]) -> None:
        pass

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        self._row[:] = 0
        self._row[len(proposal)] = 9
        return Scores(self._row)

    def rollback(self, to_len: int) -> None:
        pass


@pytest.fixture
def pair() -> tuple[LoadedModel, LoadedModel]:
    return toy.load("default", order=3), toy.load("default", order=1)


def test_candidates_are_the_likeliest_in_order(to_array: ToArray) -> None:
    found = candidates(Scores(to_array(LOGITS)), 3)
    assert [each.token for each in found] == [1, 3, 4]
    assert [each.prob for each in found] == pytest.approx([0.4, 0.3, 0.15])


def test_candidates_are_named_by_the_ids_of_the_support(to_array: ToArray) -> None:
    ids = to_array(np.array([3, 5, 8, 13, 21]))
    assert [each.token for each in candidates(Scores(to_array(LOGITS), ids), 2)] == [5, 13]


def test_a_narrow_support_gives_all_it_holds(to_array: ToArray) -> None:
    found = candidates(Scores(to_array(LOGITS)), 9)
    assert len(found) == 5
    assert math.fsum(each.prob for each in found) == pytest.approx(1)


def test_probabilities_are_of_the_whole_law_in_half_precision_too() -> None:
    torch = pytest.importorskip("torch")
    found = candidates(Scores(torch.zeros(1000, dtype=torch.bfloat16)), 2)
    assert [each.prob for each in found] == pytest.approx([0.001, 0.001])


def test_scores_are_read_before_the_engine_overwrites_them() -> None:
    drafter = RecordingDrafter(OverwritingDrafter(), top=1)
    drafter.prefill([0, 0])
    for drafted in range(3):
        drafter.scores_after([0, 0], [0] * drafted)
    assert [each.candidates[0].token for each in drafter.passes] == [0, 1, 2]
    assert [each.position for each in drafter.passes] == [2, 3, 4]


@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("strategy", ["absolute", "relative"])
@pytest.mark.parametrize("kind", ["model", "ngram"])
def test_passes_align_with_the_entropies_of_the_record(
    pair: tuple[LoadedModel, LoadedModel],
    strategy: str,
    placement: Literal["before", "after"],
    kind: str,
) -> None:
    verifier, small = pair
    inner = NgramDrafter() if kind == "ngram" else ModelDrafter.for_verifier(small, verifier)
    drafter = RecordingDrafter(inner, top=999)
    config = EntropyConfig(strategy=strategy, stop_placement=placement)
    decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config)
    result = decoder.generate(
        "the ver", max_new_tokens=60, sampling=Sampling(temperature=1.0, seed=4)
    )
    records = [turn.record for turn in result.rounds]
    wanted = [
        (record.context_len + at, entropy)
        for record in records
        for at, entropy in enumerate(record.entropies_nats)
    ]
    assert [each.position for each in drafter.passes] == [position for position, _ in wanted]
    # With every candidate kept, each pass has the very entropy that the record has.
    measured = [
        -math.fsum(each.prob * math.log(each.prob) for each in one.candidates if each.prob)
        for one in drafter.passes
    ]
    assert measured == pytest.approx([entropy for _, entropy in wanted], abs=1e-9)
    assert any(len(r.entropies_nats) > r.draft_len for r in records) == (placement == "before")


def test_positions_drafted_again_are_there_again(pair: tuple[LoadedModel, LoadedModel]) -> None:
    verifier, small = pair
    drafter = RecordingDrafter(ModelDrafter.for_verifier(small, verifier))
    config = EntropyConfig(strategy="fixed", max_draft_len=6)
    EntropyBasedSpeculativeDecoder(verifier, drafter, config).generate("the", max_new_tokens=30)
    positions = [each.position for each in drafter.passes]
    assert len(set(positions)) < len(positions)


def test_recording_changes_nothing_and_starts_anew_with_every_text(
    pair: tuple[LoadedModel, LoadedModel],
) -> None:
    verifier, small = pair
    drafter = RecordingDrafter(ModelDrafter.for_verifier(small, verifier))
    recorded = EntropyBasedSpeculativeDecoder(verifier, drafter)
    first = recorded.generate("the drafter ", max_new_tokens=20)
    kept = drafter.passes
    second = recorded.generate("what ", max_new_tokens=20)
    assert len(kept) == sum(len(turn.record.entropies_nats) for turn in first.rounds)
    assert len(drafter.passes) == sum(len(turn.record.entropies_nats) for turn in second.rounds)
    plain = EntropyBasedSpeculativeDecoder(verifier, small)
    assert plain.generate("what ", max_new_tokens=20).tokens == second.tokens


def test_it_is_a_drafter_with_the_name_of_the_one_inside() -> None:
    drafter = RecordingDrafter(NgramDrafter())
    assert isinstance(drafter, Drafter)
    assert drafter.name == "ngram"


def test_top_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="top must be at least 1, got 0"):
        RecordingDrafter(NgramDrafter(), top=0)
