"""Where and with what a run was begun: facts that nothing depends on, but readers ask for."""

import hashlib
import importlib.util
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import smart_speed
from smart_speed.machine import machine_facts

_PACKAGES = (
    "numpy",
    "torch",
    "transformers",
    "llama-cpp-python",
    "gguf",
    "datasets",
    "pyarrow",
    "scikit-learn",
    "ray",
)
_HASH_LEN = 16
_GIT_SECONDS = 10


def machine_id() -> str:
    """Return a hash of this machine's facts, the same for the same machine."""
    facts = json.dumps(machine_facts(), sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:_HASH_LEN]


def facts_of_a_run() -> dict[str, Any]:
    """Return command line, commit, versions of packages, machine, clock and date."""
    return {
        "argv": list(sys.argv),
        "smart_speed": smart_speed.__version__,
        "git": _git(),
        "python": sys.version.split()[0],
        "packages": _versions(),
        "machine": machine_facts(),
        "machine_id": machine_id(),
        "clock_resolution_s": time.get_clock_info("perf_counter").resolution,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process has held; ``None`` where the system does not say."""
    if importlib.util.find_spec("resource") is None:
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git() -> dict[str, Any] | None:
    """Return the commit of this package's sources, if they are a checkout of their own."""
    package = Path(smart_speed.__file__).resolve().parent
    top = _said(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != package.parent:
        return None
    changes = _said(package, "status", "--porcelain")
    return {"commit": _said(package, "rev-parse", "HEAD"), "dirty": bool(changes)}


def _said(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
