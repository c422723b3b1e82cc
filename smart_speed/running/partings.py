"""Where texts part from plain decoding's: the verifier says whether its rounding explains it."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from smart_speed.divergence import find_divergence
from smart_speed.engines.base import LoadedModel
from smart_speed.loaded_run import LoadedRun
from smart_speed.metrics.answers import by_condition
from smart_speed.metrics.sameness import first_conversations, sameness_of
from smart_speed.prompting import encode_prompt
from smart_speed.run_folder import Answer, Parting, Place, write_partings
from smart_speed.running.prompts import LivePrompt

Progress = Callable[[int, int], None]
"""Called with how many places are judged, and of how many."""


def judge_partings(
    run: LoadedRun,
    prompts: Sequence[LivePrompt],
    verifier: LoadedModel,
    *,
    progress: Progress | None = None,
) -> None:
    """Measure the logit gap and the noise at every place that is not known, and write both down.

    Nothing is judged where raw logits do not decide: under a repetition penalty.

    Args:
        run: Whose answers are there.
        prompts: That it answers.
        verifier: The model of the run; its cache is emptied.
        progress: Called before each place.

    Raises:
        OutputError: If the file cannot be written.
    """
    if run.manifest.sampling.get("repetition_penalty", 1.0) != 1:
        return
    asked = {each.prompt_id: each for each in prompts}
    partings = dict(run.partings)
    missing = [(place, said) for place, said in _places(run) if place not in partings]
    for done, (place, said) in enumerate(missing):
        if progress:
            progress(done, len(missing))
        partings[place] = _judged(place, said, asked[place.prompt_id], verifier)
        write_partings(run.folder, partings)


def _places(run: LoadedRun) -> Iterator[tuple[Place, Sequence[Answer]]]:
    """Yield each place once, with plain decoding's answers up to it, that of the place the last."""
    answered = [each for each in run.answers if each.record.status == "ok"]
    answers = by_condition(answered, run.manifest.conditions)
    found = sameness_of(run.manifest, answers)
    if found.baseline is None:
        return
    plain: Mapping[tuple[str, int], Answer] = first_conversations(answers[found.baseline])
    differences = (each for one in found.conditions.values() for each in one.differences)
    for place in dict.fromkeys(each.place for each in differences):
        yield place, [plain[place.prompt_id, turn] for turn in range(place.turn + 1)]


def _judged(
    place: Place, said: Sequence[Answer], prompt: LivePrompt, verifier: LoadedModel
) -> Parting:
    *before, answer = said
    texts = [verifier.tokenizer.decode(each.tokens) for each in before]
    own = [] if place.own_token is None else [place.own_token]
    found = find_divergence(
        verifier.model,
        encode_prompt(prompt.asked(texts), verifier),
        answer.tokens,
        [*answer.tokens[: place.position], *own],
        prompt_id=place.prompt_id,
        condition="",
    )
    assert found is not None
    return Parting(found.logit_gap, found.pass_noise, found.near_tie)
