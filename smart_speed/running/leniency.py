"""Measuring what leniency gains and loses: calibration prompts answered exactly and leniently.

It is a run in a folder inside the calibration's, with a condition for each setting.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from smart_speed.calibration.leniency import EXACT, leniency_of, lenient_conditions
from smart_speed.errors import ConfigError
from smart_speed.profiles import Profile
from smart_speed.run_folder import MANIFEST_NAME, PromptInfo, RunManifest, read_manifest
from smart_speed.running.about import facts_of_a_run
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.settings import as_json
from smart_speed.running.side_runs import answer_side_run, begin_side_run, lone_prompt
from smart_speed.running.traced import Models, TracedPrompt, TraceSettings

Progress = Callable[[str, int, int, str], None]
"""Called with what is counted, how many are done, of how many, and a remark."""


def leniency_folder(folder: Path, drafter: str) -> Path:
    """Return where the answers with a drafter are."""
    return folder / f"fidelity-{drafter.replace('/', '_')}"


def measure_leniency(
    folder: Path,
    profile: Profile,
    models: Models,
    prompts: Sequence[TracedPrompt],
    settings: TraceSettings,
    *,
    progress: Progress,
) -> None:
    """Answer prompts under every setting, or what of it is left to be done.

    Args:
        folder: Of the calibration.
        profile: Whose settings are made lenient; of one of the drafters.
        models: Verifier and drafters.
        prompts: Of the calibration; the first ones are enough.
        settings: How long answers are, and how they are sampled.
        progress: Called after each conversation.

    Raises:
        ConfigError: If the folder holds answers that were made otherwise or elsewhere, or all
            answers failed.
        OutputError: If the folder cannot be written.
    """
    assert profile.drafter is not None
    name = profile.drafter["name"]
    inside = leniency_folder(folder, name)
    manifest = _manifest(profile, models, prompts, settings)
    begin_side_run(inside, manifest)
    work = Work(manifest.conditions, settings.sampling, settings.max_new_tokens, 1)
    player = PromptPlayer(models.verifier, models.drafters[name], work)
    asked = [
        lone_prompt(each.prompt_id, each.task, each.prompt, models.verifier) for each in prompts
    ]
    num_done = answer_side_run(
        inside,
        player,
        work,
        asked,
        lambda done, total: progress("answers, exact and lenient", done, total, ""),
    )
    if not num_done:
        raise ConfigError(f"Every answer failed; {str(inside)!r} says why.")


def with_leniency(folder: Path, profile: Profile) -> Profile:
    """Return a profile that knows what leniency gains and loses, where that was measured for it."""
    assert profile.drafter is not None
    inside = leniency_folder(folder, profile.drafter["name"])
    if not (inside / MANIFEST_NAME).is_file():
        return profile
    if read_manifest(inside).conditions[EXACT].config != as_json(profile.config):
        return profile
    return replace(profile, learned={**profile.learned, "leniency": leniency_of(inside)})


def _manifest(
    profile: Profile, models: Models, prompts: Sequence[TracedPrompt], settings: TraceSettings
) -> RunManifest:
    assert profile.drafter is not None
    drafter = models.drafters[profile.drafter["name"]]
    return RunManifest(
        name=f"leniency of {profile.drafter['name']}",
        config={"max_new_tokens": settings.max_new_tokens, "dataset_name": "calibration prompts"},
        conditions=lenient_conditions(profile),
        prompts=tuple(PromptInfo(prompt_id=each.prompt_id, task=each.task) for each in prompts),
        calibration_prompt_ids=(),
        repeats=1,
        verifier={**models.ids["verifier"], "description": models.verifier.description},
        drafter={**models.ids["drafters"][profile.drafter["name"]], "description": drafter.name},
        engine=models.verifier.engine,
        sampling=as_json(asdict(settings.sampling)),
        about=facts_of_a_run(),
    )
