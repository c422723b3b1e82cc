"""What replay promised of each condition, beside what came of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smart_speed.reporting.report_document import Block, Column, Paragraph, Table
from smart_speed.reporting.run_findings import Findings

SCREENING_NAME = "screening.json"
"""File of a run that says what was predicted of its conditions."""


def screening_blocks(found: Findings) -> list[Block]:
    """Return how many settings were screened, and predictions beside measurements; or nothing."""
    document = _read(found.run.folder / SCREENING_NAME)
    rows = [
        [
            each["condition"],
            each["predicted_on_calibration_tokens_per_s"],
            each["predicted_tokens_per_s"],
            each["live_tokens_per_s"],
            _error(each["predicted_tokens_per_s"], each["live_tokens_per_s"]),
        ]
        for each in document.get("conditions", [])
        if each["predicted_tokens_per_s"] is not None
    ]
    if not rows:
        return []
    columns = [
        Column("condition", "condition"),
        Column("predicted_on_calibration", "predicted, calibration", ".1f"),
        Column("predicted", "predicted, these prompts", ".1f"),
        Column("live", "measured", ".1f"),
        Column("error", "measured over predicted", "+.1%"),
    ]
    caption = "Tokens per second of decoding, first turns; predicted by replay with measured costs"
    table = Table(name="screening", caption=caption, columns=columns, rows=rows)
    screened = document.get("screened")
    said = f"Screened by replay on the calibration prompts: {_told(screened)}."
    return [*([Paragraph(said)] if screened else []), table]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a run that was never finished has none
    return document if isinstance(document, dict) else {}


def _error(predicted: float | None, live: float | None) -> float | None:
    return live / predicted - 1 if predicted and live is not None else None


def _told(screened: Any) -> str:
    """Return facts of a screening, whatever they are."""
    if not isinstance(screened, Mapping):
        return str(screened)
    plain = {key: value for key, value in screened.items() if isinstance(value, int | float | str)}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in plain.items())
