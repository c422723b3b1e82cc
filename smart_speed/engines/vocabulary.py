"""What two models' tokens have in common: all of them, or those that a trimmed drafter kept."""

import hashlib

import numpy as np
from jaxtyping import Int

from smart_speed.engines.base import UNKNOWN_TOKEN, Tokenizer
from smart_speed.errors import VocabularyError


def shared_vocabulary(verifier: Tokenizer, drafter: Tokenizer) -> Int[np.ndarray, " kept"] | None:
    """Find out which of the verifier's tokens a drafter knows.

    Returns:
        ``None`` where the vocabularies are the same, token by token. For a drafter whose last
        token is ``UNKNOWN_TOKEN``, the verifier's ids of its other tokens, ascending.

    Raises:
        VocabularyError: If any other token means something else to the two, or exists in one only.
    """
    wanted, known = _spellings(verifier), _spellings(drafter)
    if known == wanted:
        return None
    if known[-1:] == [UNKNOWN_TOKEN]:
        return _places(wanted, known[:-1])
    raise _disagreement(wanted, known)


def vocabulary_fingerprint(tokenizer: Tokenizer) -> str:
    """Return a sha256 of every token's spelling, in order."""
    text = "".join(f"{spelling}\0" for spelling in _spellings(tokenizer))
    return hashlib.sha256(text.encode()).hexdigest()


def _spellings(tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.spelling(token) for token in range(tokenizer.vocab_size)]


def _places(wanted: list[str], kept: list[str]) -> Int[np.ndarray, " kept"]:
    """Return where the kept spellings stand in a vocabulary, each after the one before it.

    One that stands there several times is taken at the first place that is left: if the kept ones
    can be found in this order at all, so they are found.
    """
    places: list[int] = []
    for token, spelling in enumerate(wanted):
        if len(places) < len(kept) and spelling == kept[len(places)]:
            places.append(token)
    if kept and len(places) == len(kept):
        return np.array(places)
    raise _misfit(wanted, kept, len(places))


def _misfit(wanted: list[str], kept: list[str], token: int) -> VocabularyError:
    """Say why a token of a trimmed vocabulary has no place in the verifier's."""
    if not kept:
        rule, got = "know at least one token", f"nothing but {UNKNOWN_TOKEN!r}"
    elif kept[token] not in wanted:
        rule, got = "know none but the verifier's tokens", f"{kept[token]!r} as its token {token}"
    else:
        rule, got = "keep the verifier's order", f"{kept[token]!r} as its token {token}"
    return VocabularyError(
        f"A drafter of a trimmed vocabulary must {rule}, got {got} "
        f"({len(kept)} kept of {len(wanted)}). Use one that was made for this verifier."
    )


def _disagreement(wanted: list[str], known: list[str]) -> VocabularyError:
    """Name the first token on which two vocabularies differ."""
    pairs = enumerate(zip(known, wanted, strict=False))
    differing = [token for token, (one, other) in pairs if one != other]
    first = differing[0] if differing else min(len(known), len(wanted))
    count = len(differing) + abs(len(known) - len(wanted))
    spelled = [repr(words[first]) if first < len(words) else "none" for words in (known, wanted)]
    return VocabularyError(
        f"Drafter and verifier disagree on token {first}: {spelled[0]} and {spelled[1]} "
        f"({count} differ; sizes {len(known)} and {len(wanted)}). "
        "Use models that share a tokenizer."
    )
