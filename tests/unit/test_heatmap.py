"""The heat map: roles and text from the record, and a page that stands alone and is safe."""

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path
from typing import Literal

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.draft_passes import Candidate, DraftPass
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.recording import RecordingDrafter
from smart_speed.engines import toy
from smart_speed.errors import ConfigError, OutputError
from smart_speed.generation import Result, Round
from smart_speed.heatmap_data import heatmap_of
from smart_speed.phases import Phases
from smart_speed.records import RoundRecord, SequenceRecord
from smart_speed.reporting.heatmap import Heatmap, html_page, write_heatmap
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from tests.unit.traced import drafter_of, verifier_of

VOID = {"meta", "rect", "path", "br"}


def bytes_decode(tokens: Sequence[int]) -> str:
    """Decode a token a byte; 256 is a special token without text."""
    return bytes(token for token in tokens if token < 256).decode(errors="replace")


def words_decode(tokens: Sequence[int]) -> str:
    """Decode a token a word, without the first space, as SentencePiece does."""
    return "".join(f" w{token}" for token in tokens).removeprefix(" ")


def answer(*turns: tuple[list[int], list[int], list[float]], text: str | None = None) -> Result:
    """Build the answer of rounds, each given by what was proposed, emitted, and the entropies."""
    rounds: list[Round] = []
    context_len = 4
    for proposed, emitted, entropies in turns:
        pairs = zip(proposed, emitted, strict=False)
        accepted = next((at for at, (a, b) in enumerate(pairs) if a != b), len(proposed))
        record = RoundRecord(
            context_len=context_len,
            entropies_nats=tuple(entropies),
            top_probs=(0.5,) * len(entropies),
            draft_len=len(proposed),
            accepted_len=min(accepted, len(emitted)),
            emitted_len=len(emitted),
            stop_reason="absolute",
            drafter_s=0.0,
            entropy_s=0.0,
            strategy_s=0.0,
            verifier_s=0.0,
            round_s=0.5,
        )
        rounds.append(Round(tuple(proposed), tuple(emitted), record, None))
        context_len += len(emitted)
    tokens = tuple(token for turn in rounds for token in turn.emitted)
    whole = SequenceRecord(
        condition="absolute",
        prompt_id="",
        seed=0,
        status="ok",
        lossless=True,
        engine="toy",
        prompt_len=4,
        reused_len=0,
        output_len=len(tokens),
        finish_reason="length",
        prefill_s=0.0,
        decode_s=0.5 * len(rounds),
        rounds=tuple(turn.record for turn in rounds),
    )
    return Result(bytes_decode(tokens) if text is None else text, tokens, whole, tuple(rounds))


