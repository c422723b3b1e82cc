"""What a recorder writes down, against drafting anew from every position."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, final

import numpy as np
import pytest

from smart_speed.drafters.base import Drafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines import toy
from smart_speed.engines.base import LoadedModel
from smart_speed.entropy import renyi_entropy, shannon_entropy, topk_entropy
from smart_speed.errors import ConfigError, ContextLengthError
from smart_speed.laws import Scores, softmax
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.traces import Trace
from tests.unit.traced import (
    DRAFTERS,
    END,
    ENDING,
    LONGEST,
    NEW_TOKENS,
    PROMPTS,
    drafter_of,
    trace_of,
    verifier_of,
)

CASES = list(product(DRAFTERS, ENDING, PROMPTS[:2]))


@final
class Counting:
    """A drafter that counts how often it is asked."""

    name = "counting"

    def __init__(self, inner: Drafter) -> None:
        self._inner = inner
        self.asked = 0

    @property
    def context_len(self) -> int | None:
        return self._inner.context_len

    def prefill(self, text: Sequence[int]) -> None:
        self._inner.prefill(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        self.asked += 1
        return self._inner.scores_after(text, proposal)

    def rollback(self, to_len: int) -> None:
        self._inner.rollback(to_len)


def slow_continuation(kind: str, seed: int, text: list[int], length: int) -> list[Scores]:
    """Draft with a drafter that has read nothing else."""
    drafter = drafter_of(kind, seed)
    drafter.prefill(text)
    drafted: list[int] = []
    found = []
    while len(drafted) < length and END not in drafted:
        scores = drafter.scores_after(text, drafted)
        scores = Scores(scores.logits.copy(), scores.ids)
        found.append(scores)
        drafted.append(scores.token_at(int(scores.logits.argmax())))
    return found


def wanted_len(trace: Trace, position: int) -> int:
    room = trace.max_new_len - position - 1
    if trace.drafter_context_len is not None:
        room = min(room, trace.drafter_context_len - trace.prompt_len - position)
    return max(min(room, LONGEST), 0)


@pytest.mark.parametrize(("kind", "seed", "prompt"), CASES)
def test_every_continuation_is_what_the_drafter_would_write_there(
    kind: str, seed: int, prompt: tuple[int, ...]
) -> None:
    trace = trace_of(kind, seed, prompt)
    continuations, passes = trace.continuations(LONGEST), trace.passes
    for position in range(trace.output_len):
        text = [*prompt, *trace.tokens[:position].tolist()]
        expected = slow_continuation(kind, seed, text, wanted_len(trace, position))
        indices = continuations[position][: len(expected)]
        for index, scores in zip(indices.tolist(), expected, strict=True):
            logits, best = scores.logits, int(scores.logits.argmax())
            top = np.sort(softmax(scores).probs)[::-1]
            assert passes.tokens[index] == scores.token_at(best)
            assert passes.shannon_nats[index] == pytest.approx(float(shannon_entropy(logits)))
            assert passes.renyi_nats[index] == pytest.approx(
                float(renyi_entropy(logits, order=2.0))
            )
            assert passes.topk_nats[index] == pytest.approx(float(topk_entropy(logits, k=50)))
            assert passes.top_prob[index] == pytest.approx(top[0])
            second = top[1] if len(top) > 1 else 0.0
            with np.errstate(divide="ignore"):
                margin = np.log(top[0]) - np.log(second)
            assert passes.margin_nats[index] == pytest.approx(margin, abs=1e-6)


@pytest.mark.parametrize(("kind", "seed", "prompt"), CASES)
def test_agreement_is_what_the_verifier_would_keep(
    kind: str, seed: int, prompt: tuple[int, ...]
) -> None:
    trace = trace_of(kind, seed, prompt)
    tokens, passes = trace.tokens.tolist(), trace.passes.tokens
    rows = trace.continuations(NEW_TOKENS)
    for position, accepted_len in enumerate(trace.accepted_lens().tolist()):
        row = rows[position]
        drafted = passes[row[row >= 0]].tolist()
        pairs = zip(drafted, tokens[position:], strict=False)
        same = [mine == theirs for mine, theirs in pairs]
        assert accepted_len == (same.index(False) if False in same else len(same))
        assert trace.agrees()[position] == (accepted_len > 0)


@pytest.mark.parametrize(("seed", "prompt"), list(product(ENDING, PROMPTS)))
def test_the_text_is_plain_decodings(seed: int, prompt: tuple[int, ...]) -> None:
    trace, verifier = trace_of("model", seed, prompt), verifier_of(seed)
    plain = EntropyBasedSpeculativeDecoder(verifier).generate(
        list(prompt), max_new_tokens=NEW_TOKENS
    )
    assert trace.tokens.tolist() == list(plain.tokens)
    assert trace.finish_reason == plain.record.finish_reason
    assert (trace.finish_reason == "eos") == (trace.tokens[-1] == END)
    assert trace.prompt_len == len(prompt)
    verifier.model.rollback(0)
    rows = verifier.model.feed([*prompt, *plain.tokens[:-1]], last=len(plain.tokens))
    np.testing.assert_allclose(trace.verifier_entropy_nats, shannon_entropy(rows))
    top_probs = [float(softmax(Scores(row)).probs.max()) for row in rows]
    np.testing.assert_allclose(trace.verifier_top_prob, top_probs)
    assert trace.verifier_agrees.all()


@pytest.mark.parametrize("kind", ["ngram", "model"])
def test_passes_are_made_only_where_they_tell_something_new(kind: str) -> None:
    """One for each position, and a branch where the drafter is mistaken."""
    trace = trace_of(kind, 0, PROMPTS[0])
    mistaken = np.flatnonzero(~trace.agrees())
    lens = [max(min(LONGEST, NEW_TOKENS - at - 1), 1) for at in range(NEW_TOKENS)]
    assert 0 < len(mistaken) < NEW_TOKENS
    assert trace.num_passes == NEW_TOKENS + sum(lens[at] - 1 for at in mistaken.tolist())


@pytest.mark.parametrize("kind", ["ngram", "model"])
def test_passes_are_counted(kind: str) -> None:
    drafter = Counting(drafter_of(kind, 0))
    recorder = TraceRecorder(verifier_of(0), {"it": drafter}, max_draft_len=LONGEST)
    (trace,) = recorder.record([2], prompt_id="p", max_new_tokens=NEW_TOKENS)
    assert trace.num_passes == drafter.asked


@pytest.mark.parametrize("kind", ["ngram", "model"])
def test_continuations_are_what_the_drafter_writes_from_each_position(kind: str) -> None:
    trace = trace_of(kind, 0, PROMPTS[1])
    written = [*PROMPTS[1], *trace.tokens.tolist()]
    for position in range(0, NEW_TOKENS, 5):
        drafter, draft = drafter_of(kind, 0), list[int]()
        length = max(min(LONGEST, NEW_TOKENS - position - 1), 1)
        text = written[: len(PROMPTS[1]) + position]
        for index in trace.continuations(length)[position].tolist():
            if index >= 0:
                scores = drafter.scores_after(text, draft)
                draft.append(scores.token_at(int(np.argmax(scores.logits))))
                assert draft[-1] == trace.passes.tokens[index]
        assert draft


def test_all_drafters_are_traced_on_one_text() -> None:
    pair = toy.load("default", order=3), toy.load("default", order=1)
    recorder = TraceRecorder(pair[0], {"letters": pair[1], "counts": NgramDrafter()})
    for prompt_id, prompt in (("a", "the drafter"), ("b", "the verifier reads")):
        traces = recorder.record(prompt, prompt_id=prompt_id, task="verse", max_new_tokens=30)
        assert [trace.drafter for trace in traces] == ["letters", "counts"]
        assert {(trace.prompt_id, trace.task) for trace in traces} == {(prompt_id, "verse")}
        np.testing.assert_array_equal(traces[0].tokens, traces[1].tokens)


def test_a_drafter_whose_context_is_full_is_not_asked() -> None:
    trace = trace_of("short", 0, PROMPTS[1])
    assert trace.drafter_context_len == 20
    assert (trace.own_lens[14:] == 0).all()
    assert (trace.own_lens[:14] > 0).all()
    assert (trace.roots()[14:] == -1).all()
    assert not trace.agrees()[14:].any()
    assert not trace.accepted_lens()[14:].any()


def test_the_verifiers_context_ends_the_output(random_pair: Callable[..., Any]) -> None:
    verifier, drafter = random_pair(context_len=9)
    recorder = TraceRecorder(verifier, {"it": drafter}, max_draft_len=4)
    (trace,) = recorder.record([2, 3], prompt_id="p", max_new_tokens=50)
    assert (trace.output_len, trace.max_new_len, trace.finish_reason) == (7, 7, "context")
    with pytest.raises(ContextLengthError):
        recorder.record([2] * 9, prompt_id="p")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_draft_len": 0}, "max_draft_len must be at least 1, got 0."),
        (
            {"sampling": Sampling(stop_strings=("ab",))},
            "stop_strings must be left out of traces, which hold tokens, got ('ab',).",
        ),
    ],
)
def test_what_a_trace_cannot_hold_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TraceRecorder(verifier_of(0), {}, **settings)
    assert str(caught.value) == sentence


def test_empty_outputs_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_new_tokens must be at least 1, got 0"):
        TraceRecorder(verifier_of(0), {}).record([2], prompt_id="p", max_new_tokens=0)


def test_one_model_cannot_be_both() -> None:
    verifier: LoadedModel = verifier_of(0)
    with pytest.raises(ConfigError, match="loaded apart"):
        TraceRecorder(verifier, {"self": verifier})


def test_a_law_of_one_token_has_no_second() -> None:
    recorder = TraceRecorder(verifier_of(0), {"it": NgramDrafter()}, max_draft_len=2)
    (trace,) = recorder.record([2], prompt_id="p", max_new_tokens=3)
    assert trace.passes.margin_nats[0] == np.inf
    assert trace.passes.shannon_nats[0] == 0
    assert trace.passes.top_prob[0] == 1
