"""A run that is killed again and again: gone on with, it is what it would have been."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from smart_speed.run_folder import ANSWERS_NAME, AnswerKey, read_answers
from tests.toy_experiments import quiet_runner, toy_config

ROOT = Path(__file__).parents[2]
NUM_KILLS = 10

KILLER = """
import os, signal, sys, time
from pathlib import Path

import numpy as np
import pyarrow.parquet

import smart_speed.experiment
from smart_speed.engines.toy import TableModel
from tests.toy_experiments import quiet_runner, toy_config

folder, num_kills = Path(sys.argv[1]), int(sys.argv[2])
config = toy_config(folder, num_samples=12, repeats=2)
feed = TableModel.feed


def slow(self, tokens, *, last):
    time.sleep(2e-4)
    return feed(self, tokens, last=last)


TableModel.feed = slow
generator = np.random.default_rng(5)
run = folder / "run"
lines = run / "sequences.jsonl"


def num_answers():
    return lines.read_bytes().count(b"\\n") if lines.exists() else 0


def num_steps():
    return num_answers() + len(list(run.glob("traces/parts/*.parquet")))


for last in [False] * num_kills + [True]:
    wanted, child = num_steps() + generator.integers(1, 13), os.fork()
    if child == 0:
        outcome = quiet_runner(config).run_full_experiment()
        os._exit(0 if outcome.is_complete else 3)
    ended = 0
    while not last and not ended and num_steps() < wanted:
        time.sleep(5e-4)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not last and not ended:
        time.sleep(generator.uniform(0, 5e-3))
        os.kill(child, signal.SIGKILL)
    if not ended:
        _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), num_answers(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    killer = tmp_path / "killer.py"
    killer.write_text(KILLER)
    done = subprocess.run(
        [sys.executable, str(killer), str(tmp_path), str(NUM_KILLS)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    statuses, counts = zip(
        *(map(int, line.split()) for line in done.stdout.splitlines()), strict=True
    )
    assert statuses[-1] == 0
    assert statuses.count(-9) >= NUM_KILLS // 2
    assert list(counts) == sorted(counts)
    assert len(set(counts)) >= NUM_KILLS // 2, "kills were too early or too late"

    lines = (tmp_path / "run" / ANSWERS_NAME).read_text().splitlines()
    keys = [json.loads(line)["record"]["condition"] + json.loads(line)["prompt_id"]
            + str(json.loads(line)["repeat"]) for line in lines]  # fmt: skip
    assert len(keys) == len(set(keys)) == 12 * 4 * 2

    (tmp_path / "whole").mkdir()
    config = toy_config(tmp_path / "whole", num_samples=12, repeats=2)
    quiet_runner(config).run_full_experiment()
    assert texts(tmp_path / "run") == texts(tmp_path / "whole" / "run")


def texts(folder: Path) -> dict[AnswerKey, tuple[int, ...]]:
    return {each.key: each.tokens for each in read_answers(folder)}
