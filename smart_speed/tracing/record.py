"""Record traces: the only part of this package that needs models.

First the verifier writes its text by plain decoding, and reads it once more in one wide pass for
its entropies. Then each drafter continues it from every position, as if a round of the decoding
loop began there: what it is asked, and how its answers are measured, is the same. Sampled texts
take N K passes of the drafter for N positions: each branch starts with a token that is rejected.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import final

import numpy as np
from jaxtyping import Bool, Float64

from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram_counts import matches_along
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import check_that
from smart_speed.laws import Law, Scores, SeededChance
from smart_speed.prompting import Prompt, encode_prompt
from smart_speed.records import FinishReason
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.tracing.measuring import LawMeter, MeasuredLaw, pass_table
from smart_speed.tracing.traces import ENTROPY_TYPES, Trace


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VerifiedText:
    """One prompt's greedy output, and what the verifier thought while it wrote."""

    prompt_id: str
    task: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    """The output."""
    max_new_len: int
    """The most tokens that it might have had; what the context had room for, if less."""
    finish_reason: FinishReason
    ending_tokens: tuple[int, ...]
    entropy_nats: Float64[np.ndarray, " output"]
    top_prob: Float64[np.ndarray, " output"]
    agrees: Bool[np.ndarray, " output"]
    """Whether the wide pass names the same token; true of sampled tokens."""
    laws: tuple[Law, ...] | None
    """That the tokens were drawn from; ``None`` for greedy texts."""


