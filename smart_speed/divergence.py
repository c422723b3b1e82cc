"""Where two texts that should be one part, and whether the engine's rounding explains it.

Engines compute a pass of several tokens with other kernels than a pass of one, so logits differ
in their last digits, and by more where activations are rounded to eight bits between layers.
Where the two likeliest tokens are closer than that, greedy decoding may take either. Such a
near-tie is counted and shown, never hidden; any other divergence is a bug.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import array_api_compat
import numpy as np

from smart_speed.engines.base import CachedModel, shared_len
from smart_speed.laws import Array, wide

_WIDTHS = (2, 3, 8, 32)
"""Tokens a pass, to see what the width does to a logit."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first token in which two outputs of one prompt differ."""

    prompt_id: str
    condition: str
    position: int
    """Output tokens that the two share."""
    tokens: tuple[int | None, int | None]
    """What the reference and the other output hold there; ``None`` where one has ended."""
    logit_gap: float | None
    """Logit of the reference's token less the other's, the verifier being fed token by token;
    ``None`` where one has ended."""
    pass_noise: float | None
    """Largest difference that the width of a pass makes to a logit there, over a few widths."""

    @property
    def near_tie(self) -> bool:
        """Whether rounding explains it: both logits may be off by the noise, in either way."""
        if self.logit_gap is None or self.pass_noise is None:
            return False  # nothing excuses an output that merely ends
        return abs(self.logit_gap) <= 2 * self.pass_noise

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**dataclasses.asdict(self), "near_tie": self.near_tie}


def find_divergence(
    model: CachedModel,
    prompt: Sequence[int],
    reference: Sequence[int],
    other: Sequence[int],
    *,
    prompt_id: str,
    condition: str,
) -> Divergence | None:
    """Compare two greedy outputs of one prompt.

    Args:
        model: The verifier; its cache is emptied.
        prompt: The prompt's tokens.
        reference: Output of plain decoding.
        other: Output to compare with it.
        prompt_id: For the report.
        condition: For the report.

    Returns:
        ``None`` if the outputs are the same.
    """
    position = shared_len(reference, other)
    if position == len(reference) == len(other):
        return None
    mine, theirs = (text[position] if position < len(text) else None for text in (reference, other))
    gap = noise = None
    if mine is not None and theirs is not None:
        single = _last_logits(model, prompt, reference[:position], 1)
        gap = float(single[mine] - single[theirs])
        noise = max(
            float(np.max(np.abs(single - _last_logits(model, prompt, reference[:position], width))))
            for width in _WIDTHS
        )
    return Divergence(
        prompt_id=prompt_id,
        condition=condition,
        position=position,
        tokens=(mine, theirs),
        logit_gap=gap,
        pass_noise=noise,
    )


def _last_logits(
    model: CachedModel, prompt: Sequence[int], output: Sequence[int], width: int
) -> np.ndarray:
    """Return the logits that follow a text whose output is fed so many tokens a pass.

    A pass is filled up with the prompt's last tokens where there are fewer of the output.
    """
    model.rollback(0)
    text = [*prompt, *output]
    start = max(min(len(prompt) - 1, len(text) - width), 0)
    if start:
        model.feed(text[:start], last=0)
    logits: Array = None
    # Counted from the end, so that the last pass has the full width.
    first = (len(text) - start) % width
    for at in range(start - (width - first if first else 0), len(text), width):
        logits = model.feed(text[max(at, start) : at + width], last=1)[0]
    return np.array(array_api_compat.to_device(wide(logits), "cpu"))
