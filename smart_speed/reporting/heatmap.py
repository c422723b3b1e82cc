"""One answer as one page: its text coloured by the drafter's entropy, its rounds beneath.

The page stands alone: no scripts, fonts or pictures from elsewhere, and it reads without scripts.
``smart_speed.heatmap_data`` makes its input from what a decoder returns.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from importlib import resources
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Literal, NamedTuple, final

from smart_speed.errors import OutputError
from smart_speed.phases import Phase

Role = Literal["accepted", "corrected", "bonus", "alone"]
"""Drafted and kept; written instead of a rejected one; added after a whole draft was kept; written
where nothing was drafted."""

BROKEN = "\ufffd"
"""What a tokenizer decodes a part of a character to."""

LEVELS_NATS = (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Where each colour begins. The same for every page, so that pages can be laid side by side."""

_ROLES: Mapping[Role, str] = {
    "accepted": "accepted: drafted, and kept",
    "corrected": "corrected: the draft was rejected here",
    "bonus": "bonus: the verifier’s own, after a whole draft",
    "alone": "the verifier alone: nothing was drafted",
}
_PHASES = (
    '<li><span class="t reasoning">token</span> a reasoning phase: the verifier’s own law wavers'
    "</li>"
)
_PANEL, _GAP = 84.0, 8.0
"""Heights in the drawing of the rounds, in pixels."""

_CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
_SIGNS = {**_CONTROLS, **{ord(space): sign for space, sign in zip(" \n\t", "␣↵⇥", strict=True)}}


