"""A run as it is read back: answers, and where there are, what was learned and traced for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from smart_speed.profiles import Profile, read_profile
from smart_speed.run_folder import (
    CALIBRATION_NAME,
    TRACES_NAME,
    Answer,
    Parting,
    Place,
    RunManifest,
    read_answers,
    read_manifest,
    read_partings,
)
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.trace_files import MANIFEST_NAME as TRACE_MANIFEST_NAME
from smart_speed.tracing.trace_files import read_recorded

PROFILE_NAME = "profile.json"


@final
@dataclass(frozen=True)
class LoadedRun:
    """One run's folder, its larger parts read when they are asked for."""

    folder: Path
    manifest: RunManifest

    @cached_property
    def answers(self) -> list[Answer]:
        """Every answer, failures among them, in the order in which they were made."""
        return read_answers(self.folder)

    @cached_property
    def partings(self) -> Mapping[Place, Parting]:
        """What the verifier says of places where texts part from plain decoding's, by place."""
        return read_partings(self.folder)

    @cached_property
    def profile(self) -> Profile | None:
        """What was learned on the calibration prompts; ``None`` if nothing was."""
        path = self.folder / CALIBRATION_NAME / PROFILE_NAME
        return read_profile(path) if path.is_file() else None

    @cached_property
    def costs(self) -> CostModel | None:
        """What rounds cost on the machine of the run; ``None`` if that was not measured."""
        measured = self.profile.learned.get("measured", {}) if self.profile else {}
        return CostModel.from_json(measured["costs"]) if "costs" in measured else None

    @cached_property
    def texts(self) -> list[PreparedTrace]:
        """Traces of the prompts that were answered so far, ready for replay; perhaps of none."""
        folder = self.folder / TRACES_NAME
        if not (folder / TRACE_MANIFEST_NAME).is_file():
            return []
        name = self.manifest.drafter["name"]
        return [PreparedTrace(each) for each in read_recorded(folder) if each.drafter == name]


def load_run(folder: Path) -> LoadedRun:
    """Read what a run is made from, and its answers and traces when they are asked for.

    Raises:
        ConfigError: If the folder holds no run.
    """
    return LoadedRun(folder, read_manifest(folder))
