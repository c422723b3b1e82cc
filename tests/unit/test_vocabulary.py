"""Vocabularies are the same, or one is a part of the other, or they are refused."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from smart_speed.engines.base import UNKNOWN_TOKEN, Message
from smart_speed.engines.vocabulary import shared_vocabulary, vocabulary_fingerprint
from smart_speed.errors import VocabularyError


@dataclass(frozen=True)
class Words:
    """A vocabulary of whole words."""

    words: Sequence[str]
    bos_id: int | None = None
    eos_ids: frozenset[int] = frozenset()

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def spelling(self, token: int) -> str:
        return self.words[token]

    def encode(self, text: str) -> list[int]:
        return [self.words.index(word) for word in text.split()]

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return self.encode(" ".join(message["content"] for message in messages))

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(self.words[token] for token in tokens)


def kept(verifier: Sequence[str], drafter: Sequence[str]) -> list[int] | None:
    ids = shared_vocabulary(Words(verifier), Words(drafter))
    return None if ids is None else ids.tolist()


@pytest.mark.parametrize("words", [[], ["a"], ["a", "b", "a", ""], ["a", UNKNOWN_TOKEN]])
def test_same_vocabulary_needs_no_map(words: list[str]) -> None:
    assert kept(words, words) is None


@pytest.mark.parametrize(
    ("verifier", "drafter", "expected"),
    [
        ("abcd", "bd", [1, 3]),
        ("abcd", "a", [0]),
        ("abcd", "abcd", [0, 1, 2, 3]),
        # Spelled alike: the first that is left will do.
        (["a", "", "b", "", "c"], ["", "b", ""], [1, 2, 3]),
        (["a", "", "b", "", "c"], ["b", "", "c"], [2, 3, 4]),
        (["a", "a", "b", "a"], ["a", "a"], [0, 1]),
        # A verifier may itself be of a trimmed vocabulary.
        (["a", "b", UNKNOWN_TOKEN], ["b"], [1]),
    ],
)
def test_trimmed_vocabulary_is_found_in_the_verifier_s(
    verifier: Sequence[str], drafter: Sequence[str], expected: list[int]
) -> None:
    assert kept(verifier, [*drafter, UNKNOWN_TOKEN]) == expected


def test_large_vocabulary_is_found() -> None:
    words = [f"word {token}" for token in range(50_000)]
    assert kept(words, [*words[1::3], UNKNOWN_TOKEN]) == list(range(1, 50_000, 3))


@pytest.mark.parametrize(
    ("drafter", "complaint"),
    [
        (["a", "x", UNKNOWN_TOKEN], r"none but the verifier's tokens, got 'x' as its token 1"),
        (
            ["a", UNKNOWN_TOKEN, UNKNOWN_TOKEN],
            r"none but the verifier's .* as its token 1 \(2 kept",
        ),
        (["b", "a", UNKNOWN_TOKEN], r"keep the verifier's order, got 'a' as its token 1"),
        (["a", "c", "c", UNKNOWN_TOKEN], r"keep the verifier's order, got 'c' as its token 2"),
        (
            [UNKNOWN_TOKEN],
            r"know at least one token, got nothing but '<\|outside\|>' \(0 kept of 3",
        ),
        (["a", UNKNOWN_TOKEN, "b"], r"disagree on token 1: '<\|outside\|>' and 'b' \(2 differ"),
        (["a", "b"], r"disagree on token 2: none and 'c' \(1 differ; sizes 2 and 3\)"),
        (["a", "b", "c", "d"], r"disagree on token 3: 'd' and none \(1 differ; sizes 4 and 3\)"),
        (["a", "c", "b"], r"disagree on token 1: 'c' and 'b' \(2 differ; sizes 3 and 3\)"),
        ([], r"disagree on token 0: none and 'a' \(3 differ; sizes 0 and 3\)"),
    ],
)
def test_other_vocabulary_is_refused(drafter: list[str], complaint: str) -> None:
    with pytest.raises(VocabularyError, match=complaint):
        shared_vocabulary(Words("abc"), Words(drafter))


def test_fingerprint_is_of_every_spelling_in_order() -> None:
    expected = hashlib.sha256("a\0é\0\0".encode()).hexdigest()
    assert vocabulary_fingerprint(Words(["a", "é", ""])) == expected
    others = (["a", ""], ["é", "a", ""], ["a", "é"], ["aé", ""])
    assert expected not in {vocabulary_fingerprint(Words(words)) for words in others}
