"""Bad input gets one sentence that names the rule and the value, and exit status 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from smart_speed import cli, loading
from smart_speed.engines.toy import TableModel
from tests.integration.cli_runs import assert_refused, run

TOY = ("generate", "hello", "--engine", "toy")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--strategy", "entropy_absolute"), ("entropy_absolute", "Did you mean 'absolute'?")),
        (("--strategy", "absolute", "--theta-abs", "-1"), ("theta_abs must be", "-1.0")),
        (("--strategy", "absolute", "--theta-abs", "nan"), ("theta_abs must be", "nan")),
        (("--strategy", "relative", "--theta-rel", "0.9"), ("theta_rel must be", "0.9")),
        (("--strategy", "absolute", "--theta-rel", "2"), ("theta_rel", "does not read", "2.0")),
        (("--strategy", "plain", "--max-draft-len", "3"), ("max_draft_len", "does not read", "3")),
        (("--strategy", "fixed", "--stop-placement", "after"), ("stop_placement", "'after'")),
        (("--strategy", "window", "--window-size", "0"), ("window_size must be", "0")),
        (("--strategy", "fixed", "--max-draft-len", "-1"), ("max_draft_len must be", "-1")),
        (("--min-draft-len", "9"), ("min_draft_len must be at most max_draft_len (8)", "9")),
        (("--renyi-order", "3"), ("renyi_order", "3.0")),
        (("--entropy-type", "renyi", "--renyi-order", "1"), ("renyi_order", "1.0")),
        (("--verification", "greedy", "--temperature", "1"), ("verification", "greedy")),
        (("--verification", "relaxed", "--lenience", "0"), ("lenience must be", "0.0")),
        (("--verification", "relaxed", "--strictness", "2"), ("strictness must be 1", "2.0")),
        (("--verification", "typical", "--lenience", "1"), ("lenience", "relaxed would")),
        (("--lenience", "0.5"), ("lenience must be left out with verification 'auto'", "0.5")),
        (("--strategy", "plain", "--verification", "fly"), ("verification must be a lossless",)),
        (("--compare", "plain", "--verification", "fly"), ("verification", "no condition reads")),
        (("--max-divergence", "1"), ("profile must be one that", "calibrate --fidelity")),
        (("--max-divergence", "1", "--compare"), ("--max-divergence must be left out", "1.0")),
        (("--max-divergence", "1", "--lenience", "0.5"), ("lenience must be left out with --max",)),
        (("--max-divergence", "1", "--strategy", "svip"), ("strategy must be left out", "'svip'")),
        (("--temperature", "-0.5"), ("temperature must be", "-0.5")),
        (("--top-p", "0.9"), ("top_p", "temperature 0", "0.9")),
        (("--temperature", "1", "--top-p", "1.5"), ("top_p must be", "1.5")),
        (("--temperature", "1", "--top-k", "0"), ("top_k must be", "0")),
        (("--temperature", "1", "--min-p", "2"), ("min_p must be", "2.0")),
        (("--repetition-penalty", "0"), ("repetition_penalty must be", "0.0")),
        (("--seed", "-1"), ("seed must be", "-1")),
        (("--seed", "one"), ("--seed", "'one'")),
        (("--stop", ""), ("stop_strings must be",)),
        (("--max-new-tokens", "-3"), ("max_new_tokens must be", "-3")),
        (("--threads", "2"), ("threads", "does not read", "toy")),
        (("--device", "cpu"), ("device", "does not read", "hf would")),
        (("--drafter", "layers:2"), ("layers:N", "toy")),
        (("--chat",), ("chat template", "toy")),
        (("--system", "Be brief."), ("--system", "--chat")),
        (("--builtin", "2"), ("prompt must be", "once")),
        (("--compare", "fixed:two"), ("cap in --compare", "two")),
        (("--compare", "plain,relativ"), ("relativ", "Did you mean 'relative'?")),
        (("--compare", "plain,fixed:4", "--theta-rel", "2"), ("theta_rel", "no condition reads")),
        (("--no-such-flag",), ("--no-such-flag",)),
        (("--html", "/no/such/folder/page.html"), ("/no/such/folder/page.html", "written")),
        (("--file", "/no/such/prompt.txt"), ("prompt must be", "once")),
        (("--profile", "/no/such/profile.json"), ("profile", "/no/such/profile.json")),
        (("--verifier", "/no/such/text.txt"), ("toy", "/no/such/text.txt")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_setting_that_breaks_a_rule(
    argv: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(run(capsys, *TOY, *argv), *words)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--stop-placement", "middle"), ("stop_placement", "middle", "after, before")),
        (("--entropy-type", "shanon"), ("shanon", "Did you mean 'shannon'?")),
        (("--engine", "lama_cpp"), ("lama_cpp", "Did you mean 'llama_cpp'?")),
        (("--quantize", "q5"), ("quantize", "q5", "q4_0")),
        (("--verification", "loose"), ("verification", "loose", "speculative")),
        (("--verification", "relaxed", "--relax-in", "lo"), ("relax_in 'lo'", "mean 'low'?")),
    ],
)
def test_a_word_that_is_no_choice(argv: tuple[str, ...], words: tuple[str, ...]) -> None:
    """In a process of its own: type checks, which only tests run, would speak first."""
    command = [sys.executable, "-m", "smart_speed", *TOY, *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert_refused((done.returncode, done.stderr.strip()), *words)


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(run(capsys), "COMMAND")


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(run(capsys, "genrate"), "genrate")


def test_vocabularies_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.txt").write_text("abcd abcd")
    (tmp_path / "other.txt").write_text("abxd abxd")
    outcome = run(
        capsys,
        "generate", "ab", "--engine", "toy",
        "--verifier", str(tmp_path / "one.txt"), "--drafter", str(tmp_path / "other.txt"),
    )  # fmt: skip
    assert_refused(outcome, "disagree on token 3: 'd' and 'c'", "share a tokenizer")


def test_a_prompt_over_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(run(capsys, "generate", "a" * 5000, "--engine", "toy"), "4096", "5000")


def test_a_prompt_file_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompt.bin").write_bytes(b"\xff\xfe\xfa")
    outcome = run(capsys, "generate", "--engine", "toy", "--file", str(tmp_path / "prompt.bin"))
    assert_refused(outcome, "UTF-8", "prompt.bin")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", ("JSON",)),
        ("[]", ("JSON object",)),
        ('{"schema": 7, "config": {}}', ("schema", "7")),
        ('{"schema": 1}', ("config", "None")),
        ('{"schema": 1, "config": {}, "models": 1}', ("models", "Known")),
        ('{"schema": 1, "config": {"theta_asb": 1}}', ("theta_asb", "Did you mean 'theta_abs'?")),
        ('{"schema": 1, "config": {}, "engine": "hf"}', ("engine must be 'hf'", "'toy'")),
    ],
)
def test_a_profile_that_does_not_fit(
    document: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "profile.json"
    path.write_text(document)
    assert_refused(run(capsys, *TOY, "--profile", str(path)), *words)


@pytest.mark.parametrize(
    "argv",
    [
        ("trace", "out", "--prompts", "deep.jsonl"),
        ("experiment", "--builtin", "quick", "--out", "out", "--set", "dataset_name=deep.json"),
        ("generate", "hello", "--profile", "deep.json"),
    ],
)
def test_json_that_is_nested_too_deeply(
    argv: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("deep.jsonl", "deep.json"):
        Path(name).write_text('{"prompt":' * 10**5)
    own = ("--set", "engine=toy") if argv[0] == "experiment" else ("--engine", "toy")
    assert_refused(run(capsys, *argv, *own), "JSON", "deep.json")
    assert not Path("out").exists()


@pytest.mark.parametrize("command", ["analyze", "evaluate"])
def test_a_folder_in_which_nothing_was_answered_yet(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "calibration").mkdir()
    outcome = run(capsys, command, str(tmp_path))
    assert_refused(outcome, "run.json", "`smart-speed experiment`", "again", repr(str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["calibration"]


@pytest.mark.parametrize("engine", ["hf", "llama_cpp"])
def test_an_engine_that_is_not_installed(
    engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "is_installed", lambda name: False)
    outcome = run(capsys, "generate", "hello", "--engine", engine)
    assert_refused(outcome, engine, "not installed", "pip install 'smart-speed[")


def test_logits_that_are_no_law(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = TableModel.feed

    def broken(self: TableModel, tokens: list[int], *, last: int) -> object:
        return feed(self, tokens, last=last) * float("nan")

    monkeypatch.setattr(TableModel, "feed", broken)
    assert_refused(run(capsys, *TOY), "NaN")


def test_ctrl_c_keeps_what_was_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed, calls = TableModel.feed, []

    def interrupted(self: TableModel, tokens: list[int], *, last: int) -> object:
        calls.append(tokens)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return feed(self, tokens, last=last)

    monkeypatch.setattr(TableModel, "feed", interrupted)
    status = cli.main([*TOY, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert status == 130
    assert document["record"]["finish_reason"] == "interrupted"
    assert 0 < len(document["tokens"]) < 128
    assert document["text"]


def test_nothing_is_left_behind_where_the_page_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.html").mkdir()
    assert_refused(run(capsys, *TOY, "--html", str(tmp_path / "page.html")), "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
