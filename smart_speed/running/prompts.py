"""Which prompts a run answers and which it learns on, each as its models are to be asked it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple, final

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.engines.base import LoadedModel, Message
from smart_speed.errors import ModelError, check_that
from smart_speed.profiles import LearnedOn
from smart_speed.prompting import Prompt
from smart_speed.running.settings import ExperimentConfig
from smart_speed.workloads.loading import load_workload, split_workload
from smart_speed.workloads.prompt import WorkloadPrompt, plain_text
from smart_speed.workloads.selection import choose

_NOTHING = LearnedOn()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LivePrompt:
    """One prompt of a run, which the models have room for."""

    prompt_id: str
    task: str
    turns: tuple[str, ...]
    """What the user says, at least once."""
    chat: bool
    """Whether that goes into the verifier's chat template."""
    tokens: tuple[int, ...] = ()
    """Of a text outside of it: its end, if it was too long."""
    check: AnswerCheck | None = None
    """What makes an answer right, if that can be checked."""

    def asked(self, answers: Sequence[str]) -> Prompt:
        """Return what the models read before the next answer.

        Args:
            answers: To the turns so far, fewer than there are turns.
        """
        if not self.chat:
            if not answers:
                return list(self.tokens)
            said = [f"{turn}{answer}" for turn, answer in zip(self.turns, answers, strict=False)]
            return "\n\n".join([*said, self.turns[len(answers)]])
        return _messages(self.turns[: len(answers) + 1], answers)


class Selected(NamedTuple):
    """The prompts of a run."""

    test: tuple[LivePrompt, ...]
    """In the order in which they are answered."""
    calibration: tuple[LivePrompt, ...]
    num_left_out: int
    """Chats that were too long."""

    @property
    def sha256(self) -> str:
        """A hash that changes with any prompt that is answered, or their order."""
        document = json.dumps([asdict(each) for each in self.test])
        return hashlib.sha256(document.encode()).hexdigest()


def select_prompts(
    config: ExperimentConfig,
    verifier: LoadedModel,
    *,
    learned_on: LearnedOn = _NOTHING,
    say: Callable[[str], None],
) -> Selected:
    """Choose prompts to answer, and others to learn on.

    Args:
        config: Says where from and how many.
        verifier: Whose tokens and template count.
        learned_on: What a given profile has learned on; no prompt of such an id or text is
            answered.
        say: Told what is left out.

    Raises:
        ConfigError: If there are none, or they cannot be read.
    """
    fitter = _Fitter(config, verifier)
    learns = config.num_calibration_samples if config.profile is None else 0
    others = config.calibration_datasets if learns else ()
    found = load_workload(config.datasets, split=config.dataset_split, seed=config.seed)
    wanted = config.num_samples + (0 if others else learns)
    unseen = [each for each in found if not _is_seen(each, learned_on)]
    if len(unseen) < len(found):
        say(
            f"{len(found) - len(unseen)} prompts are left out, for the profile has learned on them."
        )
    test = fitter.first(unseen, wanted)
    calibration: list[WorkloadPrompt] = []
    if others:
        taken = {each.prompt_id for each in test}
        found = load_workload(others, seed=config.seed)
        calibration = fitter.first([p for p in found if p.prompt_id not in taken], learns)
    elif learns and test:
        shares = _shares(len(test), learns, config.num_samples)
        if len(test) < wanted:
            say(f"There are {len(test)} prompts, so {shares[1]} are answered.")
        calibration, test = split_workload(
            test, num_calibration=shares[0], num_test=shares[1], seed=config.seed
        )
    rule = f"at least one of at most {config.max_sequence_length} tokens, answers included"
    rule += ", that the profile has not learned on" if config.profile else ""
    check_that(bool(test), "prompts", rule, 0)
    check_that(bool(calibration) or not learns, "prompts to learn on", "at least one", 0)
    if fitter.left_out:
        say(f"{fitter.left_out} chats are left out, for they leave no room for their answers.")
    return Selected(fitter.made(test), fitter.made(calibration), fitter.left_out)


def _is_seen(prompt: WorkloadPrompt, learned_on: LearnedOn) -> bool:
    by_text = not prompt.text_hashes.isdisjoint(learned_on.text_hashes)
    return by_text or prompt.prompt_id in learned_on.prompt_ids


def _shares(there: int, learns: int, answers: int) -> tuple[int, int]:
    """Return how many prompts to learn on and to answer, in proportion if there are too few."""
    if there >= learns + answers:
        return learns, answers
    share = round(there * learns / (learns + answers))
    return (share, there - share) if share < there else (there - 1, 1)


@final
class _Fitter:
    """Makes prompts fit, and counts those that do not."""

    def __init__(self, config: ExperimentConfig, verifier: LoadedModel) -> None:
        self._tokenizer = verifier.tokenizer
        self._room = min(config.max_sequence_length, verifier.model.context_len)
        self._answer_len = config.max_new_tokens
        self._seed = config.seed
        self._templated = config.chat_template == "auto" and _knows_chats(verifier)
        self._made: dict[str, LivePrompt] = {}
        self._texts: set[str] = set()
        self.left_out = 0

    def first(self, prompts: Iterable[WorkloadPrompt], count: int) -> list[WorkloadPrompt]:
        """Return prompts that fit, in random order, the tasks taking turns; no text twice."""
        found: list[WorkloadPrompt] = []
        for each in choose(list(prompts), None, seed=self._seed):
            if len(found) == count:
                break
            made = self._fitted(each)
            if made is None:
                self.left_out += 1
                continue
            text = plain_text(each.turns)
            if text not in self._texts:
                self._texts.add(text)
                self._made[each.prompt_id] = made
                found.append(each)
        return found

    def made(self, prompts: Iterable[WorkloadPrompt]) -> tuple[LivePrompt, ...]:
        """Return prompts of ``first`` as they are asked."""
        return tuple(self._made[each.prompt_id] for each in prompts)

    def _fitted(self, prompt: WorkloadPrompt) -> LivePrompt | None:
        room = self._room - self._answer_len * len(prompt.turns)
        turns = tuple(prompt.turns)
        chat = prompt.chat and self._templated
        if chat:
            # With empty answers between them, for which there is room apart.
            tokens = self._tokenizer.encode_chat(_messages(turns, [""] * (len(turns) - 1)))
            fits = len(tokens) <= room
        else:
            room -= sum(len(self._tokenizer.encode(turn)) + 2 for turn in turns[1:])
            tokens = self._cut(turns[0], room) if room > 0 else []
            fits = room > 0
        if not fits:
            return None
        return LivePrompt(
            prompt_id=prompt.prompt_id,
            task=prompt.task,
            turns=turns,
            chat=chat,
            tokens=() if chat else tuple(tokens),
            check=prompt.check,
        )

    def _cut(self, text: str, room: int) -> list[int]:
        """Return the tokens of a text's end, after what every text of this model begins with."""
        tokens, begin = self._tokenizer.encode(text), self._tokenizer.bos_id
        if len(tokens) <= room:
            return tokens
        kept = tokens[-room:]
        return [begin, *kept[1:]] if begin is not None and tokens[0] == begin else kept


def _messages(turns: Sequence[str], answers: Sequence[str]) -> list[Message]:
    messages: list[Message] = []
    for number, turn in enumerate(turns):
        messages.append({"role": "user", "content": turn})
        if number < len(answers):
            messages.append({"role": "assistant", "content": answers[number]})
    return messages


def _knows_chats(verifier: LoadedModel) -> bool:
    try:
        verifier.tokenizer.encode_chat([{"role": "user", "content": "?"}])
    except ModelError:
        return False
    return True
