"""Two workers of Ray, one killed: the run is whole, and the same but for seconds."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smart_speed.loaded_run import load_run
from smart_speed.run_folder import AnswerKey
from tests.toy_experiments import quiet_runner, toy_config

ROOT = Path(__file__).parents[2]

KILLER = """
import os, signal, sys
from pathlib import Path

from tests.toy_experiments import quiet_runner, toy_config

folder = Path(sys.argv[1])
config = toy_config(folder, num_samples=20, executor="ray", num_workers=2)
killed, said = [], []


def parent(pid):
    try:
        return int((Path("/proc") / pid / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_ours(pid):
    while pid not in ("0", "1"):
        pid = str(parent(pid))
        if pid == str(os.getpid()):
            return True
    return False


def kill_one(what, done, total, note):
    if what != "answers" or killed:
        return
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        pid = path.parent.name
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::PromptWorker") and is_ours(pid):
            os.kill(int(pid), signal.SIGKILL)
            killed.append(pid)
            return


outcome = quiet_runner(config, progress=kill_one, say=said.append).run_full_experiment()
print(len(killed), outcome.num_done, outcome.num_answers, any("died" in each for each in said))
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker to be killed in /proc")
def test_run_is_whole_though_a_worker_dies(tmp_path: Path) -> None:
    killer = tmp_path / "killer.py"
    killer.write_text(KILLER)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, str(killer), str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=env, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 80 80 True"
    run = load_run(tmp_path / "run")
    assert len(run.answers) == 80
    assert {each.machine for each in run.answers} == {run.manifest.about["machine_id"]}
    (tmp_path / "here").mkdir()
    config = toy_config(tmp_path / "here", num_samples=20)
    quiet_runner(config).run_full_experiment()
    assert texts(tmp_path / "run") == texts(config.folder)


def texts(folder: Path) -> dict[AnswerKey, tuple[int, ...]]:
    return {each.key: each.tokens for each in load_run(folder).answers}
