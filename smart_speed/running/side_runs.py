"""Runs beside experiments: prompts of one turn under given conditions, into a folder.

They are interleaved, gone on with where they stopped, and evaluated as any run.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, check_that
from smart_speed.prompting import Prompt, encode_prompt
from smart_speed.run_folder import (
    MANIFEST_NAME,
    AnswerLog,
    RunManifest,
    read_manifest,
    write_manifest,
)
from smart_speed.running.about import machine_id
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.prompts import LivePrompt
from smart_speed.running.settings import as_json


def begin_side_run(folder: Path, manifest: RunManifest, *, may_grow: bool = False) -> RunManifest:
    """Begin a run, or go on with it.

    Args:
        folder: Of the run.
        manifest: What it is to be made from.
        may_grow: Whether there may be other prompts than before; then those are kept as well.

    Returns:
        The manifest that holds.

    Raises:
        ConfigError: If the folder holds answers that were made otherwise.
        OutputError: If the folder cannot be written.
    """
    if (folder / MANIFEST_NAME).is_file():
        before = read_manifest(folder)
        free = {"about", "prompts"} if may_grow else {"about"}
        was, now = (as_json(each.to_json()) for each in (before, manifest))
        for key in now:
            if key not in free and was[key] != now[key]:
                raise ConfigError(
                    f"{key} must be what the answers in {str(folder)!r} were made with, to go on "
                    "with them; delete that folder or choose another."
                )
        asked = {each.prompt_id for each in manifest.prompts}
        others = tuple(each for each in before.prompts if each.prompt_id not in asked)
        manifest = replace(manifest, prompts=(*manifest.prompts, *others), about=before.about)
    write_manifest(folder, manifest)
    return manifest


def answer_side_run(
    folder: Path,
    player: PromptPlayer,
    work: Work,
    prompts: Sequence[LivePrompt],
    progress: Callable[[int, int], None],
) -> int:
    """Answer every prompt under every condition, or what of it is left to be done.

    Args:
        folder: Of a run that was begun.
        player: Who answers.
        work: Conditions, and what else holds for all answers.
        prompts: To be answered.
        progress: Called with the answers that are done, and with those that there are to be.

    Returns:
        How many answers there are.

    Raises:
        ConfigError: If some answers were timed on another machine.
        OutputError: If the folder cannot be written.
    """
    total = sum(map(work.num_answers, prompts))
    log = AnswerLog(folder)
    try:
        check_machine(log.machines)
        for prompt in prompts:
            for made in player.play(prompt, log.done):
                for answer in made:
                    log.add(answer)
                progress(len(log.done), total)
        return len(log.done)
    finally:
        log.close()


def check_machine(machines: frozenset[str]) -> None:
    """Refuse to time answers here that would be compared with those of another machine."""
    here = machine_id()
    rule = f"the one that timed the answers so far ({', '.join(sorted(machines - {here}))})"
    check_that(machines <= {here}, "machine", rule, here)


def lone_prompt(
    prompt_id: str,
    task: str,
    prompt: Prompt,
    verifier: LoadedModel,
    check: AnswerCheck | None = None,
) -> LivePrompt:
    """Return a prompt of one turn as the models are asked it in a run.

    Args:
        prompt_id: Its name.
        task: What it belongs to.
        prompt: A text to go on with, or a chat of one message.
        verifier: Whose tokens a text is made of.
        check: What makes an answer right.
    """
    return LivePrompt(
        prompt_id=prompt_id,
        task=task,
        turns=(said_in(prompt),),
        chat=not isinstance(prompt, str),
        tokens=tuple(encode_prompt(prompt, verifier)) if isinstance(prompt, str) else (),
        check=check,
    )


def said_in(prompt: Prompt) -> str:
    """Return a prompt's text: what the user says last, or what is to be gone on with."""
    if isinstance(prompt, str):
        return prompt
    text: str = prompt[-1]["content"]  # type: ignore[index]
    return text
