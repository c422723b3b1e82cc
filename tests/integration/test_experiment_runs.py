"""Experiments on the toy engine, whole: files, order, resuming, refusals, budget, screening."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import smart_speed.running.side_runs as side_runs
from smart_speed.analysis import AnalysisPipeline
from smart_speed.calibration import making
from smart_speed.errors import (
    ConfigError,
    MeasurementError,
    NonFiniteError,
    OutputError,
    SmartSpeedError,
)
from smart_speed.experiment import ExperimentConfig, ExperimentRunner
from smart_speed.loaded_run import load_run
from smart_speed.run_folder import ANSWERS_NAME, MANIFEST_NAME, read_answers, read_manifest
from smart_speed.running import calibrating, live, on_ray, screening
from smart_speed.running.screening import SCREENING_NAME, one_by_one, screen
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.tracing.measured_costs import RoughCostsError
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.record import TraceRecorder
from tests.toy_experiments import known_costs, known_profile, quiet_runner, toy_config
from tests.unit.traced import costs_of, trace_of


def lines_of(config: ExperimentConfig) -> list[str]:
    return (config.folder / ANSWERS_NAME).read_text().splitlines()


def test_run_writes_what_was_done(tmp_path: Path) -> None:
    config = toy_config(tmp_path, repeats=2)
    shown: list[tuple[str, int, int]] = []
    outcome = quiet_runner(
        config, progress=lambda what, done, total, note: shown.append((what, done, total))
    ).run_full_experiment()
    assert (outcome.num_done, outcome.num_failed, outcome.is_complete) == (48, 0, True)
    assert [each for each in shown if each[0] == "answers"][-1] == ("answers", 48, 48)
    assert shown[-4:] == [("conditions predicted", done, 4) for done in range(4)]
    run = load_run(config.folder)
    assert ExperimentConfig.from_dict(run.manifest.config) == config
    assert list(run.manifest.conditions) == list(config.conditions)
    assert [each.num_turns for each in run.manifest.prompts] == [1] * 6
    about = run.manifest.about
    assert about["machine_id"] == run.answers[0].machine
    assert {"argv", "git", "packages", "clock_resolution_s", "date"} <= set(about)
    assert len({each.trace.prompt_id for each in run.texts}) == 6
    by_prompt = {each.trace.prompt_id: each.trace.tokens.tolist() for each in run.texts}
    assert all(list(each.tokens) == by_prompt[each.prompt_id] for each in run.answers)
    # Prompt after prompt, all conditions of each in turn.
    prompts = [each.prompt_id for each in run.answers]
    assert prompts == [each.prompt_id for each in run.manifest.prompts for _ in range(8)]


def test_second_call_does_nothing_twice(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    quiet_runner(config).run_full_experiment()
    before = lines_of(config)
    assert quiet_runner(config).run_full_experiment().is_complete
    assert lines_of(config) == before


def test_time_budget_stops_between_prompts_and_a_later_call_goes_on(
    tmp_path: Path, clock: Callable[[], float]
) -> None:
    config = toy_config(tmp_path, time_budget_s=2.0)
    outcome = quiet_runner(config, clock=clock).run_full_experiment()
    # A second passes whenever somebody looks: at the start, and before each further prompt.
    assert (outcome.num_done, outcome.num_answers) == (8, 24)
    quiet_runner(replace(config, time_budget_s=None)).run_full_experiment()
    assert len(lines_of(config)) == 24


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_new_tokens": 8}, "max_new_tokens must stay 16 to go on with the run in"),
        ({"seed": 3}, "seed must stay 0"),
        ({"conditions": ("plain",)}, r"conditions must stay \['plain', 'fixed-4'"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    config = toy_config(tmp_path, num_samples=1)
    quiet_runner(config).run_full_experiment()
    before = lines_of(config)
    with pytest.raises(ConfigError, match=words):
        quiet_runner(replace(config, **change)).run_full_experiment()
    assert lines_of(config) == before


def test_other_prompts_under_the_same_name_are_refused(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    quiet_runner(config).run_full_experiment()
    path = Path(str(config.dataset_name))
    path.write_text(path.read_text().replace("drafter", "verifier"))
    with pytest.raises(ConfigError, match="prompts must stay"):
        quiet_runner(config).run_full_experiment()


def test_another_machine_is_refused_once_something_was_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config(tmp_path, num_samples=2)
    quiet_runner(config).run_full_experiment()
    lines = lines_of(config)
    monkeypatch.setattr(side_runs, "machine_id", lambda: "another")
    (config.folder / ANSWERS_NAME).write_text("")
    quiet_runner(config).run_full_experiment()
    (config.folder / ANSWERS_NAME).write_text("\n".join(lines[:3]) + "\n")
    with pytest.raises(ConfigError, match="machine must be the one that timed the answers"):
        quiet_runner(config).run_full_experiment()


def test_costs_of_another_machine_are_refused(learning: ExperimentConfig) -> None:
    config = replace(learning, conditions=["fixed-best"], num_samples=1)
    quiet_runner(config).run_full_experiment()
    (config.folder / MANIFEST_NAME).unlink()
    path = calibrating.costs_path(config.folder / "calibration", "default")
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"machine": {"processor": "another"}}))
    with pytest.raises(ConfigError, match="machine must be the one whose costs were measured"):
        quiet_runner(config).run_full_experiment()


def test_prompts_that_cannot_be_traced_are_failures_and_not_the_end(tmp_path: Path) -> None:
    config = toy_config(tmp_path, num_samples=2, chat_template="never")

    def break_traces(*_: Any, **__: Any) -> Any:
        raise NonFiniteError("Logits are NaN.")

    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TraceRecorder, "record", break_traces)
        outcome = quiet_runner(config, say=said.append).run_full_experiment()
    assert outcome.is_complete
    assert sum("cannot be traced: Logits are NaN." in each for each in said) == 2
    assert load_run(config.folder).texts == []


def test_failures_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config(tmp_path, num_samples=2)
    answer = live.PromptPlayer._answer

    def failing(self: Any, decoder: Any, prompt: Any, said: Any, key: Any) -> Any:
        if key.condition == "svip":
            raise RuntimeError("out of memory")
        return answer(self, decoder, prompt, said, key)

    with monkeypatch.context() as patch:
        patch.setattr(live.PromptPlayer, "_answer", failing)
        outcome = quiet_runner(config).run_full_experiment()
    assert (outcome.num_done, outcome.num_failed, outcome.is_complete) == (6, 2, False)
    errors = [each.record for each in read_answers(config.folder) if each.record.error]
    assert [each.error for each in errors] == ["out of memory"] * 2
    assert quiet_runner(config).run_full_experiment().is_complete
    assert len(read_answers(config.folder)) == 8
    assert all(each.record.status == "ok" for each in read_answers(config.folder))


def test_plan_says_what_is_left(tmp_path: Path) -> None:
    config = toy_config(tmp_path, num_samples=4)
    plan = quiet_runner(config).plan()
    assert (plan.num_answers, plan.num_done, plan.num_conditions) == (16, 0, 4)
    assert (plan.seconds or 0) > 0
    assert not config.folder.exists()
    quiet_runner(config).run_full_experiment()
    plan = quiet_runner(config).plan()
    assert (plan.num_done, plan.seconds) == (16, 0)
    bytes_there = (config.folder / ANSWERS_NAME).stat().st_size
    assert 0.3 < plan.num_bytes / bytes_there < 3


def test_plan_is_said_before_the_work_begins(tmp_path: Path) -> None:
    config = toy_config(tmp_path, num_samples=4)
    said: list[str] = []

    def stop(what: str, done: int, total: int, note: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet_runner(config, say=said.append, progress=stop).run_full_experiment()
    assert any("4 conditions × 4 prompts (4 turns) × 1 repeats = 16" in each for each in said)
    assert any("about a minute, if every condition were" in each for each in said)
    quiet_runner(config).run_full_experiment()
    said.clear()
    quiet_runner(config, say=said.append).run_full_experiment()
    assert not any("conditions ×" in each for each in said)  # nothing is left


def test_long_plan_says_how_to_have_it_shorter(tmp_path: Path) -> None:
    plan = quiet_runner(toy_config(tmp_path)).plan()
    assert not any("make it shorter" in each for each in plan.sentences())
    long = replace(plan, seconds=15 * 3600.0, budget_s=None).sentences()
    assert "about 15 hours" in long[2]
    assert "make it shorter" in long[3]
    limited = replace(plan, seconds=15 * 3600.0, budget_s=900.0).sentences()
    assert "stops after about 15 minutes of answering" in limited[3]
    assert len(replace(plan, seconds=600.0, budget_s=900.0).sentences()) == 3
    assert "not known" in replace(plan, seconds=None).sentences()[2]


def test_first_prompt_that_fails_does_not_end_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise NonFiniteError("Logits are NaN.")

    monkeypatch.setattr(EntropyBasedSpeculativeDecoder, "generate", fail)
    assert quiet_runner(toy_config(tmp_path)).plan().seconds is None


def test_unfinished_run_is_analysed_with_the_traces_that_there_are(
    learning: ExperimentConfig,
) -> None:
    config = replace(learning, ablations=())

    def stop(what: str, done: int, total: int, note: str) -> None:
        if what == "answers" and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet_runner(config, progress=stop).run_full_experiment()
    run = load_run(config.folder)
    assert 0 < len(run.answers) < 3 * len(run.manifest.conditions)
    assert [each.trace.prompt_id for each in run.texts] == [
        each.prompt_id for each in run.manifest.prompts[:2]
    ]
    found = AnalysisPipeline(config.folder).run_full_analysis()
    assert found.report.is_file()
    assert quiet_runner(config).run_full_experiment().is_complete
    assert len(load_run(config.folder).texts) == 3


def test_temperatures_that_a_condition_cannot_have_are_refused_at_once(tmp_path: Path) -> None:
    greedy = {"greedy": {"strategy": "absolute", "verification": "greedy"}}
    config = toy_config(tmp_path, conditions=greedy, ablations=("temperature",))
    with pytest.raises(ConfigError, match="verification must be"):
        quiet_runner(config)


def test_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = toy_config(tmp_path, output_dir=str(tmp_path / "file" / "run"))
    with pytest.raises(OutputError, match="A run must go to a folder that can be written"):
        quiet_runner(config).run_full_experiment()


@pytest.mark.parametrize(
    "change",
    [
        {"verifier_model_path": "/no/such/model"},
        {"dataset_name": "/no/such/prompts.jsonl"},
        {"conditions": "quick", "profile": "bare.json"},
    ],
)
def test_what_fails_before_the_run_begins_leaves_nothing(
    tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bare.json").write_text('{"schema": 1, "config": {"strategy": "fixed"}}')
    config = toy_config(tmp_path, output_dir=str(tmp_path / "results" / "run"))
    with pytest.raises(SmartSpeedError):
        quiet_runner(replace(config, **change)).run_full_experiment()
    assert not (tmp_path / "results").exists()
    config.folder.mkdir(parents=True)
    with pytest.raises(SmartSpeedError):
        quiet_runner(replace(config, **change)).run_full_experiment()
    assert list(config.folder.iterdir()) == []  # what was there stays


@pytest.fixture
def few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    grids = {
        "fixed": {"max_draft_len": (1, 2, 3, 4, 40)},
        "absolute": {
            "theta_abs": (0.5, 1.0),
            "max_draft_len": (2, 4),
            "stop_placement": ("before", "after"),
        },
        "ema": {"ema_alpha": (0.1, 0.2), "tiers": ((1, 2), (1, 40))},
    }
    monkeypatch.setattr(screening, "GRIDS", grids)


@pytest.fixture
def learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentConfig:
    monkeypatch.setattr(calibrating, "measure_costs", known_costs)
    monkeypatch.setattr(making, "make_profile", known_profile)
    return toy_config(
        tmp_path,
        conditions="quick",
        ablations=("stop_placement",),
        num_calibration_samples=8,
        num_samples=3,
        trace_draft_len=4,
        baseline_k_values=(2, 6),
    )


def test_learned_settings_come_from_other_prompts(learning: ExperimentConfig) -> None:
    outcome = quiet_runner(learning).run_full_experiment()
    assert outcome.is_complete
    run = load_run(learning.folder)
    assert run.profile is not None
    assert run.costs is not None
    learned_on = set(run.profile.learned["split"]["prompt_ids"])
    assert learned_on == set(run.manifest.calibration_prompt_ids)
    assert len(learned_on) == 8
    assert not learned_on & {each.prompt_id for each in run.manifest.prompts}
    best = run.profile.settings_of("fixed")["max_draft_len"]
    assert run.manifest.conditions["fixed-best"].config["max_draft_len"] == best
    document = json.loads((learning.folder / SCREENING_NAME).read_text())
    rows = {row["condition"]: row for row in document["conditions"]}
    assert set(rows) == set(run.manifest.conditions)
    assert rows["fixed-6"]["predicted_tokens_per_s"] is None  # traces hold drafts of 4
    assert rows["fixed-best"]["predicted_tokens_per_s"] > 0
    assert all(row["live_tokens_per_s"] > 0 for row in rows.values())


def test_profile_stands_in_for_learning(learning: ExperimentConfig, tmp_path: Path) -> None:
    learning = replace(learning, conditions=["plain", "absolute"], ablations=(), num_samples=1)
    quiet_runner(learning).run_full_experiment()
    profile = learning.folder / "calibration" / "profile.json"
    config = replace(
        learning, profile=str(profile), num_samples=20, output_dir=str(tmp_path / "second")
    )
    outcome = quiet_runner(config).run_full_experiment()
    first, second = read_manifest(learning.folder), read_manifest(outcome.folder)
    assert second.calibration_prompt_ids == first.calibration_prompt_ids
    assert len(second.prompts) == 12  # all others
    assert second.conditions["absolute"] == first.conditions["absolute"]
    with pytest.raises(ConfigError, match=r"temperature must be 0\.0 for this profile"):
        quiet_runner(replace(config, temperature=1.0)).run_full_experiment()


def test_noisy_machine_goes_on_with_what_is_known(
    learning: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning = replace(learning, conditions=["fixed-best"])

    def short(*models: Any, **settings: Any) -> Any:
        raise MeasurementError("Costs must be known.")

    def noisy(*models: Any, **settings: Any) -> Any:
        raise RoughCostsError("Costs must be known well.", known_costs(*models, **settings))

    monkeypatch.setattr(calibrating, "measure_costs", short)
    with pytest.raises(MeasurementError, match=r"must be known\."):
        quiet_runner(learning).run_full_experiment()
    monkeypatch.setattr(calibrating, "measure_costs", noisy)
    said: list[str] = []
    quiet_runner(learning, say=said.append).run_full_experiment()
    assert "Costs must be known well. What was found is used." in said


def test_each_temperature_is_a_run_of_its_own(tmp_path: Path) -> None:
    config = toy_config(tmp_path, num_samples=1, ablations=("temperature",))
    quiet_runner(config).run_full_experiment()
    for temperature in (0.5, 1.0):
        run = load_run(config.folder / f"temperature-{temperature:g}")
        assert run.manifest.sampling["temperature"] == temperature
        assert len(run.answers) == 4


def test_screened_settings_are_those_of_replay(few_settings: None) -> None:
    texts = [PreparedTrace(trace_of("model", 1, (2,))), PreparedTrace(trace_of("model", 0, (0, 1)))]
    found = screen(texts, costs_of(), {})
    assert {name: len(tried) for name, tried in found.items()} == {
        "fixed": 4, "absolute": 8, "ema": 2,
    }  # fmt: skip
    for strategy in found:
        for each in found[strategy]:
            settings = [dict(each.settings)]
            assert each.rate == pytest.approx(next(one_by_one(texts, costs_of(), settings)))
        rates = [each.rate for each in found[strategy]]
        assert rates == sorted(rates, reverse=True)


def test_best_settings_are_confirmed_live(learning: ExperimentConfig, few_settings: None) -> None:
    config = replace(learning, conditions=["plain", "absolute"], confirm_live=2)
    quiet_runner(config).run_full_experiment()
    run = load_run(config.folder)
    confirmed = {name: info for name, info in run.manifest.conditions.items() if "/scr" in name}
    assert set(confirmed) == {
        f"{strategy}/screened-{number}"
        for strategy in ("fixed", "absolute", "ema")
        for number in (1, 2)
    }
    assert all(info.learned and info.group == "screening" for info in confirmed.values())
    document = json.loads((config.folder / SCREENING_NAME).read_text())
    assert document["screened"]["num_tried"] == 14
    rows = {row["condition"]: row for row in document["conditions"]}
    best = document["screened"]["best"]["fixed"][0]
    row = rows["fixed/screened-1"]
    assert row["predicted_on_calibration_tokens_per_s"] == pytest.approx(best["rate"])
    assert row["live_tokens_per_s"] > 0


def test_screening_a_rival_reads_the_profiles_model_of_acceptance(
    learning: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a calibration lost or listed; what was learned confirmed a second time."""
    grid = {"specdec_h": (0.4, 0.8), "max_draft_len": (4,)}
    monkeypatch.setattr(screening, "GRIDS", {"specdec_pp": grid})
    names = ["specdec_pp", "specdec_pp-learned"]
    config = replace(learning, conditions=names, ablations=(), confirm_live=2)
    quiet_runner(config).run_full_experiment()
    conditions = load_run(config.folder).manifest.conditions
    assert set(conditions) == {"plain", *names, "specdec_pp/screened-1"}
    assert conditions["specdec_pp-learned"].config["specdec_h"] == 0.4
    assert conditions["specdec_pp/screened-1"].config["specdec_h"] == 0.8
    assert conditions["specdec_pp/screened-1"].config["calibration"]
    document = json.loads((config.folder / SCREENING_NAME).read_text())
    assert document["screened"]["num_tried"] == 2
    assert all("calibration" not in row["config"] for row in document["conditions"])
    best = document["screened"]["best"]["specdec_pp"]
    assert all("calibration" not in each["settings"] for each in best)


def test_workers_are_asked_for_an_installed_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(Exception, match=r"pip install 'smart-speed\[ray\]'"):
        on_ray._ray()


def test_runner_speaks_on_stderr_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ExperimentRunner(toy_config(tmp_path, num_samples=1)).run_full_experiment()
    out, err = capsys.readouterr()
    assert out == ""
    assert "Verifier letters" in err
    assert MANIFEST_NAME in {each.name for each in (tmp_path / "run").iterdir()}
