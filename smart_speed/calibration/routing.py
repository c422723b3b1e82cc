"""Learn who should draft, from traces of several drafters on the same texts.

Traces say what every drafter would have gained in every round, whoever drafted. So a choice is
learned by walking through the texts: at each round what is known before it is noted, and each
drafter's gain. Rounds depend on who was chosen in those before; so the walk is at random first,
then by what was learned, some times over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float64

from smart_speed.config import EntropyConfig
from smart_speed.entropy import EntropyType
from smart_speed.errors import check_that
from smart_speed.stopping.calibrated import Calibration
from smart_speed.stopping.route import Route, RouteState
from smart_speed.stopping.routing import (
    FEATURES,
    VERIFIER_FEATURES,
    Arm,
    Routing,
    features_of,
)
from smart_speed.tracing.costs import CostModel, routed_seconds, with_one_verifier
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import RoutedReplay, before_round, replay_routed
from smart_speed.tracing.traces import Trace

_TURNS = 4
"""Times that what was learned is walked with, and learned from again; half as many in trials."""
_PENALTY = 20.0
"""Rounds that speak for no weight at all."""
_FOLDS = 2
_WORTHWHILE = 1.003
"""Reading the verifier's law must bring that much, on texts that were left out, to be done."""

Text = Sequence[PreparedTrace]
"""One text with every drafter."""


def texts_of(traces: Sequence[Trace], names: Sequence[str]) -> list[list[PreparedTrace]]:
    """Return texts with every drafter, in the order of the names.

    Raises:
        ConfigError: If a text lacks one.
    """
    by_id: dict[str, dict[str, Trace]] = {}
    for each in traces:
        by_id.setdefault(each.prompt_id, {})[each.drafter] = each
    for prompt_id, found in by_id.items():
        lacking = [name for name in names if name not in found]
        check_that(not lacking, "traces", f"of every drafter for {prompt_id!r}", sorted(found))
    return [[PreparedTrace(found[name]) for name in names] for found in by_id.values()]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """Drafters that may be chosen, as they were learned apart; costs have one verifier."""

    names: tuple[str, ...]
    calibrations: tuple[Calibration, ...]
    costs: tuple[CostModel, ...]
    entropy_type: EntropyType

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        calibrations: Sequence[Calibration],
        costs: Sequence[CostModel],
        entropy_type: EntropyType = "shannon",
    ) -> "Routed":
        """Put drafters together.

        Args:
            names: Of the drafters.
            calibrations: One each, all of the same entropy.
            costs: One each.
            entropy_type: That the calibrations read.
        """
        return cls(
            names=tuple(names),
            calibrations=tuple(calibrations),
            costs=tuple(with_one_verifier(costs)),
            entropy_type=entropy_type,
        )

    def config(self, routing: Routing) -> EntropyConfig:
        """Return the configuration that decodes with a routing."""
        longest = max(each.costs.max_draft_len for each in self.calibrations)
        return EntropyConfig(
            strategy="route",
            routing=routing,
            entropy_type=self.entropy_type,
            max_draft_len=longest,
        )

    def routing(self, fitted: "Fitted", rate: float) -> Routing:
        """Return what was fitted, as decoding takes it."""
        arms = tuple(
            Arm(
                drafter=name,
                calibration=calibration,
                catch_up_s=costs.catch_up_s,
                bias=float(bias),
                weights=tuple(weights.tolist()),
            )
            for name, calibration, costs, bias, weights in zip(
                self.names, self.calibrations, self.costs, fitted.biases, fitted.weights,
                strict=True,
            )
        )  # fmt: skip
        return Routing(arms=arms, means=tuple(fitted.means.tolist()), rate=rate)

    def constant(self, arm: int, rate: float) -> Routing:
        """Return the routing that always chooses the same drafter."""
        size = len(FEATURES) + len(self.names)
        biases = np.full(len(self.names), -1.0)
        biases[arm] = len(self.names) * 1e3  # whatever it takes to catch up
        weights = np.zeros((len(self.names), size))
        return self.routing(Fitted(np.zeros(size), biases, weights), rate)

    def rate_of(self, routing: Routing, texts: Sequence[Text]) -> float:
        """Return the tokens per second of a routing, by replay."""
        config = self.config(routing)
        seconds = sum(routed_seconds(replay_routed(each, config), self.costs) for each in texts)
        return sum(each[0].output_len for each in texts) / seconds


class Fitted(NamedTuple):
    """Lines from features to gains."""

    means: Float64[np.ndarray, " features"]
    biases: Float64[np.ndarray, " arms"]
    weights: Float64[np.ndarray, "arms features"]


class Outcomes(NamedTuple):
    """Rounds of a walk: what was known before each, and what every drafter would have brought."""

    features: Float64[np.ndarray, "rounds features"]
    tokens: Float64[np.ndarray, "rounds arms"]
    """More than a round without draft emits."""
    seconds: Float64[np.ndarray, "rounds arms"]
    """More than it takes."""


