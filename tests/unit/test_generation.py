"""An answer in the making: its pieces, its end, its result and its record."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.toy import TableModel
from smart_speed.errors import ConfigError
from smart_speed.generation import Generation
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

CIRCLE = {"a": "b", "b": "c", "c": "d", "d": "a", ".": "a"}
LINE = {"a": "b", "b": "c", "c": "d", "d": ".", ".": "a"}

Stream = Callable[..., Generation]
Pair = Callable[..., tuple[LoadedModel, LoadedModel]]


@pytest.fixture
def stream(scripted: Callable[..., LoadedModel], clock: Callable[[], float]) -> Stream:
    """Begin an answer to "a", in rounds of two drafted letters and one of the verifier's own."""

    def begin(
        follows: dict[str, str],
        *,
        drafted: dict[str, str] | None = None,
        cap: int = 2,
        context_len: int = 100,
        max_new_tokens: int = 50,
        **settings: Any,
    ) -> Generation:
        verifier, drafter = scripted(follows, context_len=context_len), scripted(drafted or follows)
        config = EntropyConfig(strategy="fixed", max_draft_len=cap)
        decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config, clock=clock)
        return decoder.stream("a", max_new_tokens=max_new_tokens, sampling=Sampling(**settings))

    return begin


@pytest.mark.parametrize(
    ("settings", "pieces", "reason"),
    [
        ({"follows": CIRCLE, "max_new_tokens": 7}, ["bcd", "abc", "d", ""], "length"),
        ({"follows": CIRCLE, "max_new_tokens": 0}, [""], "length"),
        ({"follows": CIRCLE, "context_len": 5}, ["bcd", "a", ""], "context"),
        ({"follows": CIRCLE, "context_len": 5, "max_new_tokens": 4}, ["bcd", "a", ""], "length"),
        ({"follows": LINE}, ["bcd", "", ""], "eos"),
        ({"follows": CIRCLE, "stop_strings": ("da",)}, ["bc", "", ""], "stop"),
        ({"follows": CIRCLE, "stop_strings": ("dd",), "max_new_tokens": 3}, ["bc", "d"], "length"),
        ({"follows": CIRCLE, "stop_strings": ("c",)}, ["b", ""], "stop"),
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
    generation = stream(CIRCLE, stop_strings=("dd",))
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
    assert result.record.finish_reason == "length"
    assert "".join([*pieces, *generation]) == result.text


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


@pytest.mark.parametrize(
    ("context_len", "max_new_tokens", "emitted", "reasons", "finish_reason"),
    [
        (100, 0, [], [], "length"),
        (100, 1, [1], ["budget"], "length"),
        (100, 6, [6], ["max_draft_len"], "length"),
        (100, 7, [6, 1], ["max_draft_len", "budget"], "length"),
        (100, 10, [6, 4], ["max_draft_len", "budget"], "length"),
        (9, 8, [6, 2], ["max_draft_len", "budget"], "length"),
        (9, 9, [6, 2], ["max_draft_len", "budget"], "context"),
        (2, 9, [1], ["budget"], "context"),
    ],
)
def test_budget_and_context_are_used_up_and_never_passed(
    context_len: int,
    max_new_tokens: int,
    emitted: list[int],
    reasons: list[str],
    finish_reason: str,
    stream: Stream,
) -> None:
    limits = {"context_len": context_len, "max_new_tokens": max_new_tokens}
    record = stream(CIRCLE, cap=5, **limits).finish().record
    assert [turn.emitted_len for turn in record.rounds] == emitted
    assert [turn.stop_reason for turn in record.rounds] == reasons
    assert record.finish_reason == finish_reason
    assert record.output_len == sum(emitted)


def test_a_budget_below_zero_is_refused(stream: Stream) -> None:
    with pytest.raises(ConfigError, match=r"^max_new_tokens must be at least 0, got -1\.$"):
        stream(CIRCLE, max_new_tokens=-1)


def test_end_of_text_inside_a_draft_ends_it_and_the_output(stream: Stream) -> None:
    result = stream(LINE, cap=8).finish()
    (turn,) = result.rounds
    assert turn.proposed == turn.emitted == result.tokens == (1, 2, 3, 4)
    assert (turn.record.accepted_len, turn.record.emitted_len) == (4, 4)
    assert turn.record.stop_reason == "eos"
    assert (result.text, result.record.finish_reason) == ("bcd", "eos")


def test_end_of_text_may_be_the_verifiers_own_token(stream: Stream) -> None:
    (turn,) = stream(LINE, cap=3).finish().rounds
    assert (turn.record.accepted_len, turn.record.emitted_len) == (3, 4)
    assert turn.record.stop_reason == "max_draft_len"
    assert turn.finish_reason == "eos"


def test_end_of_text_that_is_only_drafted_ends_nothing(stream: Stream) -> None:
    result = stream(CIRCLE, drafted=CIRCLE | {"b": "."}, cap=5, max_new_tokens=9).finish()
    assert result.text == "bcdabcdab"
    assert result.record.rounds[0].stop_reason == "eos"
    assert result.record.finish_reason == "length"


def test_end_of_text_may_be_ignored(stream: Stream) -> None:
    result = stream(LINE, cap=5, max_new_tokens=9, ignore_eos=True).finish()
    assert (result.text, result.record.output_len) == ("bcdabcd", 9)
    assert result.record.finish_reason == "length"


@pytest.mark.parametrize("cap", [1, 2, 5])
@pytest.mark.parametrize(
    ("settings", "output_len"), [({"stop_strings": ("da",)}, 4), ({"stop_tokens": (3,)}, 3)]
)
def test_a_stop_falls_on_the_same_token_whatever_the_rounds(
    settings: dict[str, Any], output_len: int, cap: int, stream: Stream
) -> None:
    token_by_token = stream(CIRCLE, cap=0, **settings).finish()
    result = stream(CIRCLE, cap=cap, **settings).finish()
    assert (result.tokens, result.text) == (token_by_token.tokens, token_by_token.text)
    assert (result.record.output_len, result.record.finish_reason) == (output_len, "stop")
    assert all(turn.accepted_len <= turn.emitted_len for turn in result.record.rounds)


@pytest.mark.parametrize("strategy", ["plain", "fixed", "absolute", "adaptive", "heuristic"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_record_adds_up(strategy: str, temperature: float, random_pair: Pair) -> None:
    config = EntropyConfig(strategy=strategy)
    decoder = EntropyBasedSpeculativeDecoder(*random_pair(), config)
    sampling = Sampling(temperature=temperature, seed=7)
    result = decoder.generate([1, 2, 3], sampling=sampling, prompt_id="p/1", max_new_tokens=60)
    record = result.record
    assert (record.condition, record.prompt_id, record.seed) == (config.name, "p/1", 7)
    assert (record.engine, record.lossless, record.error) == ("toy", True, None)
    assert (record.prompt_len, record.reused_len) == (3, 0)
    assert record.output_len == len(result.tokens) == sum(t.emitted_len for t in record.rounds)
    context_len = 3
    for turn, whole in zip(record.rounds, result.rounds, strict=True):
        assert whole.record == turn
        assert turn.context_len == context_len
        assert turn.draft_len == len(whole.proposed)
        assert turn.draft_len <= len(turn.entropies_nats) <= turn.draft_len + 1
        assert whole.proposed[: turn.accepted_len] == whole.emitted[: turn.accepted_len]
        assert turn.emitted_len == len(whole.emitted)
        assert turn.emitted_len == turn.accepted_len + 1 or turn is record.rounds[-1]
        context_len += turn.emitted_len


def test_a_record_names_the_condition_it_was_given(random_pair: Pair) -> None:
    decoder = EntropyBasedSpeculativeDecoder(random_pair()[0])
    assert decoder.generate([1], condition="baseline").record.condition == "baseline"


@pytest.mark.parametrize("strategy", ["plain", "absolute", "adaptive"])
def test_phases_add_up_to_no_more_than_their_round(
    strategy: str, random_pair: Pair, clock: Callable[[], float]
) -> None:
    config = EntropyConfig(strategy=strategy)
    decoder = EntropyBasedSpeculativeDecoder(*random_pair(), config, clock=clock)
    for turn in decoder.generate([2], max_new_tokens=30).record.rounds:
        phases = (turn.drafter_s, turn.entropy_s, turn.strategy_s, turn.verifier_s)
        assert sum(phases) <= turn.round_s
        passes = len(turn.entropies_nats)
        assert turn.drafter_s == turn.entropy_s == passes  # one look at the clock each
        assert turn.verifier_s == 1
        assert turn.strategy_s == passes + (turn.context_len > 1)  # and the state of the round


def test_asking_for_the_result_changes_no_later_piece(stream: Stream) -> None:
    generation = stream(CIRCLE, stop_strings=("cda",))
    pieces = []
    for piece in generation:
        pieces.append(piece)
        generation.result()
    assert "".join(pieces) == generation.result().text == "b"


def test_a_finished_generation_stays_as_it_is(stream: Stream) -> None:
    generation = stream(CIRCLE, max_new_tokens=7)
    assert generation.finish() == generation.finish()


def test_a_budget_used_up_is_no_interruption(stream: Stream) -> None:
    generation = stream(CIRCLE, max_new_tokens=6)
    list(islice(generation, 2))
    assert generation.result().record.finish_reason == "length"


def test_a_generation_that_failed_was_not_finished(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = stream(CIRCLE, max_new_tokens=20)
    next(iter(generation))

    def broken(self: TableModel, tokens: list[int], *, last: int) -> None:
        raise RuntimeError("broke")

    monkeypatch.setattr(TableModel, "feed", broken)
    with pytest.raises(RuntimeError):
        generation.finish()
    assert generation.result().record.finish_reason == "interrupted"
