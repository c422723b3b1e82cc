"""One prompt, answered under every condition, in random order."""

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple, final

import numpy as np

from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.generation import Result
from smart_speed.prompting import encode_prompt
from smart_speed.records import SequenceRecord, TextScore
from smart_speed.run_folder import Answer, AnswerKey, ConditionInfo
from smart_speed.running.about import machine_id, peak_memory_bytes
from smart_speed.running.prompts import LivePrompt
from smart_speed.sampling import Sampling
from smart_speed.scoring import score_text
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

_WARM_UP_TOKENS = 16


class Work(NamedTuple):
    """What is done to every prompt."""

    conditions: Mapping[str, ConditionInfo]
    sampling: Sampling
    max_new_tokens: int
    repeats: int

    @property
    def scores(self) -> bool:
        """Whether the verifier judges every text: where some condition's need not be its own."""
        return not all(each.lossless for each in self.conditions.values())

    def num_answers(self, prompt: LivePrompt) -> int:
        """Return how many answers a prompt is given."""
        return len(self.conditions) * self.repeats * len(prompt.turns)

    def is_done(self, prompt: LivePrompt, done: Collection[AnswerKey]) -> bool:
        """Return whether a prompt has all its answers."""
        return all(key in done for key in self.keys(prompt))

    def keys(self, prompt: LivePrompt) -> Iterator[AnswerKey]:
        """Yield what tells the answers of a prompt apart."""
        for name in self.conditions:
            for turn in range(len(prompt.turns)):
                for repeat in range(self.repeats):
                    yield AnswerKey(name, prompt.prompt_id, turn, repeat)


