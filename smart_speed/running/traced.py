"""Models loaded by name, and a folder of traces of them, gone on with where it stopped."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

from smart_speed import __version__
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.routed import RoutedDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import SmartSpeedError, check_that
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import LoadOptions, load_drafter, load_verifier, routed_names
from smart_speed.machine import machine_facts
from smart_speed.profiles import sampled_by
from smart_speed.prompting import Prompt
from smart_speed.sampling import Sampling
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.trace_files import (
    MANIFEST_NAME,
    TraceFolder,
    TraceManifest,
    prompts_sha256,
    read_manifest,
)
from smart_speed.workloads.prompt import text_hash

Count = Callable[[int, int], None]
"""Called with how many are done, those of earlier runs too, and of how many."""
Failed = Callable[[str, SmartSpeedError], None]
"""Called with a prompt's id and why it cannot be traced."""


class TracedPrompt(NamedTuple):
    """One prompt to be traced."""

    prompt_id: str
    task: str
    prompt: Prompt
    turns: Sequence[str]
    """Its text, whatever is made of it: what the user says, turn by turn."""


class Models(NamedTuple):
    """What was loaded, by the names that were asked for."""

    verifier: LoadedModel
    drafters: Mapping[str, Drafter]
    ids: Mapping[str, Any]
    """Name and id of the verifier, and of each drafter."""


class TraceSettings(NamedTuple):
    """What decides what a trace holds, besides models and prompts."""

    max_draft_len: int
    """Longest continuation."""
    max_new_tokens: int
    sampling: Sampling


def load_models(verifier_name: str, drafter_names: Sequence[str], options: LoadOptions) -> Models:
    """Load the verifier and every drafter.

    Raises:
        ConfigError: If a drafter is named twice.
        ModelError: If there is no such model, or it cannot be used.
    """
    names = list(drafter_names)
    check_that(len(set(names)) == len(names), "drafters", "named once each", ",".join(names))
    verifier = load_verifier(verifier_name, options)
    drafters = {name: load_drafter(name, verifier, options) for name in names}
    made_for = verifier_id(verifier_name, verifier)
    ids = {
        "verifier": {"name": verifier_name, "id": made_for},
        "drafters": {
            name: {"name": name, "id": drafter_id(name, drafter, made_for)}
            for name, drafter in drafters.items()
        },
    }
    options.say(f"Verifier {verifier.description}; drafters {', '.join(drafters)}.")
    return Models(verifier, drafters, ids)


def parts_of(models: Models, name: str) -> Models:
    """Return the drafters that a drafter chooses among; of one that does not, itself.

    Args:
        models: Loaded, that drafter among them.
        name: What it was asked for by.
    """
    drafter, made_for = models.drafters[name], models.ids["verifier"]["id"]
    if not isinstance(drafter, RoutedDrafter):
        parts, ids = {name: drafter}, {name: models.ids["drafters"][name]}
    else:
        parts = dict(zip(routed_names(name), drafter.drafters, strict=True))
        ids = {
            each: {"name": each, "id": drafter_id(each, part, made_for)}
            for each, part in parts.items()
        }
    return Models(models.verifier, parts, {**models.ids, "drafters": ids})


def open_traces(
    folder: Path, models: Models, prompts: Sequence[TracedPrompt], settings: TraceSettings
) -> TraceFolder:
    """Begin traces, or find those that there are.

    Raises:
        ConfigError: If the folder holds traces that were made otherwise.
    """
    traces = TraceFolder(folder, _manifest(models, prompts, settings))
    traces.open()
    return traces


