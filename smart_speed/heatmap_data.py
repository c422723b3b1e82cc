"""From a decoder's result to its heat map: who wrote each token, how sure was the drafter?"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import NamedTuple

from smart_speed import evaluation
from smart_speed.draft_passes import DraftPass
from smart_speed.errors import check_that
from smart_speed.generation import Result, Round
from smart_speed.phases import Phase, Phases
from smart_speed.records import RoundRecord, SequenceRecord
from smart_speed.reporting.heatmap import (
    BROKEN,
    Heatmap,
    HeatmapCandidate,
    HeatmapPiece,
    HeatmapRound,
    HeatmapToken,
    Role,
)

Decode = Callable[[Sequence[int]], str]

_LONGEST_CHARACTER = 8
"""Tokens to wait for the rest of a character; UTF-8 needs 4, and text may hold none that ends."""


def heatmap_of(
    result: Result,
    *,
    prompt: str,
    decode: Decode,
    passes: Sequence[DraftPass] | None = None,
    phases: Phases | None = None,
    title: str = "What the drafter was sure of",
    facts: Mapping[str, str] | None = None,
) -> Heatmap:
    """Lay out one answer as a heat map.

    Args:
        result: What the decoder returned.
        prompt: What it was asked, as people should read it.
        decode: The tokenizer's own: tokens to text, broken characters as U+FFFD.
        passes: What a ``RecordingDrafter`` remembers of this answer; ``None`` leaves the
            candidates out.
        phases: What tells phases apart, to shade them; where the record holds no entropies of the
            verifier, nothing is shaded.
        title: Heading of the page.
        facts: Rows for the table of facts, beside or instead of those counted here.

    Raises:
        ConfigError: If the passes are not those of this answer.
    """
    speller = _Speller(decode)
    thoughts = _thoughts_by_round(result, passes)
    entropies = [nats for turn in result.rounds for nats in turn.record.verifier_entropies_nats]
    along = phases.phases_along(entropies) if phases else []
    tokens = [
        token
        for number, turn in enumerate(result.rounds, start=1)
        for token in _tokens(number, turn, thoughts[number - 1], speller)
    ]
    if along:
        tokens = [
            replace(token, phase=phase, verifier_nats=nats)
            for token, phase, nats in zip(tokens, along, entropies, strict=True)
        ]
    cut = len(result.text)
    pieces = []
    start = 0
    for piece in _pieces(result.tokens, decode):
        group = tuple(tokens[piece.first : piece.end])
        pieces.append(
            HeatmapPiece(text=piece.text, tokens=group, cut=bool(piece.text) and start >= cut)
        )
        start += len(piece.text)
    return Heatmap(
        title=title,
        prompt=prompt,
        pieces=tuple(pieces),
        rounds=tuple(_round(turn.record) for turn in result.rounds),
        facts={
            **_facts(result.record, recorded=bool(passes)),
            **(_facts_of_phases(phases, along) if phases and along else {}),
            **(facts or {}),
        },
    )


def _thoughts_by_round(
    result: Result, passes: Sequence[DraftPass] | None
) -> list[Sequence[DraftPass]]:
    """Deal the passes out to the rounds that asked for them."""
    counts = [len(turn.record.entropies_nats) for turn in result.rounds]
    if passes is None:
        return [()] * len(counts)
    ends = list(accumulate(counts, initial=0))
    rule = f"{ends[-1]} in number, one for each entropy of the record"
    # An answer cut short may leave behind the passes of a round that was never verified.
    spare = len(passes) - ends[-1]
    interrupted = result.record.finish_reason == "interrupted"
    check_that(spare == 0 or (spare > 0 and interrupted), "passes", rule, len(passes))
    dealt = [passes[start:end] for start, end in pairwise(ends)]
    for turn, own in zip(result.rounds, dealt, strict=True):
        positions = [each.position for each in own]
        begin = turn.record.context_len
        due = list(range(begin, begin + len(own)))
        check_that(positions == due, "passes", f"about positions {due} in their round", positions)
    return dealt


def _tokens(
    number: int, turn: Round, thoughts: Sequence[DraftPass], speller: "_Speller"
) -> Iterator[HeatmapToken]:
    """Tell the story of each token that a round emitted."""
    record = turn.record
    for index, token in enumerate(turn.emitted):
        role = role_of(record, index)
        candidates = thoughts[index].candidates if index < len(thoughts) else ()
        has_law = index < len(record.entropies_nats)
        replaced = turn.proposed[record.accepted_len :] if role == "corrected" else ()
        yield HeatmapToken(
            token=token,
            round_number=number,
            role=role,
            entropy_nats=record.entropies_nats[index] if has_law else None,
            candidates=tuple(
                HeatmapCandidate(each.token, speller[each.token], each.prob, each.token == token)
                for each in candidates
            ),
            replaced=tuple(speller[each] for each in replaced),
        )


def role_of(record: RoundRecord, index: int) -> Role:
    """Say how the token at an index of a round's output came about."""
    if index < record.accepted_len:
        return "accepted"
    if not record.draft_len:
        return "alone"
    return "corrected" if record.accepted_len < record.draft_len else "bonus"


