"""The share of the oracle's gap where plain decoding beats the fixed length, and where not."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from smart_speed.calibration.judging import Judge
from smart_speed.config import EntropyConfig
from smart_speed.loaded_run import LoadedRun
from smart_speed.reporting.report_document import Paragraph
from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_gap import Gap, find_gap
from smart_speed.reporting.run_gap_section import gap_blocks
from smart_speed.run_folder import ConditionInfo
from smart_speed.tracing.prepared import PreparedTrace
from tests.unit.judged_runs import COSTS, LEARNED, loaded, trace_with

EASY, HARD = [True, True, True, True, False, True, False], [False, False, False, True, True]
"""Where the drafter is right, over and over."""

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"strategy": "plain"},
    "fixed-4": {"strategy": "fixed", "max_draft_len": 4},
    "absolute": {"strategy": "absolute", "theta_abs": 1.5, "max_draft_len": 4},
}
CONDITIONS = {
    "plain": ConditionInfo(role="plain", config=CONFIGS["plain"]),
    "fixed-4": ConditionInfo(role="fixed", config=CONFIGS["fixed-4"]),
    "absolute": ConditionInfo(role="entropy", config=CONFIGS["absolute"]),
}


def run_of(tasks: dict[str, list[bool]], **conditions: Any) -> LoadedRun:
    """A run whose tuned length is 3, with two prompts in each task."""
    fixed = {**LEARNED["strategies"]["fixed"], "settings": {"max_draft_len": 3}}
    learned = {**LEARNED, "strategies": {**LEARNED["strategies"], "fixed": fixed}}
    traces = [
        trace_with(task, number, [0.5 if right else 2.0 for right in agrees], agrees)
        for task, pattern in tasks.items()
        for number in range(2)
        for agrees in [pattern * (4 + number)]
    ]
    prompts = {each.prompt_id: each.task for each in traces}
    texts = [PreparedTrace(each) for each in traces]
    run = loaded([], prompts, texts=texts, learned=learned)
    manifest = replace(run.manifest, conditions={**CONDITIONS, **conditions})
    object.__setattr__(run, "manifest", manifest)
    return run


def gap_of(run: LoadedRun) -> Gap:
    gap = find_gap(run)
    assert isinstance(gap, Gap)
    return gap


def said(gap: Gap) -> tuple[str, Any]:
    """Return the sentences and the table of a report on it."""
    overall = {"num_sequences": 1, "speedup_over_fixed_best": None}
    conditions = {name: {"role": "entropy", "overall": overall} for name in gap.by_condition}
    figures = {"conditions": conditions, "run": {"baselines": {"plain": "plain"}}}
    found = Findings(
        run=loaded([], {}), figures=figures, verdicts=[], unjudged="", gap=gap, no_gap=""
    )
    paragraph, table = gap_blocks(found)
    assert isinstance(paragraph, Paragraph)
    return paragraph.text, table


def test_share_above_plain_and_fixed() -> None:
    """Worked out anew from speeds by task, each over plain decoding's."""
    run = run_of({"easy": EASY, "hard": HARD})
    gap, judge = gap_of(run), Judge(run.texts, COSTS, fixed_len=3)
    fixed = judge.judge(EntropyConfig(strategy="fixed", max_draft_len=3)).speed_by_task
    assert fixed["hard"] < 1 < fixed["easy"]
    assert list(gap.plain_ahead) == ["hard"]
    best = judge.oracle().speed_by_task
    for name in ("fixed-4", "absolute"):
        own = judge.judge(EntropyConfig.from_dict(CONFIGS[name])).speed_by_task
        shares = [
            (own[task] - max(1.0, fixed[task])) / (best[task] - max(1.0, fixed[task]))
            for task in ("easy", "hard")
        ]
        assert gap.above[name].value == pytest.approx(sum(shares) / 2)
        assert gap.above[name].value < gap.by_condition[name].share.value


def test_where_plain_decoding_is_ahead_the_report_says_how_to_read_it() -> None:
    gap = gap_of(run_of({"easy": EASY, "hard": HARD}))
    text, table = said(gap)
    over, share = gap.plain.over_fixed_by_task["hard"], gap.plain.share_by_task["hard"]
    assert "On 1 of 2 tasks (hard) plain decoding is faster than that fixed length" in text
    assert f"by up to {100 * (over - 1):.1f} %, and so closes up to {100 * share:.0f} %" in text
    rows = {row["condition"]: row for row in table.to_json()["rows"]}
    assert rows["plain"]["speed"]["value"] == 1.0
    assert rows["absolute"]["share_above_both"] == gap.above["absolute"].to_json()


def test_where_the_fixed_length_is_ahead_both_shares_are_the_same() -> None:
    gap = gap_of(run_of({"easy": EASY}))
    text, table = said(gap)
    assert "plain decoding" not in text
    assert "share_above_both" not in table.to_json()["rows"][0]
    for name, share in gap.above.items():
        assert tuple(share) == pytest.approx(tuple(gap.by_condition[name].share))


def test_without_a_gap_there_is_no_share() -> None:
    gap = gap_of(run_of({"hopeless": [False]}))
    assert gap.oracle.speed.value == 1.0
    text, table = said(gap)
    assert "100 % of the gap there" in text
    rows = {row["condition"]: row for row in table.to_json()["rows"]}
    assert rows["absolute"]["share_above_both"]["value"] is None


def test_a_condition_that_traces_cannot_judge_is_left_out_alone() -> None:
    unheld = {"strategy": "absolute", "entropy_type": "renyi", "renyi_order": 3.0}
    run = run_of({"easy": EASY}, own=ConditionInfo(role="entropy", config=unheld))
    assert set(gap_of(run).by_condition) == {"fixed-4", "absolute"}