def record_traces(
    traces: TraceFolder,
    models: Models,
    prompts: Sequence[TracedPrompt],
    settings: TraceSettings,
    *,
    progress: Count | None = None,
    failed: Failed | None = None,
) -> list[str]:
    """Record what is missing; ``traces.finish()`` then puts the parts together.

    Args:
        traces: Opened.
        models: Whose drafters are traced.
        prompts: Those of the folder.
        settings: As it was opened with.
        progress: Called before each prompt.
        failed: Called where a prompt cannot be traced; without it, that is the end.

    Returns:
        The ids of the prompts that could be traced.
    """
    missing = set(traces.missing())
    recorder = TraceRecorder(
        models.verifier,
        models.drafters,
        max_draft_len=settings.max_draft_len,
        sampling=settings.sampling,
    )
    done = [each.prompt_id for each in prompts if each.prompt_id not in missing]
    for each in prompts:
        if each.prompt_id not in missing:
            continue
        if progress:
            progress(len(done), len(prompts))
        try:
            recorded = recorder.record(
                each.prompt,
                prompt_id=each.prompt_id,
                task=each.task,
                max_new_tokens=settings.max_new_tokens,
            )
        except SmartSpeedError as error:
            if failed is None:
                raise
            failed(each.prompt_id, error)
            continue
        traces.write(recorded)
        done.append(each.prompt_id)
    return done


@final
class Tracing:
    """Traces of some prompts, made one by one or all at once; those that fail are left out."""

    def __init__(
        self,
        folder: Path,
        models: Models,
        prompts: Sequence[TracedPrompt],
        settings: TraceSettings,
        *,
        failed: Failed | None = None,
    ) -> None:
        """Begin, or go on with what is there.

        Args:
            folder: Of the traces.
            models: Whose drafters are traced.
            prompts: At least one.
            settings: What a trace is to hold.
            failed: Called where a prompt cannot be traced; without it, that is the end.

        Raises:
            ConfigError: If the folder holds traces that were made otherwise.
            OutputError: If it cannot be written.
        """
        if (folder / MANIFEST_NAME).exists() and (before := read_manifest(folder)).traces_sha256:
            # Finished without those that failed; others than before are still refused.
            left_out = {each.prompt_id for each in prompts} - set(before.prompt_ids)
            fewer = len(before.prompt_ids) + len(left_out) == len(prompts)
            prompts = [each for each in prompts if not fewer or each.prompt_id not in left_out]
        self._folder, self._models, self._settings = folder, models, settings
        self._prompts, self._failed = prompts, failed
        self._traces = open_traces(folder, models, prompts, settings)

    def record(
        self, prompt_ids: Collection[str] | None = None, *, progress: Count | None = None
    ) -> None:
        """Trace some prompts, or all of them, unless that is done.

        Args:
            prompt_ids: Which ones; ``None`` for all.
            progress: Called before each of them.

        Raises:
            OutputError: If the folder cannot be written.
        """
        wanted = [
            each for each in self._prompts if prompt_ids is None or each.prompt_id in prompt_ids
        ]
        record_traces(
            self._traces,
            self._models,
            wanted,
            self._settings,
            progress=progress,
            failed=self._failed,
        )

    def missing(self) -> list[str]:
        """Return the ids of the prompts that are not traced."""
        return self._traces.missing()

    def finish(self) -> None:
        """Put the parts together, and leave out for good what could not be traced.

        Raises:
            OutputError: If the folder cannot be written.
        """
        missing = set(self._traces.missing())
        kept = [each for each in self._prompts if each.prompt_id not in missing]
        if kept:
            manifest = _manifest(self._models, kept, self._settings)
            TraceFolder(self._folder, manifest).finish()


def _manifest(
    models: Models, prompts: Sequence[TracedPrompt], settings: TraceSettings
) -> TraceManifest:
    return TraceManifest(
        models=models.ids,
        engine=models.verifier.engine,
        settings={
            "max_draft_len": settings.max_draft_len,
            "max_new_tokens": settings.max_new_tokens,
            "sampling": sampled_by(settings.sampling) | {"seed": settings.sampling.seed},
            # Number format and all; but threads, its last part, decide nothing.
            "verifier": models.verifier.description.rpartition(", ")[0],
        },
        about={"smart_speed": __version__, "machine": machine_facts()},
        prompt_ids=tuple(each.prompt_id for each in prompts),
        text_hashes=tuple(text_hash(each.turns) for each in prompts),
        prompts_sha256=prompts_sha256([(each.prompt_id, each.prompt) for each in prompts]),
    )
