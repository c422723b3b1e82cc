"""Where texts part: the gap of the two tokens, and what the width of a pass does to a logit."""

from collections.abc import Sequence

import numpy as np
import pytest

from smart_speed.divergence import find_divergence

LOGITS = np.array([0.0, 1.0, 1.3, -2.0])


class WideIsOff:
    """The same logits after any text, but for passes of several tokens."""

    vocab_size = len(LOGITS)
    context_len = 100

    def __init__(self, noise: float) -> None:
        self._noise = noise
        self.cached_tokens: list[int] = []

    @property
    def cached_len(self) -> int:
        return len(self.cached_tokens)

    def feed(self, tokens: Sequence[int], *, last: int) -> np.ndarray:
        self.cached_tokens += tokens
        row = LOGITS.copy()
        row[0] += self._noise * (len(tokens) > 1)
        return np.tile(row, (last, 1))

    def rollback(self, to_len: int) -> None:
        del self.cached_tokens[to_len:]


@pytest.mark.parametrize("position", [0, 1, 5])
@pytest.mark.parametrize(("noise", "near_tie"), [(0.2, True), (0.1, False)])
def test_near_tie_is_within_the_noise_of_both(position: int, noise: float, near_tie: bool) -> None:
    """Catches: no noise seen at the first token, before which the output is empty."""
    shared = [1] * position
    found = find_divergence(
        WideIsOff(noise), [0, 3, 3], [*shared, 2, 0], [*shared, 1], prompt_id="a", condition="x"
    )
    assert found is not None
    assert (found.position, found.tokens) == (position, (2, 1))
    assert found.logit_gap == pytest.approx(0.3)
    assert found.pass_noise == pytest.approx(noise)
    assert found.near_tie == near_tie


def test_nothing_excuses_an_output_that_merely_ends() -> None:
    found = find_divergence(WideIsOff(9.0), [0], [1, 2], [1], prompt_id="a", condition="x")
    assert found is not None
    assert (found.tokens, found.near_tie) == ((2, None), False)
    assert find_divergence(WideIsOff(9.0), [0], [1], [1], prompt_id="a", condition="x") is None
