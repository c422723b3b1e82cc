"""Laws over any support against dictionaries, and draws against known uniform numbers."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from smart_speed.laws import Law, Scores, SeededChance, softmax

ToArray = Callable[[Any], Any]
Table = dict[int, float]
"""The probability of each token; 0 for those that are missing."""


def spread(tokens: list[int], generator: np.random.Generator) -> Table:
    probs = generator.dirichlet(np.ones(len(tokens))).tolist()
    return dict(zip(tokens, probs, strict=True))


def dense(table: Table, to_array: ToArray) -> Law:
    return Law(to_array(np.array([table.get(token, 0.0) for token in range(max(table) + 1)])))


def sparse(table: Table, to_array: ToArray) -> Law:
    ids = sorted(table)
    return Law(to_array(np.array([table[token] for token in ids])), to_array(np.array(ids)))


def excess(target: Table, draft: Table, scale: float) -> Table:
    rest = {token: scale * prob - draft.get(token, 0.0) for token, prob in target.items()}
    return {token: prob for token, prob in rest.items() if prob > 0}


def table_of(law: Law) -> Table:
    tokens = range(len(law.probs)) if law.ids is None else law.ids.tolist()
    pairs = zip(tokens, law.probs.tolist(), strict=True)
    return {token: prob for token, prob in pairs if prob > 0}


@pytest.mark.parametrize("build", [dense, sparse])
def test_probability_of_any_token(
    build: Callable[[Table, ToArray], Law], to_array: ToArray, generator: np.random.Generator
) -> None:
    table = spread([1, 2, 4, 7], generator)
    law = build(table, to_array)
    assert {token: law.prob_of(token) for token in range(10)} == {
        token: table.get(token, 0.0) for token in range(10)
    }


def test_a_point_law_leaves_one_token() -> None:
    law = Law.point(4)
    assert [law.prob_of(token) for token in range(6)] == [0, 0, 0, 0, 1, 0]
    assert SeededChance(0).draw(law) == 4


@pytest.mark.parametrize("scale", [1.0, 0.4])
@pytest.mark.parametrize(("build_target", "build_draft"), list(product([dense, sparse], repeat=2)))
@pytest.mark.parametrize(
    ("target_tokens", "draft_tokens"),
    [
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ([0, 1, 2, 3], [0, 1, 2, 3, 4, 5]),  # padded, as engines like
        ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3]),
        ([1, 3, 4], [0, 3, 5]),
        ([2], [0, 1, 2]),
        ([0, 1, 2], [2]),
        ([0, 1], [4, 5]),
    ],
)
@pytest.mark.parametrize("draft_library", ["same", "numpy"])
def test_excess_and_residual_are_those_of_dictionaries(
    target_tokens: list[int],
    draft_tokens: list[int],
    build_target: Callable[[Table, ToArray], Law],
    build_draft: Callable[[Table, ToArray], Law],
    scale: float,
    draft_library: str,
    to_array: ToArray,
    generator: np.random.Generator,
) -> None:
    target, draft = spread(target_tokens, generator), spread(draft_tokens, generator)
    target_law = build_target(target, to_array)
    draft_law = build_draft(draft, to_array if draft_library == "same" else np.asarray)
    rest = excess(target, draft, scale)
    total = sum(rest.values())
    assert target_law.excess_over(draft_law, scale) == pytest.approx(total, abs=1e-15)
    expected = {token: prob / total for token, prob in rest.items()} if rest else target
    residual = target_law.residual(draft_law, scale)
    assert table_of(residual) == pytest.approx(expected)
    assert type(residual.probs) is type(target_law.probs)


def test_nothing_left_over_is_the_target_law_itself(to_array: ToArray) -> None:
    law = dense({0: 0.5, 1: 0.5}, to_array)
    assert law.residual(law) is law
    assert law.excess_over(law) == 0


def test_softmax_keeps_the_support_and_sums_to_one(to_array: ToArray) -> None:
    scores = Scores(to_array(np.array([0.0, np.log(3.0), -np.inf])), to_array(np.array([3, 5, 8])))
    assert table_of(softmax(scores)) == pytest.approx({3: 0.25, 5: 0.75})


LAST_UNIFORM = 1 - 2**-53
"""The largest number that a generator's ``random`` returns."""


