"""Bounds against every policy that there is, on texts short enough to try them all."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.strategies import STRATEGIES
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.oracle import (
    Option,
    accepted_len_rounds,
    best_fixed,
    fixed_seconds,
    oracle,
    oracle_choice,
    plain_seconds,
    share_of_gap_closed,
)
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay
from tests.calibrations import beside
from tests.unit.traced import DRAFTERS, ENDING, LONGEST, NEW_TOKENS, PROMPTS, costs_of, trace_of

# The second has passes that cost less than narrower ones, as engines do; then it may pay to draft
# what is known to be rejected. The third makes drafting free, the last too dear.
COSTS = [
    costs_of(),
    CostModel(drafter_step_s=0.01, verifier_pass_s={1: 1.0, 2: 2.0, 3: 1.2, 4: 1.1, 9: 3.0}),
    CostModel(drafter_step_s=0.0, verifier_pass_s={1: 1.0, 9: 1.0}),
    CostModel(drafter_step_s=5.0, verifier_pass_s={1: 1.0, 9: 1.0}),
]
SHORT = 6
"""Tokens of a text whose policies are all tried."""


def outcomes(option: Option, cap: int, position: int) -> list[tuple[float, int]]:
    """Return what each draft at a position costs, and where the next round begins."""
    prepared, costs = option
    tokens, passes = prepared.trace.tokens.tolist(), prepared.trace.passes
    row = prepared.trace.continuations(cap)[position].tolist()
    found = []
    for length in range(min(cap, prepared.max_new_len - position - 1) + 1):
        drafted = [int(passes.tokens[index]) for index in row[:length] if index >= 0]
        in_vain = any(token in prepared.trace.ending_tokens for token in drafted[:-1])
        if in_vain or len(drafted) < length:
            continue
        pairs = zip(drafted, tokens[position:], strict=False)
        same = [mine == theirs for mine, theirs in pairs]
        accepted = same.index(False) if False in same else len(same)
        found.append((costs.round_s(length, length), position + accepted + 1))
    return found


def cheapest(options: list[Option], cap: int) -> float:
    """Try every drafter and every length at every position."""
    end = options[0].prepared.output_len
    table = [
        [each for option in options for each in outcomes(option, cap, position)]
        for position in range(end)
    ]

    def rest(position: int) -> float:
        if position >= end:
            return 0.0
        return min(seconds + rest(after) for seconds, after in table[position])

    return rest(0)


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize(("kind", "seed"), list(product(DRAFTERS, ENDING)))
def test_the_oracle_is_the_best_of_all_policies(kind: str, seed: int, costs: CostModel) -> None:
    prepared = PreparedTrace(trace_of(kind, seed, PROMPTS[1]), max_new_tokens=SHORT)
    plan = oracle(prepared, costs, 3)
    assert plan.seconds == pytest.approx(cheapest([Option(prepared, costs)], 3))
    assert plan.seconds == pytest.approx(costs.seconds(plan.rounds))
    assert sum(turn.emitted_len for turn in plan.rounds) == prepared.output_len


@pytest.mark.parametrize("seed", ENDING)
def test_so_is_the_choice_among_drafters(seed: int) -> None:
    options = [
        Option(PreparedTrace(trace_of(kind, seed, PROMPTS[1]), max_new_tokens=SHORT), costs)
        for kind, costs in zip(("model", "ngram"), (costs_of(0.3), costs_of(0.02)), strict=True)
    ]
    plan = oracle_choice(options, 3)
    assert plan.seconds == pytest.approx(cheapest(options, 3))
    alone = [oracle(option.prepared, option.costs, 3).seconds for option in options]
    assert plan.seconds <= min(alone) + 1e-12
    assert len(plan.drafters) == len(plan.rounds)


def test_drafters_take_turns_where_that_pays() -> None:
    options = [
        Option(PreparedTrace(trace_of(kind, 0, PROMPTS[0])), costs)
        for kind, costs in zip(("model", "ngram"), (costs_of(0.2), costs_of(0.01)), strict=True)
    ]
    plan = oracle_choice(options, LONGEST)
    drafting = [
        name for name, turn in zip(plan.drafters, plan.rounds, strict=True) if turn.draft_len
    ]
    assert set(drafting) == {"model", "ngram"}
    by_name = {option.prepared.trace.drafter: option.costs for option in options}
    parts = zip(plan.drafters, plan.rounds, strict=True)
    total = sum(by_name[name].round_s(turn.num_passes, turn.draft_len) for name, turn in parts)
    assert plan.seconds == pytest.approx(total)


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize(("kind", "seed"), list(product(DRAFTERS, ENDING)))
def test_nothing_beats_the_oracle(kind: str, seed: int, costs: CostModel) -> None:
    prepared = PreparedTrace(trace_of(kind, seed, PROMPTS[0]))
    bound = oracle(prepared, costs, LONGEST).seconds + 1e-9
    for strategy in STRATEGIES:
        cap: dict[str, Any] = {} if strategy == "plain" else {"max_draft_len": LONGEST}
        rounds = replay(prepared, EntropyConfig(strategy=strategy, **cap, **beside(strategy)))
        assert costs.seconds(rounds) >= bound - 2e-9
    assert min(fixed_seconds([prepared], costs, range(1, LONGEST + 1))) >= bound - 2e-9
    assert plain_seconds(prepared, costs) >= bound - 2e-9
    assert costs.seconds(accepted_len_rounds(prepared, LONGEST)) >= bound - 2e-9


@pytest.mark.parametrize("kind", DRAFTERS)
def test_the_accepted_length_wastes_nothing(kind: str) -> None:
    prepared = PreparedTrace(trace_of(kind, 0, PROMPTS[1]))
    rounds = accepted_len_rounds(prepared, 3)
    assert sum(turn.emitted_len for turn in rounds) == NEW_TOKENS
    assert all(turn.draft_len == turn.num_passes == turn.accepted_len <= 3 for turn in rounds)
    assert any(turn.draft_len for turn in rounds)
    # With drafting for free, and verifying as well, nothing is better.
    free = COSTS[2]
    assert free.seconds(rounds) == pytest.approx(oracle(prepared, free, 3).seconds)
    longest = [min(each, 3, prepared.budget(at)) for at, each in enumerate(prepared.accepted_lens)]
    at = 0
    for turn in rounds:
        assert turn.draft_len == longest[at]
        assert turn.context_len == prepared.trace.prompt_len + at
        at += turn.emitted_len


def test_drafts_that_do_not_pay_are_not_made() -> None:
    prepared, dear = PreparedTrace(trace_of("model", 0, PROMPTS[0])), COSTS[3]
    plan = oracle(prepared, dear, LONGEST)
    assert [turn.draft_len for turn in plan.rounds] == [0] * NEW_TOKENS
    assert plan.seconds == pytest.approx(plain_seconds(prepared, dear))
    assert plain_seconds(prepared, dear) == pytest.approx(
        dear.seconds(replay(prepared, EntropyConfig(strategy="plain")))
    )


def test_the_best_fixed_length_is_that_of_all_texts_together() -> None:
    texts = [PreparedTrace(trace_of("model", seed, PROMPTS[0])) for seed in ENDING]
    costs, lens = costs_of(0.1), range(1, LONGEST + 1)
    alone = [
        sum(
            costs.seconds(replay(text, EntropyConfig(strategy="fixed", max_draft_len=length)))
            for text in texts
        )
        for length in lens
    ]
    np.testing.assert_allclose(fixed_seconds(texts, costs, lens), alone)
    best = best_fixed(texts, costs, lens)
    assert best.seconds == pytest.approx(min(alone))
    assert best.draft_len == 1 + int(np.argmin(alone))


def test_the_shortest_of_equal_lengths_is_taken() -> None:
    costs = CostModel(drafter_step_s=0.0, verifier_pass_s={1: 1.0, 17: 1.0})
    text = PreparedTrace(trace_of("model", 0, PROMPTS[0]))
    assert best_fixed([text], costs, [8, 7, 6]).draft_len == 6


@pytest.mark.parametrize(
    ("speeds", "share"),
    [
        ((9.0, 9.0, 19.0), 0.0),
        ((19.0, 9.0, 19.0), 1.0),
        ((12.0, 9.0, 19.0), 0.3),
        ((4.0, 9.0, 19.0), -0.5),
    ],
)
def test_share_of_the_gap(speeds: tuple[float, float, float], share: float) -> None:
    assert share_of_gap_closed(*speeds) == pytest.approx(share)


def test_there_may_be_no_gap() -> None:
    assert math.isnan(share_of_gap_closed(9.0, 9.0, 9.0))


class TestRefusals:
    def test_no_text(self) -> None:
        with pytest.raises(ConfigError, match="texts must be at least one"):
            best_fixed([], costs_of())
        with pytest.raises(ConfigError, match="options must be at least one"):
            oracle_choice([], 3)

    def test_drafters_of_different_texts(self) -> None:
        options = [
            Option(PreparedTrace(trace_of("model", 0, prompt)), costs_of())
            for prompt in PROMPTS[:2]
        ]
        with pytest.raises(ConfigError, match="options must be drafters of one text, got 2"):
            oracle_choice(options, 3)

    def test_drafts_longer_than_trace_or_costs(self) -> None:
        prepared = PreparedTrace(trace_of("model", 0, PROMPTS[0], longest=2))
        for bound in (
            lambda: oracle(prepared, costs_of(), 9),
            lambda: best_fixed([prepared], costs_of()),
        ):
            with pytest.raises(ConfigError, match="max_draft_len must be at most 2, the contin"):
                bound()
        narrow = CostModel(drafter_step_s=0.1, verifier_pass_s={1: 1.0, 4: 1.0})
        with pytest.raises(ConfigError, match="max_draft_len must be at most 3, the widest pass"):
            oracle(prepared, narrow, 4)
