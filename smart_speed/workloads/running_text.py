"""Texts to be gone on with: how documents, articles and passages begin."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

_OPENING_LEN = 64
"""Words of a text that are given."""
_PARAGRAPH_LEN = 96
"""Words that the paragraph they are from has at least, so that it does go on."""


class Opening(NamedTuple):
    """How a paragraph begins."""

    text: str
    part: int
    """Which long paragraph of its article it is."""


def opening(text: str) -> str:
    """Return the first words of a long text as they are written; all of a short one."""
    text = text.strip()
    if len(text.split()) < _PARAGRAPH_LEN:
        return text
    found = re.match(rf"(?:\S+\s+){{{_OPENING_LEN - 1}}}\S+", text)
    assert found is not None
    return found[0]


def article_openings(lines: Iterable[str]) -> Iterator[Opening]:
    """Return how long paragraphs begin, articles taking turns.

    So as many as there are articles are independent of each other.

    Args:
        lines: Paragraphs, and headings with "=" around them, one for an article.
    """
    articles: list[list[str]] = [[]]
    for line in map(str.strip, lines):
        if line.startswith("= ") and line.endswith(" ="):
            if not line.startswith("= ="):
                articles.append([])
        elif len(words := line.split()) >= _PARAGRAPH_LEN:
            articles[-1].append(" ".join(words[:_OPENING_LEN]))
    for part, openings in enumerate(zip_longest(*articles)):
        yield from (Opening(text, part) for text in openings if text is not None)


def has_passages(lines: Iterable[str]) -> bool:
    """Whether lines are running text: several paragraphs, one of which has several lines."""
    blocks = _blocks(lines)
    return len(blocks) > 1 and max(map(len, blocks)) > 1


def passages(lines: Iterable[str]) -> Iterator[str]:
    """Join paragraphs until they are long enough to go on, and return how they begin."""
    passage: list[str] = []
    for block in _blocks(lines):
        passage += [*block, ""]
        if sum(len(line.split()) for line in passage) >= _PARAGRAPH_LEN:
            yield opening("\n".join(passage))
            passage = []


def _blocks(lines: Iterable[str]) -> Sequence[Sequence[str]]:
    return [list(block) for full, block in groupby(lines, lambda line: bool(line.strip())) if full]