def _round(record: RoundRecord) -> HeatmapRound:
    return HeatmapRound(
        record.draft_len, record.accepted_len, record.emitted_len, record.stop_reason
    )


class _Piece(NamedTuple):
    """Text, and where its tokens begin and end."""

    text: str
    first: int
    end: int


def _pieces(tokens: Sequence[int], decode: Decode) -> Iterator[_Piece]:
    """Cut a text into the pieces that its tokens spell, several tokens where one is no character.

    Decoding restarts one piece back: tokenizers drop a leading space.
    """
    anchor = shown = 0
    for end in range(1, len(tokens) + 1):
        before, after = decode(tokens[anchor:shown]), decode(tokens[anchor:end])
        unfinished = after.endswith(BROKEN) and end - shown < _LONGEST_CHARACTER
        if unfinished and end < len(tokens):
            continue
        yield _Piece(after[len(before) :], shown, end)
        anchor, shown = shown, end


class _Speller(dict[int, str]):
    """What a token spells where it is not the first: tokenizers drop a leading space there."""

    def __init__(self, decode: Decode) -> None:
        super().__init__()
        self._decode = decode

    def __missing__(self, token: int) -> str:
        once, twice = self._decode([token]), self._decode([token, token])
        self[token] = twice[len(once) :]
        return self[token]


def _facts(record: SequenceRecord, *, recorded: bool) -> dict[str, str]:
    """Count what the table shows; the formulas are those of ``evaluation``."""
    drafted = sum(turn.draft_len for turn in record.rounds)
    accepted = sum(turn.accepted_len for turn in record.rounds)
    share, mean = evaluation.acceptance_rate([record]), evaluation.mean_emitted_len([record])
    speed = evaluation.tokens_per_decode_s([record])
    return {
        "Strategy": record.condition if record.lossless else f"{record.condition} (lossy)",
        "Tokens": str(record.output_len),
        "Rounds": str(len(record.rounds)),
        "Mean emitted per round": "–" if math.isnan(mean) else f"{mean:.2f}",
        "Acceptance": "–" if math.isnan(share) else f"{share:.0%} ({accepted} of {drafted})",
        "Drafter passes": str(evaluation.drafter_passes([record])),
        "Speed while recording" if recorded else "Speed": "–"
        if math.isnan(speed)
        else f"{speed:.1f} tokens/s",
    }


def _facts_of_phases(phases: Phases, along: Sequence[Phase]) -> dict[str, str]:
    share = along.count("predictable") / len(along)
    changes = sum(one != other for one, other in pairwise(along))
    return {
        "Predictable": f"{share:.0%} of tokens, {changes + 1} phases",
        "Phases part at": f"{phases.theta_phase:g} nats ± {phases.phase_hysteresis:.0%}",
    }
