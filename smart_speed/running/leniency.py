"""Measuring what leniency gains and loses: calibration prompts answered exactly and leniently.

It is a run of an experiment, in a folder inside the calibration's, with a condition for each
setting; so it is interleaved, gone on with where it stopped, and can be evaluated as any run.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from smart_speed.calibration.leniency import EXACT, leniency_of, lenient_conditions
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, check_that
from smart_speed.profiles import Profile
from smart_speed.prompting import encode_prompt
from smart_speed.run_folder import (
    MANIFEST_NAME,
    AnswerLog,
    PromptInfo,
    RunManifest,
    read_manifest,
    write_manifest,
)
from smart_speed.running.about import facts_of_a_run, machine_id
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.prompts import LivePrompt
from smart_speed.running.settings import as_json
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
    _begin(inside, manifest)
    work = Work(manifest.conditions, settings.sampling, settings.max_new_tokens, 1)
    player = PromptPlayer(models.verifier, models.drafters[name], work)
    asked = [_asked(each, models.verifier) for each in prompts]
    total = sum(map(work.num_answers, asked))
    log = AnswerLog(inside)
    try:
        rule, here = "the one whose answers are to be compared", machine_id()
        check_that(log.machines <= {here}, "machine", f"{rule} ({sorted(log.machines)})", here)
        for prompt in asked:
            for made in player.play(prompt, log.done):
                for answer in made:
                    log.add(answer)
                progress("answers, exact and lenient", len(log.done), total, "")
        if not log.done:
            raise ConfigError(f"Every answer failed; {str(inside)!r} says why.")
    finally:
        log.close()


def with_leniency(folder: Path, profile: Profile) -> Profile:
    """Return a profile that knows what leniency gains and loses, where that was measured for it."""
    assert profile.drafter is not None
    inside = leniency_folder(folder, profile.drafter["name"])
    if not (inside / MANIFEST_NAME).is_file():
        return profile
    if read_manifest(inside).conditions[EXACT].config != as_json(profile.config):
        return profile
    return replace(profile, learned={**profile.learned, "leniency": leniency_of(inside)})


def _begin(folder: Path, manifest: RunManifest) -> None:
    """Write down what is to be done, or check that it is what was begun."""
    if not (folder / MANIFEST_NAME).is_file():
        write_manifest(folder, manifest)
        return
    before = as_json(read_manifest(folder).to_json())
    now = as_json(manifest.to_json())
    for key in now:
        if key != "about" and before[key] != now[key]:
            raise ConfigError(
                f"{key} must be what the answers in {str(folder)!r} were made with, to go on with "
                "them; delete that folder to measure leniency anew."
            )


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


def _asked(prompt: TracedPrompt, verifier: LoadedModel) -> LivePrompt:
    """Return a prompt as the models are asked it in a run."""
    chat = not isinstance(prompt.prompt, str)
    tokens = () if chat else tuple(encode_prompt(prompt.prompt, verifier))
    said = prompt.prompt if isinstance(prompt.prompt, str) else prompt.prompt[-1]["content"]  # type: ignore[index]
    return LivePrompt(
        prompt_id=prompt.prompt_id, task=prompt.task, turns=(said,), chat=chat, tokens=tokens
    )