def learn_routing(texts: Sequence[Text], drafters: Routed) -> Routing:
    """Learn to choose among drafters.

    Args:
        texts: Each with every drafter, in the order of theirs.
        drafters: What was learned of each.

    Returns:
        The routing with the highest replayed rate; always the same drafter is among what is tried.

    Raises:
        ConfigError: If there is no text, or one lacks a drafter.
    """
    check_that(len(texts) > 0, "texts", "at least one", len(texts))
    plain = _learned(texts, drafters, reads_verifier=False)
    if _held_out_rate(texts, drafters, reads_verifier=True) > _WORTHWHILE * _held_out_rate(
        texts, drafters, reads_verifier=False
    ):
        plain = max(
            (plain, _learned(texts, drafters, reads_verifier=True)),
            key=lambda each: drafters.rate_of(each, texts),
        )
    return plain


def _held_out_rate(texts: Sequence[Text], drafters: Routed, *, reads_verifier: bool) -> float:
    """Return the rate on texts that were left out of learning, a part at a time."""
    folds = [texts[at::_FOLDS] for at in range(min(_FOLDS, len(texts)))]
    seconds = 0.0
    for at, tested in enumerate(folds):
        known = [text for other, fold in enumerate(folds) if other != at for text in fold]
        routing = _learned(
            known or tested, drafters, reads_verifier=reads_verifier, turns=_TURNS // 2
        )
        tokens = sum(each[0].output_len for each in tested)
        seconds += tokens / drafters.rate_of(routing, tested)
    return sum(each[0].output_len for each in texts) / seconds


def _learned(
    texts: Sequence[Text], drafters: Routed, *, reads_verifier: bool, turns: int = _TURNS
) -> Routing:
    """Return the best routing that was come by; its rate is its own."""
    rate = max(each.rate for each in drafters.calibrations)
    alone = [drafters.constant(arm, rate) for arm in range(len(drafters.names))]
    rates = [drafters.rate_of(each, texts) for each in alone]
    best = max(range(len(alone)), key=lambda arm: rates[arm])
    found, rate = alone[best], rates[best]
    draws = np.random.default_rng(0)

    def at_random(state: RouteState) -> RouteState:
        return replace(state, chosen=int(draws.integers(len(drafters.names))))

    seen = [walked(texts, drafters, found, at_random), walked(texts, drafters, found)]
    for _ in range(turns):
        fitted = fit_gains(_joined(seen), rate, reads_verifier=reads_verifier)
        tried = drafters.routing(fitted, rate)
        reached = drafters.rate_of(tried, texts)
        seen.append(walked(texts, drafters, tried))
        if reached > rate:
            found, rate = tried, reached
    return replace(found, rate=rate)


def walked(
    texts: Sequence[Text],
    drafters: Routed,
    routing: Routing,
    chooser: Callable[[RouteState], RouteState] | None = None,
) -> Outcomes:
    """Walk through texts, and note for each round what every drafter would have brought.

    Args:
        texts: Each with every drafter.
        drafters: What was learned of each.
        routing: Who chooses.
        chooser: Chooses otherwise, after it.
    """
    features, tokens, seconds = [], [], []
    for text in texts:
        player = RoutedReplay(text, drafters.config(routing))
        strategy = player.strategy
        assert isinstance(strategy, Route)
        state, position = strategy.initial_state(), 0
        while position < text[0].output_len:
            state = strategy.choose(state, player.before(position))
            state = chooser(state) if chooser else state
            turns = [
                player.turn(position, replace(state, chosen=arm))
                for arm in range(len(drafters.names))
            ]
            recents = [each.recent for each in state.arms]
            known = before_round(text[0], position)
            features.append(features_of(known, state.draft_nats, recents))
            tokens.append([float(turn.emitted_len - 1) for turn in turns])
            seconds.append(
                [
                    costs.round_s(turn.num_passes, turn.draft_len, turn.context_len)
                    - costs.round_s(0, 0, turn.context_len)
                    for turn, costs in zip(turns, drafters.costs, strict=True)
                ]
            )
            played = player.turn(position, state)
            state = strategy.after_round(state, player.record(played))
            position += played.emitted_len
    return Outcomes(np.array(features), np.array(tokens), np.array(seconds))


def fit_gains(outcomes: Outcomes, rate: float, *, reads_verifier: bool = True) -> Fitted:
    """Fit a line from features to each drafter's gain, by least squares with a light penalty.

    Args:
        outcomes: Rounds; features that were not known then are NaN.
        rate: Tokens per second that a second is worth.
        reads_verifier: Whether facts of the verifier's law may count.
    """
    means = np.nanmean(np.vstack([outcomes.features, np.zeros_like(outcomes.features[:1])]), axis=0)
    off = np.where(np.isnan(outcomes.features), 0.0, outcomes.features - means)
    if not reads_verifier:
        off[:, : len(VERIFIER_FEATURES)] = 0.0
    spread = off.std(axis=0) + 1e-9
    columns = np.column_stack([np.ones(len(off)), off / spread])
    penalty = np.diag([0.0] + [_PENALTY] * len(spread))
    gains = outcomes.tokens - rate * outcomes.seconds
    solved = np.linalg.solve(columns.T @ columns + penalty, columns.T @ gains)
    return Fitted(means, solved[0], solved[1:].T / spread)


def _joined(parts: Sequence[Outcomes]) -> Outcomes:
    return Outcomes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
