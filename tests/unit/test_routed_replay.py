"""Replay of a choice among drafters against live decoding: who drafts, how far, what was missed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.routed import RoutedDrafter
from smart_speed.engines.base import CachedModel
from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.stopping.routing import Routing
from smart_speed.tracing.costs import routed_seconds, with_one_verifier
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import RoutedReplay, replay_routed
from tests.calibrations import routing_of
from tests.unit.traced import (
    ENDING,
    LONGEST,
    PROMPTS,
    costs_of,
    counted,
    drafter_of,
    trace_of,
    verifier_of,
)

CHOICES = [("model", "ngram"), ("ngram", "trimmed", "model"), ("short", "model")]


def config_of(routing: Routing) -> EntropyConfig:
    return EntropyConfig(strategy="route", max_draft_len=LONGEST, routing=routing)


def live_rounds(
    config: EntropyConfig, names: Sequence[str], seed: int, prompt: Sequence[int]
) -> tuple[RoundRecord, ...]:
    drafter = RoutedDrafter({name: drafter_of(name, seed) for name in names})
    decoder = EntropyBasedSpeculativeDecoder(verifier_of(seed), drafter, config)
    return decoder.generate(list(prompt), max_new_tokens=24).record.rounds


def prepared_of(names: Sequence[str], seed: int, prompt: tuple[int, ...]) -> list[PreparedTrace]:
    return [PreparedTrace(trace_of(name, seed, prompt)) for name in names]


def assert_replays(config: EntropyConfig, names: tuple[str, ...]) -> Counter[str]:
    """Compare with live decoding of several texts; return who drafted how many rounds."""
    chosen: Counter[str] = Counter()
    for seed, prompt in product(ENDING, PROMPTS):
        live = live_rounds(config, names, seed, prompt)
        player = RoutedReplay(prepared_of(names, seed, prompt), config)
        found = [player.record(turn) for turn in player.rounds()]
        assert [counted(turn) for turn in found] == [counted(turn) for turn in live]
        assert [turn.drafter for turn in found] == [turn.drafter for turn in live]
        chosen += Counter(turn.drafter for turn in live)
    return chosen


@pytest.mark.parametrize("reads_verifier", [False, True])
@pytest.mark.parametrize("names", CHOICES, ids=",".join)
def test_replay_chooses_as_live_decoding_does(names: tuple[str, ...], reads_verifier: bool) -> None:
    """Catches: a choice by what is known only later; a state that forgets who drafted; a context
    that is full for one drafter and taken to be full for all."""
    chosen = assert_replays(config_of(routing_of(*names, reads_verifier=reads_verifier)), names)
    assert {*chosen} >= {"none", *names} - {"trimmed"}


class CountingModel:
    """Another model, and how many tokens each pass read."""

    def __init__(self, inner: CachedModel) -> None:
        self._inner = inner
        self.read_lens: list[int] = []

    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        self.read_lens.append(len(tokens))
        return self._inner.feed(tokens, last=last)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_what_a_drafter_missed_is_what_it_reads_once_it_is_chosen() -> None:
    """Catches: a backlog that is not what the cache lacks."""
    names, routing = ("model", "ngram"), routing_of("model", "ngram")
    config, backlogs = config_of(routing), []
    for seed, prompt in product(ENDING, PROMPTS):
        drafter = drafter_of("model", seed)
        assert isinstance(drafter, ModelDrafter)
        counting = CountingModel(drafter._model)
        parts = {"model": ModelDrafter(counting, vocab_size=12), "ngram": drafter_of("ngram", seed)}
        decoder = EntropyBasedSpeculativeDecoder(verifier_of(seed), RoutedDrafter(parts), config)
        generation = decoder.stream(list(prompt), max_new_tokens=24)
        counting.read_lens.clear()
        generation.finish()
        replayed = replay_routed(prepared_of(names, seed, prompt), config)
        own = [turn for turn in replayed if turn.arm == 0 and turn.num_passes]
        firsts, at = [], 0
        for turn in own:
            firsts.append(counting.read_lens[at])
            at += turn.num_passes
        assert at == len(counting.read_lens)
        assert [turn.backlog for turn in own] == [max(first - 2, 0) for first in firsts]
        backlogs += [turn.backlog for turn in own]
    assert max(backlogs) > 2


def test_catching_up_costs_seconds() -> None:
    names, config = ("model", "ngram"), config_of(routing_of("model", "ngram"))
    rounds = replay_routed(prepared_of(names, 0, PROMPTS[1]), config)
    costs = [costs_of(), costs_of(0.01)]
    dearer = [replace(each, catch_up_s=0.5) for each in costs]
    missed = sum(turn.backlog for turn in rounds)
    more = routed_seconds(rounds, dearer) - routed_seconds(rounds, costs)
    assert missed > 0
    assert more == pytest.approx(0.5 * missed)


def test_one_verifier_takes_the_same_with_every_drafter() -> None:
    costs = with_one_verifier([costs_of(0.2, slope_s=0.05), costs_of(0.1, slope_s=0.07)])
    assert costs[0].pass_s(20) == costs[1].pass_s(20) == pytest.approx(1 + 0.06 * 19)
    assert (costs[0].drafter_step_s, costs[1].drafter_step_s) == (0.2, 0.1)


def test_traces_must_be_of_one_text_and_of_the_drafters() -> None:
    config = config_of(routing_of("model", "ngram"))
    with pytest.raises(ConfigError, match="traces must be of the drafters model, ngram"):
        replay_routed(prepared_of(("ngram", "model"), 0, PROMPTS[0]), config)
    mixed = [
        PreparedTrace(trace_of("model", 0, PROMPTS[0])),
        PreparedTrace(trace_of("ngram", 0, PROMPTS[1])),
    ]
    with pytest.raises(ConfigError, match="traces must be of one text"):
        replay_routed(mixed, config)


def test_drafters_must_be_those_that_were_learned_on() -> None:
    config = config_of(routing_of("model", "ngram"))
    drafter = RoutedDrafter({"ngram": drafter_of("ngram", 0)})
    with pytest.raises(ConfigError, match="drafters must be those that were learned on, model"):
        EntropyBasedSpeculativeDecoder(verifier_of(0), drafter, config)


@pytest.mark.parametrize("route_by", ["chain", "hedge", "model"])
def test_rivals_choose_in_replay_as_they_do_live(route_by: str) -> None:
    """Catches: hits of other tokens than those of the last round; a drafter whose cache is in doubt
    after it has read what others drafted."""
    chosen: Counter[str] = Counter()
    for names in CHOICES:
        config = replace(config_of(routing_of(*names)), route_by=route_by)
        chosen += assert_replays(config, names)
    if route_by == "model":
        assert {*chosen} == {"model"}
    if route_by == "hedge":
        assert {*chosen} >= {"model", "ngram"}
    if route_by == "chain":
        assert chosen["ngram"] > 0
