"""The frontier of leniency, on toys: what it compares, that it goes on, and what it concludes."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.frontier import EXACT, conditions_of
from benchmarks.frontier_report import LOOKS, best_mix, draw, report, show, verdict
from benchmarks.unseen_prompts import UnseenPrompt
from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.evaluation import evaluate_run
from smart_speed.run_folder import PromptInfo, RunManifest, read_answers
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.settings import as_json
from smart_speed.running.side_runs import answer_side_run, begin_side_run, lone_prompt
from smart_speed.sampling import Sampling
from tests.toy_experiments import PROFILE
from tests.unit.traced import drafter_of, verifier_of

LEARNED = {"settings": {"theta_phase": 0.7, "phase_hysteresis": 0.1}}
KNOWING = type(PROFILE)(
    config={**PROFILE.config, "max_draft_len": 4}, learned={**PROFILE.learned, "phases": LEARNED}
)
CHECK = AnswerCheck(kind="phrase", expected="a")
PROMPTS = [
    UnseenPrompt(prompt_id=f"{task}/{at}", task=task, prompt="abcdefg"[at:], check=CHECK)
    for at in range(2)
    for task in ("math", "chat")
]


def manifest_of(prompts: Sequence[UnseenPrompt], **changes: Any) -> RunManifest:
    values: dict[str, Any] = {
        "name": "frontier",
        "config": {"max_new_tokens": 20},
        "conditions": few(),
        "prompts": tuple(
            PromptInfo(prompt_id=each.prompt_id, task=each.task, check=each.check)
            for each in prompts
        ),
        "calibration_prompt_ids": (),
        "repeats": 1,
        "verifier": {"name": "toy"},
        "drafter": {"name": "toy"},
        "engine": "toy",
        "sampling": as_json(asdict(Sampling())),
    }
    return RunManifest(**(values | changes))


def begun(folder: Path, manifest: RunManifest) -> RunManifest:
    return begin_side_run(folder, manifest, may_grow=True)


def answer_all(folder: Path, work: Work, prompts: Sequence[UnseenPrompt]) -> int:
    verifier = verifier_of(0)
    player = PromptPlayer(verifier, drafter_of("model", 0), work)
    asked = [
        lone_prompt(each.prompt_id, each.task, each.prompt, verifier, each.check)
        for each in prompts
    ]
    return answer_side_run(folder, player, work, asked, lambda done, total: None)


def few() -> dict[str, Any]:
    names = (
        "plain",
        *EXACT,
        "relaxed-low-0.1",
        "relaxed-high-0.1",
        "relaxed-always-0.1",
        "typical",
    )
    return {name: info for name, info in conditions_of(KNOWING).items() if name in names}


def test_conditions_share_their_drafting_and_their_phases() -> None:
    for online in (False, True):
        conditions = conditions_of(KNOWING, online=online)
        exact = EXACT if online else EXACT[:1]
        assert [name for name, each in conditions.items() if each.lossless] == ["plain", *exact]
        for name, info in conditions.items():
            config = EntropyConfig.from_dict(info.config)
            assert config.lossless == info.lossless
            assert config.strategy == ("plain" if name == "plain" else "calibrated")
            assert config.online == (True if online and name not in ("plain", "exact") else None)
            if config.verification == "relaxed" and config.relax_in != "always":
                assert config.theta_phase == 0.7
    lossy = {name for name, each in conditions.items() if not each.lossless}
    assert {next(each for each in LOOKS if name.startswith(each)) for name in lossy} == {*LOOKS}


@pytest.mark.slow
def test_a_run_goes_on_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    work = Work(few(), Sampling(), 20, 1)
    folder = tmp_path / "run"
    begun(folder, manifest_of(PROMPTS[:2]))
    assert answer_all(folder, work, PROMPTS[:2]) == 2 * len(few())
    assert len(read_answers(folder)) == 2 * len(few())

    played: list[str] = []
    play = PromptPlayer.play

    def counted(self: PromptPlayer, prompt: Any, done: Any) -> Any:
        for made in play(self, prompt, done):
            played.append(prompt.prompt_id)
            yield made

    monkeypatch.setattr(PromptPlayer, "play", counted)
    grown = begun(folder, manifest_of(PROMPTS))
    assert [each.prompt_id for each in grown.prompts] == [each.prompt_id for each in PROMPTS]
    assert len(begun(folder, manifest_of(PROMPTS[:1])).prompts) == len(PROMPTS)
    answer_all(folder, work, PROMPTS)
    assert set(played) == {each.prompt_id for each in PROMPTS[2:]}

    document = report(evaluate_run(folder))
    assert document["tasks"] == ["math", "chat"]
    assert set(document["figures"]) == {*few()} - {"plain", *EXACT}
    row = document["figures"]["relaxed-always-0.1"]["overall"]
    assert row["num_compared"] == len(PROMPTS)
    assert row["divergence"]["value"] is not None
    assert document["exact"]["partner"] == "exact-online"
    assert set(document["exact"]["speedup_over_plain"]) == {*EXACT}
    assert document["figures"]["typical"]["by_task"]["math"]["num_compared"] == 2
    assert set(document["verdict"]["overall"]["settings"]) == {
        "relaxed-low-0.1", "relaxed-high-0.1",
    }  # fmt: skip
    assert document["task_scores"]["conditions"]["typical"]["math"]["num_checked"] == 2
    draw(document, tmp_path / "frontier.svg")
    assert "constant lenience" in (tmp_path / "frontier.svg").read_text("utf-8")
    show(document)
    assert "lenient in predictable phases" in capsys.readouterr().err


def test_answers_made_otherwise_are_not_mixed_in(tmp_path: Path) -> None:
    begun(tmp_path, manifest_of(PROMPTS))
    with pytest.raises(ConfigError, match="config must be what the answers in"):
        begun(tmp_path, manifest_of(PROMPTS, config={"max_new_tokens": 21}))
    with pytest.raises(ConfigError, match="prompts must be what the answers in"):
        begin_side_run(tmp_path, manifest_of(PROMPTS[:1]))


def test_prompts_are_asked_as_they_are() -> None:
    verifier = verifier_of(0)
    asked = lone_prompt("a/0", "a", "abcdefg", verifier, CHECK)
    assert (asked.tokens, asked.check) == (tuple(verifier.tokenizer.encode("abcdefg")), CHECK)
    asked = lone_prompt("a/1", "a", [{"role": "user", "content": "abc"}], verifier)
    assert (asked.turns, asked.chat, asked.tokens) == (("abc",), True, ())


@pytest.mark.parametrize(
    ("bound", "speed"),
    [(-0.01, None), (0.0, 1.0), (0.01, 1.1), (0.02, 1.2), (0.04, 1.25), (0.06, 1.3), (1.0, 1.4)],
)
def test_the_best_mix_of_two_settings(bound: float, speed: float | None) -> None:
    """The setting at 0.04 is below the line between its neighbours, so no mix takes it."""
    points = [(0.0, 1.0), (0.02, 1.2), (0.04, 1.15), (0.10, 1.4)]
    for order in itertools.permutations(points):
        found = best_mix(order, bound)
        assert found == (None if speed is None else pytest.approx(speed))


def figures(**points: tuple[float, float]) -> dict[str, Any]:
    return {
        name.replace("_", "-"): {
            "divergence": {"value": lost},
            "speedup_over_exact": {"value": speed},
        }
        for name, (lost, speed) in points.items()
    }


def test_a_verdict_asks_for_all_three() -> None:
    """Faster by a tenth, within a hundredth, and faster than constant lenience at that loss."""
    found = verdict(
        figures(
            relaxed_always_1=(0.02, 1.22),
            relaxed_low_good=(0.008, 1.12),
            relaxed_low_slow=(0.001, 1.05),
            relaxed_low_lossy=(0.02, 1.4),
            relaxed_high_beaten=(0.0099, 1.105),
            typical=(0.001, 2.0),
        )
    )
    assert found["met_by"] == ["relaxed-low-good"]
    assert found["best_by_direction"] == {
        "relaxed-low": "relaxed-low-good", "relaxed-high": "relaxed-high-beaten",
    }  # fmt: skip
    assert found["best_constant_speed"] == pytest.approx(1.11)
    beaten = found["settings"]["relaxed-high-beaten"]
    assert beaten["constant_at_equal_fidelity"] == pytest.approx(1 + 0.22 * 0.0099 / 0.02)
    assert not beaten["meets_target"]


def test_speeds_are_over_the_faster_exact_decoding() -> None:
    points = figures(relaxed_low_1=(0.005, 1.2), relaxed_always_1=(0.01, 1.2))
    assert verdict(points)["met_by"] == ["relaxed-low-1"]
    found = verdict(points, 1.1)
    assert found["met_by"] == []
    assert found["settings"]["relaxed-low-1"]["speedup_over_exact"] == pytest.approx(1.2 / 1.1)
    assert found["settings"]["relaxed-low-1"]["constant_at_equal_fidelity"] < 1.2 / 1.1


def test_a_direction_that_keeps_no_bound_has_no_best() -> None:
    found = verdict(figures(relaxed_always_1=(0.02, 1.2), relaxed_high_1=(0.5, 3.0)))
    assert found["best_by_direction"] == {"relaxed-low": None, "relaxed-high": None}
    assert found["met_by"] == []
