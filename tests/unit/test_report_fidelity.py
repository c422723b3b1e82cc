"""What a report says of lossy conditions: marked everywhere, set beside exact ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from smart_speed.analysis import AnalysisPipeline
from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.records import TextScore
from smart_speed.reporting.run_fidelity import (
    draw_frontier,
    fidelity_blocks,
    fidelity_table,
    likelihood_table,
)
from smart_speed.reporting.run_findings import Findings, find
from smart_speed.run_folder import (
    ANSWERS_NAME,
    ConditionInfo,
    read_answers,
    read_manifest,
    write_manifest,
)
from tests.unit.report_runs import CONDITIONS, write_run

pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")
pytest.importorskip("scipy")

LOSSY = ConditionInfo(
    role="lossy", lossless=False, config={"strategy": "fixed", "max_draft_len": 4}
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a lossy condition whose texts cost a tenth more, and half of them are right."""
    folder = tmp_path_factory.mktemp("lossy") / "run"
    write_run(folder, conditions={**CONDITIONS, "relaxed": LOSSY})
    manifest = read_manifest(folder)
    check = AnswerCheck(kind="number", expected="7")
    prompts = tuple(
        replace(each, check=check if each.task == "prose" else None) for each in manifest.prompts
    )
    write_manifest(folder, replace(manifest, prompts=prompts))
    lines = []
    for at, answer in enumerate(read_answers(folder)):
        lossy = answer.record.condition == "relaxed"
        cost = 0.55 if lossy else 0.5
        count = len(answer.tokens)
        score = TextScore(count, -cost * count, 1.5 * count)
        tokens = (*answer.tokens[:-1], 4) if lossy else answer.tokens
        right = "7" if not lossy or at % 12 < 6 else "8"
        made = replace(answer, score=score, text=f"so {right}", tokens=tokens)
        lines.append(made.to_line() + "\n")
    (folder / ANSWERS_NAME).write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def found(run: Path) -> Findings:
    return find(run)


def test_lossy_conditions_stand_beside_their_partner(found: Findings) -> None:
    table = fidelity_table(found)
    ((name, partner, *figures),) = table.rows
    assert (name, partner) == ("relaxed (lossy)", "fixed-4")
    by_column = dict(zip([each.name for each in table.columns[2:]], figures, strict=True))
    assert by_column["speedup_over_exact"]["value"] == pytest.approx(1.0)
    assert by_column["divergence"]["value"] == pytest.approx(0.1)
    assert by_column["score_difference"]["value"] == pytest.approx(-0.5)
    ((_, own, exact, drawn, *_),) = likelihood_table(found).rows
    values = [each["value"] for each in (own, exact, drawn)]
    assert values == pytest.approx([-0.55, -0.5, -1.5])


def test_report_marks_them_everywhere(run: Path, found: Findings) -> None:
    analysis = AnalysisPipeline(run).run_full_analysis()
    text = analysis.markdown.read_text(encoding="utf-8")
    assert "What lossy conditions lose" in text
    tables = text[text.index("## Speed") :].split("\n")
    rows = [line for line in tables if line.startswith("|") and "relaxed" in line]
    assert len(rows) >= 6
    assert all("relaxed (lossy)" in row for row in rows)
    assert (analysis.plots / "fidelity.svg").is_file()


def test_without_them_there_is_nothing_to_say(tmp_path: Path) -> None:
    write_run(tmp_path / "exact", with_traces=False)
    exact = find(tmp_path / "exact")
    assert fidelity_blocks(exact) == [None]
    assert draw_frontier(exact) is None
    report = AnalysisPipeline(tmp_path / "exact").run_full_analysis().markdown
    assert "Every condition is lossless." in report.read_text(encoding="utf-8")
