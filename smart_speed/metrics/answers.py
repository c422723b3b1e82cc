"""Which answers of a run may be set side by side."""

from collections.abc import Iterable, Mapping, Sequence

from smart_speed.errors import ConfigError, unknown_name
from smart_speed.run_folder import Answer, AnswerKey, RunManifest


def usual_answers(answers: Iterable[Answer]) -> list[Answer]:
    """Collapse the repeats of each answer to the one of median decode time; failures are left out.

    Of an even number the slower of the two in the middle.
    """
    groups: dict[AnswerKey, list[Answer]] = {}
    for each in answers:
        if each.record.status == "ok":
            groups.setdefault(each.key._replace(repeat=0), []).append(each)
    ordered = [sorted(group, key=lambda each: each.record.decode_s) for group in groups.values()]
    return [group[len(group) // 2] for group in ordered]


def check_one_machine(answers: Iterable[Answer]) -> str | None:
    """Return the machine that all answers were timed on; ``None`` if there are no answers.

    Raises:
        ConfigError: If there are several: their seconds must not be compared.
    """
    machines = {each.machine: None for each in answers if each.record.status == "ok"}
    if len(machines) > 1:
        first, second, *_ = machines
        raise ConfigError(
            "Timings that are compared must be of one machine, got answers made on "
            f"{first!r} and {second!r}; evaluate each machine's alone."
        )
    return next(iter(machines), None)


def prompts_of_all(manifest: RunManifest, answers: Iterable[Answer]) -> list[str]:
    """Return the prompts whose turns every condition has answered, in the run's order.

    A condition that has no answer at all is not waited for.

    Raises:
        ConfigError: If an answer is of a condition that the run has not.
    """
    found: dict[str, set[tuple[str, int]]] = {}
    for each in answers:
        if (name := each.record.condition) not in manifest.conditions:
            raise unknown_name("condition of an answer", name, manifest.conditions)
        if each.record.status == "ok":
            found.setdefault(name, set()).add((each.prompt_id, each.turn))
    shared = set.intersection(*found.values()) if found else set()
    return [
        each.prompt_id
        for each in manifest.prompts
        if all((each.prompt_id, turn) in shared for turn in range(each.num_turns))
    ]


def shared_answers(manifest: RunManifest, usual: Sequence[Answer]) -> Mapping[str, list[Answer]]:
    """Return the answers to prompts that every condition has answered, by condition.

    Args:
        manifest: Of the run.
        usual: Without repeats.

    Raises:
        ConfigError: If an answer is of a condition that the run has not.
    """
    shared = set(prompts_of_all(manifest, usual))
    return by_condition((each for each in usual if each.prompt_id in shared), manifest.conditions)


def by_condition(answers: Iterable[Answer], names: Iterable[str]) -> Mapping[str, list[Answer]]:
    """Return the answers of each condition."""
    groups: dict[str, list[Answer]] = {name: [] for name in names}
    for each in answers:
        groups[each.record.condition].append(each)
    return groups


def by_task(answers: Sequence[Answer], tasks: Iterable[str]) -> Mapping[str, list[Answer]]:
    """Return the answers to each task's prompts."""
    groups: dict[str, list[Answer]] = {task: [] for task in tasks}
    for each in answers:
        groups[each.task].append(each)
    return groups