class Reader(HTMLParser):
    """Checks that tags are balanced, and reads what a person would copy of the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.copied = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(f"{tag} {dict(attrs).get('class')}")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop().split()[0] == tag

    def handle_data(self, data: str) -> None:
        hidden = any(each in ("span tip", "s None") for each in self.open)
        if "div card text" in self.open and not hidden:
            self.copied += data


def read(page: str) -> str:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader.copied


def roles(heatmap: Heatmap) -> list[str]:
    return [token.role for piece in heatmap.pieces for token in piece.tokens]


def test_roles_follow_from_the_counts_of_a_round() -> None:
    result = answer(
        ([1, 2, 3], [1, 2, 9], [0.1, 0.2, 0.3]),  # third rejected
        ([4, 5], [4, 5, 6], [0.4, 0.5]),  # all kept, and one more
        ([], [7], [0.7]),  # stopped before its first token
        ([8, 9], [8], [0.8, 0.9]),  # the output ended inside
    )
    heatmap = heatmap_of(result, prompt="", decode=bytes_decode)
    assert roles(heatmap) == [
        *["accepted", "accepted", "corrected"],
        *["accepted", "accepted", "bonus"],
        *["alone", "accepted"],
    ]
    tokens = [token for piece in heatmap.pieces for token in piece.tokens]
    assert [token.entropy_nats for token in tokens] == [0.1, 0.2, 0.3, 0.4, 0.5, None, 0.7, 0.8]
    assert [token.round_number for token in tokens] == [1, 1, 1, 2, 2, 2, 3, 4]


def test_a_correction_names_what_the_drafter_wanted() -> None:
    result = answer((list(b"abcd"), list(b"ax"), [0.1] * 4))
    heatmap = heatmap_of(result, prompt="", decode=bytes_decode)
    assert heatmap.pieces[1].tokens[0].replaced == ("b", "c", "d")
    wanted = "the drafter wanted <q>b</q>, then <q>c</q>, then <q>d</q>"
    assert wanted in html_page(heatmap)


def test_a_law_that_stopped_before_its_token_belongs_to_the_bonus_token() -> None:
    result = answer((list(b"ab"), list(b"abc"), [0.1, 0.2, 2.5]))
    last = heatmap_of(result, prompt="", decode=bytes_decode).pieces[-1].tokens[0]
    assert (last.role, last.entropy_nats) == ("bonus", 2.5)


@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("strategy", ["absolute", "relative"])
def test_a_real_answer_keeps_its_text_and_its_candidates(
    strategy: str, placement: Literal["before", "after"]
) -> None:
    verifier, small = toy.load("default", order=3), toy.load("default", order=1)
    drafter = RecordingDrafter(ModelDrafter.for_verifier(small, verifier))
    config = EntropyConfig(strategy=strategy, stop_placement=placement)
    decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config)
    result = decoder.generate(
        "the ver", max_new_tokens=60, sampling=Sampling(temperature=1.0, seed=3)
    )
    decode = verifier.tokenizer.decode
    heatmap = heatmap_of(result, prompt="the ver", decode=decode, passes=drafter.passes)
    assert read(html_page(heatmap)) == f"the ver{result.text}"
    tokens = [token for piece in heatmap.pieces for token in piece.tokens]
    assert tuple(token.token for token in tokens) == result.tokens
    for token in tokens:
        assert (token.entropy_nats is None) == (not token.candidates)
        assert [each.token == token.token for each in token.candidates] == [
            each.written for each in token.candidates
        ]


def test_phases_are_shaded_and_told() -> None:
    """Catches: phases of drafts rather than of the text; a shade that a round's end cuts."""
    verifier, drafter = verifier_of(0), drafter_of("model", 0)
    config = EntropyConfig(strategy="fixed", theta_phase=1.0)
    decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config)
    warm = Sampling(temperature=1.0, seed=3)
    result = decoder.generate("abc", max_new_tokens=60, sampling=warm)
    entropies = [nats for turn in result.rounds for nats in turn.record.verifier_entropies_nats]
    middle = sorted(entropies)[len(entropies) // 2]
    phases = Phases(theta_phase=middle, phase_hysteresis=0.0)
    decode = verifier.tokenizer.decode
    heatmap = heatmap_of(result, prompt="abc", decode=decode, phases=phases)
    tokens = [token for piece in heatmap.pieces for token in piece.tokens]
    assert [token.verifier_nats for token in tokens] == entropies
    along = phases.phases_along(entropies)
    assert [token.phase for token in tokens] == along
    groups = [(phase, len(list(group))) for phase, group in groupby(along)]
    lens = [count for phase, count in groups if phase == "reasoning"]
    assert len(lens) > 1
    page = html_page(heatmap)
    assert read(page) == f"abc{result.text}"
    text, strip = page.split("<svg")
    card = text[text.index('class="card text"') :]
    assert len(re.findall(r'class="t [^"]*\breasoning"', card)) == sum(lens)
    widths = [float(each) for each in re.findall(r'class="phase"[^>]* width="([\d.]+)"', strip)]
    assert [round(width / min(widths) * min(lens)) for width in widths] == lens
    assert "a reasoning phase: the verifier’s own law wavers" in text
    assert "reasoning phase: the verifier’s own law has" in text
    share = along.count("predictable") / len(along)
    assert heatmap.facts["Predictable"] == f"{share:.0%} of tokens, {len(groups)} phases"


def test_without_phases_nothing_is_shaded() -> None:
    result = answer((list(b"abc"), list(b"abx"), [0.1] * 3))
    for phases in (None, Phases()):  # that record holds no entropies of the verifier
        heatmap = heatmap_of(result, prompt="", decode=bytes_decode, phases=phases)
        page = html_page(heatmap)
        assert 'class="phase"' not in page
        assert "reasoning phase" not in page
        assert "Predictable" not in heatmap.facts


def test_a_lossy_answer_says_so() -> None:
    result = answer((list(b"abc"), list(b"abx"), [0.1] * 3))
    lossy = replace(result, record=replace(result.record, lossless=False))
    heatmap = heatmap_of(lossy, prompt="", decode=bytes_decode)
    assert heatmap.facts["Strategy"] == "absolute (lossy)"


def test_plain_decoding_is_neutral() -> None:
    verifier = toy.load("default", order=3)
    result = EntropyBasedSpeculativeDecoder(verifier).generate("the ver", max_new_tokens=9)
    heatmap = heatmap_of(result, prompt="", decode=verifier.tokenizer.decode, passes=[])
    assert set(roles(heatmap)) == {"alone"}
    page = html_page(heatmap)
    assert "nothing was drafted" in page
    assert page.count('class="t alone turn none"') == 9
    assert heatmap.facts["Acceptance"] == "–"


def test_an_empty_output_is_a_page_too() -> None:
    heatmap = heatmap_of(answer(), prompt="Why?", decode=bytes_decode)
    assert read(html_page(heatmap)) == "Why?"
    assert heatmap.facts["Speed"] == "–"


def test_tokens_of_one_character_are_one_piece() -> None:
    tokens = [*"a🎉".encode(), 256, *"é".encode()]
    result = answer((tokens[:3], tokens[:4], [0.0, 0.1, 7.0]), (tokens[4:], tokens[4:], [0.5] * 4))
    heatmap = heatmap_of(result, prompt="", decode=bytes_decode)
    assert [piece.text for piece in heatmap.pieces] == ["a", "🎉", "", "é"]
    assert [len(piece.tokens) for piece in heatmap.pieces] == [1, 4, 1, 2]
    page = html_page(heatmap)
    assert read(page) == "a🎉é"
    assert "\ufffd" not in page
    assert "var(--h1) 0.0% 25.0%,var(--h9) 25.0% 50.0%,var(--none) 50.0% 75.0%" in page


def test_text_that_is_no_unicode_does_not_become_one_piece() -> None:
    broken = [0xFF] * 20
    heatmap = heatmap_of(answer((broken, broken, [0.1] * 20)), prompt="", decode=bytes_decode)
    assert max(len(piece.tokens) for piece in heatmap.pieces) == 8


def test_leading_spaces_are_kept() -> None:
    result = answer(([1, 2], [1, 3], [0.1, 0.2]), text="w1 w3")
    passes = [
        DraftPass(4, (Candidate(1, 0.6), Candidate(5, 0.4))),
        DraftPass(5, (Candidate(2, 0.9), Candidate(3, 0.1))),
    ]
    heatmap = heatmap_of(result, prompt="", decode=words_decode, passes=passes)
    assert [piece.text for piece in heatmap.pieces] == ["w1", " w3"]
    last = heatmap.pieces[1].tokens[0]
    assert [(each.text, each.written) for each in last.candidates] == [
        (" w2", False),
        (" w3", True),
    ]
    assert last.replaced == (" w2",)


def test_whitespace_is_kept_and_shown() -> None:
    text = "if x:\n\n\tprint ( )\r\x1b"
    tokens = list(text.encode())
    page = html_page(
        heatmap_of(answer((tokens, tokens, [0.1] * 19)), prompt="", decode=bytes_decode)
    )
    assert read(page) == "if x:\n\n\tprint ( )␍␛"
    assert '<b class="word">⇥</b>' in page


def test_everything_is_escaped() -> None:
    evil = "<script>alert('&')</script>"
    tokens = [ord(evil[0]), *evil[1:].encode()]
    result = answer((tokens, tokens, [0.1] * len(tokens)), ([60], [62], [0.1]))
    once = heatmap_of(result, prompt=evil, decode=bytes_decode, title=evil, facts={evil: evil})
    words = heatmap_of(
        answer(([1, 2], [3], [0.1, 0.1]), text=evil),
        prompt="",
        decode=lambda tokens: evil * len(tokens),
        passes=[DraftPass(4, (Candidate(1, 1.0),)), DraftPass(5, ())],
    )
    for heatmap in (once, words):
        page = html_page(heatmap)
        assert page.count("<script") == 1
        read(page)
    assert read(html_page(once)) == f"{evil}{evil}>"


def test_the_page_refers_to_nothing_outside() -> None:
    page = html_page(heatmap_of(answer(([97], [97], [0.1])), prompt="", decode=bytes_decode))
    assert not re.search(r"http|//[a-z]|src=|href|url\(|@import|<link|fetch\(", page)


def test_rounds_are_marked_in_the_text_and_drawn_beneath() -> None:
    result = answer((list(b"abc"), list(b"abx"), [0.1] * 3), (list(b"d"), list(b"de"), [0.1]))
    page = html_page(heatmap_of(result, prompt="", decode=bytes_decode))
    text, strip = page.split("<svg")
    assert re.findall(r'turn [a-z0-9]+" data-turn="(\d)"', text) == ["1", "2"]
    titles = re.findall(r"<title>(.*?)</title>", strip)
    assert titles == [
        "Round 1: 3 drafted, 2 accepted, 3 emitted. Drafting stopped: absolute.",
        "Round 2: 1 drafted, 1 accepted, 2 emitted. Drafting stopped: absolute.",
    ]
    assert strip.count('<rect class="h1"') == 4
    assert strip.count('<rect class="none"') == 1


def test_speed_is_said_to_be_of_a_recorded_run() -> None:
    result = answer(([97], [97], [0.1]))
    heatmap = heatmap_of(result, prompt="", decode=bytes_decode, passes=[DraftPass(4, ())])
    assert heatmap.facts["Speed while recording"] == "2.0 tokens/s"


def test_text_after_a_stop_string_is_marked() -> None:
    result = answer((list(b"abEND"), list(b"abEND"), [0.1] * 5), text="ab")
    heatmap = heatmap_of(result, prompt="", decode=bytes_decode)
    assert [piece.cut for piece in heatmap.pieces] == [False, False, True, True, True]


def test_facts_count_and_may_be_added() -> None:
    result = answer((list(b"abc"), list(b"abx"), [0.1] * 3), (list(b"d"), list(b"de"), [0.1]))
    heatmap = heatmap_of(result, prompt="", decode=bytes_decode, facts={"Verifier": "big"})
    assert heatmap.facts == {
        "Strategy": "absolute",
        "Tokens": "5",
        "Rounds": "2",
        "Mean emitted per round": "2.50",
        "Acceptance": "75% (3 of 4)",
        "Drafter passes": "4",
        "Speed": "5.0 tokens/s",
        "Verifier": "big",
    }


@pytest.mark.parametrize(
    "passes",
    [
        [DraftPass(4, ())],
        [DraftPass(4, ()), DraftPass(6, ())],
    ],
)
def test_passes_of_another_answer_are_refused(passes: list[DraftPass]) -> None:
    result = answer((list(b"ab"), list(b"abc"), [0.1, 0.2]))
    with pytest.raises(ConfigError, match="passes must be"):
        heatmap_of(result, prompt="", decode=bytes_decode, passes=passes)


def test_an_interrupted_answer_leaves_out_the_passes_of_its_unfinished_round() -> None:
    verifier, small = toy.load("default", order=3), toy.load("default", order=1)
    drafter = RecordingDrafter(ModelDrafter.for_verifier(small, verifier))
    decoder = EntropyBasedSpeculativeDecoder(verifier, drafter)
    generation = decoder.stream("the ver", max_new_tokens=60)
    next(iter(generation))
    drafter.passes.append(DraftPass(99, ()))
    result = generation.result()
    assert result.record.finish_reason == "interrupted"
    decode = verifier.tokenizer.decode
    heatmap = heatmap_of(result, prompt="", decode=decode, passes=drafter.passes)
    assert read(html_page(heatmap)) == result.text


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    heatmap = heatmap_of(
        answer((list(b"ab"), list(b"ab"), [0.1] * 2)), prompt="\ud800", decode=bytes_decode
    )
    path = tmp_path / "demo.html"
    path.write_text("old")
    write_heatmap(path, heatmap)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["missing/demo.html", "file/demo.html", "folder"])
def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    heatmap = heatmap_of(answer(), prompt="", decode=bytes_decode)
    with pytest.raises(OutputError, match=rf"The heat map must go to .*{where}'.*\.$"):
        write_heatmap(tmp_path / where, heatmap)
    assert sorted(tmp_path.rglob("*")) == before
