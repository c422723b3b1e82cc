"""What would a policy have done? The strategy that decodes live, run over a trace.

Under greedy verification the answer is exact: round by round the same lengths and the same stop
reasons, because the strategy is shown the same facts and told the same outcomes.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

from smart_speed.config import EntropyConfig
from smart_speed.entropy import LawFacts
from smart_speed.errors import check_that
from smart_speed.records import FinishReason, RoundRecord, SequenceRecord
from smart_speed.stopping.base import (
    BeforeRound,
    ChoosingStrategy,
    DraftView,
    Memoryless,
    SendingStrategy,
    StoppingStrategy,
)
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.rounds import ReplayedRound
from smart_speed.tracing.traces import entropy_type_of


def replay(prepared: PreparedTrace, config: EntropyConfig) -> list[ReplayedRound]:
    """Play the rounds that a configuration would have played.

    Args:
        prepared: The text, and what the drafter would have written.
        config: As for the decoder; ``verification`` makes no difference at temperature 0.

    Raises:
        ConfigError: If a round would draft on where the trace does not, or the configuration
            measures an entropy that traces do not hold.
    """
    return _player(prepared, config).rounds()


def replay_routed(prepared: Sequence[PreparedTrace], config: EntropyConfig) -> list[ReplayedRound]:
    """Play the rounds that a configuration which chooses drafters would have played.

    Args:
        prepared: The same text with every drafter, in the order of the strategy's.
        config: Of strategy "route".

    Raises:
        ConfigError: As for ``replay``, or if the texts differ or are not of those drafters.
    """
    return RoutedReplay(prepared, config).rounds()


def predicted_record(
    prepared: PreparedTrace,
    config: EntropyConfig,
    costs: CostModel,
    *,
    condition: str | None = None,
) -> SequenceRecord:
    """Replay a configuration, and return what decoding would have recorded.

    So every figure of ``smart_speed.evaluation`` can be had of a prediction. The engine of such a
    record is called "replay"; no prefill is in it.

    Args:
        prepared: The text, and what the drafter would have written.
        config: As for the decoder.
        costs: What gives the rounds their seconds.
        condition: Recorded; the default is the strategy's name.

    Raises:
        ConfigError: As for ``replay``, or if a pass is wider than any that the costs know.
    """
    player = _player(prepared, config)
    rounds = player.rounds()
    trace = prepared.trace
    cut = prepared.output_len < trace.output_len
    finish_reason: FinishReason = "length" if cut else trace.finish_reason
    return SequenceRecord(
        condition=condition or config.name,
        prompt_id=trace.prompt_id,
        seed=0,
        status="ok",
        lossless=True,
        engine="replay",
        prompt_len=trace.prompt_len,
        reused_len=0,
        output_len=prepared.output_len,
        finish_reason=finish_reason,
        prefill_s=0.0,
        decode_s=costs.seconds(rounds),
        rounds=tuple(player.record(turn, costs) for turn in rounds),
    )


def before_round(
    prepared: PreparedTrace, position: int, *, reads_verifier: bool = True, reads_match: bool = True
) -> BeforeRound:
    """Return what is known before a round that begins at a position."""
    trace, verifier, match = prepared.trace, None, None
    if reads_verifier and position:
        nats = float(trace.verifier_entropy_nats[position - 1])
        verifier = LawFacts(nats, float(trace.verifier_top_prob[position - 1]))
    if reads_match and trace.match_len is not None and trace.match_prob is not None:
        match = (int(trace.match_len[position]), float(trace.match_prob[position]))
    return BeforeRound(trace.prompt_len + position, verifier, match)


@functools.lru_cache(maxsize=8)
def _strategy_of(config: EntropyConfig) -> StoppingStrategy[Any]:
    """Return a configuration's strategy: it keeps no state, and its tables take a while."""
    return config.build_strategy()


def _player(prepared: PreparedTrace, config: EntropyConfig) -> "_Replay | RoutedReplay":
    if isinstance(_strategy_of(config), ChoosingStrategy):
        return RoutedReplay([prepared], config)
    return _Replay(prepared, config)


