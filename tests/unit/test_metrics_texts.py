"""Where texts part, what they repeat, and whose text an answer is."""

import pytest

from smart_speed.metrics.sameness import first_conversations, identity_of
from smart_speed.metrics.texts import count_all_repeats, count_repeats, first_difference
from tests.unit.answered import answer


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1, 2, 3], (0, 0)),
        ([1, 2, 3, 4], (1, 0)),
        ([1, 2, 3, 4, 1, 2, 3, 4], (5, 1)),
        ([7] * 10, (7, 6)),
    ],
)
def test_repeats_are_counted_by_hand(tokens: list[int], expected: tuple[int, int]) -> None:
    assert tuple(count_repeats(tokens)) == expected


def test_a_text_repeats_only_itself() -> None:
    assert count_all_repeats([[1, 2, 3, 4], [1, 2, 3, 4], [7] * 5]) == (4, 1)
    assert count_all_repeats([[7] * 5]).share == 0.5


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2], [1, 2], None),
        ([], [], None),
        ([1, 2, 3], [1, 4, 3], 1),
        ([1, 2], [1, 2, 3], 2),
        ([1, 2], [], 0),
    ],
)
def test_first_difference(one: list[int], other: list[int], expected: int | None) -> None:
    assert first_difference(one, other) == expected
    assert first_difference(other, one) == expected


def test_identity_counts_and_places_differences() -> None:
    plain = [answer(prompt_id=each, tokens=(1, 2, 3)) for each in "abcd"]
    own = [
        answer(prompt_id="a", tokens=(1, 2, 3)),
        answer(prompt_id="b", tokens=(1, 9, 3)),
        answer(prompt_id="c", tokens=(1, 2)),
        answer(prompt_id="e", tokens=(1,)),
    ]
    found = identity_of(own, plain)
    assert (found.num_compared, found.num_same, found.num_left_out) == (3, 1, 0)
    places = [(each.prompt_id, each.position, each.tokens) for each in found.differences]
    assert places == [("b", 1, (2, 9)), ("c", 2, (3, None))]


def test_turns_behind_a_difference_answer_something_else() -> None:
    plain = [answer(turn=turn, tokens=(1, 2)) for turn in range(3)]
    own = [answer(turn=turn, tokens=(1, 3)) for turn in (2, 1)]
    own.append(answer(turn=0, tokens=(1, 2)))
    found = identity_of(own, plain)
    assert (found.num_compared, found.num_same, found.num_left_out) == (2, 1, 1)
    assert [each.turn for each in found.differences] == [1]


def test_every_repeat_is_compared() -> None:
    """Catches: a text that differs in no repeat but those that are not of median time."""
    plain = [answer(repeat=repeat, tokens=(1, 2)) for repeat in (1, 0)]
    own = [answer(repeat=repeat, tokens=(1, 2 + (repeat == 2))) for repeat in range(3)]
    found = identity_of(own, plain)
    assert (found.num_compared, found.num_same) == (3, 2)
    assert [(each.repeat, each.tokens) for each in found.differences] == [(2, (2, 3))]
    own_repeats = identity_of(plain, plain)
    assert (own_repeats.num_compared, own_repeats.num_same) == (1, 1)


def test_texts_are_held_against_a_whole_conversation() -> None:
    """Catches: a turn that answers one text taken for the turn of another."""
    plain = [answer(turn=0, repeat=0, tokens=(1,))]
    plain += [answer(turn=turn, repeat=1, tokens=(2,)) for turn in (1, 0)]
    found = first_conversations(plain)
    assert {key: each.repeat for key, each in found.items()} == {("a", 0): 1, ("a", 1): 1}