class HeatmapCandidate(NamedTuple):
    """A token that the drafter thought likely."""

    token: int
    text: str
    prob: float
    written: bool
    """Whether it is the one that stands in the text."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapToken:
    """How one token came about."""

    token: int
    round_number: int
    """Counted from 1."""
    role: Role
    entropy_nats: float | None
    """Of the drafter's law for its position; ``None`` where the round did not ask the drafter."""
    candidates: tuple[HeatmapCandidate, ...]
    """Likeliest first; empty if they were not recorded."""
    replaced: tuple[str, ...]
    """What the drafter had proposed from here on, where the token is a correction."""
    phase: Phase | None = None
    """``None`` where it is not known."""
    verifier_nats: float | None = None
    """Entropy of the verifier's law, which decides on the phase."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapPiece:
    """Text that cannot be split further, and the tokens that spell it."""

    text: str
    tokens: tuple[HeatmapToken, ...]
    """At least one; several where one alone would be part of a character."""
    cut: bool
    """Whether a stop string took it out of the output again."""


class HeatmapRound(NamedTuple):
    """The counts of one round."""

    draft_len: int
    accepted_len: int
    emitted_len: int
    stop_reason: str

    @property
    def sentence(self) -> str:
        """All of it in words."""
        return (
            f"{self.draft_len} drafted, {self.accepted_len} accepted, {self.emitted_len} emitted. "
            f"Drafting stopped: {self.stop_reason}."
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """Everything that the page shows."""

    title: str
    prompt: str
    pieces: tuple[HeatmapPiece, ...]
    rounds: tuple[HeatmapRound, ...]
    facts: Mapping[str, str]


def write_heatmap(path: Path, heatmap: Heatmap) -> None:
    """Write the page to a file, whole or not at all.

    Raises:
        OutputError: If the file cannot be written.
    """
    page = html_page(heatmap)
    part = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        # A prompt from the command line may hold what UTF-8 has no bytes for.
        part.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"The heat map must go to a file that can be written, got {str(path)!r}: "
            f"{error.strerror or error}."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


def html_page(heatmap: Heatmap) -> str:
    """Return the page."""
    tokens = [token for piece in heatmap.pieces for token in piece.tokens]
    template = resources.files("smart_speed.reporting").joinpath("heatmap.html")
    return Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(heatmap.title),
        summary=_summary(heatmap.rounds),
        scale=_scale(),
        roles=_roles(),
        phases=_PHASES if any(token.phase for token in tokens) else "",
        prompt=escape(heatmap.prompt.translate(_CONTROLS)),
        text=_text(heatmap.pieces),
        strip=_strip(heatmap.rounds, tokens),
        facts="".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
            for name, value in heatmap.facts.items()
        ),
    )


def _summary(rounds: Sequence[HeatmapRound]) -> str:
    emitted = sum(turn.emitted_len for turn in rounds)
    drafted = sum(turn.draft_len for turn in rounds)
    accepted = sum(turn.accepted_len for turn in rounds)
    proposed = f"the drafter proposed {drafted}, the verifier kept {accepted}"
    return (
        f"<b>{emitted}</b> tokens in <b>{len(rounds)}</b> verifier passes: "
        f"{proposed if drafted else 'nothing was drafted'}."
    )


def _scale() -> str:
    return "".join(f'<li class="{_level(at)}">{at:g}</li>' for at in LEVELS_NATS)


def _roles() -> str:
    return "".join(
        f'<li><span class="t {role}">token</span> {words}</li>' for role, words in _ROLES.items()
    )


def _level(entropy_nats: float | None) -> str:
    """Return the name of a colour."""
    return "none" if entropy_nats is None else f"h{bisect_right(LEVELS_NATS, entropy_nats) - 1}"


def _text(pieces: Sequence[HeatmapPiece]) -> str:
    shown, last_round = [], 0
    for piece in pieces:
        first, last = piece.tokens[0], piece.tokens[-1]
        roles = {token.role for token in piece.tokens}
        role = next(role for role in ("corrected", "bonus", "alone", "accepted") if role in roles)
        classes = ["t", role, *(["turn"] if last.round_number != last_round else [])]
        classes += [_level(first.entropy_nats)] if len(piece.tokens) == 1 else []
        classes += ["reasoning"] if first.phase == "reasoning" else []
        classes += ["cut"] if piece.cut else []
        fill = f' style="background:{_stripes(piece.tokens)}"' if len(piece.tokens) > 1 else ""
        text = escape(piece.text.translate(_CONTROLS)).replace("\n", "<s>↵</s>\n")
        shown.append(
            f'<span class="{" ".join(classes)}" data-turn="{last.round_number}" tabindex="0"{fill}>'
            f"{text or '<s>∎</s>'}{_tip(piece)}</span>"
        )
        last_round = last.round_number
    return "".join(shown)


def _stripes(tokens: tuple[HeatmapToken, ...]) -> str:
    """Return a background with one stripe for each token of a character."""
    width = 100 / len(tokens)
    stops = (
        f"var(--{_level(token.entropy_nats)}) {at * width:.1f}% {(at + 1) * width:.1f}%"
        for at, token in enumerate(tokens)
    )
    return f"linear-gradient(90deg,{','.join(stops)})"


def _tip(piece: HeatmapPiece) -> str:
    count = len(piece.tokens)
    stories = (
        _story(token, *((f"part {number} of {count} · ", 3) if count > 1 else ("", None)))
        for number, token in enumerate(piece.tokens, start=1)
    )
    cut = '<span class="line">cut off by a stop string</span>' if piece.cut else ""
    word = f'<b class="word">{_visible(piece.text)}</b>'
    return f'<span class="tip" role="tooltip">{word}{cut}{"".join(stories)}</span>'


def _story(token: HeatmapToken, part: str, most: int | None) -> str:
    """Return the lines that tell how a token came about, with at most so many candidates."""
    known = token.entropy_nats is not None
    entropy = f"{token.entropy_nats:.2f} nats" if known else "the drafter was not asked"
    wanted = ", then ".join(f"<q>{_visible(text)}</q>" for text in token.replaced)
    bars = "".join(
        f'<span class="bar{" written" if each.written else ""}" style="--p:{each.prob:.4f}">'
        f"<q>{_visible(each.text, each.token)}</q><i></i><em>{each.prob:.1%}</em></span>"
        for each in token.candidates[:most]
    )
    return (
        f'<span class="line"><i class="dot {_level(token.entropy_nats)}"></i>{part}{entropy} · '
        f"round {token.round_number} · token {token.token}</span>"
        f'<span class="line">{_ROLES[token.role]}</span>'
        + _phase_line(token)
        + (f'<span class="line">the drafter wanted {wanted}</span>' if wanted else "")
        + bars
    )


def _phase_line(token: HeatmapToken) -> str:
    if token.phase is None or token.verifier_nats is None:
        return ""
    nats = f"the verifier’s own law has {token.verifier_nats:.2f} nats"
    return f'<span class="line">{token.phase} phase: {nats}</span>'


def _visible(text: str, token: int | None = None) -> str:
    """Return text with its whitespace as signs; what is no text is named instead."""
    if text and BROKEN not in text:
        return escape(text.translate(_SIGNS))
    what = "part of a character" if text else "no text"
    return f"<i>{what if token is None else f'token {token}'}</i>"


def _strip(rounds: Sequence[HeatmapRound], tokens: Sequence[HeatmapToken]) -> str:
    """Draw the rounds: draft length upwards, the entropy of each written token downwards."""
    entropies = [token.entropy_nats for token in tokens]
    unit = min(18.0, max(5.0, 940 / max(len(entropies), 1)))
    tallest = max([1, *(turn.draft_len for turn in rounds)])
    draft_unit = _PANEL / tallest
    nat = _PANEL / max([1.0, *(entropy for entropy in entropies if entropy)])
    drawn, start = [], 0
    for number, turn in enumerate(rounds, start=1):
        left, width = start * unit, turn.emitted_len * unit
        drafted, kept = turn.draft_len * draft_unit, turn.accepted_len * draft_unit
        end = start + turn.emitted_len
        shapes = [
            _rect("hit", left, 0.0, width, 2 * _PANEL + _GAP),
            _rect("draft", left + 1, _PANEL - drafted, width - 2, drafted),
            _rect("kept", left + 1, _PANEL - kept, width - 2, kept),
            *(
                _rect(
                    _level(entropy),
                    at * unit + 0.5,
                    _PANEL + _GAP,
                    unit - 1,
                    max((entropy or 0.0) * nat, 2.0),
                )
                for at, entropy in enumerate(entropies[start:end], start=start)
            ),
        ]
        drawn.append(
            f'<g data-turn="{number}" tabindex="0"><title>Round {number}: {escape(turn.sentence)}'
            f"</title>{''.join(shapes)}</g>"
        )
        start = end
    cells = "".join(
        f"M0 {_PANEL - at * draft_unit:.1f}H{start * unit:.1f}" for at in range(1, tallest)
    )
    shades = "".join(
        _rect("phase", first * unit, 0.0, count * unit, 2 * _PANEL + _GAP)
        for first, count in _reasoning(tokens)
    )
    step = 10 if unit > 10 else 20 if unit > 5 else 50
    height = 2 * _PANEL + _GAP
    ticks = "".join(
        f'<text x="{at * unit:.1f}" y="{height + 14:.0f}">{at}</text>'
        for at in range(0, start, step)
    )
    return (
        f'<svg width="{start * unit:.0f}" height="{height + 18:.0f}" role="group" '
        f'aria-label="Draft length and entropy along the text">{shades}{"".join(drawn)}'
        f'<path class="cells" d="{cells}"/>{ticks}</svg>'
    )


def _reasoning(tokens: Sequence[HeatmapToken]) -> Iterator[tuple[int, int]]:
    """Yield where reasoning phases begin, and how many tokens they have."""
    at = 0
    for phase, group in groupby(tokens, key=lambda token: token.phase):
        count = len(list(group))
        if phase == "reasoning":
            yield at, count
        at += count


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )
