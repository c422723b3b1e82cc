import numpy as np
import pytest

from smart_speed.errors import ConfigError
from smart_speed.training.corpus import Example
from smart_speed.training.vocabulary import most_frequent, token_weights


def test_weights_add_up_the_laws_not_the_choices() -> None:
    example = Example(
        prompt=np.array([0]),
        answer=np.array([1, 2]),
        top_ids=np.array([[1, 3], [3, 2]]),
        top_logprobs=np.log(np.array([[0.75, 0.25], [0.5, 0.25]])),
    )
    np.testing.assert_allclose(token_weights([example, example], 5), [0, 1.5, 0.5, 1.5, 0])


def test_the_heaviest_are_kept_in_order_and_some_always() -> None:
    weights = np.array([0.0, 5.0, 1.0, 5.0, 9.0, 0.0])
    assert most_frequent(weights, 4) == [1, 3, 4]
    assert most_frequent(weights, 4, always={5}) == [1, 4, 5]
    assert most_frequent(weights, 6) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", [1, 7])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(
        ConfigError, match=f"vocab_size must be 2 to 6, the verifier's own, got {size}"
    ):
        most_frequent(np.ones(6), size, always={0})