@final
class RoutedReplay:
    """The decoding loop without its models, several drafters to choose among."""

    def __init__(self, prepared: Sequence[PreparedTrace], config: EntropyConfig) -> None:
        """Gather what is replayed; arguments and errors are those of ``replay_routed``."""
        strategy = _strategy_of(config)
        rule = "one that chooses drafters, as 'route' does"
        check_that(isinstance(strategy, ChoosingStrategy), "strategy", rule, config.strategy)
        assert isinstance(strategy, ChoosingStrategy)
        names, wanted = tuple(each.trace.drafter for each in prepared), strategy.drafters
        fits = names == wanted or len(names) == len(wanted) == 1
        check_that(fits, "traces", f"of the drafters {', '.join(wanted)}", names)
        texts = {(each.trace.prompt_id, each.output_len) for each in prepared}
        check_that(len(texts) == 1, "traces", "of one text", sorted(texts))
        self._strategy = strategy
        self._prepared = prepared
        self._players = [_Replay(each, config) for each in prepared]

    @property
    def strategy(self) -> ChoosingStrategy[Any]:
        """Who chooses."""
        return self._strategy

    def rounds(self) -> list[ReplayedRound]:
        """Play until the text is written."""
        strategy, first = self._strategy, self._prepared[0]
        state, position, rounds = strategy.initial_state(), 0, list[ReplayedRound]()
        while position < first.output_len:
            emitted_len = rounds[-1].emitted_len if rounds else 0
            state = strategy.choose(state, self.before(position, emitted_len))
            rounds.append(self.turn(position, state))
            state = strategy.after_round(state, self.record(rounds[-1]))
            position += rounds[-1].emitted_len
        return rounds

    def before(self, position: int, emitted_len: int = 0) -> BeforeRound:
        """Return what is known before a round.

        Args:
            position: Where it begins.
            emitted_len: Tokens of the round before.
        """
        strategy = self._strategy
        known = before_round(
            self._prepared[0],
            position,
            reads_verifier=strategy.reads_verifier,
            reads_match=strategy.reads_match,
        )
        if not (strategy.reads_hits and emitted_len):
            return known
        judged = range(position - emitted_len, position)
        hits = tuple(_share_hit(each, judged) for each in self._prepared)
        return replace(known, hits=hits)

    def turn(self, position: int, state: Any) -> ReplayedRound:
        """Play one round from a position, with somebody or nobody chosen."""
        arm = self._strategy.chosen(state)
        turn = self._players[arm or 0].turn(position, state)
        missed = self._strategy.missed(state, turn.context_len) if turn.num_passes else 0
        return turn._replace(arm=arm, backlog=missed)

    def record(self, turn: ReplayedRound, costs: CostModel | None = None) -> RoundRecord:
        """Return the record of a round; its seconds are 0 without costs."""
        made = self._players[turn.arm or 0].record(turn, costs)
        name = "none" if turn.arm is None else self._strategy.drafters[turn.arm]
        return replace(made, drafter=name)


def _share_hit(prepared: PreparedTrace, judged: range) -> float:
    """Return the share of some positions whose token is the drafter's; 0 where it is full."""
    if prepared.roots[judged[-1]] < 0:
        return 0.0
    return sum(prepared.accepted_lens[at] > 0 for at in judged) / len(judged)


