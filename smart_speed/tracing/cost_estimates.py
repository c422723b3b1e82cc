"""From rounds that were timed to what rounds cost, and how sure that is.

Every figure is a midmean, the mean of the middle half: as deaf to interruptions as a median is,
and surer. Its 95 % interval is a bootstrap over blocks of consecutive rounds, because what
disturbs one round disturbs those beside it; figures of one draw are of the same blocks, so what
they differ by has an interval too. Blocks are weighted, not drawn: none is ever left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float64, Int64

from smart_speed.records import RoundRecord
from smart_speed.tracing.context_costs import UNKNOWN, ContextCosts
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.measured_costs import Figure

LEAST_SAMPLES = 8
"""Of each draft length."""
_RESAMPLES = 400
_STEEPEST = 0.9
"""Of a pass, the most that its context may account for: costs stay above 0 at any length."""


class Doubt(NamedTuple):
    """How well something is known, and how well it must be; both over a plain verifier pass."""

    what: str
    spread: float
    """Half the width of its 95 % interval."""
    most: float
    """What that may be at most."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """What some rounds say."""

    costs: CostModel
    figures: Mapping[str, Figure]
    worst: Doubt
    """The one that exceeds what it may be by the most, or comes nearest to it."""

    @property
    def resolved(self) -> bool:
        """Whether everything is known as well as it must be."""
        return self.worst.spread <= self.worst.most


def estimate_costs(
    texts: Sequence[Sequence[RoundRecord]],
    max_draft_len: int,
    resolution: float,
    contexts: ContextCosts = UNKNOWN,
) -> CostEstimate | None:
    """Work out costs, and what of them is in doubt.

    Three things must hold: each verifier pass is known to the resolution, as a share of itself;
    what a wider one takes more than a plain one, and a drafter pass, are known to half of
    themselves, or to half of the resolution of a plain pass if that is more, so that none is
    taken for dear that might be free; and all drafter passes of a longest draft are known to the
    resolution of the round that they are part of.

    Args:
        texts: Rounds of each text in their order, of all draft lengths; in none did a strategy
            make a difference.
        max_draft_len: Longest draft; longer ones are left out.
        resolution: As a share.
        contexts: What a longer context adds.

    Returns:
        The estimate, ``None`` if a draft length was seen too seldom.
    """
    rounds = _Rounds.of(texts, max_draft_len)
    if rounds.lens.min() < LEAST_SAMPLES:
        return None
    rng = np.random.default_rng(0)
    context_len = float(np.median(rounds.context_len))
    weights = rng.exponential(size=(_RESAMPLES + 1, int(rounds.block.max()) + 1))
    weights[0] = 1
    further = rounds.context_len - context_len
    slopes = {width: figure.value for width, figure in contexts.verifier_s.items()} or {1: 0.0}
    by_width = np.interp(rounds.num_passes + 1, list(slopes), list(slopes.values()))
    of_passes = rounds.midmeans(rounds.verifier_s - further * by_width, weights)
    per_pass = further * contexts.drafter_s.value * rounds.num_passes
    step, extra = _line(rounds.midmeans(rounds.drafter_s - per_pass, weights)[:, 1:], first=1)
    of_loop, of_tokens = _line(rounds.midmeans(rounds.other_s, weights), first=0)[::-1]
    asking, of_states = _line(rounds.midmeans(rounds.strategy_s, weights), first=0)

    drafted = int((rounds.num_passes > 0).sum())
    number = len(rounds.block)
    figures = {
        f"verifier_pass_s of {length + 1}": _figure(of_passes[:, length], int(samples))
        for length, samples in enumerate(rounds.lens)
    } | {
        "drafter_step_s": _figure(step, drafted),
        "first_step_extra_s": _figure(extra, drafted),
        "round_overhead_s": _figure(of_loop + of_states, number),
        "token_overhead_s": _figure(of_tokens, number),
        "strategy_step_s": _figure(asking, number),
        "drafter_context_s": contexts.drafter_s,
    }
    figures |= {
        f"verifier_context_s of {width}": figure for width, figure in contexts.verifier_s.items()
    }
    passes = of_passes[0].tolist()
    flattest = _STEEPEST / max(context_len, 1)
    costs = CostModel(
        drafter_step_s=figures["drafter_step_s"].value,
        verifier_pass_s=dict(enumerate(passes, start=1)),
        first_step_extra_s=figures["first_step_extra_s"].value,
        round_overhead_s=figures["round_overhead_s"].value,
        token_overhead_s=figures["token_overhead_s"].value,
        strategy_step_s=figures["strategy_step_s"].value,
        context_len=context_len,
        verifier_context_s={
            width: min(slope, flattest * passes[width - 1]) for width, slope in slopes.items()
        },
        drafter_context_s=min(contexts.drafter_s.value, flattest * figures["drafter_step_s"].value),
    )
    doubts = _doubts(of_passes, step, resolution)
    worst = max(doubts, key=lambda doubt: doubt.spread / doubt.most)
    return CostEstimate(costs=costs, figures=figures, worst=worst)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Rounds:
    """Rounds as columns, sorted by draft length."""

    num_passes: Int64[np.ndarray, " rounds"]
    lens: Int64[np.ndarray, " lens"]
    """Rounds of each draft length."""
    block: Int64[np.ndarray, " rounds"]
    context_len: Float64[np.ndarray, " rounds"]
    verifier_s: Float64[np.ndarray, " rounds"]
    drafter_s: Float64[np.ndarray, " rounds"]
    strategy_s: Float64[np.ndarray, " rounds"]
    other_s: Float64[np.ndarray, " rounds"]

    @classmethod
    def of(cls, texts: Sequence[Sequence[RoundRecord]], max_draft_len: int) -> "_Rounds":
        rows, block = [], 0
        for text in texts:
            for at, turn in enumerate(text):
                if turn.draft_len == len(turn.entropies_nats) <= max_draft_len:
                    rows.append((turn, block + at // (max_draft_len + 1)))
            block += 1 + len(text) // (max_draft_len + 1)
        rows.sort(key=lambda row: row[0].draft_len)
        turns = [turn for turn, _ in rows]
        seconds = np.array(
            [
                (each.context_len, each.verifier_s, each.drafter_s, each.strategy_s, each.round_s)
                for each in turns
            ],
            dtype=np.float64,
        ).reshape(-1, 5)
        context_len, verifier_s, drafter_s, strategy_s, round_s = seconds.T
        num_passes = np.array([each.draft_len for each in turns], dtype=np.int64)
        return cls(
            num_passes=num_passes,
            lens=np.bincount(num_passes, minlength=max_draft_len + 1).astype(np.int64),
            block=np.array([number for _, number in rows], dtype=np.int64),
            context_len=context_len,
            verifier_s=verifier_s,
            drafter_s=drafter_s,
            strategy_s=strategy_s,
            other_s=round_s - verifier_s - drafter_s - strategy_s,
        )

    def groups(self, values: np.ndarray) -> list[np.ndarray]:
        """Return the values of the rounds of each draft length."""
        return np.split(values, np.cumsum(self.lens)[:-1])

    def midmeans(
        self, values: np.ndarray, weights: Float64[np.ndarray, "draws blocks"]
    ) -> Float64[np.ndarray, "draws lens"]:
        """Return the midmean of each draft length under each weighting of the blocks."""
        pairs = zip(self.groups(values), self.groups(self.block), strict=True)
        return np.stack([_midmeans(group, weights[:, block]) for group, block in pairs], axis=1)


def _midmeans(
    values: Float64[np.ndarray, " rounds"], weights: Float64[np.ndarray, "draws rounds"]
) -> Float64[np.ndarray, " draws"]:
    """Return the mean of what lies between the quartiles, under each weighting."""
    order = np.argsort(values)
    ends = np.cumsum(weights[:, order], axis=1)
    low, high = 0.25 * ends[:, -1:], 0.75 * ends[:, -1:]
    inside = np.diff(np.clip(ends, low, high), axis=1, prepend=low)
    means: np.ndarray = (inside @ values[order]) / (high - low)[:, 0]
    return means


def _line(
    seconds: Float64[np.ndarray, "draws lens"], *, first: int
) -> tuple[Float64[np.ndarray, " draws"], Float64[np.ndarray, " draws"]]:
    """Return slope and start, neither below 0, of the lines through seconds for so many passes.

    Args:
        seconds: For ``first`` passes, one more, and so on.
        first: Passes of the first column.
    """
    number = np.arange(first, first + seconds.shape[1], dtype=np.float64)
    away = number - number.mean()
    middle = seconds.mean(axis=1)
    spread = float(away @ away)
    slope = np.maximum(seconds @ away / spread, 0.0) if spread else middle / number.mean()
    start = middle - slope * number.mean()
    # Where the start would be below 0, the line goes through it instead.
    slope = np.where(start < 0, seconds @ number / float(number @ number), slope)
    return np.maximum(slope, 0.0), np.maximum(np.where(start < 0, 0.0, start), 0.0)


def _figure(draws: Float64[np.ndarray, " draws"], num_samples: int) -> Figure:
    """Return the first draw, and the interval of the others."""
    low, high = np.percentile(draws[1:], [2.5, 97.5])
    return Figure(float(draws[0]), float(low), float(high), num_samples)


def _doubts(
    passes: Float64[np.ndarray, "draws lens"],
    step: Float64[np.ndarray, " draws"],
    resolution: float,
) -> list[Doubt]:
    longest = passes.shape[1] - 1
    plain = float(passes[0, 0])
    full_round = float(passes[0, longest] + longest * step[0]) / plain

    def doubt(what: str, draws: np.ndarray, most: float | None = None) -> Doubt:
        """With no such limit, the figure must be smaller than its interval is wide."""
        value, low, high, _ = _figure(draws / plain, 0)
        own = max(abs(value), resolution) / 2
        return Doubt(what, (high - low) / 2, own if most is None else most)

    doubts = [
        doubt(
            f"a verifier pass of {_tokens(length + 1)}",
            passes[:, length],
            resolution * float(passes[0, length]) / plain,
        )
        for length in range(longest + 1)
    ]
    doubts += [
        doubt(
            f"what a verifier pass of {_tokens(length + 1)} takes more than one of 1",
            passes[:, length] - passes[:, 0],
        )
        for length in range(1, longest + 1)
    ]
    drafted = f"the drafter's part in a draft of {_tokens(longest)}"
    doubts.append(doubt("a drafter pass", step))
    doubts.append(doubt(drafted, longest * step, resolution * full_round))
    return doubts


def _tokens(number: int) -> str:
    return f"{number} token{'s' if number > 1 else ''}"
