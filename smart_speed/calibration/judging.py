"""What would each policy have earned? Speeds by replay, beside fixed lengths and the oracle."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from smart_speed.config import EntropyConfig
from smart_speed.errors import check_that
from smart_speed.evaluation import Interval, bootstrap_mean
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.oracle import (
    FIXED_LENS,
    Option,
    best_fixed,
    fixed_seconds,
    oracle,
    oracle_choice,
    plain_seconds,
)
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay
from smart_speed.tracing.rounds import ReplayedRound


class Totals(NamedTuple):
    """Tokens and seconds of a text under one policy, and its rounds' counts."""

    tokens: int
    seconds: float
    num_rounds: int
    num_passes: int
    drafted: int
    accepted: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One policy on some texts."""

    speed: Interval
    """Tokens per second over plain decoding's, the mean of the tasks."""
    speed_by_task: Mapping[str, float]
    share: Interval
    """Of the gap between best fixed length and oracle that is closed, the mean of the tasks."""
    share_by_task: Mapping[str, float]
    over_fixed: Interval
    """Speed over that of the best fixed length, the mean of the tasks."""
    over_fixed_by_task: Mapping[str, float]
    mean_draft_len: float
    acceptance_rate: float
    passes_per_token: float
    emitted_per_round: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; what is not a number is null."""
        return {
            "speed": self.speed.to_json(),
            "speed_by_task": _finite(self.speed_by_task),
            "share": self.share.to_json(),
            "share_by_task": _finite(self.share_by_task),
            "over_fixed": self.over_fixed.to_json(),
            "over_fixed_by_task": _finite(self.over_fixed_by_task),
            **_finite(
                {
                    name: getattr(self, name)
                    for name in (
                        "mean_draft_len",
                        "acceptance_rate",
                        "passes_per_token",
                        "emitted_per_round",
                    )
                }
            ),
        }


@final
class Judge:
    """Texts, what rounds cost, and the bounds that policies are held to.

    Every task counts the same; within one, sums over sums.
    """

    def __init__(
        self, texts: Sequence[PreparedTrace], costs: CostModel, *, fixed_len: int | None = None
    ) -> None:
        """Work out the bounds.

        Args:
            texts: Of one drafter; at least one.
            costs: What rounds take.
            fixed_len: Best fixed draft length, as found on other texts; ``None`` finds it on
                these, which is in hindsight.

        Raises:
            ConfigError: If there is no text, drafts as long as the traces hold were not measured,
                or the fixed length is none that they hold.
        """
        check_that(len(texts) > 0, "texts", "at least one", len(texts))
        self.texts = texts
        self.costs = costs
        self.max_draft_len = min(each.trace.max_draft_len for each in texts)
        self.lens = [each for each in FIXED_LENS if each <= self.max_draft_len]
        if fixed_len is None:
            fixed_len = best_fixed(texts, costs, self.lens).draft_len
        held = f"1 to {self.max_draft_len}, the continuations that the traces hold"
        check_that(1 <= fixed_len <= self.max_draft_len, "fixed_len", held, fixed_len)
        self.fixed_len = fixed_len
        self.tasks = list(dict.fromkeys(each.trace.task for each in texts))
        self._plain_s = [plain_seconds(each, costs) for each in texts]
        self._fixed_s = [fixed_seconds([each], costs, [self.fixed_len])[0] for each in texts]
        plans = [oracle(each, costs, self.max_draft_len) for each in texts]
        self._oracle_s = [plan.seconds for plan in plans]
        self._oracle_rounds = [plan.rounds for plan in plans]

    def play(self, config: EntropyConfig) -> list[Totals]:
        """Replay a configuration on every text."""
        return [_totals(text, replay(text, config), self.costs) for text in self.texts]

    def judge(self, config: EntropyConfig) -> Judgement:
        """Return how a configuration would have done."""
        return self.judgement(self.play(config))

    def oracle(self) -> Judgement:
        """Return the bound: how the oracle would have done."""
        return self.judgement(
            [
                _totals(text, rounds, self.costs)
                for text, rounds in zip(self.texts, self._oracle_rounds, strict=True)
            ]
        )

    def oracle_choice(
        self, others: Sequence[tuple[Sequence[PreparedTrace], CostModel]]
    ) -> Judgement:
        """Return the bound for several drafters: an oracle that also chooses who drafts a round.

        Args:
            others: For each other drafter its traces of the same texts, in any order, and what
                rounds cost with it.

        Raises:
            ConfigError: If a drafter lacks one of the texts, or wrote on another.
        """
        by_id = [({each.trace.prompt_id: each for each in texts}, costs) for texts, costs in others]
        found = []
        for text in self.texts:
            options, wanted = [Option(text, self.costs)], text.trace.prompt_id
            for known, costs in by_id:
                check_that(wanted in known, "traces", f"of every drafter for {wanted!r}", None)
                options.append(Option(known[wanted], costs))
            plan = oracle_choice(options, self.max_draft_len)
            counted = _totals(text, plan.rounds, self.costs)
            found.append(counted._replace(seconds=plan.seconds))
        return self.judgement(found)

    def best_fixed_by_task(self) -> dict[str, int]:
        """Return the best fixed draft length of each task, in hindsight."""
        return {
            task: best_fixed(
                [each for each in self.texts if each.trace.task == task], self.costs, self.lens
            ).draft_len
            for task in self.tasks
        }

    def judgement(self, totals: Sequence[Totals]) -> Judgement:
        """Return the figures of what each text took, in the order of the texts."""
        bounds = Bounds(self._plain_s, self._fixed_s, self._oracle_s)
        return judgement_of([each.trace.task for each in self.texts], totals, bounds)


class Bounds(NamedTuple):
    """Seconds of each text under what policies are held to."""

    plain_s: Sequence[float]
    base_s: Sequence[float]
    """Under what is to be beaten, such as the best fixed length."""
    best_s: Sequence[float]
    """Under a policy that knows the future."""


def judgement_of(tasks: Sequence[str], totals: Sequence[Totals], bounds: Bounds) -> Judgement:
    """Return the figures of a policy.

    Args:
        tasks: Of each text.
        totals: What each took.
        bounds: The same texts under others; what is to be beaten stands for the fixed length.
    """
    rows = np.array(
        [(total.seconds, *bound) for total, *bound in zip(totals, *bounds, strict=True)],
        dtype=np.float64,
    )
    names = list(dict.fromkeys(tasks))
    tables = [rows[[at for at, each in enumerate(tasks) if each == task]] for task in names]
    sums = [table.sum(axis=0) for table in tables]
    speeds = {task: float(_speed(each)) for task, each in zip(names, sums, strict=True)}
    shares = {task: float(_share(each)) for task, each in zip(names, sums, strict=True)}
    over = {task: float(_over(each)) for task, each in zip(names, sums, strict=True)}
    tokens, _, rounds, passes, drafted, accepted = map(sum, zip(*totals, strict=True))
    return Judgement(
        speed=bootstrap_mean(tables, _speed),
        speed_by_task=speeds,
        share=bootstrap_mean(tables, _share),
        share_by_task=shares,
        over_fixed=bootstrap_mean(tables, _over),
        over_fixed_by_task=over,
        mean_draft_len=drafted / rounds,
        acceptance_rate=accepted / drafted if drafted else math.nan,
        passes_per_token=passes / tokens,
        emitted_per_round=tokens / rounds,
    )


def totals_of(text: PreparedTrace, rounds: Sequence[ReplayedRound], seconds: float) -> Totals:
    """Return what one text took."""
    return Totals(
        tokens=text.output_len,
        seconds=seconds,
        num_rounds=len(rounds),
        num_passes=sum(turn.num_passes for turn in rounds),
        drafted=sum(turn.draft_len for turn in rounds),
        accepted=sum(turn.accepted_len for turn in rounds),
    )


def _totals(text: PreparedTrace, rounds: Sequence[ReplayedRound], costs: CostModel) -> Totals:
    return totals_of(text, rounds, costs.seconds(rounds))


def _speed(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 1] / sums[..., 0])


def _over(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 2] / sums[..., 0])


@np.errstate(divide="ignore", invalid="ignore")
def _share(sums: np.ndarray) -> np.ndarray:
    """Tokens per second are one over seconds here: every column wrote the same tokens."""
    speed, _, fixed, best = (1 / sums[..., column] for column in range(4))
    return np.asarray((speed - fixed) / (best - fixed))


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in values.items()}