@pytest.fixture
def chance_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SeededChance]:
    """Build chance whose uniform numbers are known."""

    class Known:
        def __init__(self, uniforms: Iterator[float]) -> None:
            self._uniforms = uniforms

        def random(self) -> float:
            return next(self._uniforms)

    def build(*uniforms: float) -> SeededChance:
        monkeypatch.setattr(np.random, "default_rng", lambda seed: Known(iter(uniforms)))
        return SeededChance(0)

    return build


@pytest.mark.parametrize("build", [dense, sparse])
def test_a_draw_inverts_the_cumulated_law(
    build: Callable[[Table, ToArray], Law],
    chance_of: Callable[..., SeededChance],
    to_array: ToArray,
) -> None:
    law = build({0: 0.5, 1: 0.25, 4: 0.125, 6: 0.125}, to_array)
    chance = chance_of(*(step / 8 for step in range(8)), LAST_UNIFORM)
    assert [chance.draw(law) for _ in range(9)] == [0, 0, 0, 0, 1, 1, 4, 6, 6]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_draw_never_returns_an_impossible_token(
    dtype: str,
    chance_of: Callable[..., SeededChance],
    to_array: ToArray,
    generator: np.random.Generator,
) -> None:
    uniforms = (0.0, 2**-53, 0.5, LAST_UNIFORM)
    for _ in range(200):
        probs = generator.dirichlet(np.ones(9)).astype(dtype)  # sums to 1 but for rounding
        probs[generator.random(9) < 0.4] = 0
        probs[[0, 4, 8]] = 0
        probs[5] += 0.1
        assert_possible(Law(to_array(probs)), chance_of, uniforms)


def assert_possible(
    law: Law, chance_of: Callable[..., SeededChance], uniforms: Sequence[float]
) -> None:
    chance = chance_of(*uniforms)
    assert all(law.prob_of(chance.draw(law)) > 0 for _ in uniforms)


def test_a_draw_from_many_tokens_inverts_the_same_law(
    chance_of: Callable[..., SeededChance], to_array: ToArray, generator: np.random.Generator
) -> None:
    """Blocks change nothing: a whole number of them, one token more, or hardly one."""
    for size in (512, 513, 300):
        probs = generator.dirichlet(np.full(size, 0.1))
        uniforms = generator.random(100)
        expected = np.searchsorted(np.cumsum(probs) / probs.sum(), uniforms, side="right")
        chance = chance_of(*uniforms.tolist())
        law = Law(to_array(probs))
        assert [chance.draw(law) for _ in uniforms] == expected.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_draw_at_the_end_of_a_block_is_of_a_possible_token(
    dtype: str,
    chance_of: Callable[..., SeededChance],
    to_array: ToArray,
    generator: np.random.Generator,
) -> None:
    for _ in range(50):
        probs = generator.dirichlet(np.ones(700)).astype(dtype)
        probs[200:300] = 0
        probs[500:520] = 0
        probs[650:] = 0
        ends = np.cumsum(probs, dtype=np.float64)[[199, 255, 499, 511, 649]]
        ends /= np.sum(probs, dtype=np.float64)
        uniforms = [float(each) for end in ends for each in (np.nextafter(end, 0), min(end, 1.0))]
        uniforms = [min(each, LAST_UNIFORM) for each in uniforms]
        assert_possible(Law(to_array(probs)), chance_of, uniforms)


def test_a_flip_compares_with_one_uniform_number(chance_of: Callable[..., SeededChance]) -> None:
    assert [chance_of(u).flip(0.25) for u in (0.0, 0.2, 0.25, LAST_UNIFORM)] == [
        True,
        True,
        False,
        False,
    ]
    assert not chance_of(0.0).flip(0.0)
    assert chance_of(LAST_UNIFORM).flip(1.0)
    assert chance_of(LAST_UNIFORM).flip(1.7)  # a ratio of laws may be above 1


def test_the_same_seed_gives_the_same_draws(to_array: ToArray) -> None:
    law = dense(dict.fromkeys(range(50), 0.02), to_array)

    def draws(*seed: int) -> list[int]:
        chance = SeededChance(*seed)
        return [chance.draw(law) for _ in range(20)]

    assert draws(3, 4) == draws(3, 4)
    assert len({tuple(draws(*seed)) for seed in [(3, 4), (4, 3), (3, 5), (3,)]}) == 4
