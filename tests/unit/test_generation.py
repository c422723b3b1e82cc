"""An answer in the making: its pieces, and its result at any time."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.engines.base import LoadedModel
from smart_speed.generation import Generation
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

CIRCLE = {"a": "b", "b": "c", "c": "d", "d": "a", ".": "a"}
LINE = {"a": "b", "b": "c", "c": "d", "d": ".", ".": "a"}

Stream = Callable[..., Generation]


@pytest.fixture
def stream(scripted: Callable[..., LoadedModel], clock: Callable[[], float]) -> Stream:
    """Begin an answer to "a" in rounds of two drafted letters and one of the verifier's own."""

    def begin(
        follows: dict[str, str],
        *,
        context_len: int = 100,
        stops: tuple[str, ...] = (),
        max_new_tokens: int = 50,
    ) -> Generation:
        verifier, drafter = scripted(follows, context_len=context_len), scripted(follows)
        config = EntropyConfig(strategy="fixed", max_draft_len=2)
        decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config, clock=clock)
        return decoder.stream(
            "a", sampling=Sampling(stop_strings=stops), max_new_tokens=max_new_tokens
        )

    return begin


@pytest.mark.parametrize(
    ("settings", "pieces", "reason"),
    [
        ({"follows": CIRCLE, "max_new_tokens": 7}, ["bcd", "abc", "d", ""], "length"),
        ({"follows": CIRCLE, "max_new_tokens": 0}, [""], "length"),
        ({"follows": CIRCLE, "context_len": 5}, ["bcd", "a", ""], "context"),
        ({"follows": CIRCLE, "context_len": 5, "max_new_tokens": 4}, ["bcd", "a", ""], "length"),
        ({"follows": LINE}, ["bcd", "", ""], "eos"),
        ({"follows": CIRCLE, "stops": ("da",)}, ["bc", "", ""], "stop"),
        ({"follows": CIRCLE, "stops": ("dd",), "max_new_tokens": 3}, ["bc", "d"], "length"),
        ({"follows": CIRCLE, "stops": ("c",)}, ["b", ""], "stop"),
    ],
    ids=["length", "none", "context", "both", "eos", "stop", "no stop", "stop in a round"],
)
def test_pieces_join_to_the_text_and_the_end_has_a_reason(
    settings: dict[str, Any], pieces: list[str], reason: str, stream: Stream
) -> None:
    generation = stream(**settings)
    assert list(generation) == pieces
    result = generation.result()
    assert result.text == "".join(pieces)
    assert result.record.finish_reason == reason
    assert result.record.status == "ok"
    assert stream(**settings).finish().text == result.text


@pytest.mark.parametrize("seen", [0, 1, 2])
def test_a_generation_cut_short_is_interrupted(seen: int, stream: Stream) -> None:
    generation = stream(CIRCLE)
    pieces = list(islice(generation, seen))
    result = generation.result()
    assert result.text == "".join(pieces) == "bcdabc"[: 3 * seen]
    assert result.record.finish_reason == "interrupted"
    assert result.record.output_len == len(result.tokens) == 3 * seen
    assert len(result.rounds) == len(result.record.rounds) == seen
    assert generation.result() == result


def test_what_was_held_back_is_in_an_interrupted_text(stream: Stream) -> None:
    generation = stream(CIRCLE, stops=("dd",))
    assert next(iter(generation)) == "bc"
    assert generation.result().text == "bcd"


def test_an_output_that_a_token_ended_is_not_interrupted(stream: Stream) -> None:
    generation = stream(LINE)
    list(islice(generation, 2))
    assert generation.result().record.finish_reason == "eos"


@pytest.mark.parametrize("seen", [0, 1, 2])
def test_finishing_goes_on_from_what_was_seen(seen: int, stream: Stream) -> None:
    generation = stream(CIRCLE, max_new_tokens=10)
    pieces = list(islice(generation, seen))
    result = generation.finish()
    assert result.text == "bcdabcdabc"
    assert result.text.startswith("".join(pieces))
    assert result.record.finish_reason == "length"
    assert "".join(generation) == ""


def test_an_answer_may_be_iterated_over_in_parts(stream: Stream) -> None:
    generation = stream(CIRCLE, max_new_tokens=7)
    assert [*islice(generation, 1), *generation] == ["bcd", "abc", "d", ""]


def test_the_time_between_rounds_is_the_readers(stream: Stream, clock: Any) -> None:
    def decode_s(pause: float) -> float:
        generation = stream(CIRCLE, max_new_tokens=7)
        for _ in generation:
            clock.now += pause
        return generation.result().record.decode_s

    assert decode_s(1000.0) == decode_s(0.0) > 0


def test_decoding_is_as_long_as_its_rounds_at_least(stream: Stream) -> None:
    record = stream(CIRCLE, max_new_tokens=7).finish().record
    assert record.decode_s >= sum(turn.round_s for turn in record.rounds)
    assert record.prefill_s > 0
