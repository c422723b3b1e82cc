"""From prompts to a profile and what it says, on the command line, with toy models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smart_speed import cli
from smart_speed.config import EntropyConfig
from smart_speed.machine import machine_facts
from smart_speed.profiles import read_profile
from smart_speed.run_folder import read_manifest as read_run
from smart_speed.tracing.measured_costs import MeasuredCosts
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.trace_files import read_manifest, read_traces
from tests.integration.cli_runs import assert_refused, run
from tests.toy_experiments import quiet_runner, toy_config
from tests.unit.planted import few_settings
from tests.unit.traced import costs_of

LONGEST = 6
TEXTS = (
    "the drafter writes and the", "what both would", "verifier reads", "it stands, what was",
    "mistaken goes out", "the verifier weeds",
)  # fmt: skip
COSTS = MeasuredCosts(
    costs=costs_of(0.05, widest=LONGEST + 1, slope_s=0.02),
    figures={},
    spread=0.01,
    widest="a drafter pass",
    num_rounds=100,
    seconds=9.0,
)
MODELS = ("--engine", "toy", "--verifier", "default")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [
        {"id": f"p{number}", "task": "ab"[number % 2], "prompt": text}
        for number, text in enumerate(TEXTS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def tracing(prompts: Path, **changes: object) -> list[str]:
    options = {"max-new-tokens": 24, "max-draft-len": LONGEST, "drafters": "default"} | {
        name.replace("_", "-"): value for name, value in changes.items()
    }
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [*MODELS, "--prompts", str(prompts), "--raw", *given]


def give_costs(folder: Path) -> None:
    """Timing toys would time the test machine; so they were measured before."""
    folder.mkdir(exist_ok=True)
    document = COSTS.to_json() | {"machine": machine_facts()}
    (folder / "costs-default.json").write_text(json.dumps(document), "utf-8")


@pytest.fixture(autouse=True, scope="module")
def fewer_settings() -> Iterator[None]:
    """Of a few strategies; a unit test learns those of all."""
    with few_settings("fixed", "absolute", "svip", "specdec_pp"):
        yield


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory, prompts: Path) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    give_costs(folder)
    assert cli.main(["calibrate", str(folder), *tracing(prompts)]) == 0
    return folder


def document(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """Return what a run printed as JSON, which must be all of standard output."""
    assert cli.main(argv) == 0
    return json.loads(capsys.readouterr().out)


def edited(source: Path, path: Path, **changes: Any) -> Path:
    """Write a profile with some keys changed."""
    path.write_text(json.dumps(json.loads(source.read_text("utf-8")) | changes), "utf-8")
    return path


@pytest.mark.slow
class TestCalibrate:
    def test_a_folder_holds_traces_costs_and_profile(self, calibrated: Path) -> None:
        names = {path.name for path in calibrated.iterdir()}
        assert names == {
            "traces", "costs-default.json", "profile-default.json", "profile.json",
        }  # fmt: skip
        profile = read_profile(calibrated / "profile.json")
        config = EntropyConfig.from_dict(profile.config)
        assert (config.strategy, config.draft_cap) == ("calibrated", LONGEST)
        assert profile.engine == "toy"
        assert profile.learned["split"]["num_by_task"] == {"a": 3, "b": 3}
        assert profile.learned["measured"]["spread"] == 0.01

    def test_an_experiment_answers_none_of_its_prompts_whatever_their_ids(
        self, calibrated: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "others.txt"
        path.write_text("\n".join((*TEXTS, "the drafter stands", "what would be")), "utf-8")
        config = toy_config(
            tmp_path,
            dataset_name=str(path),
            profile=str(calibrated / "profile.json"),
            num_samples=len(TEXTS) + 2,
            conditions=["plain"],
        )
        quiet_runner(config).run_full_experiment()
        found = read_run(config.folder)
        assert set(found.calibration_prompt_ids) == {f"p{number}" for number in range(len(TEXTS))}
        assert {each.prompt_id for each in found.prompts} == {"others/6", "others/7"}

    def test_learning_again_needs_no_models(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = json.loads((calibrated / "profile.json").read_text("utf-8"))
        monkeypatch.setattr(TraceRecorder, "__init__", None)
        found = document(capsys, "calibrate", str(calibrated), "--only", "learn", "--json")
        assert found["config"] == before["config"]

    def test_an_interrupted_run_goes_on(
        self,
        prompts: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        recorded: list[str] = []
        record = TraceRecorder.record

        def interrupted(self: TraceRecorder, *args: Any, **settings: Any) -> Any:
            if len(recorded) == 2:
                raise KeyboardInterrupt
            recorded.append(settings["prompt_id"])
            return record(self, *args, **settings)

        argv = ["trace", str(tmp_path), *tracing(prompts)]
        with monkeypatch.context() as patch:
            patch.setattr(TraceRecorder, "record", interrupted)
            status, said = run(capsys, *argv)
        assert (status, said) == (130, "smart-speed: interrupted.")
        assert len(list((tmp_path / "parts").iterdir())) == 2
        assert cli.main(argv) == 0
        assert "2 of 6 prompts were traced before." in capsys.readouterr().err
        found = read_traces(tmp_path)
        assert [each.prompt_id for each in found] == [*read_manifest(tmp_path).prompt_ids]
        assert len(found) == len(TEXTS)

    def test_other_settings_are_not_mixed_in(
        self, calibrated: Path, prompts: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        argv = ("calibrate", str(calibrated), *tracing(prompts, max_new_tokens=41))
        assert_refused(run(capsys, *argv), "max_new_tokens must stay 24", "got 41")

    @pytest.mark.parametrize(
        ("extra", "words"),
        [
            (("--only", "trace,lern"), ("Unknown stage 'lern'. Did you mean 'learn'?",)),
            (("--resolution", "2"), ("resolution must be between 0 and 1, got 2.0",)),
            (("--most-seconds", "0"), ("most_seconds must be above 0",)),
            (("--max-draft-len", "0"), ("max_draft_len must be at least 1, got 0",)),
            (("--drafters", "ngram,ngram"), ("drafters must be named once each",)),
            (("--prompts", "/no/such/file.jsonl"), ("/no/such/file.jsonl",)),
            (("--limit", "0"), ("limit must be at least 1, got 0",)),
            (("--resolutoin", "0.1"), ("unrecognized arguments: --resolutoin",)),
        ],
    )
    def test_bad_input(
        self,
        extra: tuple[str, ...],
        words: tuple[str, ...],
        prompts: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        argv = ("calibrate", str(tmp_path / "new"), *tracing(prompts), *extra)
        assert_refused(run(capsys, *argv), *words)

    def test_costs_must_be_there_to_learn(
        self, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        argv = ("calibrate", str(tmp_path), *tracing(prompts), "--only")
        assert cli.main([*argv, "trace"]) == 0
        refused = run(capsys, "calibrate", str(tmp_path), "--only", "learn")
        assert_refused(refused, "costs must be measured before anything is learned")


@pytest.mark.slow
class TestReplay:
    def test_policies_beside_bounds(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        profile = str(calibrated / "profile.json")
        found = document(capsys, "replay", str(calibrated), "--profile", profile, "--json")
        policies = found["policies"]
        assert {"calibrated", "specdec_pp", "absolute", "svip", "oracle"} <= set(policies)
        assert found["num_texts"] == len(TEXTS)
        assert sorted(found["tasks"]) == ["a", "b"]
        learned = read_profile(calibrated / "profile.json")
        assert found["fixed_len"] == learned.settings_of("fixed")["max_draft_len"]
        predicted = learned.learned["predicted"]
        for name in ("calibrated", "oracle"):
            assert policies[name]["speed"] == pytest.approx(predicted[name]["speed"])
        speeds = {name: each["speed"]["value"] for name, each in policies.items()}
        assert max(speeds, key=lambda name: speeds[name]) == "oracle"

    def test_one_rule_of_ones_own(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = document(
            capsys, "replay", str(calibrated / "traces"), "--strategy", "absolute",
            "--theta-abs", "0.7", "--max-draft-len", "4", "--json", "--fixed-len", "2",
            "--costs", str(calibrated / "costs-default.json"),
        )  # fmt: skip
        assert set(found["policies"]) == {
            "plain", "absolute", "fixed-2 (to beat)", "oracle",
        }  # fmt: skip

    def test_a_choice_of_drafters(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        costs = str(calibrated / "costs-default.json")
        found = document(
            capsys, "replay", str(calibrated), "--costs", costs, "--compare", "plain", "--json",
            "--also", f"default={costs}",
        )  # fmt: skip
        policies = found["policies"]
        alone = policies["oracle"]["speed"]  # its seconds are summed in another order
        assert policies["oracle, choice of 2 drafters"]["speed"] == pytest.approx(alone)

    def test_a_search(self, calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
        argv = ("replay", str(calibrated), "--profile", str(calibrated / "profile.json"))
        found = document(capsys, *argv, "--search", "fixed,svip,specdec_pp", "--json")
        learned = read_profile(calibrated / "profile.json")
        assert found["fixed"]["settings"] == learned.settings_of("fixed")
        assert found["svip"]["over_plain"] >= 1
        own = found["specdec_pp"]["settings"]
        assert own == learned.learned["strategies"]["specdec_pp"]["settings"]
        assert set(found["svip"]["curves"]) == {"svip_h", "max_draft_len", "stop_placement"}
        assert cli.main([*argv, "--search", "fixed"]) == 0
        assert "fixed: max_draft_len" in capsys.readouterr().err

    def test_for_people(self, calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
        argv = ["replay", str(calibrated), "--profile", str(calibrated / "profile.json")]
        assert cli.main(argv) == 0
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "oracle" in captured.err
        assert "best fixed length of each task, in hindsight: a " in captured.err

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (("{folder}/none", "--costs", "{costs}"), ("Traces must have a readable manifest",)),
            (("{folder}",), ("--costs must be given, unless a profile with measured costs is",)),
            (("{folder}", "--costs", "{folder}/none"), ("--costs must be a readable JSON file",)),
            (("{folder}", "--costs", "{profile}"), ("cost",)),
            (("{folder}", "--costs", "{costs}", "--drafter", "x"), ("Unknown drafter 'x'",)),
            (("{folder}", "--costs", "{costs}", "--search", "svp"), ("Did you mean 'svip'?",)),
            (("{folder}", "--costs", "{costs}", "--compare", "svp"), ("Did you mean 'svip'?",)),
            (
                ("{folder}", "--costs", "{costs}", "--fixed-len", "9"),
                ("fixed_len must be 1 to 6", "got 9"),
            ),
            (("{folder}", "--costs", "{costs}", "--fixed-len", "0"), ("1 to 6", "got 0")),
            (("{folder}", "--costs", "{costs}", "--also", "x"), ("of the form DRAFTER=COSTS",)),
            (
                ("{folder}", "--costs", "{costs}", "--also", "x={costs}"),
                ("--also must be a drafter of the traces", "got 'x'"),
            ),
            (
                ("{folder}", "--costs", "{costs}", "--compare", "calibrated"),
                ("calibration must be given with strategy 'calibrated', as a profile does",),
            ),
            (
                ("{folder}", "--costs", "{costs}", "--search", "fixed,specdec_pp"),
                ("calibration must be given with strategy 'specdec_pp', as a profile does",),
            ),
        ],
    )
    def test_bad_input(
        self,
        argv: tuple[str, ...],
        words: tuple[str, ...],
        calibrated: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        names = {
            "folder": calibrated,
            "costs": calibrated / "costs-default.json",
            "profile": calibrated / "profile.json",
        }
        assert_refused(run(capsys, "replay", *(each.format(**names) for each in argv)), *words)


@pytest.mark.slow
class TestProfile:
    def test_show_explains_it(self, calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["profile", "show", str(calibrated)]) == 0
        captured = capsys.readouterr()
        assert captured.out == ""
        for words in (
            "engine: toy", "learned on 6 prompts", "a verifier pass of one token takes",
            "calibration error", "calibrated", "oracle",
        ):  # fmt: skip
            assert words in captured.err
        assert "…" not in captured.err  # nothing is cut where there is no terminal

    def test_show_as_json(self, calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = calibrated / "profile.json"
        found = document(capsys, "profile", "show", str(path), "--json")
        assert found == json.loads(path.read_text("utf-8"))

    @pytest.mark.parametrize("ending", ["svg", "png"])
    def test_show_draws(self, ending: str, calibrated: Path, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        path = tmp_path / f"profile.{ending}"
        assert cli.main(["profile", "show", str(calibrated), "--plot", str(path)]) == 0
        assert path.stat().st_size > 10_000

    def test_bad_input(
        self, calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        show = ("profile", "show")
        assert_refused(run(capsys, *show, str(tmp_path)), "A profile must be a readable JSON file")
        plot = ("--plot", str(tmp_path / "x.gif"))
        assert_refused(run(capsys, *show, str(calibrated), *plot), ".svg, .png or .pdf", "x.gif")
        nowhere = ("--plot", str(tmp_path / "none" / "x.svg"))
        assert_refused(run(capsys, *show, str(calibrated), *nowhere), "can be written")
        bare = tmp_path / "bare.json"
        bare.write_text('{"schema": 1, "config": {}}', "utf-8")
        assert_refused(run(capsys, *show, str(bare)), "`smart-speed calibrate` wrote", "measured")


@pytest.mark.slow
class TestUse:
    ANSWER = ("generate", "the drafter", *MODELS, "--max-new-tokens", "24", "--json")

    def test_generate_decodes_with_it(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = document(capsys, *self.ANSWER, "--profile", str(calibrated / "profile.json"),
                         "--drafter", "default")  # fmt: skip
        plain = document(capsys, *self.ANSWER, "--strategy", "plain")
        assert found["text"] == plain["text"]
        assert found["record"]["condition"] == "calibrated"

    @pytest.mark.parametrize("older", [False, True])
    def test_a_rival_reads_its_model_of_acceptance(
        self, older: bool, calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The older profile was written before there were thresholds of that rival."""
        path = calibrated / "profile.json"
        if older:
            strategies = json.loads(path.read_text("utf-8"))["strategies"]
            del strategies["specdec_pp"]
            path = edited(path, tmp_path / "older.json", strategies=strategies)
        argv = (*self.ANSWER, "--profile", str(path), "--drafter", "default")
        found = document(capsys, *argv, "--strategy", "specdec_pp")
        plain = document(capsys, *self.ANSWER, "--strategy", "plain")
        assert found["text"] == plain["text"]
        assert found["record"]["condition"] == "specdec_pp"
        compared = document(capsys, *argv, "--compare", "specdec_pp")
        config = compared["conditions"]["specdec_pp"]["config"]
        learned = read_profile(path).settings_of("specdec_pp")
        assert config["specdec_h"] == learned.get("specdec_h", 0.3)
        assert config["calibration"] == read_profile(path).config["calibration"]

    @pytest.mark.parametrize(
        ("changes", "extra", "words"),
        [
            ({"verifier": {"name": "big", "id": "0"}}, (), ("verifier must be the 'big'",)),
            ({"drafter": {"name": "small", "id": "0"}}, (), ("drafter must be the 'small'",)),
            ({"engine": "hf"}, (), ("engine must be 'hf' for this profile, got 'toy'",)),
            ({}, ("--temperature", "0.5"), ("temperature must be 0.0 for this profile",)),
        ],
    )
    def test_another_is_refused_unless_forced(
        self,
        changes: dict[str, Any],
        extra: tuple[str, ...],
        words: tuple[str, ...],
        calibrated: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = edited(calibrated / "profile.json", tmp_path / "other.json", **changes)
        argv = (*self.ANSWER, "--profile", str(path), *extra)
        assert_refused(run(capsys, *argv), *words, "--force")
        found = document(capsys, *argv, "--force")
        assert found["record"]["condition"] == "calibrated"
