"""What decoding leaves behind: counts and raw seconds, never rates.

Every rate is a function in ``smart_speed.evaluation``. A failure is a record too, with
``status="error"``, so that a missing measurement can never be mistaken for a number.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

from smart_speed.errors import ConfigError

SCHEMA = 1
"""Version of the JSON written here; readers refuse any other."""

FinishReason = Literal["eos", "stop", "length", "context", "interrupted"]


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

    def __post_init__(self) -> None:
        assert 0 <= self.accepted_len <= self.draft_len <= len(self.entropies_nats)
        assert len(self.top_probs) == len(self.entropies_nats)
        assert 0 < self.emitted_len <= self.accepted_len + 1


_COLUMNS = tuple(field.name for field in dataclasses.fields(RoundRecord))


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
            for name in ("entropies_nats", "top_probs"):
                columns[name] = [tuple(row) for row in columns[name]]
            rows = zip(*columns.values(), strict=True)
            rounds = tuple(RoundRecord(**dict(zip(columns, row, strict=True))) for row in rows)
            return cls(**values, rounds=rounds)
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"A record must hold exactly the fields written here: {error}."
            ) from error
