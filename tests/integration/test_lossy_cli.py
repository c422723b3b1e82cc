"""Leniency from flags, a profile or an experiment to what is said of it, with toy models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smart_speed import cli
from smart_speed.calibration.leniency import LENIENT
from smart_speed.machine import machine_facts
from smart_speed.profiles import read_profile
from smart_speed.run_folder import read_answers
from tests.integration.cli_runs import assert_refused, run
from tests.integration.test_cli_calibrate import COSTS, LONGEST, TEXTS
from tests.toy_experiments import toy_prompts
from tests.unit.planted import few_settings

TOY = ("--engine", "toy", "--verifier", "default")
ASK = ("generate", "the drafter", *TOY, "--max-new-tokens", "40", "--strategy", "fixed")
RULES: dict[str, tuple[str, ...]] = {
    "relaxed": ("--lenience", "0.05", "--relax-in", "always"),
    "easd": ("--easd-theta", "0.1", "--easd-top-n", "2", "--easd-overlap", "0.5"),
    "typical": ("--typical-epsilon", "0.0001", "--typical-delta", "0.0001"),
    "fly": ("--fly-theta", "0", "--fly-window", "1", "--fly-full"),
}


def document(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """Return what a run printed as JSON, which must be all of standard output."""
    assert cli.main(argv) == 0
    return json.loads(capsys.readouterr().out)


class TestGenerate:
    @pytest.mark.parametrize("warm", [(), ("--temperature", "0.9")], ids=["greedy", "warm"])
    @pytest.mark.parametrize("rule", RULES)
    def test_flags_reach_the_rule_and_the_record(
        self, rule: str, warm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        exact = document(capsys, *ASK, *warm, "--json")
        found = document(capsys, *ASK, *warm, "--verification", rule, *RULES[rule], "--json")
        assert exact["record"]["lossless"]
        assert not found["record"]["lossless"]
        assert found["record"]["condition"] == f"fixed-5@{rule}"
        assert sum(found["record"]["rounds"]["inexact_len"]) > 0
        assert found["text"] != exact["text"]
        given = dict(zip(RULES[rule][::2], RULES[rule][1::2], strict=False))
        for flag, value in given.items():
            setting = found["config"][flag.removeprefix("--").replace("-", "_")]
            assert str(setting).removesuffix(".0") == value

    def test_people_are_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main([*ASK, "--verification", "relaxed", *RULES["relaxed"]]) == 0
        said = capsys.readouterr().err
        assert "fixed-5@relaxed" in said
        assert "Lossy: " in said
        assert cli.main(ASK) == 0
        assert "ossy" not in capsys.readouterr().err

    def test_a_comparison_keeps_its_baseline_exact(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        argv = ("generate", "the drafter", *TOY, "--compare", "plain,fixed:4", "--verification",
                "relaxed", *RULES["relaxed"])  # fmt: skip
        found = document(capsys, *argv, "--json")["conditions"]
        assert {name: each["lossless"] for name, each in found.items()} == {
            "plain": True, "fixed-4": False,
        }  # fmt: skip
        assert (found["plain"]["num_divergences"], found["fixed-4"]["num_divergences"]) == (0, None)
        assert cli.main(argv) == 0
        said = capsys.readouterr().err
        assert "Lossy: fixed-4." in said
        assert "NEAR-TIE" not in said

    @pytest.mark.parametrize("compare", [(), ("--compare", "plain,absolute")])
    def test_page_shades_phases(
        self, compare: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "page.html"
        argv = ["generate", "the drafter", *TOY, "--html", str(path), "--theta-phase", "0.3"]
        assert cli.main([*argv, "--temperature", "1", *compare]) == 0
        page = path.read_text("utf-8")
        assert 'class="phase"' in page
        assert "0.3 nats ± 20%" in page
        assert cli.main([*argv[:-2], *compare]) == 0
        assert "1 nats ± 20%" in path.read_text("utf-8")
        capsys.readouterr()


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A calibration whose profile knows what leniency loses."""
    folder = tmp_path_factory.mktemp("calibrated")
    prompts = folder / "prompts.txt"
    prompts.write_text("\n".join(TEXTS), "utf-8")
    costs = json.dumps(COSTS.to_json() | {"machine": machine_facts()})
    (folder / "costs-default.json").write_text(costs, "utf-8")
    argv = [
        "calibrate", str(folder), *TOY, "--prompts", str(prompts), "--raw", "--drafters",
        "default", "--max-new-tokens", "24", "--max-draft-len", str(LONGEST), "--fidelity", "4",
    ]  # fmt: skip
    with few_settings("fixed"):
        assert cli.main(argv) == 0
        yield folder


