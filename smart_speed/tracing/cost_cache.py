"""Costs that were measured before on this machine, so that each pair of models is measured once."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs

from smart_speed.errors import MeasurementError, OutputError
from smart_speed.files import whole, writing
from smart_speed.machine import machine_facts
from smart_speed.tracing.measured_costs import MeasuredCosts, RoughCostsError

REFUSED_FOR_S = 3600.0
"""How long a machine that was too noisy is left in peace."""


def cost_folder() -> Path:
    """Return the folder of measured costs, which ``SMART_SPEED_CACHE`` moves."""
    root = os.environ.get("SMART_SPEED_CACHE") or platformdirs.user_cache_path("smart_speed")
    return Path(root) / "costs"


def _wall_clock() -> float:
    return datetime.now(UTC).timestamp()


def cached_costs(
    key: Mapping[str, Any],
    measure: Callable[[], MeasuredCosts],
    say: Callable[[str], None],
    *,
    now: Callable[[], float] = _wall_clock,
) -> MeasuredCosts:
    """Return what was measured before on this machine, or measure, and keep that for next time.

    A file that cannot be read, or that another version wrote, is measured anew; what cannot be
    written is measured again next time.

    Args:
        key: All that tells these costs from others, as JSON values; the machine is added.
        measure: Called where nothing is known.
        say: Told if the result cannot be kept.
        now: Seconds since some day long ago.

    Raises:
        MeasurementError: As ``measure`` does, and ``RoughCostsError`` with what it found; for an
            hour it is raised again without measuring, because a machine that is busy costs the
            whole time allowed.
    """
    facts = json.dumps({"key": dict(key), "machine": machine_facts()}, sort_keys=True)
    path = cost_folder() / f"{hashlib.sha256(facts.encode()).hexdigest()}.json"
    known = _read(path)
    if isinstance(known, MeasuredCosts):
        return known
    if isinstance(known, _Refusal) and 0 <= now() - known.at < REFUSED_FOR_S:
        raise known.error
    try:
        measured = measure()
    except MeasurementError as error:
        _write(path, _Refusal(error, now()).to_json(), say)
        raise
    _write(path, measured.to_json(), say)
    return measured


class _Refusal(NamedTuple):
    error: MeasurementError
    at: float

    def to_json(self) -> dict[str, Any]:
        rough = self.error.measured.to_json() if isinstance(self.error, RoughCostsError) else None
        return {"refused": str(self.error), "at": self.at, "rough": rough}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "_Refusal":
        error = MeasurementError(document["refused"])
        if (rough := document["rough"]) is not None:
            error = RoughCostsError(document["refused"], MeasuredCosts.from_json(rough))
        return cls(error, float(document["at"]))


def _write(path: Path, document: Mapping[str, Any], say: Callable[[str], None]) -> None:
    try:
        with writing("Measured costs", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as part:
                part.write_text(json.dumps(document), encoding="utf-8")
    except OutputError as error:
        say(str(error))


def _read(path: Path) -> MeasuredCosts | _Refusal | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if "refused" in document:
            return _Refusal.from_json(document)
        return MeasuredCosts.from_json(document)
    except (OSError, ValueError, TypeError, KeyError):
        return None
