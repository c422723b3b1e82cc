"""Where an output ends does not depend on how its tokens fell into rounds."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.ending import OutputText
from smart_speed.engines.base import Message
from smart_speed.sampling import Sampling

END = 256


class ByteTokenizer:
    """One token a byte, and one more that ends a text and spells nothing."""

    vocab_size = 257
    bos_id = None
    eos_ids = frozenset({END})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return self.encode(messages[-1]["content"])

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(token for token in tokens if token != END).decode(errors="replace")

    def spelling(self, token: int) -> str:
        return str(token)


@final
class WordTokenizer:
    """Whole words that begin with a space, which the first of a decoded list loses."""

    vocab_size = 5
    bos_id = None
    eos_ids = frozenset({4})
    words = (" the", " end", "less", " STOP now", "")

    def encode(self, text: str) -> list[int]:
        return [self.words.index(f" {word}") for word in text.split()]

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return self.encode(messages[-1]["content"])

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self.words[token] for token in tokens).removeprefix(" ")

    def spelling(self, token: int) -> str:
        return self.words[token]


Run = tuple[tuple[int, ...], str | None, list[str]]
"""The tokens kept, why they ended, and the pieces of text shown."""


def run(tokenizer: Any, sampling: Sampling, rounds: Sequence[Sequence[int]]) -> Run:
    output = OutputText(tokenizer, sampling)
    kept: tuple[int, ...] = ()
    pieces = []
    reason = None
    for tokens in rounds:
        added, reason = output.add(tokens)
        kept += added
        pieces.append(output.take(final=False))
        if reason is not None:
            break
    pieces.append(output.take(final=True))
    assert "".join(pieces) == output.whole()
    return kept, reason, pieces


def chunks(tokens: Sequence[int], cuts: list[int]) -> list[Sequence[int]]:
    """Cut tokens into rounds, none of them empty."""
    edges = sorted({0, len(tokens), *(cut for cut in cuts if cut < len(tokens))})
    return [tokens[start:end] for start, end in pairwise(edges)]


TEXTS = st.text("ab €ß", max_size=20)
CUTS = st.lists(st.integers(1, 40), max_size=8)


@given(
    text=TEXTS,
    stops=st.lists(st.text("ab €", min_size=1, max_size=3), max_size=3),
    end_at=st.none() | st.integers(0, 20),
    cuts=CUTS,
)
def test_rounds_of_any_size_end_as_single_tokens_do(
    text: str, stops: list[str], end_at: int | None, cuts: list[int]
) -> None:
    tokens = list(text.encode())
    if end_at is not None:  # between two characters
        tokens.insert(len(text[:end_at].encode()), END)
    sampling = Sampling(stop_strings=tuple(stops))
    kept, reason, pieces = run(ByteTokenizer(), sampling, [[token] for token in tokens])
    in_rounds = run(ByteTokenizer(), sampling, chunks(tokens, cuts))
    assert in_rounds[:2] == (kept, reason)
    assert "".join(in_rounds[2]) == "".join(pieces)


@given(text=TEXTS, cuts=CUTS, stops=st.lists(st.text("ab €", min_size=1, max_size=3), max_size=3))
def test_pieces_join_to_the_text_before_the_first_stop_string(
    text: str, cuts: list[int], stops: list[str]
) -> None:
    shortest = next(
        (text[:size] for size in range(len(text) + 1) if any(s in text[:size] for s in stops)), None
    )
    kept, reason, pieces = run(
        ByteTokenizer(), Sampling(stop_strings=tuple(stops)), chunks(list(text.encode()), cuts)
    )
    if shortest is None:
        assert (bytes(kept).decode(), reason) == (text, None)
        assert "".join(pieces) == text
    else:
        assert (bytes(kept).decode(), reason) == (shortest, "stop")
        assert "".join(pieces) == shortest[: min(shortest.find(s) for s in stops if s in shortest)]


@pytest.mark.parametrize(
    ("stops", "rounds", "pieces"),
    [
        (("END",), ["aE", "N", "Dz"], ["a", "", "", ""]),  # over three rounds
        (("END",), ["aE", "Nb"], ["a", "ENb", ""]),  # it was another word
        (("END",), ["aEEN", "D"], ["aE", "", ""]),  # it began again
        (("END",), ["aEN"], ["a", "EN"]),  # the output ended first
        (("xy", "xyz"), ["ax", "yz"], ["a", "", ""]),
        (("b", "abc"), ["zab"], ["z", "a"]),  # the first to be complete
        (("aa",), ["a", "a", "a"], ["", "", ""]),
    ],
)
def test_what_may_become_a_stop_string_is_held_back(
    stops: tuple[str, ...], rounds: list[str], pieces: list[str]
) -> None:
    tokens = [list(text.encode()) for text in rounds]
    assert run(ByteTokenizer(), Sampling(stop_strings=stops), tokens)[2] == pieces


@pytest.mark.parametrize("stops", [(), ("zzz",)])
def test_a_character_is_shown_when_its_last_byte_has_come(stops: tuple[str, ...]) -> None:
    euro = "€".encode()
    rounds = [[97, euro[0]], [euro[1]], [euro[2], 98]]
    pieces = run(ByteTokenizer(), Sampling(stop_strings=stops), rounds)[2]
    assert "".join(pieces) == "a€b"
    assert all("\ufffd" not in piece for piece in pieces)


def test_half_a_character_at_the_end_is_shown_as_broken() -> None:
    euro = list("€".encode())
    assert run(ByteTokenizer(), Sampling(), [[97, *euro[:2]]])[2] == ["", "a\ufffd"]


def test_a_stop_string_with_a_split_character_is_found() -> None:
    rounds = [[byte] for byte in "a€bc".encode()]
    kept, reason, pieces = run(ByteTokenizer(), Sampling(stop_strings=("€b",)), rounds)
    assert (bytes(kept).decode(), reason, "".join(pieces)) == ("a€b", "stop", "a")


@pytest.mark.parametrize(
    ("settings", "kept_len", "reason", "text"),
    [
        ({}, 3, "eos", "ab"),
        ({"stop_strings": ("c",)}, 3, "eos", "ab"),
        ({"ignore_eos": True}, 5, None, "abcd"),
        ({"ignore_eos": True, "stop_tokens": (END,)}, 3, "stop", "ab"),
        ({"ignore_eos": True, "stop_strings": ("c",)}, 4, "stop", "ab"),
        ({"stop_strings": ("b",)}, 2, "stop", "a"),
    ],
    ids=str,
)
@pytest.mark.parametrize("cuts", [[], [1, 2, 3, 4], [3]])
def test_the_token_that_ends_an_output_is_its_last(
    settings: dict[str, Any], kept_len: int, reason: str | None, text: str, cuts: list[int]
) -> None:
    tokens = [97, 98, END, 99, 100]
    kept, why, pieces = run(ByteTokenizer(), Sampling(**settings), chunks(tokens, cuts))
    assert (list(kept), why, "".join(pieces)) == (tokens[:kept_len], reason, text)


@pytest.mark.parametrize(
    ("settings", "ending"),
    [
        ({}, {END}),
        ({"stop_tokens": (7, 8)}, {7, 8, END}),
        ({"stop_tokens": (7,), "ignore_eos": True}, {7}),
        ({"ignore_eos": True, "stop_strings": ("x",)}, set()),
    ],
    ids=str,
)
def test_drafting_past_these_tokens_is_in_vain(settings: dict[str, Any], ending: set[int]) -> None:
    assert OutputText(ByteTokenizer(), Sampling(**settings)).ending_tokens == ending


@given(tokens=st.lists(st.integers(0, 3), max_size=12), cuts=CUTS)
def test_spaces_between_words_survive_decoding_in_parts(tokens: list[int], cuts: list[int]) -> None:
    _, _, pieces = run(WordTokenizer(), Sampling(), chunks(tokens, cuts))
    assert "".join(pieces) == WordTokenizer().decode(tokens)


@pytest.mark.parametrize("stops", [("STOP",), ("now", "STOP"), ("STOP", "now")])
def test_text_behind_the_first_stop_string_of_a_token_is_cut(stops: tuple[str, ...]) -> None:
    kept, reason, pieces = run(WordTokenizer(), Sampling(stop_strings=stops), [[0, 1, 2, 3, 0]])
    assert (kept, reason) == ((0, 1, 2, 3), "stop")
    assert "".join(pieces) == "the endless "


@given(tokens=st.lists(st.integers(0, 4), max_size=12), cuts=CUTS)
def test_spaces_survive_beside_stop_strings_and_tokens_that_spell_nothing(
    tokens: list[int], cuts: list[int]
) -> None:
    sampling = Sampling(stop_strings=("zzz",), ignore_eos=True)
    _, _, pieces = run(WordTokenizer(), sampling, chunks(tokens, cuts))
    assert "".join(pieces) == WordTokenizer().decode(tokens)


@pytest.mark.parametrize("stops", [(), ("zzz",)])
def test_text_of_the_last_tokens_is_the_same_with_stop_strings(stops: tuple[str, ...]) -> None:
    euro = list("€".encode())
    half = run(ByteTokenizer(), Sampling(stop_strings=stops), [[97, *euro[:2], END]])
    assert "".join(half[2]) == "a\ufffd"
    stopped = run(ByteTokenizer(), Sampling(stop_strings=stops, stop_tokens=(98,)), [[97, 98]])
    plain = run(ByteTokenizer(), Sampling(stop_tokens=(98,)), [[97, 98]])
    assert "".join(stopped[2]) == "".join(plain[2])


def test_a_stop_string_before_half_a_character_is_cut() -> None:
    class Merged(ByteTokenizer):
        def decode(self, tokens: Sequence[int]) -> str:
            raw = (b"END\xe2" if token == 1 else bytes([token]) for token in tokens)
            return b"".join(raw).decode(errors="replace")

    _, _, pieces = run(Merged(), Sampling(stop_strings=("END",)), [[97, 1]])
    assert "".join(pieces) == "a"
