"""What rounds cost on one machine: counts in, seconds out.

A round of p drafter passes that proposes d tokens takes

    round_overhead_s + verifier_pass_s(d + 1)
        + p (drafter_step_s + token_overhead_s + strategy_step_s) + (first_step_extra_s if p > 0)

at the context length that the figures were measured at; for each token of context beyond it, a
verifier pass takes ``verifier_context_s(d + 1)`` more, and a drafter pass ``drafter_context_s``.
Costs that would fall to nothing at some shorter context are refused, so nothing needs to be cut off
there, and sums over rounds are enough. Figures are measured in ``cost_measuring``. Prefill is not
in it. A drafter that sat rounds out while others drafted takes ``catch_up_s`` more in its next pass
for each token that it missed.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.tracing.rounds import ReplayedRound, RoundCounts

SCHEMA = 1
"""Version of the JSON written here; readers refuse any other."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Seconds of whatever a round is made of, for one verifier, drafter and machine."""

    drafter_step_s: float
    """One drafter pass."""
    verifier_pass_s: Mapping[int, float]
    """One verifier pass by the tokens that it reads, its width: at least of width 1. Widths
    between two that were measured lie on the line through them; wider ones are refused."""
    first_step_extra_s: float = 0.0
    """What a round's first drafter pass takes more, because it reads what the verifier added."""
    round_overhead_s: float = 0.0
    """The loop's own work for each round."""
    token_overhead_s: float = 0.0
    """And for each drafter pass: measuring the law, drawing the token, judging it."""
    strategy_step_s: float = 0.0
    """What asking the strategy takes, for each drafter pass."""
    context_len: int | float = 0
    """Tokens before the round for which all this holds."""
    verifier_context_s: Mapping[int, float] = field(default_factory=lambda: {1: 0.0})
    """What each further one adds to a verifier pass, by its width: at least of width 1. Widths
    between lie on lines; wider ones take as much more as the widest."""
    drafter_context_s: float = 0.0
    """And to a drafter pass."""
    catch_up_s: float = 0.0
    """What a drafter pass takes more for each token that the drafter missed."""

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in _SECONDS}
        for name in _BY_WIDTH:
            by_width: Mapping[int, float] = getattr(self, name)
            check_that(1 in by_width, name, "known for width 1", sorted(by_width))
            check_that(min(by_width) >= 1, name, "by widths from 1", sorted(by_width))
            given |= {f"{name} of {width}": seconds for width, seconds in by_width.items()}
        for name, seconds in given.items():
            rule = "a finite number, at least 0"
            check_that(math.isfinite(seconds) and seconds >= 0, name, rule, seconds)
        for width, seconds in self.verifier_pass_s.items():
            check_that(seconds > 0, f"verifier_pass_s of {width}", "above 0", seconds)
        parts = [("drafter_context_s", self.drafter_step_s, self.drafter_context_s)] + [
            (f"verifier_context_s of {width}", self.pass_s(width), self.pass_context_s(width))
            for width in sorted({*self.verifier_pass_s, *self.verifier_context_s})
            if width <= max(self.verifier_pass_s)
        ]
        for name, pass_s, slope_s in parts:
            # Also where nothing is left for any other part: then the two are equal.
            rule = f"at most the {pass_s} s of a pass over its {self.context_len} tokens of context"
            holds = slope_s * self.context_len <= pass_s * (1 + 1e-12)
            check_that(holds, name, rule, slope_s)

    @property
    def max_draft_len(self) -> int:
        """The longest proposal whose verification was measured."""
        return max(self.verifier_pass_s) - 1

    @property
    def step_s(self) -> float:
        """All that one more drafter pass takes."""
        return self.drafter_step_s + self.token_overhead_s + self.strategy_step_s

    def pass_s(self, width: int) -> float:
        """Return the seconds of a verifier pass.

        Args:
            width: Tokens that it reads: the proposal and one more.

        Raises:
            ConfigError: If so wide a pass was not measured.
        """
        widest = max(self.verifier_pass_s)
        known = 1 <= width <= widest
        check_that(known, "width", f"1 to {widest}, the widest that was measured", width)
        return _between(self.verifier_pass_s, width)

    def pass_context_s(self, width: int) -> float:
        """Return what each further token of context adds to a verifier pass of a width."""
        return _between(self.verifier_context_s, min(width, max(self.verifier_context_s)))

    def round_s(
        self, num_passes: int, draft_len: int, context_len: int | float | None = None
    ) -> float:
        """Return the seconds of one round.

        Args:
            num_passes: Of the drafter.
            draft_len: Tokens proposed.
            context_len: Tokens before the round; ``None`` for those of the measurement.
        """
        drafting_s = num_passes * self.step_s + (self.first_step_extra_s if num_passes else 0.0)
        further = 0.0 if context_len is None else context_len - self.context_len
        of_verifier_s, of_drafter_s = self.pass_context_s(draft_len + 1), self.drafter_context_s
        context_s = further * (of_verifier_s + num_passes * of_drafter_s)
        return self.round_overhead_s + self.pass_s(draft_len + 1) + drafting_s + context_s

    def seconds(self, rounds: Iterable[ReplayedRound]) -> float:
        """Return the seconds of all rounds."""
        return math.fsum(
            self.round_s(turn.num_passes, turn.draft_len, turn.context_len)
            + turn.backlog * self.catch_up_s
            for turn in rounds
        )

    def seconds_of(self, counts: RoundCounts) -> Float64[np.ndarray, " policies"]:
        """Return the seconds of each policy whose rounds were counted."""
        lens = np.flatnonzero(counts.by_draft_len.any(axis=0))
        rounds = counts.by_draft_len[:, lens]
        further = counts.context_sum[:, lens] - rounds * self.context_len
        pass_further = counts.pass_context_sum - counts.num_passes * self.context_len
        total: np.ndarray = (
            rounds @ np.array([self.round_s(0, length) for length in lens.tolist()])
            + further @ np.array([self.pass_context_s(length + 1) for length in lens.tolist()])
            + counts.num_passes * self.step_s
            + counts.num_drafting * self.first_step_extra_s
            + pass_further * self.drafter_context_s
        )
        return total

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        by_width = {
            name: {str(width): seconds for width, seconds in sorted(getattr(self, name).items())}
            for name in _BY_WIDTH
        }
        return {"schema": SCHEMA, **asdict(self), **by_width}

    @classmethod
    def from_json(cls, document: Any) -> "CostModel":
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: If the schema is another, a key is unknown or missing, or a value is none
                that a cost can have.
        """
        check_that(isinstance(document, Mapping), "A cost model", "a JSON object", document)
        values = dict(document)
        schema = values.pop("schema", None)
        check_that(schema == SCHEMA, "schema of a cost model", str(SCHEMA), schema)
        for name in values:
            if name not in _FIELDS:
                raise unknown_name("cost", name, _FIELDS)
        if isinstance(values.get("verifier_context_s"), int | float):
            # Older files: as much for every width.
            values["verifier_context_s"] = {"1": values["verifier_context_s"]}
        try:
            for name in values.keys() & set(_BY_WIDTH):
                check_that(isinstance(values[name], Mapping), name, "a JSON object", values[name])
                values[name] = {int(key): float(val) for key, val in values[name].items()}
            return cls(**{key: _number(val) for key, val in values.items()})
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"A cost model must hold numbers of seconds and no other: {error}."
            ) from error


def routed_seconds(
    rounds: Sequence[ReplayedRound], costs: Sequence[CostModel], *, all_read: bool = False
) -> float:
    """Return the seconds of rounds with several drafters.

    Args:
        rounds: Each with its arm, an index of the costs.
        costs: With each drafter; a round without draft is costed by the first.
        all_read: Whether every drafter reads every round, as for full information.
    """
    reading_s = math.fsum(each.drafter_step_s for each in costs) if all_read else 0.0
    drafting_s = math.fsum(costs[turn.arm or 0].seconds([turn]) for turn in rounds)
    return drafting_s + reading_s * len(rounds)


def with_one_verifier(costs: Sequence[CostModel]) -> list[CostModel]:
    """Return costs of several drafters whose verifier takes the same.

    Each drafter's costs were measured with the verifier's, one after the other. What those differ
    by is chance, and would have a choice among drafters be one of measurements.

    Args:
        costs: At least one; widths that not all know are left out.

    Raises:
        ConfigError: If there are none.
    """
    check_that(len(costs) > 0, "costs", "those of at least one drafter", 0)
    widths = sorted(set.intersection(*(set(each.verifier_pass_s) for each in costs)))
    shared: dict[str, Any] = {
        name: math.fsum(getattr(each, name) for each in costs) / len(costs)
        for name in ("round_overhead_s", "context_len")
    }
    for name, seconds in (
        ("verifier_pass_s", CostModel.pass_s),
        ("verifier_context_s", CostModel.pass_context_s),
    ):
        shared[name] = {
            width: math.fsum(seconds(each, width) for each in costs) / len(costs)
            for width in widths
        }
    return [replace(each, **shared) for each in costs]


def read_costs(path: Path) -> CostModel:
    """Read a cost model from a JSON file.

    Raises:
        ConfigError: If the file cannot be read, or does not hold one.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"A cost model must be a readable JSON file, got {str(path)!r}: {error}."
        ) from error
    return CostModel.from_json(document)


def _between(by_width: Mapping[int, float], width: int) -> float:
    """Return the seconds of a width, on the line between those known on either side."""
    if width in by_width:
        return by_width[width]
    low = max(known for known in by_width if known < width)
    high = min(known for known in by_width if known > width)
    share = (width - low) / (high - low)
    return (1 - share) * by_width[low] + share * by_width[high]


def _number(value: Any) -> Any:
    return value if isinstance(value, Mapping) else float(value)


_FIELDS = tuple(each.name for each in fields(CostModel))
_BY_WIDTH = ("verifier_pass_s", "verifier_context_s")
_SECONDS = tuple(name for name in _FIELDS if name not in _BY_WIDTH)
