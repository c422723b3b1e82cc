"""Sampled traces: in expectation, replay is what decoding does."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.laws import Scores, softmax
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.tracing.columns import from_table, to_table
from smart_speed.tracing.grid import count_absolute, count_fixed
from smart_speed.tracing.oracle import oracle
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.replay import replay
from smart_speed.tracing.rounds import RoundCounts
from smart_speed.tracing.traces import Trace
from tests.calibrations import GROWING
from tests.unit.traced import costs_of, drafter_of, verifier_of

LENGTH = 12
LONGEST = 5
RUNS = 200
WARM: dict[str, Any] = {"temperature": 0.9, "top_p": 0.95, "ignore_eos": True}
CONFIGS: dict[str, dict[str, Any]] = {
    "fixed": {"max_draft_len": 3},
    "absolute": {"theta_abs": 1.4, "max_draft_len": 5},
    "adaptive": {"warmup": 2, "z": 0.2, "max_draft_len": 4},
    "heuristic": {"start_len": 2, "max_draft_len": 5},
    "calibrated": {"calibration": GROWING, "max_draft_len": 5},
}
TRIED = [
    *((strategy, "model") for strategy in CONFIGS),
    *((strategy, kind) for strategy in ("absolute", "calibrated") for kind in ("ngram", "trimmed")),
]
"""Strategies and drafters: every strategy with a model, two of them with the others."""


def sampled_trace(kind: str, seed: int, **more: Any) -> Trace:
    sampling = Sampling(seed=seed, **WARM | more)
    recorder = TraceRecorder(
        verifier_of(0), {kind: drafter_of(kind, 0)}, max_draft_len=LONGEST, sampling=sampling
    )
    (trace,) = recorder.record([2, 3], prompt_id="p", task="toy", max_new_tokens=LENGTH)
    return trace


@cache
def sampled_traces(kind: str) -> list[Trace]:
    return [sampled_trace(kind, seed) for seed in range(RUNS)]


@pytest.fixture(params=["model", "ngram", "trimmed"])
def traces(request: pytest.FixtureRequest) -> tuple[str, list[Trace]]:
    return request.param, sampled_traces(request.param)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "traces"), TRIED, indirect=["traces"])
def test_rounds_and_passes_are_those_of_decoding_in_expectation(
    strategy: str, traces: tuple[str, list[Trace]]
) -> None:
    """Catches: acceptance by overlap rather than given the text; a branch after an accepted token;
    a rejected token drawn from the whole draft law."""
    kind, recorded = traces
    config = EntropyConfig(strategy=strategy, **CONFIGS[strategy])
    decoder = EntropyBasedSpeculativeDecoder(verifier_of(0), drafter_of(kind, 0), config)
    live, replayed = [], []
    for seed in range(RUNS):
        sampling = Sampling(seed=seed + 10**6, **WARM)
        record = decoder.generate([2, 3], max_new_tokens=LENGTH, sampling=sampling).record
        live.append(
            (
                len(record.rounds),
                sum(len(turn.entropies_nats) for turn in record.rounds),
                sum(turn.draft_len for turn in record.rounds),
                sum(turn.accepted_len for turn in record.rounds),
            )
        )
        rounds = replay(PreparedTrace(recorded[seed], seed=seed), config)
        replayed.append(
            (
                len(rounds),
                sum(turn.num_passes for turn in rounds),
                sum(turn.draft_len for turn in rounds),
                sum(turn.accepted_len for turn in rounds),
            )
        )
    mine, theirs = np.array(replayed, dtype=float), np.array(live, dtype=float)
    error = np.sqrt((mine.var(axis=0) + theirs.var(axis=0)) / RUNS) + 1e-9
    assert np.abs((mine.mean(axis=0) - theirs.mean(axis=0)) / error).max() < 4
    assert 0 < theirs[:, 3].sum() < theirs[:, 2].sum()


def test_acceptance_averages_to_the_overlap(traces: tuple[str, list[Trace]]) -> None:
    """Over texts, the probability given the text is what it is without: the overlap."""
    _, recorded = traces
    gaps = []
    for trace in recorded:
        assert trace.accept_prob is not None
        assert trace.overlap is not None
        gaps += (trace.accept_prob - trace.overlap).tolist()
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / math.sqrt(len(gaps))


def test_probabilities_are_those_of_the_laws() -> None:
    trace = sampled_trace("model", 7, top_p=None, temperature=1.0)
    verifier, drafter = verifier_of(0), drafter_of("model", 0)
    text = [2, 3]
    assert trace.accept_prob is not None
    assert trace.overlap is not None
    for at, token in enumerate(trace.tokens.tolist()):
        verifier.model.rollback(0)
        target = softmax(Scores(verifier.model.feed(text, last=1)[0]))
        draft = softmax(drafter.scores_after(text, []))
        ratio = draft.prob_of(token) / target.prob_of(token)
        assert trace.accept_prob[at] == pytest.approx(min(1, ratio), rel=1e-5)
        overlap = float(np.minimum(target.probs, draft.probs).sum())
        assert trace.overlap[at] == pytest.approx(overlap, rel=1e-5)
        text.append(token)
        drafter.rollback(len(text) - 1)


def test_seeds_decide_what_is_accepted_and_nothing_else() -> None:
    trace = sampled_trace("model", 3)
    first, again, other = (PreparedTrace(trace, seed=seed) for seed in (0, 0, 1))
    assert first.accepted_lens == again.accepted_lens
    many = {tuple(PreparedTrace(trace, seed=seed).accepted_lens) for seed in range(20)}
    assert len(many) > 1
    assert first.roots == other.roots


@pytest.mark.parametrize("seed", range(3))
def test_grids_and_oracle_read_the_same_acceptances(seed: int) -> None:
    prepared = PreparedTrace(sampled_trace("model", 5), seed=seed)
    costs = costs_of()
    counts = count_fixed(prepared, [0, 2, 4])
    for at, cap in enumerate((0, 2, 4)):
        rounds = replay(prepared, EntropyConfig(strategy="fixed", max_draft_len=cap))
        assert counts.num_rounds[at] == RoundCounts.of(rounds).num_rounds[0]
        assert oracle(prepared, costs, 4).seconds <= costs.seconds(rounds) + 1e-9
    thresholds = count_absolute(prepared, [0.7, 1.4], max_draft_len=4)
    for at, theta in enumerate((0.7, 1.4)):
        config = EntropyConfig(strategy="absolute", theta_abs=theta, max_draft_len=4)
        expected = RoundCounts.of(replay(prepared, config))
        assert thresholds.num_passes[at] == expected.num_passes[0]
        assert costs.seconds_of(thresholds)[at] == pytest.approx(costs.seconds_of(expected)[0])


def test_sampled_traces_survive_a_table() -> None:
    trace = sampled_trace("model", 1)
    (again,) = from_table(to_table([trace]), "here")
    assert again.sampled
    assert again.accept_prob is not None
    np.testing.assert_array_equal(again.accept_prob, trace.accept_prob)
    np.testing.assert_array_equal(again.agrees(4), trace.agrees(4))
