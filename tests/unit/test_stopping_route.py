"""The choice before a round: by gain, chain, Hedge or name, and what it remembers."""

from dataclasses import replace
from typing import Any

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import BeforeRound, ChoosingStrategy
from smart_speed.stopping.route import Route, RouteState
from smart_speed.stopping.routing import FEATURES, Routing, features_of
from tests.calibrations import CALIBRATION, GROWING, routing_of

TWO = routing_of("nano", "ngram")


def before(context_len: int = 10, **known: Any) -> BeforeRound:
    return BeforeRound(
        context_len, known.get("verifier"), known.get("match"), hits=known.get("hits")
    )


def flat(*biases: float, catch_up_s: float = 0.0) -> Routing:
    """Return a routing that looks at nothing but what drafters missed."""
    routing = routing_of(*(f"d{at}" for at in range(len(biases))))
    arms = tuple(
        replace(arm, bias=bias, weights=(0.0,) * len(arm.weights), catch_up_s=catch_up_s)
        for arm, bias in zip(routing.arms, biases, strict=True)
    )
    return replace(routing, arms=arms)


def outcome(
    context_len: int, *, passes: int = 0, draft: int = 0, kept: int = 0, emitted: int = 1
) -> RoundRecord:
    return RoundRecord(
        context_len=context_len,
        entropies_nats=(1.0,) * passes,
        top_probs=(0.5,) * passes,
        draft_len=draft,
        accepted_len=kept,
        emitted_len=emitted,
        stop_reason="route",
        drafter_s=0.0,
        entropy_s=0.0,
        strategy_s=0.0,
        verifier_s=0.0,
        round_s=0.0,
    )


def test_it_is_a_strategy_that_chooses() -> None:
    route = Route(routing=TWO)
    assert isinstance(route, ChoosingStrategy)
    assert route.drafters == ("nano", "ngram")
    assert route.reads_verifier
    assert not Route(routing=TWO, route_by="nano").reads_verifier
    assert not Route(routing=routing_of("nano", reads_verifier=False)).reads_verifier


def test_the_highest_gain_is_chosen_and_nobody_where_there_is_none() -> None:
    for biases, expected in (((0.1, 0.3), 1), ((0.4, 0.3), 0), ((-0.1, -0.2), None)):
        route = Route(routing=flat(*biases))
        state = route.choose(route.initial_state(), before())
        assert route.chosen(state) == expected
    assert route.max_len(state) == 0


def test_what_a_drafter_missed_speaks_against_it() -> None:
    """Catches: a backlog that is not worth its seconds; a drafter taken to have read what it sat
    out, or to hold what was not kept."""
    route = Route(routing=flat(0.5, 0.4, catch_up_s=0.02))  # rate 1.2: 0.024 tokens each
    state = route.choose(route.initial_state(), before(10))
    assert route.chosen(state) == 0
    assert state.read == (9, 9)
    # Three passes, two of whose tokens were kept: the last one was not read.
    state = route.after_round(state, outcome(10, passes=3, draft=3, kept=2, emitted=3))
    assert state.read == (12, 9)
    state = replace(state, chosen=1)
    assert route.missed(state, 13) == 2
    assert route.missed(replace(state, chosen=0), 13) == 0
    # The first stays ahead; once it has missed more than is worth it, the second is chosen.
    far = replace(state, read=(9, 29))
    assert route.chosen(route.choose(far, before(30))) == 1
    near = replace(state, read=(25, 29))
    assert route.chosen(route.choose(near, before(30))) == 0


def test_every_drafter_knows_how_long_the_text_has_become() -> None:
    known = flat(0.5, 0.4)
    arms = tuple(replace(each, calibration=GROWING) for each in known.arms)
    route = Route(routing=replace(known, arms=arms))
    state = route.choose(route.initial_state(), before())
    state = route.after_round(state, outcome(31, passes=2, draft=2, kept=0))
    assert [each.octave for each in state.arms] == [3, 3]


def test_an_unchosen_drafter_drifts_back_to_where_it_began() -> None:
    route = Route(routing=flat(0.5, 0.4))
    state = route.choose(route.initial_state(), before())
    arms = tuple(replace(each, recent=0.9) for each in state.arms)
    state = route.after_round(replace(state, arms=arms), outcome(10, passes=2, draft=2, kept=0))
    assert state.arms[0].recent < 0.7
    start = CALIBRATION.acceptance.recent_start
    assert start < state.arms[1].recent < 0.9
    assert state.draft_nats == 1.0