def edited(calibrated: Path, path: Path, **divergences: tuple[float, float]) -> str:
    """Write a profile whose settings gain and lose what they are said to."""
    values = json.loads((calibrated / "profile.json").read_text("utf-8"))
    for name, each in values["leniency"]["settings"].items():
        speed, high = divergences.get(name.replace("-", "_").replace(".", "_"), (0.9, 9.0))
        each["speedup_over_exact"]["value"] = speed
        each["divergence"]["high"] = high
    path.write_text(json.dumps(values), "utf-8")
    return str(path)


@pytest.mark.slow
class TestCalibrate:
    def test_profile_knows_phases_and_leniency(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        profile = read_profile(calibrated / "profile.json")
        assert 0 < profile.phase_settings["theta_phase"] < 4
        measured = profile.learned["leniency"]
        assert measured["num_prompts"] == 4
        assert list(measured["settings"]) == list(LENIENT)
        for name, each in measured["settings"].items():
            phases = {key: val for key, val in each["settings"].items() if "phase" in key}
            wanted = profile.phase_settings if name.startswith(("relaxed-low", "relaxed-h")) else {}
            assert phases == wanted, name
            assert each["divergence"]["value"] is not None
        answers = read_answers(calibrated / "fidelity-default")
        assert len(answers) == 4 * (1 + len(LENIENT))
        assert all(each.score is not None and each.text is not None for each in answers)
        assert cli.main(["profile", "show", str(calibrated)]) == 0
        said = capsys.readouterr().err
        assert "predictable below" in said
        assert "Lenient acceptance beside exact, on 4 calibration prompts" in said

    def test_learning_again_keeps_what_was_measured(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = read_profile(calibrated / "profile.json").learned["leniency"]
        found = document(capsys, "calibrate", str(calibrated), "--only", "learn", "--json")
        assert found["leniency"] == before

    def test_the_fastest_setting_that_keeps_the_bound(
        self, calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = edited(
            calibrated, tmp_path / "profile.json", relaxed_low_0_6=(1.1, 0.004), fly=(1.3, 0.02)
        )
        ask = ("generate", "the drafter", *TOY, "--profile", path, "--max-divergence")
        chosen = [document(capsys, *ask, bound, "--json") for bound in ("0.3", "1", "2.5")]
        rules = [each["config"].get("verification") for each in chosen]
        assert rules == ["auto", "relaxed", "fly"]
        assert [each["record"]["lossless"] for each in chosen] == [True, False, False]
        learned = read_profile(calibrated / "profile.json").phase_settings
        assert chosen[1]["config"]["theta_phase"] == learned["theta_phase"]
        assert chosen[1]["config"]["lenience"] == 0.6
        assert cli.main([*ask, "1"]) == 0
        said = " ".join(capsys.readouterr().err.split())  # wherever its lines break
        assert "Lossy, for at most 1 % of divergence: " in said
        assert "verification relaxed, relax_in low, lenience 0.6" in said
        assert cli.main([*ask, "0"]) == 0
        assert "decoding exactly" in capsys.readouterr().err
        assert_refused(run(capsys, *ask, "-1"), "max_divergence must be at least 0 per cent")

    def test_a_learned_threshold_is_used_and_can_be_overruled(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        profile = calibrated / "profile.json"
        ask = ("generate", "the drafter", *TOY, "--profile", str(profile), "--json",
               "--verification", "relaxed")  # fmt: skip
        learned = read_profile(profile).phase_settings["theta_phase"]
        assert document(capsys, *ask)["config"]["theta_phase"] == learned
        found = document(capsys, *ask, "--theta-phase", "0.123")
        assert found["config"]["theta_phase"] == 0.123

    def test_lossy_rules_cannot_be_replayed(
        self, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        argv = ("replay", str(calibrated), "--costs", str(calibrated / "costs-default.json"))
        refused = run(capsys, *argv, "--verification", "typical")
        assert_refused(refused, "verification must be lossless for a replay", "'typical'")

    def test_bad_input(self, calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
        argv = ("calibrate", str(calibrated), *TOY, "--fidelity", "1")
        assert_refused(run(capsys, *argv), "fidelity must be at least 2, got 1")


@pytest.fixture(scope="module")
def folder(calibrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    path = folder / "mine.toml"
    path.write_text(
        f"""
        engine = "toy"
        dataset_name = "{toy_prompts(folder)}"
        profile = "{calibrated / "profile.json"}"
        num_samples = 4
        max_sequence_length = 64
        max_new_tokens = 24
        output_dir = "{folder / "run"}"
        [conditions.calibrated]
        [conditions."calibrated-relaxed-low-0.1"]
        [conditions.fixed-4]
        [conditions.mine]
        strategy = "fixed"
        max_draft_len = 4
        verification = "typical"
        typical_epsilon = 0.02
        typical_delta = 0.1
        """
    )
    assert cli.main(["experiment", str(path)]) == 0
    return folder / "run"


@pytest.mark.slow
class TestExperiment:
    def test_conditions_are_marked_and_answers_scored(
        self, folder: Path, calibrated: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = document(capsys, "evaluate", str(folder), "--json")
        conditions = found["conditions"]
        lossy = {name for name, each in conditions.items() if not each["lossless"]}
        assert lossy == {"calibrated-relaxed-low-0.1", "mine"}
        assert {conditions[name]["role"] for name in lossy} == {"lossy"}
        learned = read_profile(calibrated / "profile.json").phase_settings
        relaxed = conditions["calibrated-relaxed-low-0.1"]["config"]
        assert learned.items() <= relaxed.items()
        answers = read_answers(folder)
        assert all((each.record.condition in lossy) != each.record.lossless for each in answers)
        assert all(each.score is not None for each in answers)

    def test_fidelity_is_set_beside_exact_texts(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fidelity = document(capsys, "evaluate", str(folder), "--json")["fidelity"]
        assert fidelity["exact_text"] == "plain"
        partners = {name: each["exact_partner"] for name, each in fidelity["conditions"].items()}
        assert partners == {"calibrated-relaxed-low-0.1": "calibrated", "mine": "fixed-4"}
        for each in fidelity["conditions"].values():
            figures = each["overall"]
            assert figures["num_compared"] == 4
            for name in (
                "agreement", "shared_len", "length_ratio", "speedup_over_exact", "divergence",
                "log_likelihood_per_token", "exact_log_likelihood_per_token",
                "sampled_log_likelihood_per_token", "time_to_answer_ratio",
            ):  # fmt: skip
                assert figures[name]["value"] is not None, name
            assert figures["time_to_answer_s"] > 0
            likely = figures["exact_log_likelihood_per_token"]["value"]
            lost = figures["log_likelihood_per_token"]["value"] / likely - 1
            assert figures["divergence"]["value"] == pytest.approx(lost)
        assert fidelity["conditions"]["mine"]["overall"]["agreement"]["value"] < 1

    def test_tables_and_report_mark_them(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["evaluate", str(folder)]) == 0
        said = capsys.readouterr().err
        assert "Lossy conditions, beside the same drafts kept exact" in said
        assert "Lossy: calibrated-relaxed-low-0.1, mine." in said
        pytest.importorskip("matplotlib")
        pytest.importorskip("scipy")
        assert cli.main(["analyze", str(folder)]) == 0
        text = (folder / "analysis" / "report.md").read_text("utf-8")
        assert "What lossy conditions lose" in text
        rows = [line for line in text.split("\n") if line.startswith("| mine")]
        assert rows
        assert all(row.startswith("| mine (lossy)") for row in rows)
        assert (folder / "analysis" / "plots" / "fidelity.svg").is_file()
