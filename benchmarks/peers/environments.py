"""Virtual environments of the peers: one command makes each, with pinned versions, from wheels."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.worker_process import PeerError

HERE = "here"
"""The environment that this runs in."""
ROOT = Path(__file__).parents[2]
"""Where workers find their own module."""


def python_of(
    environment: str, folder: Path, requirements: Sequence[str], alone: Sequence[str] = ()
) -> Path:
    """Return an environment's interpreter; the environment is made if need be.

    Args:
        environment: Its name; ``HERE`` for this one.
        folder: Of all of them.
        requirements: Packages with their versions.
        alone: More of them, without what they ask for.

    Raises:
        PeerError: If they cannot be installed.
    """
    if environment == HERE:
        return Path(sys.executable)
    target = folder / environment
    python = target / "bin" / "python"
    # Named in the file, so that other versions make the environment anew.
    ready = target / "requirements.txt"
    wanted = "".join(f"{each}\n" for each in (*requirements, *alone))
    if not ready.is_file() or ready.read_text("utf-8") != wanted:
        shutil.rmtree(target, ignore_errors=True)
        run_or_say(sys.executable, "-m", "venv", str(target))
        install = (str(python), "-m", "pip", "install", "--only-binary", ":all:")
        run_or_say(*install, *requirements)
        if alone:
            run_or_say(*install, "--no-deps", *alone)
        ready.write_text(wanted, "utf-8")
    return python


def run_or_say(*command: str) -> None:
    """Run a command quietly.

    Raises:
        PeerError: With its last error, if it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise PeerError(f"{' '.join(command[1:4])} failed: {errors[-1]}.")
