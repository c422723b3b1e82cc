"""A choice among drafters from calibration to every entry point, with toy models."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smart_speed import EntropyBasedSpeculativeDecoder, cli
from smart_speed.loaded_run import load_run
from smart_speed.machine import machine_facts
from smart_speed.profiles import read_profile
from smart_speed.records import SequenceRecord
from smart_speed.running import calibrating
from smart_speed.running.calibrating import ROUTE_PROFILE_NAME
from smart_speed.tracing.measured_costs import MeasuredCosts
from tests.integration.cli_runs import assert_refused, run
from tests.toy_experiments import known_costs, quiet_runner, toy_config
from tests.unit.planted import few_settings
from tests.unit.traced import costs_of

LONGEST = 6
NAMES = ("ngram", "default")
TOGETHER = "route:ngram,default"
TEXTS = (
    "the drafter writes and the", "what both would", "verifier reads", "it stands, what was",
    "the the the the the", "the verifier weeds",
)  # fmt: skip
TOY = ("--engine", "toy")


@pytest.fixture(autouse=True, scope="module")
def fewer_settings() -> Iterator[None]:
    with few_settings("fixed"):
        yield


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    prompts = folder / "prompts.txt"
    prompts.write_text("\n".join(TEXTS), "utf-8")
    for name, step_s in zip(NAMES, (0.01, 0.08), strict=True):
        costs = replace(costs_of(step_s, widest=LONGEST + 1, slope_s=0.02), catch_up_s=0.01)
        measured = MeasuredCosts(
            costs=costs, figures={}, spread=0.01, widest="a pass", num_rounds=9, seconds=1.0
        )
        document = measured.to_json() | {"machine": machine_facts()}
        (folder / f"costs-{name}.json").write_text(json.dumps(document), "utf-8")
    argv = ["calibrate", str(folder), *TOY, "--prompts", str(prompts), "--raw"]
    argv += ["--max-new-tokens", "24", "--max-draft-len", str(LONGEST)]
    assert cli.main([*argv, "--drafters", ",".join(NAMES)]) == 0
    return folder


def document(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert cli.main(argv) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
class TestRouted:
    def test_calibrate_learns_whom_to_choose(self, calibrated: Path) -> None:
        profile = read_profile(calibrated / ROUTE_PROFILE_NAME)
        assert profile.drafter is not None
        assert profile.drafter["name"] == TOGETHER
        assert profile.config["strategy"] == "route"
        assert [arm["drafter"] for arm in profile.config["routing"]["arms"]] == [*NAMES]
        assert set(profile.learned["predicted"]) > {"route", "chain", "hedge", "oracle choice"}
        assert read_profile(calibrated / "profile.json").config["strategy"] == "calibrated"

    def test_generate_writes_the_text_of_plain_decoding(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        common = ("generate", TEXTS[4], *TOY, "--max-new-tokens", "40", "--json")
        plain = document(capsys, *common, "--strategy", "plain")
        chosen = ("--drafter", TOGETHER, "--profile", str(calibrated / ROUTE_PROFILE_NAME))
        for more in ((), ("--route-by", "chain"), ("--route-by", "hedge"), ("--route-by", "ngram")):
            found = document(capsys, *common, *chosen, *more)
            assert found["tokens"] == plain["tokens"]
            record = SequenceRecord.from_json(found["record"])
            assert {turn.drafter for turn in record.rounds} <= {"none", *NAMES}
        assert {turn.drafter for turn in record.rounds} == {"ngram"}

    def test_the_api_takes_the_profile_as_well(self, calibrated: Path) -> None:
        decoder = EntropyBasedSpeculativeDecoder.from_pretrained(
            "default", TOGETHER, engine="toy", profile=str(calibrated / ROUTE_PROFILE_NAME)
        )
        plain = EntropyBasedSpeculativeDecoder.from_pretrained("default", None, engine="toy")
        found = decoder.generate("the drafter", max_new_tokens=30)
        assert found.tokens == plain.generate("the drafter", max_new_tokens=30).tokens
        assert decoder.config.strategy == "route"

    def test_replay_and_profile_show_what_choosing_earns(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = str(calibrated / ROUTE_PROFILE_NAME)
        found = document(capsys, "replay", str(calibrated), "--profile", path, "--json")
        predicted = read_profile(Path(path)).learned["predicted"]
        assert found["policies"] == predicted
        assert cli.main(["profile", "show", path]) == 0
        said = capsys.readouterr().err
        assert "oracle choice" in said
        assert "gains" in said
        refused = run(capsys, "replay", str(calibrated), "--profile", path, "--drafter", "ngram")
        assert_refused(refused, "left out with a profile that chooses among drafters")

    def test_bad_input_is_refused_in_one_sentence(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        profile = ("--profile", str(calibrated / ROUTE_PROFILE_NAME))
        common = ("generate", "the", *TOY)
        refused = run(capsys, *common, "--drafter", TOGETHER)
        assert_refused(refused, "strategy must be 'route'", "AbsoluteEntropy")
        refused = run(capsys, *common, "--drafter", "ngram", *profile)
        assert_refused(refused, "drafter must be the 'route:ngram,default'")
        refused = run(capsys, *common, "--drafter", "ngram", *profile, "--force")
        assert_refused(refused, "drafters must be those that were learned on, ngram, default")
        refused = run(capsys, *common, "--drafter", TOGETHER, *profile, "--route-by", "nobody")
        assert_refused(refused, "Unknown route_by 'nobody'", "chain, default, gain, hedge, ngram")

    def test_an_experiment_with_the_profile_compares_choices(
        self, calibrated: Path, tmp_path: Path
    ) -> None:
        config = toy_config(
            tmp_path,
            drafter_model_path=TOGETHER,
            profile=str(calibrated / ROUTE_PROFILE_NAME),
            conditions=["router", "route-only-default"],
        )
        quiet_runner(config).run_full_experiment()
        made = load_run(config.folder)
        assert list(made.manifest.conditions) == [
            "plain", "route", "route-chain", "route-hedge", "route-only-default",
        ]  # fmt: skip
        by_prompt: dict[str, set[tuple[int, ...]]] = {}
        for each in made.answers:
            assert each.record.status == "ok"
            by_prompt.setdefault(each.prompt_id, set()).add(each.tokens)
        assert all(len(texts) == 1 for texts in by_prompt.values())

    def test_an_experiment_learns_whom_to_choose(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calibrating, "measure_costs", known_costs)
        config = toy_config(
            tmp_path,
            drafter_model_path=TOGETHER,
            num_calibration_samples=10,
            trace_draft_len=4,
            conditions=["route", "route-only-ngram"],
        )
        outcome = quiet_runner(config).run_full_experiment()
        assert outcome.is_complete
        assert outcome.num_failed == 0
        assert (config.folder / "calibration" / ROUTE_PROFILE_NAME).is_file()
        drafters = {
            turn.drafter for each in load_run(config.folder).answers for turn in each.record.rounds
        }
        assert "ngram" in drafters
