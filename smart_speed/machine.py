"""What this machine is, as far as it decides how fast decoding is."""

import os
import platform
from pathlib import Path

from smart_speed.engines.base import usable_cores


def machine_facts() -> dict[str, str | int]:
    """Return processor, cores and operating system."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "all_cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
