"""The comparison of peers, on workers that only count."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import checkpoints, environments
from benchmarks.peers.__main__ import document_of
from benchmarks.peers.catalogue import chosen, specs_of
from benchmarks.peers.checkpoints import DRAFTER_FOLDER, Checkpoints
from benchmarks.peers.environments import ROOT, python_of
from benchmarks.peers.interleaving import Contestant, Question, Worker, run_all
from benchmarks.peers.report import plot, show
from benchmarks.peers.serving import Arrivals, peak_of, serve
from benchmarks.peers.worker_process import PeerError, PeerGoneError, WorkerProcess
from benchmarks.resumable import ResumableRows
from smart_speed.errors import ConfigError
from smart_speed.profiles import Profile
from tests.unit.peers_scripted import WARM_UP, Scripted, answer_of, contestant, specs
from tests.unit.peers_toy_worker import Counting

LOAD = {
    "do": "load",
    "settings": {"step": 1, "fears": {"dying": 13, "failing": 14, "sleeping": 15}},
}


def asked(last: int) -> dict[str, Any]:
    return {**WARM_UP, "prompt": [1, last]}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[WorkerProcess] = []

    def one(settings: Mapping[str, Any] | None = None) -> WorkerProcess:
        command = [sys.executable, "-m", "tests.unit.peers_toy_worker"]
        log = tmp_path / f"logs/{len(started)}.log"
        worker = WorkerProcess(command, log=log, environment={"PYTHONPATH": str(ROOT)})
        started.append(worker)
        worker.ask({"do": "load", "settings": settings} if settings else LOAD, timeout_s=20)
        return worker

    yield one
    for worker in started:
        worker.stop()


def test_worker_answers_and_its_noise_goes_to_the_log(start: Any, tmp_path: Path) -> None:
    reply = start().ask(asked(5), timeout_s=20)
    assert reply["answer"]["tokens"] == [6, 7, 8, 9]
    assert reply["answer"]["first_len"] == 2
    assert reply["answer"]["decode_len"] == 2
    assert reply["answer"]["passes"] == 1
    assert reply["peak_bytes"] == 4096
    assert "noise of a library" in (tmp_path / "logs/0.log").read_text("utf-8")


def test_failure_is_told_and_the_worker_goes_on(start: Any) -> None:
    worker = start()
    with pytest.raises(PeerError, match=r"It failed: RuntimeError: no such token\.$"):
        worker.ask(asked(14), timeout_s=20)
    assert worker.ask(asked(5), timeout_s=20)["answer"]["tokens"][0] == 6


def test_death_is_told_with_its_status(start: Any) -> None:
    worker = start()
    with pytest.raises(PeerGoneError, match="It ended with status 7: noise of a library on stdout"):
        worker.ask(asked(13), timeout_s=20)
    with pytest.raises(PeerGoneError, match="It ended with status 7"):
        worker.ask(asked(5), timeout_s=20)


def test_silence_is_not_waited_for(start: Any) -> None:
    worker = start()
    with pytest.raises(PeerGoneError, match=r"It gave no answer within 0\.1 s"):
        worker.ask(asked(15), timeout_s=0.1)


def test_what_cannot_be_started_is_a_peer_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="'no-such-program' cannot be started"):
        WorkerProcess(["no-such-program"], log=tmp_path / "log")


def test_a_worker_that_is_told_to_end_takes_along_what_it_started(tmp_path: Path) -> None:
    """As `llama-server` is: else one goes on for every run that was killed with its workers."""
    script = (
        "import atexit, pathlib, sys; from benchmarks.peers.serving import main; "
        f"atexit.register(pathlib.Path({str(tmp_path / 'left')!r}).touch); main(None)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write('{"do": "dance"}\n')
    process.stdin.flush()
    assert "do must be load or answer" in process.stdout.readline()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "left").exists()


def test_serving_tells_first_lines_of_errors_and_unknown_requests() -> None:
    out = io.StringIO()
    lines = ['{"do": "load", "settings": {"step": 0}}\n', '{"do": "dance"}\n', "no JSON\n"]
    serve(Counting(), lines, out)
    replies = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [each["ok"] for each in replies] == [False, False, False]
    assert replies[0]["reason"] == "ValueError: step must not be 0"
    assert "do must be load or answer, got 'dance'" in replies[1]["reason"]


def test_arrivals_keep_the_first_pass_apart() -> None:
    clock = iter([10.0, 11.5, 12.0, 14.0])
    arrivals = Arrivals(lambda: next(clock))
    for count in (3, 1, 2):
        arrivals.add(count)
    answer = arrivals.answer([1, 2, 3, 4, 5, 6])
    assert (answer.first_s, answer.first_len) == (1.5, 3)
    assert (answer.decode_s, answer.decode_len, answer.passes) == (2.5, 3, 2)
    with pytest.raises(RuntimeError, match="at least one token"):
        Arrivals().answer([])


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells")
def test_peak_memory_is_that_of_the_process() -> None:
    peak = peak_of()
    assert peak is not None
    assert peak > 10_000_000
    assert peak_of("no such process") is None


def test_contestant_is_warmed_up_before_it_counts() -> None:
    worker = Scripted([])
    assert contestant(worker).ask(asked(5))["status"] == "ok"
    assert worker.asked == [WARM_UP, WARM_UP, asked(5)]


def test_contestant_that_falls_is_started_again_but_not_for_ever() -> None:
    starts: list[int] = []
    gone = PeerGoneError("It ended with status 7.")
    warm = answer_of(WARM_UP)
    peer = contestant(Scripted([warm, warm, gone, warm, warm, gone]), starts)
    replies = [peer.ask(asked(5)) for _ in range(3)]
    assert [each["status"] for each in replies] == ["error"] * 3
    assert replies[2]["reason"] == peer.given_up == "It ended with status 7."
    assert len(starts) == 2


def test_contestant_that_fails_once_is_kept() -> None:
    warm = answer_of(WARM_UP)
    peer = contestant(Scripted([warm, warm, PeerError("It failed: X.")]))
    assert peer.ask(asked(5)) == {"status": "error", "reason": "It failed: X."}
    assert peer.ask(asked(5))["status"] == "ok"
    assert peer.given_up is None


def test_contestant_that_cannot_be_had_says_why_whatever_it_is() -> None:
    def start() -> tuple[Worker, dict[str, Any]]:
        raise ImportError("No module named 'peer'")

    peer = Contestant(start, WARM_UP)
    assert peer.ask(asked(5)) == {"status": "error", "reason": "No module named 'peer'"}


QUESTIONS = [
    Question(prompt_id=f"{task}/{at}", task=task, tokens=[at], temperature=temperature)
    for at in range(3)
    for task in ("math", "chat")
    for temperature in (0.0, 0.7)
]


class Paced:
    """Answers at a pace of its own, and other texts to some prompts."""

    def __init__(self, pace_s: float, wrong: int | None, turns: list[str], name: str) -> None:
        self._pace_s, self._wrong, self._turns, self._name = pace_s, wrong, turns, name

    def ask(self, request: Mapping[str, Any], *, timeout_s: float) -> dict[str, Any]:
        if request != WARM_UP:
            self._turns.append(self._name)
        step = 2 if request["prompt"][-1] == self._wrong else 1
        return answer_of(request, decode_s=self._pace_s, step=step)

    def stop(self) -> None:
        pass


def race(folder: Path, questions: list[Question]) -> tuple[list[dict[str, Any]], list[str]]:
    turns: list[str] = []
    paces = {"ours, plain": 2.0, "ours": 1.0, "theirs, plain": 3.0, "theirs": 1.5}
    peers = {
        name: contestant(Paced(pace_s, 1 if name == "theirs" else None, turns, name))
        for name, pace_s in paces.items()
    }
    peers["absent"] = contestant(Scripted([PeerError("It failed: not for this processor.")]))
    rows = ResumableRows(folder / "rows.jsonl", {"tokens": 9})
    sampling = {each.name for each in specs() if each.samples}
    run_all(peers, questions, rows, max_new_tokens=9, sampling=sampling)
    return rows.rows, turns


def test_everybody_answers_every_question_in_an_order_of_its_own(tmp_path: Path) -> None:
    rows, turns = race(tmp_path, QUESTIONS)
    assert [(row["prompt_id"], row["temperature"]) for row in rows] == [
        (each.prompt_id, each.temperature) for each in QUESTIONS
    ]
    assert len({tuple(row["order"]) for row in rows}) > 3
    asked_of = [name for row in rows for name in row["order"] if name != "absent"]
    assert turns == asked_of
    assert "theirs" not in rows[1]["answers"]  # it does not sample


def test_run_goes_on_where_it_stopped_in_the_same_order(tmp_path: Path) -> None:
    whole, _ = race(tmp_path / "whole", QUESTIONS)
    race(tmp_path / "parts", QUESTIONS[:5])
    parts, turns = race(tmp_path / "parts", QUESTIONS)
    assert [row["order"] for row in parts] == [row["order"] for row in whole]
    assert len(turns) == sum(len(row["order"]) - 1 for row in whole[5:])


def test_run_that_is_out_of_time_leaves_the_rest(tmp_path: Path) -> None:
    rows = ResumableRows(tmp_path / "rows.jsonl", {"tokens": 9})
    worker, asked_for = Scripted([]), iter([False, False, True])
    peers = {"ours": contestant(worker)}
    run_all(
        peers, QUESTIONS, rows,
        max_new_tokens=9, sampling={"ours"}, out_of_time=lambda: next(asked_for),
    )  # fmt: skip
    assert len(rows.rows) == 2
    assert worker.stopped == 1


def test_figures_say_who_is_how_fast_and_with_what_text(tmp_path: Path) -> None:
    rows, _ = race(tmp_path, QUESTIONS)
    document = document_of(rows, specs(), ending=[9])
    greedy, drawn = document["figures"]["0"], document["figures"]["0.7"]
    ours, theirs = greedy["ours"], greedy["theirs"]
    assert ours["tokens_per_s"]["mean_of_tasks"] == pytest.approx({"value": 8, "low": 8, "high": 8})
    assert ours["over_plain"]["by_task"]["math"]["value"] == pytest.approx(2)
    assert theirs["over_plain"]["median_of_tasks"]["value"] == pytest.approx(2)
    assert theirs["ours_over_it"]["ours"]["by_task"]["chat"]["value"] == pytest.approx(1.5)
    assert set(theirs["ours_over_it"]) == {"ours"}
    assert ours["mean_emitted_len"] == 4
    assert (ours["num_same_text"], ours["num_compared"]) == (6, 6)
    assert (theirs["num_same_text"], theirs["num_compared"]) == (4, 6)
    assert "theirs" not in drawn
    assert "num_compared" not in drawn["ours"]
    assert document["left_out"] == {"absent": "It failed: not for this processor."}
    assert document["num_prompts"] == {"math": 3, "chat": 3}
    assert document["about"]["ours"] == {"version": "1"}
    json.dumps(document, allow_nan=False)


def test_token_that_ends_a_text_is_no_difference(tmp_path: Path) -> None:
    rows, _ = race(tmp_path, QUESTIONS[:1])
    rows[0]["answers"]["theirs"]["tokens"].append(2)
    figures = document_of(rows, specs(), ending=[2])["figures"]["0"]
    assert figures["theirs"]["num_same_text"] == 1


def test_report_and_plot_leave_out_who_was_absent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, _ = race(tmp_path, QUESTIONS)
    document = document_of(rows, specs(), ending=[9])
    show(document)
    told = capsys.readouterr().err
    assert "absent is left out: It failed: not for this processor." in told
    assert "ours: times as fast as, temperature 0" in told
    plot(document, tmp_path / "peers.svg")
    assert "<svg" in (tmp_path / "peers.svg").read_text("utf-8")


def test_chosen_peers_bring_their_plain_decoding() -> None:
    known = specs_of(dtype="bfloat16", threads=2, ending=[2])
    names = [each.name for each in chosen(known, ["transformers, dynamic"])]
    assert names == ["transformers, plain", "transformers, dynamic"]
    assert chosen(known, None) == known
    with pytest.raises(ConfigError, match="peers must be words of"):
        chosen(known, ["vllm"])


def test_profile_adds_what_was_learned_of_a_drafter() -> None:
    ways: dict[str, Any] = {"dtype": "bfloat16", "threads": 2, "ending": [2]}
    plain = [each.name for each in specs_of(**ways)]
    learned = [("pair", 0.0), ("pair+ngram", 0.0), ("ngram", 0.7), ("nano+ngram", 0.7)]
    profiles = {
        Path(f"{name}.json"): Profile(
            engine="hf",
            drafter={"name": name, "id": "1"},
            sampling={"temperature": temperature},
        )
        for name, temperature in learned
    }
    added = [each for each in specs_of(**ways, profiles=profiles) if each.name not in plain]
    assert {each.name: (each.settings["drafter"], each.settings["profile"]) for each in added} == {
        "smart_speed hf, ngram, calibrated at 0.7": ("ngram", "ngram.json"),
        "smart_speed hf, nano+ngram, calibrated at 0.7": ("nano+ngram", "nano+ngram.json"),
        "smart_speed hf, same pair, calibrated": (DRAFTER_FOLDER, "pair.json"),
        "smart_speed hf, same pair+ngram, calibrated": (
            f"{DRAFTER_FOLDER}+ngram",
            "pair+ngram.json",
        ),
    }
    assert all(each.settings["config"] is None for each in added)
    with pytest.raises(ConfigError, match="profiles must be made by smart-speed calibrate"):
        specs_of(**ways, profiles={Path("own.json"): Profile(engine="hf")})


def test_catalogue_compares_each_with_plain_decoding_of_its_engine() -> None:
    known = specs_of(dtype="bfloat16", threads=2, ending=[2])
    names = [each.name for each in known]
    assert len(set(names)) == len(names)
    for spec in known:
        assert spec.baseline in names
        json.dumps(spec.to_json())


def test_environments_are_made_once_for_their_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(*command: str) -> None:
        ran.append(" ".join(command[1:]))
        if "no-such" in ran[-1]:
            raise PeerError("-m pip install failed: no matching distribution.")
        (tmp_path / "one/bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environments, "run_or_say", run)
    assert python_of("here", tmp_path, []) == Path(sys.executable)
    assert ran == []
    for version in ("1", "1", "2"):
        python = python_of("one", tmp_path, [f"a=={version}"], alone=["b==3"])
        assert python == tmp_path / "one/bin/python"
    install = "-m pip install --only-binary :all:"
    once = [f"-m venv {tmp_path / 'one'}", f"{install} a==1", f"{install} --no-deps b==3"]
    assert ran == [*once, *(line.replace("a==1", "a==2") for line in once)]
    with pytest.raises(PeerError, match="no matching distribution"):
        python_of("one", tmp_path, ["no-such==1"])
    assert not (tmp_path / "one/requirements.txt").exists()


def test_failed_command_is_told_with_its_error() -> None:
    code = "import sys; print('ERROR: no wheel', file=sys.stderr); print('bye'); sys.exit(1)"
    with pytest.raises(PeerError, match=r"-c .* failed: ERROR: no wheel\.$"):
        environments.run_or_say(sys.executable, "-c", code)


def test_models_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    for name in ("verifier", "nano-gguf", "nano-openvino"):
        (tmp_path / name).mkdir()
    made = Checkpoints(tmp_path, "nano", venvs=tmp_path)
    (tmp_path / "nano-folder").mkdir()
    settings = {
        "threads": 2,
        "verifier": checkpoints.VERIFIER_FOLDER,
        "drafter": checkpoints.DRAFTER_GGUF,
        "another": checkpoints.DRAFTER_OPENVINO,
        "blended": f"{DRAFTER_FOLDER}+ngram",
    }
    assert made.fill_in(settings) == {
        "threads": 2,
        "verifier": str(tmp_path / "verifier"),
        "drafter": str(tmp_path / "nano-gguf/drafter.gguf"),
        "another": str(tmp_path / "nano-openvino"),
        "blended": str(tmp_path / "nano-folder") + "+ngram",
    }
    with pytest.raises(ConfigError, match="Did you mean 'nano'"):
        Checkpoints(tmp_path, "nanno", venvs=tmp_path)


def test_model_that_could_not_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(_source: Path, target: Path, _venvs: Path) -> None:
        (target / "half").write_text("half", "utf-8")
        raise PeerError("optimum-cli failed.")

    monkeypatch.setattr(checkpoints, "convert", convert)
    (tmp_path / "verifier").mkdir()
    made = Checkpoints(tmp_path, "nano", venvs=tmp_path)
    for _ in range(2):
        with pytest.raises(PeerError, match="optimum-cli failed"):
            made.fill_in({"verifier": checkpoints.VERIFIER_OPENVINO})
    assert not (tmp_path / "verifier-openvino").exists()
