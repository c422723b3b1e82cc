"""What decoding leaves behind: counts and raw seconds, never rates.

Every rate is a function in ``smart_speed.evaluation``. A failure is a record too, with
``status="error"``, so that a missing measurement can never be mistaken for a number.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from smart_speed.errors import ConfigError

SCHEMA = 1
"""Version of the JSON written here; readers refuse any other."""

FinishReason = Literal["eos", "stop", "length", "context", "interrupted"]


class TextScore(NamedTuple):
    """What the verifier makes of an output, by its raw law (temperature 1) at each position."""

    num_tokens: int
    log_likelihood: float
    """Sum of the tokens' log-probabilities, in nats; at most 0."""
    entropy_nats: float
    """Sum of the laws' entropies: what a token drawn from the law would cost on average, where
    the text's own token costs minus its log-probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One draft-and-verify round of one sequence."""

    context_len: int
    """Tokens before the round, prompt included."""
    entropies_nats: tuple[float, ...]
    """One per drafter pass, so one more than ``draft_len`` where a stop came before its token."""
    top_probs: tuple[float, ...]
    """Likewise: probability of the likeliest token."""
    draft_len: int
    """Tokens proposed to the verifier."""
    accepted_len: int
    """Leading proposed tokens that the verifier kept; excludes the extra token."""
    emitted_len: int
    """Tokens added to the output: ``accepted_len + 1``, or fewer if the output ended inside."""
    stop_reason: str
    """Why drafting ended: a strategy's label, or "max_draft_len", "budget", "eos",
    "drafter_context"."""
    drafter_s: float
    """Seconds in drafter passes."""
    entropy_s: float
    """Seconds measuring the draft laws."""
    strategy_s: float
    """Seconds in the stopping strategy."""
    verifier_s: float
    """Seconds in the verifier pass."""
    round_s: float
    """Seconds of the whole round, everything included."""
    inexact_len: int = 0
    """Emitted tokens on which the exact test would have decided otherwise: kept against it by a
    relaxed rule, or rejected against it by a stricter one. 0 of every lossless rule."""
    verifier_entropies_nats: tuple[float, ...] = ()
    """Shannon entropy of the verifier's raw law of each emitted token; empty where it was not
    asked for."""
    drafter: str = ""
    """Who was chosen to draft, "none" if nobody; empty where there was no choice."""

    def __post_init__(self) -> None:
        assert 0 <= self.accepted_len <= self.draft_len <= len(self.entropies_nats)
        assert len(self.top_probs) == len(self.entropies_nats)
        assert 0 < self.emitted_len <= self.accepted_len + 1
        assert 0 <= self.inexact_len <= min(self.emitted_len, self.draft_len)
        assert len(self.verifier_entropies_nats) in (0, self.emitted_len)


_COLUMNS = tuple(field.name for field in dataclasses.fields(RoundRecord))
_LISTS = ("entropies_nats", "top_probs", "verifier_entropies_nats")
_OPTIONAL = ("inexact_len", "verifier_entropies_nats", "drafter")
"""Columns that are left out where no round has anything to say, as in all older records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceRecord:
    """One prompt decoded under one condition."""

    condition: str
    """Name of the cell of the comparison, for example "relative" or "fixed-6"."""
    prompt_id: str
    seed: int
    status: Literal["ok", "error"]
    lossless: bool
    """Whether the output law is the verifier's, by construction."""
    engine: str
    """Engine of the verifier."""
    prompt_len: int
    reused_len: int
    """Leading prompt tokens that were still in the verifier's cache from an earlier call."""
    output_len: int
    """Tokens of the output, the end-of-text token included."""
    finish_reason: FinishReason | None
    """Why the output ended; ``None`` for an error."""
    prefill_s: float
    """Seconds until both models had read the prompt but for its last token."""
    decode_s: float
    """Seconds of all rounds."""
    rounds: tuple[RoundRecord, ...]
    error: str | None = None
    """The sentence that the failure said; ``None`` where there was none."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values, the rounds as columns."""
        flat = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "rounds"
        }
        columns = {name: [getattr(record, name) for record in self.rounds] for name in _COLUMNS}
        for name in _OPTIONAL:
            if not any(columns[name]):
                del columns[name]
        return {"schema": SCHEMA, **flat, "rounds": columns}

    def to_line(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(self.to_json(), allow_nan=False)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "SequenceRecord":
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: If the schema is another, or a field is unknown or missing.
        """
        values = dict(document)
        if (schema := values.pop("schema", None)) != SCHEMA:
            raise ConfigError(f"schema of a record must be {SCHEMA}, got {schema!r}.")
        try:
            columns = dict(values.pop("rounds"))
            for name in _LISTS:
                if name in columns or name not in _OPTIONAL:
                    columns[name] = [tuple(row) for row in columns[name]]
            rows = zip(*columns.values(), strict=True)
            rounds = tuple(RoundRecord(**dict(zip(columns, row, strict=True))) for row in rows)
            return cls(**values, rounds=rounds)
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"A record must hold exactly the fields written here: {error}."
            ) from error
