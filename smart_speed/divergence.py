"""Where two texts that should be one part, and how near to a tie the verifier was there.

Engines compute a pass of several tokens with other kernels than a pass of one, so that the last
digits of logits differ. Where the two likeliest tokens are that close, greedy decoding may take
either. Such a near-tie is counted and shown, never hidden; anything else is a bug.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from smart_speed.engines.base import CachedModel, shared_len


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
    logit_gap: float
    """Logit of the reference's token less the other's, the verifier being fed token by token."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return dataclasses.asdict(self)


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
    pair = tuple(text[position] if position < len(text) else None for text in (reference, other))
    gap = float("nan")
    if None not in pair:
        model.rollback(0)
        text = [*prompt, *reference[:position]]
        if before := prompt[:-1]:
            model.feed(before, last=0)
        # One token at a time, as plain decoding fed them.
        for token in text[len(before) : -1]:
            model.feed([token], last=0)
        logits = model.feed(text[-1:], last=1)[0]
        gap = float(logits[pair[0]] - logits[pair[1]])
    return Divergence(
        prompt_id=prompt_id,
        condition=condition,
        position=position,
        tokens=(pair[0], pair[1]),
        logit_gap=gap,
    )