@final
class _Replay:
    """The decoding loop without its models."""

    def __init__(self, prepared: PreparedTrace, config: EntropyConfig) -> None:
        self._prepared = prepared
        self._config = config
        self._strategy = _strategy_of(config)
        self._sender = self._strategy if isinstance(self._strategy, SendingStrategy) else None
        self._facts = prepared.facts(entropy_type_of(config))
        self._cap = config.draft_cap
        self._keep_last = config.keeps_uncertain

    def rounds(self) -> list[ReplayedRound]:
        """Play until the text is written."""
        prepared, strategy = self._prepared, self._strategy
        remembers = not isinstance(strategy, Memoryless)
        state, position, rounds = strategy.initial_state(), 0, []
        while position < prepared.output_len:
            turn = self.turn(position, state)
            rounds.append(turn)
            if remembers:
                state = strategy.after_round(state, self.record(turn))
            position += turn.emitted_len
        return rounds

    def turn(self, position: int, state: Any) -> ReplayedRound:
        """Play one round from a position."""
        prepared = self._prepared
        num_passes, draft_len, reason = self._draft(position, state)
        left = prepared.output_len - position
        accepted_len = min(prepared.accepted_lens[position], draft_len, left)
        return ReplayedRound(
            context_len=prepared.trace.prompt_len + position,
            num_passes=num_passes,
            draft_len=draft_len,
            accepted_len=accepted_len,
            emitted_len=min(accepted_len + 1, left),
            stop_reason=reason,
        )

    def record(self, turn: ReplayedRound, costs: CostModel | None = None) -> RoundRecord:
        """Return the record of a round; its seconds are 0 without costs."""
        position = turn.context_len - self._prepared.trace.prompt_len
        drafter_s = strategy_s = verifier_s = round_s = 0.0
        if costs is not None:
            further = turn.context_len - costs.context_len
            step_s = costs.drafter_step_s + further * costs.drafter_context_s
            extra_s = costs.first_step_extra_s if turn.num_passes else 0.0
            missed_s = turn.backlog * costs.catch_up_s
            drafter_s = turn.num_passes * step_s + extra_s + missed_s
            strategy_s = turn.num_passes * costs.strategy_step_s
            width = turn.draft_len + 1
            verifier_s = costs.pass_s(width) + further * costs.pass_context_s(width)
            round_s = costs.seconds([turn])
        facts = self._seen(position, turn.num_passes)
        return RoundRecord(
            context_len=turn.context_len,
            entropies_nats=tuple([each.entropy_nats for each in facts]),
            top_probs=tuple([each.top_prob for each in facts]),
            draft_len=turn.draft_len,
            accepted_len=turn.accepted_len,
            emitted_len=turn.emitted_len,
            stop_reason=turn.stop_reason,
            drafter_s=drafter_s,
            entropy_s=0.0,
            strategy_s=strategy_s,
            verifier_s=verifier_s,
            round_s=round_s,
        )

    def _seen(self, position: int, num_passes: int) -> list[LawFacts]:
        facts, index = [], self._prepared.roots[position]
        for _ in range(num_passes):
            facts.append(self._facts[index])
            index = self._prepared.following[index]
        return facts

    def _draft(self, position: int, state: Any) -> tuple[int, int, str]:
        """Return the passes and the proposal's length of one round, and why it ended."""
        prepared, keep_last = self._prepared, self._keep_last
        asks = self._strategy.reason_to_stop
        limit, reason = self._limit(position, self._strategy.max_len(state))
        index = prepared.roots[position]
        seen: list[LawFacts] = []
        for drafted in range(limit):
            if index < 0:
                raise prepared.too_short(self._cap)
            seen.append(self._facts[index])
            if drafted + keep_last >= self._config.min_draft_len:
                stop = asks(DraftView(tuple(seen)), state)
                if stop is not None:
                    return drafted + 1, drafted + keep_last, stop
            if prepared.ends_draft[index]:
                return drafted + 1, drafted + 1, "eos"
            if self._sender and self._config.min_draft_len <= drafted + 1 < limit:
                send = self._sender.reason_to_send(DraftView(tuple(seen)), state)
                if send is not None:
                    return drafted + 1, drafted + 1, send
            index = prepared.following[index]
        return limit, limit, reason

    def _limit(self, position: int, own: int | None) -> tuple[int, str]:
        """Return the most tokens that this round may draft, and what says so."""
        caps = [
            (self._cap, "max_draft_len"),
            (self._prepared.budget(position), "budget"),
            (self._prepared.drafter_room(position), "drafter_context"),
        ]
        if own is not None:
            wanted = max(own, self._config.min_draft_len)
            caps.insert(2, (wanted, self._config.strategy))
        return min(caps, key=lambda cap: cap[0])
