"""Speed against context length: what prompts are, that each is read once, what is reported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contexts import Prompt, answer_all, answers_of, ends_of, main
from benchmarks.contexts_report import draw, report, show
from benchmarks.resumable import ResumableRows
from smart_speed.comparison import BASELINE
from smart_speed.config import EntropyConfig
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.toy import TableModel
from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord, SequenceRecord
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]

TEXT = [number * number % 5 for number in range(200)]


def decoders(pair: tuple[LoadedModel, LoadedModel]) -> dict[str, EntropyBasedSpeculativeDecoder]:
    configs = {BASELINE: EntropyConfig(strategy="plain"), "fixed": EntropyConfig(strategy="fixed")}
    return {name: EntropyBasedSpeculativeDecoder(*pair, config) for name, config in configs.items()}


@pytest.mark.parametrize("count", [1, 3, 4])
def test_prompts_of_the_longest_length_do_not_overlap(count: int) -> None:
    ends = ends_of(200, count, longest=50)
    assert len(ends) == count
    starts = [end - 50 for end in ends]
    assert all(start >= end for start, end in zip(starts, [0, *ends], strict=False))
    assert ends[-1] <= 200


def test_more_prompts_than_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="prompts must be 1 to 4 for a text of that length, got"):
        ends_of(200, 5, longest=50)


def test_each_model_reads_a_prompt_once(random_pair: Pair, monkeypatch: Any) -> None:
    fed: dict[int, int] = {}
    feed = TableModel.feed

    def count(self: TableModel, tokens: list[int], *, last: int) -> Any:
        if len(tokens) > 20:  # no round feeds as many
            fed[id(self)] = fed.get(id(self), 0) + 1
        return feed(self, tokens, last=last)

    monkeypatch.setattr(TableModel, "feed", count)
    row = answers_of(decoders(random_pair()), Prompt("wikitext2/60", TEXT[:60]), 9)
    assert sorted(fed.values()) == [1, 1]
    assert set(row["same_text"]) == {BASELINE, "fixed"}
    assert {each["output_len"] for each in row["records"]} == {9}
    assert row["first_token_s"]["drafting"] > row["first_token_s"]["plain"] > 0


def test_lengths_end_at_the_same_places_and_rows_are_made_once(
    random_pair: Pair, tmp_path: Path
) -> None:
    made = decoders(random_pair())
    ends = ends_of(len(TEXT), 2, longest=40)
    rows = ResumableRows(tmp_path / "rows.jsonl", {})
    answer_all(made, TEXT, ends[:1], [10, 40], 5, rows)
    answer_all(made, TEXT, ends, [10, 40], 5, rows)
    assert [(row["length"], row["prompt_id"]) for row in rows.rows] == [
        (length, f"wikitext2/{end}")
        for length, end in [(10, ends[0]), (40, ends[0]), (10, ends[1]), (40, ends[1])]
    ]
    for row in rows.rows:
        assert {each["prompt_len"] for each in row["records"]} == {row["length"]}


def record_of(condition: str, prompt_id: str, decode_s: float, width: int) -> dict[str, Any]:
    """Return a record of four rounds that keep half of what they draft."""
    drafted = width - 1
    turn = RoundRecord(
        context_len=10,
        entropies_nats=(0.5,) * drafted,
        top_probs=(0.5,) * drafted,
        draft_len=drafted,
        accepted_len=drafted // 2,
        emitted_len=drafted // 2 + 1,
        stop_reason="max_draft_len",
        drafter_s=0.001 * drafted,
        entropy_s=0.0,
        strategy_s=0.0,
        verifier_s=0.01 + 0.001 * width,
        round_s=0.02,
    )
    record = SequenceRecord(
        condition=condition,
        prompt_id=prompt_id,
        seed=0,
        status="ok",
        lossless=True,
        engine="toy",
        prompt_len=10,
        reused_len=9,
        output_len=20,
        finish_reason="length",
        prefill_s=0.1,
        decode_s=decode_s,
        rounds=(turn,) * 4,
    )
    return record.to_json()


def rows_of(length: int, faster: float) -> list[dict[str, Any]]:
    return [
        {
            "length": length,
            "prompt_id": f"wikitext2/{number}",
            "first_token_s": {"plain": 1.0 * length, "drafting": 1.5 * length},
            "records": [
                record_of(BASELINE, f"wikitext2/{number}", 2.0, 1),
                record_of("fixed", f"wikitext2/{number}", 2.0 / faster, 3),
            ],
            "same_text": [BASELINE, *(["fixed"] if number else [])],
            "peak_bytes": 1_000_000 * length + number,
        }
        for number in range(3)
    ]


def test_figures_are_those_of_each_length(tmp_path: Path) -> None:
    document = report([*rows_of(80, 2.0), *rows_of(20, 1.25)], [BASELINE, "fixed"])
    short, long = document["lengths"]
    assert (short["length"], long["length"]) == (20, 80)
    assert long["peak_bytes"] == 80_000_002
    assert long["first_token_s"] == {"plain": 80.0, "drafting": 120.0}
    assert long["verifier_pass_s"]["3"] == {"median": pytest.approx(0.013), "num_passes": 9}
    assert set(long["verifier_pass_s"]) == {"1", "3"}
    for each, faster in ((short, 1.25), (long, 2.0)):
        plain, fixed = (each["conditions"][name] for name in (BASELINE, "fixed"))
        assert plain["tokens_per_decode_s"] == 10.0
        assert plain["acceptance_rate"] is None
        ratio = fixed["speedup_over_plain"]
        assert (ratio["value"], ratio["low"], ratio["high"]) == pytest.approx([faster] * 3)
        assert fixed["acceptance_rate"] == 0.5
        assert fixed["drafter_pass_s"] == pytest.approx(0.001)
        assert fixed["num_same_text"] == 2
    show(document)
    draw(document, tmp_path / "plot.svg")
    assert "tokens of context" in (tmp_path / "plot.svg").read_text()


def test_what_cannot_be_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["contexts", "--data", str(tmp_path), "--lengths", "0"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "lengths must be at least 1, got [0].\n"