@pytest.mark.parametrize(("match", "expected"), [((3, 0.5), 1), ((2, 0.9), 0), (None, 0)])
def test_a_chain_prefers_n_grams_where_the_text_repeats_itself(
    match: tuple[int, float] | None, expected: int
) -> None:
    routing = routing_of("nano", "ngram", "small")
    for at, names in enumerate((("nano", "ngram", "small"), ("ngram", "nano", "small"))):
        routing = routing_of(*names)
        route = Route(routing=routing, route_by="chain")
        state = route.choose(route.initial_state(), before(match=match))
        chosen = route.chosen(state)
        assert chosen is not None
        if at:
            assert names[chosen] == ("ngram" if expected else "nano")
        else:
            assert names[chosen] == "nano"


def test_hedge_plays_who_would_have_earned_most() -> None:
    route = Route(routing=TWO, route_by="hedge")
    state = route.choose(route.initial_state(), before())
    assert route.chosen(state) == 0
    for _ in range(3):
        state = route.choose(state, before(12, hits=(0.0, 1.0)))
    assert route.chosen(state) == 1
    assert route.missed(state, 100) == 0
    for _ in range(8):
        state = route.choose(state, before(12, hits=(1.0, 0.0)))
    assert route.chosen(state) == 0


def test_a_name_always_drafts() -> None:
    route = Route(routing=TWO, route_by="ngram")
    assert route.chosen(route.choose(route.initial_state(), before())) == 1


def test_other_ways_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"Unknown route_by 'hegde'. Did you mean 'hedge'"):
        Route(routing=TWO, route_by="hegde")
    with pytest.raises(ConfigError, match="routing must be given with strategy 'route'"):
        Route()
    with pytest.raises(ConfigError, match="min_draft_len must be left out with strategy 'route'"):
        EntropyConfig(strategy="route", routing=TWO, min_draft_len=1)


def test_features_that_are_not_known_count_as_usual() -> None:
    unknown = features_of(before(), None, (0.5, 0.5))
    assert len(unknown) == len(FEATURES) + 2
    usual = TWO.gains(unknown, [0, 0])
    assert usual == pytest.approx([arm.bias for arm in TWO.arms])
    sure = features_of(before(verifier=LawFacts(0.1, 0.99)), None, (0.5, 0.5))
    unsure = features_of(before(verifier=LawFacts(4.0, 0.1)), None, (0.5, 0.5))
    assert TWO.gains(sure, [0, 0])[0] != TWO.gains(unsure, [0, 0])[0]


def test_a_routing_survives_json_and_a_configuration_holds_it() -> None:
    assert Routing.from_json(TWO.to_json()) == TWO
    config = EntropyConfig(strategy="route", routing=TWO, route_by="chain")
    again = EntropyConfig.from_dict(config.resolved())
    assert again.routing == TWO
    assert again.route_by == "chain"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"means": (0.0,)}, "means must be 8 in number, got 1"),
        ({"rate": 0.0}, "rate must be above 0 tokens per second"),
        ({"arms": ()}, "arms must be at least one"),
        ({"arms": (TWO.arms[0], TWO.arms[0])}, "arms must be of different drafters"),
        ({"arms": (replace(TWO.arms[0], bias=float("nan")), TWO.arms[1])}, "finite numbers"),
        ({"arms": (replace(TWO.arms[0], catch_up_s=-1.0), TWO.arms[1])}, "at least 0 seconds"),
        ({"arms": (replace(TWO.arms[0], weights=(0.0,)), TWO.arms[1])}, "8 in number"),
    ],
)
def test_a_routing_that_breaks_a_rule_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        replace(TWO, **change)


def test_a_document_that_is_no_routing_is_refused() -> None:
    document = TWO.to_json()
    with pytest.raises(ConfigError, match="arms must be a list"):
        Routing.from_json(document | {"arms": "nano"})
    with pytest.raises(ConfigError, match="Unknown key 'rates'"):
        Routing.from_json(document | {"rates": 1.0})
    with pytest.raises(ConfigError, match="made of numbers"):
        Routing.from_json(document | {"means": ["a"] * 8})


def test_the_state_is_a_value() -> None:
    route = Route(routing=TWO)
    state = route.initial_state()
    assert state == RouteState(tuple(each.initial_state() for each in route._rules))
    route.choose(state, before())
    assert state == route.initial_state()
