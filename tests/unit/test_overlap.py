"""Overlap: what it would gain, by hand; and that both models really are timed at once."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from benchmarks import overlap
from benchmarks.overlap import WIDTHS, Block, Models, Timer, blocks_of, time_all
from benchmarks.overlap_gain import (
    Guessed,
    Slowed,
    TextRounds,
    beside,
    gain,
    in_turn_seconds,
    overlapped_seconds,
    right_share,
    rounds_of,
)
from benchmarks.overlap_report import ALWAYS, AT_MOST, FORESEEN, FREE, draw, report, show
from benchmarks.resumable import ResumableRows
from smart_speed.errors import ModelError
from smart_speed.laws import Scores
from smart_speed.profiles import Profile
from smart_speed.stopping.calibrated import Calibration
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.rounds import ReplayedRound
from tests.toy_experiments import PROFILE
from tests.unit.traced import costs_of, drafter_of, trace_of, verifier_of

FREELY = [Slowed()] * 20
COSTS = CostModel(drafter_step_s=0.25, verifier_pass_s={1: 1.0, 20: 1.0})


def turn(draft_len: int, *, passes: int | None = None, right: bool = True) -> Guessed:
    num_passes = draft_len if passes is None else passes
    return Guessed(ReplayedRound(10, num_passes, draft_len, 0, 1, "max_draft_len"), right)


def test_beside_each_other_both_slow_down_until_one_is_done() -> None:
    slowed = Slowed(verifier=2.0, drafter=3.0, verifier_after=1.5)
    # The drafter's 0.5 s take 1.5; in these the verifier does 0.75 of its 1 s.
    assert beside(1.0, 0.5, slowed) == pytest.approx((1.5 + 0.25 * 1.5, 0.0))
    # The verifier is done after 2 s, in which the drafter does 2 / 3 of a second of its 5.
    assert beside(1.0, 5.0, slowed) == pytest.approx((2.0, 5 - 2 / 3))


def test_right_guesses_hide_the_next_draft_and_wrong_ones_cost_what_they_slow() -> None:
    rounds = [turn(2), turn(2, right=False), turn(2)]
    in_turn = 3 * (0.5 + 1.0)
    assert in_turn_seconds(rounds, COSTS) == pytest.approx(in_turn)
    assert overlapped_seconds(rounds, COSTS, FREELY) == pytest.approx(in_turn - 0.5)
    # Guess and draft are three passes, 0.75 s; while they run the verifier does half as much.
    slowed = [Slowed(verifier=2.0)] * 20
    lost = 0.75 / 2
    assert overlapped_seconds(rounds, COSTS, slowed) == pytest.approx(in_turn - 0.5 + 2 * lost)
    foreseen = overlapped_seconds(rounds, COSTS, slowed, foresight=True)
    assert foreseen == pytest.approx(in_turn - 0.5 + lost)


def test_what_the_verifier_does_not_hide_is_left_to_draft() -> None:
    # Five passes after the guess are 1.5 s in all, of which one is hidden.
    assert overlapped_seconds([turn(0), turn(5)], COSTS, FREELY) == pytest.approx(1 + 0.5 + 1)
    # A law that was looked at before is the guess: no pass for it.
    looked_at = [turn(0, passes=1), turn(5)]
    assert overlapped_seconds(looked_at, COSTS, FREELY) == pytest.approx(0.25 + 1 + 0.25 + 1)
    # Nobody drafts next, so nobody works beside.
    slowed = [Slowed(verifier=2.0)] * 20
    assert overlapped_seconds([turn(0), turn(0)], COSTS, slowed) == pytest.approx(2.0)


def test_gain_is_a_mean_of_tasks_and_foresight_never_loses() -> None:
    texts = [TextRounds("a", [turn(2), turn(2)]), TextRounds("b", [turn(2, right=False), turn(2)])]
    assert gain(texts, COSTS, FREELY).value == pytest.approx((3 / 2.5 + 1) / 2)
    slow = [Slowed(verifier=9.0, drafter=9.0)] * 20
    assert gain(texts, COSTS, slow).value < 1
    assert gain(texts, COSTS, slow, foresight=True).value == pytest.approx(1)
    assert right_share(texts).value == pytest.approx((1 + 0.5) / 2)
    undrafted = [TextRounds("a", [turn(0), turn(1)])]
    assert right_share(undrafted, drafted=True).value == pytest.approx(0.5)


def traces() -> list[PreparedTrace]:
    return [PreparedTrace(trace_of("model", seed, (2,))) for seed in range(3)]


def test_optimism_is_right_where_the_text_goes_on_as_draft_and_guess_say() -> None:
    calibration = Calibration.from_json(PROFILE.config["calibration"])
    texts, costs = traces(), costs_of()
    for text, played in zip(texts, rounds_of(texts, calibration, costs), strict=True):
        at = 0
        for each in played.rounds:
            drafted = each.turn.draft_len
            agreeing = text.trace.agrees()[at : at + drafted + 1]
            assert each.right == (agreeing.all() and len(agreeing) == drafted + 1)
            at += each.turn.emitted_len


def simulated(slow: float) -> list[dict[str, object]]:
    """Timings of a machine with two cores, on which either model slows the other down."""
    rows = []
    for repeat, block in product(range(3), blocks_of([1, 2], mixed=True)):
        row: dict[str, object] = {"repeat": repeat, **block._asdict()}
        if block.mode == "lock":
            rows.append({**row, "unlocked": 0.9})
            continue
        factor = (slow if block.mode == "at once" else 1.0) * (1 + 0.001 * repeat)
        verifier, drafter, width = block.verifier_threads, block.drafter_threads, block.width
        row["verifier_s"] = verifier and width and factor * (1 + width / 20) / verifier
        row["drafter_s"] = drafter and factor * (0.06 if drafter == 1 else 0.05)
        rows.append(row)
    return rows


def known_profile() -> Profile:
    learned = {**PROFILE.learned, "measured": {"costs": costs_of().to_json()}}
    return replace(PROFILE, learned=learned)


def test_report_says_who_gains_with_which_threads(tmp_path: Path) -> None:
    document = report(simulated(3.0), traces(), known_profile())
    assert document["threads"]["2 + 2 threads"]["value"] == pytest.approx(1)
    assert document["threads"]["1 + 2 threads"]["value"] < 0.7
    assert document["own_share"] == pytest.approx(0.05 / 0.525)
    slowed = document["slow_downs"]["1 + 2 threads"]["2"]
    assert slowed["verifier"]["value"] == pytest.approx(6)
    assert slowed["verifier_after"]["value"] == pytest.approx(2)
    for each in document["by_drafter_share"].values():
        gains = each["gains"]
        assert gains[FREE][FORESEEN]["value"] >= gains["2 + 2 threads"][AT_MOST]["value"]
        assert gains["2 + 2 threads"][AT_MOST]["value"] >= gains["2 + 2 threads"][FORESEEN]["value"]
        assert gains["2 + 2 threads"][ALWAYS]["value"] < 1.001
    assert max(
        each["gains"][FREE][FORESEEN]["value"] for each in document["by_drafter_share"].values()
    ) > 1  # fmt: skip
    show(document)
    draw(document, tmp_path / "gain.svg")
    assert "</svg>" in (tmp_path / "gain.svg").read_text("utf-8")


def test_report_without_timings_knows_the_bound_alone() -> None:
    document = report([], traces(), known_profile())
    assert {tuple(each["gains"]) for each in document["by_drafter_share"].values()} == {(FREE,)}
    assert "threads" not in document
    assert report(simulated(1.0), [], known_profile()).keys() == {"unlocked", "timings"}


def test_blocks_are_timed_once_and_both_models_are_timed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "LOOK_S", 0.01)
    models = Models(
        verifiers={1: verifier_of(0)}, drafters={1: drafter_of("model", 0)}, pin=lambda _: None
    )
    blocks = blocks_of([1], mixed=False)
    timer = Timer(models, [1, 2, 3] * 100)
    path, loaded = tmp_path / "rows.jsonl", []

    def load_timer() -> Timer:
        loaded.append(timer)
        return timer

    for repeats in (1, 1, 2):
        rows = ResumableRows(path, {})
        time_all(rows, repeats, blocks, load_timer)
        assert len(rows.rows) == repeats * len(blocks)
    assert len(loaded) == 2
    for row in rows.rows:
        if row["mode"] == "lock":
            assert row["unlocked"] > 0
        else:
            assert (row["verifier_s"] is None) == (row["verifier_threads"] is None)
            assert (row["drafter_s"] is None) == (row["drafter_threads"] is None)


def test_an_error_beside_the_verifier_is_raised() -> None:
    class Broken:
        name, context_len = "broken", None

        def prefill(self, text: object) -> None: ...

        def rollback(self, to_len: int) -> None: ...

        def scores_after(self, text: object, proposal: object) -> Scores:
            raise ModelError("A drafter must work, got none.")

    models = Models(verifiers={1: verifier_of(0)}, drafters={1: Broken()}, pin=lambda _: None)
    with pytest.raises(ModelError):
        Timer(models, [1, 2, 3] * 100).row(Block("at once", 1, 1, WIDTHS[0]))
