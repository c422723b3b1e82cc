"""What does a longer context add to a pass? Measured at two lengths of it.

Attention reads everything that came before, and how long that takes depends on how many tokens ask:
engines compute one query in another way than several. So a short and a long context are compared,
width by width. The long one is a prompt over and over; what tokens are does not matter here.
"""

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel, read_ahead
from smart_speed.tracing.measured_costs import Figure

FAR = 2048
"""Tokens of the long context, if models have room for them."""
_LEAST = 512
"""Of it, for what it adds to be told from chance."""
_APART = 4
"""Times as long as the short one that it is at least."""
_WIDTHS = (1, 2, 3, 4, 6, 8, 12)
"""Of verifier passes, besides the widest: kernels change early, if at all."""
_REPEATS = 6
_RESAMPLES = 400
_UNREAD = 2
"""Tokens that a drafter reads in a round's first pass."""


class ContextCosts(NamedTuple):
    """Seconds that each further token of context adds."""

    verifier_s: dict[int, Figure]
    """To a verifier pass, by its width; none if no long context was possible."""
    drafter_s: Figure
    """To a drafter pass."""


UNKNOWN = ContextCosts({}, Figure(0.0, 0.0, 0.0, 0))
"""Where there is no room for a long context."""


def measure_context_costs(
    verifier: LoadedModel,
    drafter: Drafter,
    text: Sequence[int],
    *,
    max_width: int,
    clock: Callable[[], float],
) -> ContextCosts:
    """Time passes after a short and a long context, the short one before and after the long one.

    Args:
        verifier: Its cache is changed.
        drafter: The same.
        text: Its beginning is the short context; over and over, it is the long one.
        max_width: Tokens of the widest verifier pass.
        clock: Returns seconds.

    Returns:
        What was found, with 95 % intervals; ``UNKNOWN`` without room for a long context.
    """
    limits = (FAR, verifier.model.context_len - max_width, drafter.context_len or FAR)
    near, far = list(text[: min(limits) // _APART]), list(islice(cycle(text), min(limits)))
    if len(near) <= _UNREAD or len(far) < _LEAST:
        return UNKNOWN
    widths = sorted({width for width in _WIDTHS if width < max_width} | {max_width})
    blocks = []
    for context in (near, far, near):
        read_ahead(verifier.model, [*context, context[0]])
        passes = [
            [_pass_s(verifier, near, width, clock) for width in widths] for _ in range(_REPEATS + 1)
        ]
        drafter.prefill(context)
        steps = [_step_s(drafter, context, clock) for _ in range(_REPEATS + 1)]
        # The first of each warms up.
        blocks.append(np.column_stack([passes, steps])[1:])
    before, after, again = blocks
    further = len(far) - len(near)
    figures = [
        _slope(after[:, at], np.concatenate([before[:, at], again[:, at]]), further)
        for at in range(len(widths) + 1)
    ]
    return ContextCosts(dict(zip(widths, figures, strict=False)), figures[-1])


def _pass_s(
    verifier: LoadedModel, tokens: Sequence[int], width: int, clock: Callable[[], float]
) -> float:
    """Time one pass of a width, and take it back."""
    model = verifier.model
    context_len = model.cached_len
    start = clock()
    rows = model.feed(list(islice(cycle(tokens), width)), last=width)
    float(rows[0, 0])  # where passes are asynchronous, wait for this one
    spent_s = clock() - start
    model.rollback(context_len)
    return spent_s


def _step_s(drafter: Drafter, text: Sequence[int], clock: Callable[[], float]) -> float:
    drafter.rollback(len(text) - _UNREAD)
    start = clock()
    float(drafter.scores_after(text, []).logits[0])
    return clock() - start


def _slope(
    far: Float64[np.ndarray, " far"], near: Float64[np.ndarray, " near"], further: int
) -> Figure:
    """Return by how much the median rises for each further token, never below 0."""
    rng = np.random.default_rng(0)
    ends = [
        np.median(rng.choice(seconds, size=(_RESAMPLES, len(seconds))), axis=1)
        for seconds in (far, near)
    ]
    low, high = np.percentile((ends[0] - ends[1]) / further, [2.5, 97.5]).clip(min=0.0)
    value = max(float(np.median(far) - np.median(near)) / further, 0.0)
    return Figure(value, float(low), float(high), len(far) + len(near))
