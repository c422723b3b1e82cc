"""Calibrating in three stages, each gone on with where it stopped: trace, measure, learn.

A folder holds ``traces/``, a file of measured costs and a profile for each drafter, and as
``profile.json`` that of the drafter which is predicted to be fastest. Where there are several
drafters, ``profile-route.json`` holds what chooses among them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from smart_speed import __version__
from smart_speed.calibration.learning import stand_in_config
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.routed import PREFIX
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import check_that
from smart_speed.files import whole, writing
from smart_speed.machine import machine_facts
from smart_speed.profiles import Profile, read_profile
from smart_speed.prompting import Prompt
from smart_speed.tracing.cost_measuring import measure_costs
from smart_speed.tracing.measured_costs import MeasuredCosts, settled
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.trace_files import TraceManifest, read_manifest, read_traces
from smart_speed.tracing.traces import Trace

PROFILE_NAME = "profile.json"
ROUTE_PROFILE_NAME = "profile-route.json"
MOST_TEXTS = 16
"""Prompts that costs are measured on."""

Progress = Callable[[str, int, int, str], None]
"""Called with what is counted, how many are done, of how many, and a remark."""


def traces_folder(folder: Path) -> Path:
    """Return where the traces of a calibration are."""
    return folder / "traces"


def costs_path(folder: Path, drafter: str) -> Path:
    """Return where the costs of a drafter are."""
    return folder / f"costs-{drafter.replace('/', '_')}.json"


def measure_drafter(
    folder: Path,
    name: str,
    models: tuple[LoadedModel, Drafter],
    prompts: Sequence[Prompt],
    *,
    max_draft_len: int,
    resolution: float,
    most_s: float,
    progress: Progress | None = None,
    settle: Callable[[str], None] | None = None,
) -> bool:
    """Measure what rounds cost with a drafter on this machine, unless that is known.

    Args:
        folder: Of the calibration.
        name: Of the drafter.
        models: Verifier and drafter.
        prompts: To measure on; the first ones are used.
        max_draft_len: Longest draft.
        resolution: How well costs must be known.
        most_s: The most seconds to measure.
        progress: Called after each text.
        settle: Told where the machine is too noisy, and the costs are then taken as they are;
            ``None`` to refuse them.

    Returns:
        Whether it was measured now.

    Raises:
        MeasurementError: If the machine is too noisy, and costs are refused or not known at all.
        OutputError: If the result cannot be written.
    """
    path = costs_path(folder, name)
    if path.exists():
        return False

    def show(done: int, total: int, note: str) -> None:
        if progress:
            progress(f"seconds measuring {name}", done, total, note)

    def measure() -> MeasuredCosts:
        return measure_costs(
            *models,
            prompts[:MOST_TEXTS],
            max_draft_len=max_draft_len,
            config=stand_in_config(max_draft_len),
            resolution=resolution,
            most_s=most_s,
            progress=show,
        )

    measured = settled(measure, settle) if settle else measure()
    document = {**measured.to_json(), "machine": machine_facts()}
    with writing("Measured costs", folder):
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            part.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return True


def learn(folder: Path, *, say: Callable[[str], None], progress: Progress | None = None) -> Profile:
    """Make a profile of every drafter, and of several one that chooses among them.

    The fastest single drafter's is the profile.

    Args:
        folder: Of the calibration, traced and measured.
        say: Told which drafter is the fastest.
        progress: Called before each step.

    Raises:
        ConfigError: If traces or costs are missing, or there is too little to learn from.
        OutputError: If a profile cannot be written.
    """
    manifest = read_manifest(traces_folder(folder))
    traces = read_traces(traces_folder(folder))
    made: dict[str, Profile] = {}
    for name in manifest.models["drafters"]:
        texts = [PreparedTrace(each) for each in traces if each.drafter == name]
        made[name] = _learned(folder, name, manifest, texts, progress)
        made[name].write(folder / f"profile-{name.replace('/', '_')}.json")
    best = max(made, key=lambda name: _rate(made[name]))
    made[best].write(folder / PROFILE_NAME)
    if len(made) > 1:
        rates = ", ".join(f"{name} {_rate(each):.1f}" for name, each in made.items())
        say(f"Fastest drafter: {best} (predicted tokens/s: {rates}).")
        if progress:
            progress("steps learning to choose", 0, 1, ", ".join(made))
        routed = _routed(folder, traces, made)
        routed.write(folder / ROUTE_PROFILE_NAME)
        speed = routed.learned["predicted"]["route"]["over_fixed"]["value"]
        assert routed.drafter is not None
        say(
            f"Chosen among before each round: {speed:.3f} times the speed of the fastest alone, as "
            f"predicted; --drafter {routed.drafter['name']} --profile "
            f"{folder / ROUTE_PROFILE_NAME}."
        )
    return read_profile(folder / PROFILE_NAME)


def _routed(folder: Path, traces: Sequence[Trace], made: Mapping[str, Profile]) -> Profile:
    """Learn to choose among drafters whose profiles were made."""
    from smart_speed.calibration.making import make_route_profile
    from smart_speed.calibration.routing import texts_of

    texts = texts_of(traces, list(made))
    costs = {name: read_measured(costs_path(folder, name))[0].costs for name in made}
    names = {key: [(each.drafter or {})[key] for each in made.values()] for key in ("name", "id")}
    drafter = {key: PREFIX + ",".join(each) for key, each in names.items()}
    return make_route_profile(texts, made, costs, drafter)


def _learned(
    folder: Path,
    name: str,
    manifest: TraceManifest,
    texts: Sequence[PreparedTrace],
    progress: Progress | None,
) -> Profile:
    # Fitting imports scikit-learn's solvers; whoever only measures does without.
    from smart_speed.calibration.making import MadeFor, make_profile

    measured, machine = read_measured(costs_path(folder, name))
    made_for = MadeFor(
        verifier=manifest.models["verifier"],
        drafter=manifest.models["drafters"][name],
        engine=manifest.engine,
        sampling=_law(manifest),
        machine=machine,
        version=__version__,
    )

    def show(done: int, total: int, note: str) -> None:
        if progress:
            progress(f"steps learning {name}", done, total, note)

    return make_profile(
        texts,
        measured.costs,
        made_for,
        measured=measured.to_json(),
        text_hashes=dict(zip(manifest.prompt_ids, manifest.text_hashes, strict=False)),
        progress=show,
    )


def read_measured(path: Path) -> tuple[MeasuredCosts, dict[str, Any]]:
    """Return measured costs, and the machine that they were measured on.

    Raises:
        ConfigError: If they were not measured, or the file holds something else.
    """
    check_that(path.is_file(), "costs", "measured before anything is learned", str(path))
    document = json.loads(path.read_text(encoding="utf-8"))
    machine = document.pop("machine", {})
    return MeasuredCosts.from_json(document), machine


def _rate(profile: Profile) -> float:
    rate: float = profile.config["calibration"]["rate"]
    return rate


def _law(manifest: TraceManifest) -> Mapping[str, Any]:
    law = dict(manifest.settings["sampling"])
    del law["seed"]
    return law