@final
class PromptPlayer:
    """Models, and the conditions under which they answer."""

    def __init__(
        self,
        verifier: LoadedModel,
        drafter: Drafter,
        work: Work,
        *,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Pair the models once for each condition.

        Args:
            verifier: The model whose text is wanted.
            drafter: What writes ahead.
            work: Conditions, and what else holds for every answer.
            clock: Returns seconds.

        Raises:
            ConfigError: If a condition's settings break a rule.
        """
        self._verifier = verifier
        self._work = work
        self._decoders = {
            name: EntropyBasedSpeculativeDecoder(
                verifier, drafter, EntropyConfig.from_dict(info.config), clock=clock
            )
            for name, info in work.conditions.items()
        }
        self._machine = machine_id()
        self._warm = False
        self._scores: dict[tuple[tuple[int, ...], tuple[int, ...]], TextScore] = {}
        """Of the prompt at hand, by what was asked and answered."""

    def play(
        self, prompt: LivePrompt, done: Mapping[AnswerKey, Sequence[int]]
    ) -> Iterator[list[Answer]]:
        """Answer a prompt under every condition, and hand over each conversation once it is made.

        The order is random; it depends on the prompt's id and on nothing before it.

        Args:
            prompt: To be answered.
            done: The answers that there are, with their tokens; they are not made again.
        """
        if not self._warm:
            self._warm_up(prompt)
        self._scores.clear()
        sampling, repeats = self._work.sampling, self._work.repeats
        order = np.random.default_rng([sampling.seed, zlib.crc32(prompt.prompt_id.encode())])
        units = [(name, repeat) for name in self._decoders for repeat in range(repeats)]
        for at in order.permutation(len(units)).tolist():
            name, repeat = units[at]
            keys = [
                AnswerKey(name, prompt.prompt_id, turn, repeat) for turn in range(len(prompt.turns))
            ]
            if not all(key in done for key in keys):
                yield self._converse(prompt, keys, done)

    def _converse(
        self,
        prompt: LivePrompt,
        keys: Sequence[AnswerKey],
        done: Mapping[AnswerKey, Sequence[int]],
    ) -> list[Answer]:
        """Play all turns under one condition, each on the answers to those before.

        Turns that are done already are only played so that the caches are what they were.
        """
        decoder = self._decoders[keys[0].condition]
        decoder.forget()  # no condition may profit from another's prefill
        said: list[str] = []
        made: list[Answer] = []
        for key in keys:
            try:
                result = self._answer(decoder, prompt, said, key)
            # Whatever an engine may say: it is this answer that failed, not the run.
            except Exception as error:  # noqa: BLE001
                with suppress(Exception):
                    decoder.forget()
                left = [each for each in keys[key.turn :] if each not in done]
                return made + [self._failed(prompt, each, key, error) for each in left]
            tokens = done.get(key, result.tokens)
            said.append(self._verifier.tokenizer.decode(tokens))
            if key not in done:
                made.append(self._answered(prompt, key, result))
        # Only now, for the cache is the conversation's until its end.
        return [self._scored(prompt, said, each) for each in made] if self._work.scores else made

    def _scored(self, prompt: LivePrompt, said: Sequence[str], answer: Answer) -> Answer:
        """Add what the verifier makes of an answer; texts that were scored are not read again."""
        asked = tuple(encode_prompt(prompt.asked(said[: answer.turn]), self._verifier))
        if not answer.tokens:
            return answer
        key = (asked, answer.tokens)
        if key not in self._scores:
            self._scores[key] = score_text(self._verifier.model, *key)
        return replace(answer, score=self._scores[key])

    def _answer(
        self,
        decoder: EntropyBasedSpeculativeDecoder,
        prompt: LivePrompt,
        said: Sequence[str],
        key: AnswerKey,
    ) -> Result:
        return decoder.generate(
            prompt.asked(said),
            max_new_tokens=self._work.max_new_tokens,
            sampling=self._work.sampling,
            prompt_id=turn_id(key),
            condition=key.condition,
        )

    def _answered(self, prompt: LivePrompt, key: AnswerKey, result: Result) -> Answer:
        return Answer(
            record=result.record,
            prompt_id=prompt.prompt_id,
            task=prompt.task,
            turn=key.turn,
            repeat=key.repeat,
            tokens=result.tokens,
            machine=self._machine,
            peak_memory_bytes=peak_memory_bytes(),
            text=result.text,
        )

    def _failed(
        self, prompt: LivePrompt, key: AnswerKey, at: AnswerKey, error: Exception
    ) -> Answer:
        said = str(error).strip() or type(error).__name__
        if key.turn > at.turn:
            said = f"Turn {at.turn + 1} before it failed: {said}"
        engine = self._verifier.engine
        return failed_answer(self._work, prompt, key, said, engine=engine, machine=self._machine)

    def _warm_up(self, prompt: LivePrompt) -> None:
        """Answer a little under every condition: first calls allocate, import, choose kernels."""
        self._warm = True
        for decoder in self._decoders.values():
            with suppress(Exception):  # what fails here fails again where it is recorded
                decoder.generate(
                    prompt.asked([]),
                    max_new_tokens=_WARM_UP_TOKENS,
                    sampling=self._work.sampling,
                )


def failed_answer(
    work: Work, prompt: LivePrompt, key: AnswerKey, said: str, *, engine: str, machine: str
) -> Answer:
    """Return the record of an answer that could not be made.

    Args:
        work: Whose condition failed.
        prompt: That was to be answered.
        key: Of the answer.
        said: Why, in a sentence.
        engine: Of the verifier.
        machine: Where it failed.
    """
    record = SequenceRecord(
        condition=key.condition,
        prompt_id=turn_id(key),
        seed=work.sampling.seed,
        status="error",
        lossless=work.conditions[key.condition].lossless,
        engine=engine,
        prompt_len=0,
        reused_len=0,
        output_len=0,
        finish_reason=None,
        prefill_s=0.0,
        decode_s=0.0,
        rounds=(),
        error=said,
    )
    return Answer(
        record=record,
        prompt_id=prompt.prompt_id,
        task=prompt.task,
        turn=key.turn,
        repeat=key.repeat,
        tokens=(),
        machine=machine,
        peak_memory_bytes=peak_memory_bytes(),
    )


def turn_id(key: AnswerKey) -> str:
    """Return the id that the record of an answer bears."""
    return key.prompt_id if key.turn == 0 else f"{key.prompt_id}/turn-{key.turn + 1}"
