"""What would choosing among drafters have earned? Beside each alone, and an oracle's choice.

Every drafter stops by its own calibration, whoever chooses; so what a choice can gain is apart
from what a better stop could.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

from smart_speed.calibration.judging import Bounds, Judgement, Totals, judgement_of, totals_of
from smart_speed.calibration.routing import Routed, Text, texts_of
from smart_speed.config import EntropyConfig
from smart_speed.errors import check_that
from smart_speed.profiles import Profile
from smart_speed.stopping.routing import Routing
from smart_speed.tracing.costs import CostModel, routed_seconds
from smart_speed.tracing.oracle import Option, oracle_choice, plain_seconds
from smart_speed.tracing.replay import RoutedReplay
from smart_speed.tracing.rounds import ReplayedRound
from smart_speed.tracing.traces import Trace

PLAIN, ORACLE, ALL_KNOWING = "plain", "oracle choice", "oracle choice and length"
_RIVALS = ("chain", "hedge")


@final
class RouteJudge:
    """Texts with all drafters, and the bounds that choices are held to.

    In a judgement, the best single drafter stands where the best fixed length would, and the
    oracle's choice where its lengths would. That oracle knows before each round what every drafter
    would bring, and takes the one that is worth most; it drafts no further than they would.
    """

    def __init__(
        self, texts: Sequence[Text], drafters: Routed, routing: Routing, *, best: str | None = None
    ) -> None:
        """Work out the bounds.

        Args:
            texts: Each with every drafter.
            drafters: What was learned of each.
            routing: To be judged; what a second is worth to the oracle is its rate.
            best: The single drafter to beat, as found on other texts; ``None`` finds it on these.

        Raises:
            ConfigError: If there is no text, or no drafter of that name.
        """
        check_that(len(texts) > 0, "texts", "at least one", len(texts))
        self.texts, self.drafters = texts, drafters
        self._config = drafters.config(routing)
        self._tasks = [text[0].trace.task for text in texts]
        self._plain_s = [plain_seconds(text[0], drafters.costs[0]) for text in texts]
        alone = {name: self.play(self.alone(name)) for name in drafters.names}
        if best is None:
            best = min(alone, key=lambda name: sum(each.seconds for each in alone[name]))
        check_that(best in alone, "best", f"one of {', '.join(alone)}", best)
        self.best = best
        """The single drafter to beat."""
        self._alone = alone
        self._oracle = [_oracle(text, drafters, self._config, routing.rate) for text in texts]

    @classmethod
    def of_profile(cls, traces: Sequence[Trace], profile: Profile) -> "RouteJudge":
        """Return the judge of what a profile chooses, on texts that may be others than its own.

        Args:
            traces: Of all the drafters.
            profile: What chooses.

        Raises:
            ConfigError: If the profile holds no costs, or a text lacks a drafter.
        """
        routing = EntropyConfig.from_dict(profile.config).routing
        assert routing is not None
        known, rule = "measured" in profile.learned, "one that `smart-speed calibrate` wrote"
        check_that(known, "profile", rule, sorted(profile.learned))
        measured = profile.learned["measured"]
        names = [arm.drafter for arm in routing.arms]
        drafters = Routed.of(
            names,
            [arm.calibration for arm in routing.arms],
            [CostModel.from_json(measured["costs_by_drafter"][name]) for name in names],
            profile.config["entropy_type"],
        )
        return cls(texts_of(traces, names), drafters, routing, best=measured["best"])

    def alone(self, name: str) -> EntropyConfig:
        """Return the configuration that always has one of them draft."""
        return replace(self._config, route_by=name)

    def play(self, config: EntropyConfig) -> list[Totals]:
        """Replay a configuration on every text."""
        costs, found = self.drafters.costs, []
        for text in self.texts:
            player = RoutedReplay(text, config)
            rounds, all_read = player.rounds(), player.strategy.reads_hits
            seconds = routed_seconds(rounds, costs, all_read=all_read)
            found.append(totals_of(text[0], rounds, seconds))
        return found

    def judgement(self, totals: Sequence[Totals]) -> Judgement:
        """Return the figures of what each text took."""
        bounds = Bounds(
            self._plain_s,
            [each.seconds for each in self._alone[self.best]],
            [each.seconds for each in self._oracle],
        )
        return judgement_of(self._tasks, totals, bounds)

    def judge_all(self) -> dict[str, Judgement]:
        """Return the figures of the routing, of its rivals and of the bounds, by name."""
        totals = {"route": self.play(self._config)}
        totals |= {each: self.play(replace(self._config, route_by=each)) for each in _RIVALS}
        totals |= self._alone
        totals[PLAIN] = [
            Totals(text[0].output_len, seconds, text[0].output_len, 0, 0, 0)
            for text, seconds in zip(self.texts, self._plain_s, strict=True)
        ]
        totals[ORACLE] = self._oracle
        totals[ALL_KNOWING] = self._all_knowing()
        return {name: self.judgement(each) for name, each in totals.items()}

    def _all_knowing(self) -> list[Totals]:
        found = []
        for text in self.texts:
            options = [
                Option(one, costs) for one, costs in zip(text, self.drafters.costs, strict=True)
            ]
            longest = min(each.trace.max_draft_len for each in text)
            plan = oracle_choice(options, min(longest, self._config.draft_cap))
            found.append(totals_of(text[0], plan.rounds, plan.seconds))
        return found


def _oracle(text: Text, drafters: Routed, config: EntropyConfig, rate: float) -> Totals:
    """Play a text with the best choice of each round, nobody among them."""
    player = RoutedReplay(text, config)
    strategy, costs = player.strategy, drafters.costs
    state, position = strategy.initial_state(), 0
    rounds: list[ReplayedRound] = []
    while position < text[0].output_len:
        state = strategy.choose(state, player.before(position))
        choices = [replace(state, chosen=arm) for arm in (None, *range(len(drafters.names)))]
        turns = [player.turn(position, each) for each in choices]
        worth = [turn.emitted_len - rate * routed_seconds([turn], costs) for turn in turns]
        at = worth.index(max(worth))
        rounds.append(turns[at])
        state = strategy.after_round(choices[at], player.record(turns[at]))
        position += turns[at].emitted_len
    return totals_of(text[0], rounds, routed_seconds(rounds, costs))
