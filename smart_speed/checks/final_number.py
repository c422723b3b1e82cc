"""The number that an answer ends with, and phrases that it holds, however they are written."""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

_NUMBER = (
    r"[-−]?(?:[$€£]\s?)?"
    r"(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:\s?/\s?[1-9]\d*)?"
)
_MARKS = (
    rf"####\s*({_NUMBER})",
    rf"\\boxed\{{\s*\\?({_NUMBER})",
    rf"(?i:answer)\s*(?:(?i:is|was|to be)|[:=])[\s*_:=(\\]*({_NUMBER})",
)
"""Where answers say which number is the final one; the first that is found decides."""


def final_number(text: str) -> Fraction | None:
    """Return the number that an answer gives; ``None`` if it gives none.

    That behind the last "####", in the last box, behind the last "the answer is"; else the last
    one of all, for most answers end with it.

    Args:
        text: Of an answer, or of a data set's solution.
    """
    for mark in (*_MARKS, rf"(?<![\w.])({_NUMBER})"):
        found = [value for value in _values(mark, text) if value is not None]
        if found:
            return found[-1]
    return None


def has_number(text: str, expected: str) -> bool:
    """Return whether an answer's final number is that of another text."""
    wanted = final_number(expected)
    return wanted is not None and final_number(text) == wanted


def holds_phrase(text: str, expected: str) -> bool:
    """Return whether one of some phrases, one a line, is in an answer as whole words.

    Case, accents, punctuation and articles do not count (as in SQuAD's exact match).
    """
    words = f" {_plain(text)} "
    return any(f" {phrase} " in words for phrase in map(_plain, expected.splitlines()) if phrase)


def _values(mark: str, text: str) -> Iterator[Fraction | None]:
    for found in re.finditer(mark, text):
        digits = re.sub(r"[\s,$€£]", "", found[1]).replace("−", "-")
        above, _, below = digits.partition("/")
        yield Fraction(above) / Fraction(below or 1) if re.search(r"\d", above) else None


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(each for each in letters if not unicodedata.combining(each))
    words = re.sub(r"[^\w]+|_", " ", letters).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))