@final
class TraceRecorder:
    """A verifier, and the drafters that are to be traced on its texts.

    Nothing here is timed. The caches of all models are its to change.
    """

    def __init__(
        self,
        verifier: LoadedModel,
        drafters: Mapping[str, LoadedModel | Drafter],
        *,
        max_draft_len: int = 16,
        sampling: Sampling | None = None,
    ) -> None:
        """Pair the models.

        Args:
            verifier: The model whose text is wanted.
            drafters: What writes ahead, by the names that their traces are to bear.
            max_draft_len: Longest continuation, at least 1.
            sampling: How texts are written; greedy by default.

        Raises:
            VocabularyError: If the models disagree on any token.
            ConfigError: If a setting breaks a rule, or there are stop strings, which a trace of
                tokens cannot tell.
        """
        sampling = sampling or Sampling()
        check_that(max_draft_len >= 1, "max_draft_len", "at least 1", max_draft_len)
        strings = sampling.stop_strings
        check_that(not strings, "stop_strings", "left out of traces, which hold tokens", strings)
        self._verifier = verifier
        self._drafters = {
            name: ModelDrafter.for_verifier(drafter, verifier, name=name)
            if isinstance(drafter, LoadedModel)
            else drafter
            for name, drafter in drafters.items()
        }
        self._max_draft_len = max_draft_len
        self._sampling = sampling
        self._plain = EntropyBasedSpeculativeDecoder(verifier)
        self._draft_meter = LawMeter(sampling, ENTROPY_TYPES)
        self._target_meter = LawMeter(sampling, ["shannon"])

    def record(
        self, prompt: Prompt, *, prompt_id: str, task: str = "", max_new_tokens: int = 128
    ) -> list[Trace]:
        """Answer a prompt, and trace every drafter on the answer; arguments as for ``verified``."""
        text = self.verified(prompt, prompt_id=prompt_id, task=task, max_new_tokens=max_new_tokens)
        return [self.trace(text, name) for name in self._drafters]

    def verified(
        self, prompt: Prompt, *, prompt_id: str, task: str = "", max_new_tokens: int = 128
    ) -> VerifiedText:
        """Have the verifier answer a prompt.

        Args:
            prompt: As for the decoder.
            prompt_id: Recorded.
            task: Recorded.
            max_new_tokens: The most tokens of the output, at least 1.

        Raises:
            ContextLengthError: If the prompt does not leave room for one more token.
            ConfigError: If the prompt is empty and the model knows no token to begin with.
            NonFiniteError: If the verifier's logits are not a law.
        """
        check_that(max_new_tokens >= 1, "max_new_tokens", "at least 1", max_new_tokens)
        start = encode_prompt(prompt, self._verifier)
        result = self._plain.generate(
            start, max_new_tokens=max_new_tokens, sampling=self._sampling, prompt_id=prompt_id
        )
        reason = result.record.finish_reason
        assert reason is not None
        measured, laws = self._laws(start, result.tokens)
        return VerifiedText(
            prompt_id=prompt_id,
            task=task,
            prompt=tuple(start),
            tokens=result.tokens,
            max_new_len=min(max_new_tokens, self._verifier.model.context_len - len(start)),
            finish_reason=reason,
            ending_tokens=self._ending_tokens(),
            entropy_nats=np.array([law.entropies_nats[0] for law in measured], dtype=np.float64),
            top_prob=np.array([law.top_prob for law in measured], dtype=np.float64),
            agrees=np.array([law.token for law in measured]) == np.array(result.tokens),
            laws=laws,
        )

    def trace(self, text: VerifiedText, name: str) -> Trace:
        """Have one drafter continue a text from every position.

        Args:
            text: From ``verified``.
            name: A key of the drafters.

        Raises:
            NonFiniteError: If the drafter's logits are not a law.
        """
        drafter = self._drafters[name]
        own_lens: list[int] = []
        passes: list[MeasuredLaw] = []
        accept_probs: list[float] = []
        overlaps: list[float] = []
        chance = SeededChance(self._sampling.seed, zlib.crc32(f"{name} {text.prompt_id}".encode()))
        drafter.prefill(text.prompt)
        for position, verified in enumerate(text.tokens):
            length = self._wanted_len(text, position, drafter.context_len)
            before = [*text.prompt, *text.tokens[:position]]
            ending = frozenset(text.ending_tokens)
            if text.laws is None:
                own = self._draft(drafter, before, length, ending, stop_at=verified)
            else:
                own, accept_prob, overlap = self._rejected(
                    drafter, before, length, ending, (text.laws[position], verified), chance
                )
                accept_probs.append(accept_prob)
                overlaps.append(overlap)
            own_lens.append(len(own))
            passes += own
            drafter.rollback(len(text.prompt) + position)
        match_lens, match_probs = zip(*matches_along(text.prompt, text.tokens), strict=True)
        return Trace(
            prompt_id=text.prompt_id,
            task=text.task,
            drafter=name,
            prompt_len=len(text.prompt),
            max_new_len=text.max_new_len,
            finish_reason=text.finish_reason,
            ending_tokens=text.ending_tokens,
            max_draft_len=self._max_draft_len,
            drafter_context_len=drafter.context_len,
            tokens=np.array(text.tokens, dtype=np.uint32),
            verifier_entropy_nats=text.entropy_nats,
            verifier_top_prob=text.top_prob,
            verifier_agrees=text.agrees,
            own_lens=np.array(own_lens, dtype=np.uint16),
            passes=pass_table(passes),
            overlap=np.array(overlaps, dtype=np.float32) if text.laws else None,
            accept_prob=np.array(accept_probs, dtype=np.float32) if text.laws else None,
            match_len=np.array(match_lens, dtype=np.uint8),
            match_prob=np.array(match_probs, dtype=np.float64),
        )

    def _wanted_len(self, text: VerifiedText, position: int, context_len: int | None) -> int:
        """Return how many passes to make; the last position is asked once, though none needs it."""
        length = min(self._max_draft_len, max(text.max_new_len - position - 1, 1))
        if context_len is not None:
            length = min(length, max(context_len - len(text.prompt) - position, 0))
        return length

    def _draft(
        self,
        drafter: Drafter,
        text: Sequence[int],
        length: int,
        ending: frozenset[int],
        *,
        stop_at: int,
    ) -> list[MeasuredLaw]:
        """Draft up to some length, to the end, or only one token if that is the verified one."""
        drafted: list[int] = []
        passes = []
        while len(drafted) < length:
            scores = drafter.scores_after(text, drafted)
            passes.append(self._draft_meter.measure(scores, chain(text, drafted)))
            drafted.append(passes[-1].token)
            if drafted[-1] in ending or drafted == [stop_at]:
                break
        return passes

    def _rejected(
        self,
        drafter: Drafter,
        text: Sequence[int],
        length: int,
        ending: frozenset[int],
        verified: tuple[Law, int],
        chance: SeededChance,
    ) -> tuple[list[MeasuredLaw], float, float]:
        """Draft a token that the verifier rejects, and what the drafter draws after it.

        Args:
            drafter: Asked.
            text: Before the token.
            length: Of the draft, at most.
            ending: Tokens that end it.
            verified: The verifier's law of the token, and what was drawn from it.
            chance: That draws.

        Returns:
            The passes, the probability that the verified token was drafted and accepted, and the
            overlap of the laws; nothing and zeros where there is no room for a draft.
        """
        passes: list[MeasuredLaw] = []
        drafted: list[int] = []
        accept_prob = overlap = 0.0
        target, token = verified
        while len(drafted) < length:
            scores = drafter.scores_after(text, drafted)
            law = self._sampling.law(scores, chain(text, drafted))
            if not drafted:
                accept_prob = min(1.0, law.prob_of(token) / target.prob_of(token))
                overlap = 1 - target.excess_over(law)
                law = law.residual(target)
            drawn = chance.draw(law)
            passes.append(self._draft_meter.measure(scores, chain(text, drafted), drawn))
            drafted.append(drawn)
            if drawn in ending:
                break
        return passes, accept_prob, overlap

    def _laws(
        self, prompt: Sequence[int], tokens: Sequence[int]
    ) -> tuple[list[MeasuredLaw], tuple[Law, ...] | None]:
        """Return what the verifier says at each position of its output, by one wide pass."""
        model = self._verifier.model
        text = [*prompt, *tokens[:-1]]
        model.rollback(min(model.cached_len, len(prompt) - 1))
        rows = model.feed(text[model.cached_len :], last=len(tokens))
        greedy = self._sampling.greedy
        measured, laws = [], []
        for at, token in enumerate(tokens):
            scores, context = Scores(rows[at]), [*prompt, *tokens[:at]]
            drawn = None if greedy else token
            measured.append(self._target_meter.measure(scores, context, drawn))
            if not greedy:
                laws.append(self._sampling.law(scores, context))
        return measured, tuple(laws) if laws else None

    def _ending_tokens(self) -> tuple[int, ...]:
        eos_ids = frozenset() if self._sampling.ignore_eos else self._verifier.tokenizer.eos_ids
        return tuple(sorted(eos_ids | set(self._sampling.stop_tokens)))
