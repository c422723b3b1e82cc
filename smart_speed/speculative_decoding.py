"""THE loop: draft while it pays, verify in one pass, keep what the verifier would have written."""

import importlib
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple, final

from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter, NoDrafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.router import Router
from smart_speed.ending import OutputText
from smart_speed.engines.base import LoadedModel, read_ahead
from smart_speed.entropy import LawFacts, glance_at
from smart_speed.errors import ConfigError, SmartSpeedError, check_that
from smart_speed.generation import Generation, Job, Result, Round
from smart_speed.laws import Chance, Glance, Law, Proposal, Scores, SeededChance
from smart_speed.prompting import Prompt, encode_prompt
from smart_speed.records import RoundRecord, SequenceRecord
from smart_speed.sampling import Sampling
from smart_speed.stopping.base import DraftView, SendingStrategy, StoppingStrategy
from smart_speed.stopwatch import Stopwatch
from smart_speed.target_laws import VerifierLaws

__all__ = ["EntropyBasedSpeculativeDecoder", "EntropyConfig", "Generation", "Result", "Round"]


class Draft(NamedTuple):
    """What the drafter wrote in one round, and why it stopped."""

    proposal: Proposal
    facts: tuple[LawFacts, ...]
    stop_reason: str


@final
class EntropyBasedSpeculativeDecoder:
    """A verifier, a drafter, and the entropy of the latter to decide how far it writes ahead.

    Keeps both caches between calls: a prompt that begins as the last text did, such as a chat
    that goes on, is read only from where it differs.
    """

    def __init__(
        self,
        verifier: LoadedModel,
        drafter: LoadedModel | Drafter | None = None,
        config: EntropyConfig | None = None,
        *,
        strategy: StoppingStrategy[Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Pair the models.

        Args:
            verifier: The model whose text is wanted.
            drafter: What writes ahead; ``None`` for plain decoding.
            config: How to draft and verify. ``None`` means ``EntropyConfig()``, or plain decoding
                where there is no drafter.
            strategy: An object of your own that decides instead of the one that ``config`` names,
                whose caps and other settings hold all the same.
            clock: Returns seconds.

        Raises:
            VocabularyError: If the models disagree on any token.
            ConfigError: If there is no drafter and the strategy is not "plain", or the strategy
                chooses among other drafters than there are.
        """
        self.config = config or EntropyConfig(strategy="absolute" if drafter else "plain")
        plain = self.config.draft_cap == 0
        if drafter is None and not plain:
            raise ConfigError(
                f"strategy must be 'plain' without a drafter, got {self.config.strategy!r}."
            )
        if isinstance(drafter, LoadedModel):
            drafter = ModelDrafter.for_verifier(drafter, verifier)
        self.verifier = verifier
        self.drafter: Drafter = NoDrafter() if drafter is None or plain else drafter
        self._strategy = strategy or self.config.build_strategy()
        self._sender = self._strategy if isinstance(self._strategy, SendingStrategy) else None
        self._router = Router.of(self._strategy, self.drafter)
        self._measure = self.config.build_measure()
        # Looked up once: a plug-in's defaults are found by searching what is installed.
        self._draft_cap = self.config.draft_cap
        self._keep_last = self.config.keeps_uncertain
        self._clock = clock
        self._text: list[int] = []

    @classmethod
    def from_pretrained(
        cls,
        verifier: str = "default",
        drafter: str | None = "default",
        config: EntropyConfig | None = None,
        *,
        profile: str | None = "default",
        **options: Any,
    ) -> "EntropyBasedSpeculativeDecoder":
        """Load models and pair them.

        Args:
            verifier: A folder, GGUF file or hub id, or "default" for the embedded model.
            drafter: The same, or "ngram", or "layers:N" for the verifier's first N layers, or the
                name of one that comes with the package, or ``None`` for plain decoding.
            config: How to draft and verify; ``None`` for what the profile says.
            profile: A file that ``smart-speed calibrate`` wrote, for these models and this engine;
                or "default" for the one that comes with the package for them, if there is one. The
                first time, that measures for up to a minute what drafting costs on this machine.
                Not read where there is a config.
            options: Fields of ``smart_speed.loading.LoadOptions``: engine, device, dtype, threads …
        """
        from smart_speed.loading import LoadOptions, load_drafter, load_verifier

        load = LoadOptions(**options)
        loaded = load_verifier(verifier, load)
        if drafter is None:
            return cls(loaded, None, config)
        drafting = load_drafter(drafter, loaded, load)
        if config is None and profile is not None:
            from smart_speed.calibration.here import profile_for

            found = profile_for(profile, (verifier, drafter), loaded, drafting, load.say)
            config = EntropyConfig.from_dict(found.config) if found else None
        return cls(loaded, drafting, config)

    def generate(self, prompt: Prompt, **settings: Any) -> Result:
        """Answer a prompt; settings and errors are those of ``stream``."""
        return self.stream(prompt, **settings).finish()

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 128,
        sampling: Sampling | None = None,
        prompt_id: str = "",
        condition: str | None = None,
        chance: Chance | None = None,
    ) -> Generation:
        """Read a prompt and return its answer in the making.

        Args:
            prompt: A text, its tokens, or the messages of a chat, which are put into the model's
                own template. An empty one becomes the model's begin-of-text token.
            max_new_tokens: The most tokens of the output; 0 gives an empty one.
            sampling: Temperature and the like; the default is greedy.
            prompt_id: Recorded, and seeds the output together with ``sampling.seed``.
            condition: Recorded; the default is the strategy's name.
            chance: Where randomness comes from instead of the seed.

        Raises:
            ContextLengthError: If the prompt does not leave room for one more token.
            ConfigError: If the prompt is empty and the model knows no token to begin with.
            NonFiniteError: If a model's logits are not a law (while iterating).
        """
        check_that(max_new_tokens >= 0, "max_new_tokens", "at least 0", max_new_tokens)
        sampling = sampling or Sampling()
        rule = self.config.build_rule(greedy=sampling.greedy)
        text = encode_prompt(prompt, self.verifier)
        room = self.verifier.model.context_len - len(text)
        start = self._clock()
        self._text = text
        reused_len = read_ahead(self.verifier.model, text)
        self.drafter.prefill(text)
        if self._router:
            self._router.prefill(text)
        opening = SequenceRecord(
            condition=condition or self.config.name,
            prompt_id=prompt_id,
            seed=sampling.seed,
            status="ok",
            lossless=rule.lossless,
            engine=self.verifier.engine,
            prompt_len=len(text),
            reused_len=reused_len,
            output_len=0,
            finish_reason=None,
            prefill_s=self._clock() - start,
            decode_s=0.0,
            rounds=(),
        )
        job = Job(
            text=text,
            end_len=len(text) + min(max_new_tokens, room),
            sampling=sampling,
            output=OutputText(self.verifier.tokenizer, sampling),
            chance=chance or SeededChance(sampling.seed, zlib.crc32(prompt_id.encode())),
            rule=rule,
        )
        return Generation(
            self._rounds_or_forget(job),
            job,
            opening,
            limit_reason="length" if max_new_tokens <= room else "context",
            clock=self._clock,
        )

    def forget(self) -> None:
        """Empty both caches, for instance after an exception has left them in doubt."""
        self._text = []
        self.verifier.model.rollback(0)
        self.drafter.rollback(0)

    def _rounds_or_forget(self, job: Job) -> Iterator[Round]:
        """Run the loop, and leave no half-written cache behind if it fails."""
        try:
            yield from self._rounds(job)
        except GeneratorExit:
            raise  # abandoned between two rounds, where caches are whole
        except BaseException:
            if self._text is job.text:
                self.forget()
            raise

    def _rounds(self, job: Job) -> Iterator[Round]:
        """Continue a prefilled text, round by round, until it ends."""
        text, verifier, strategy = job.text, self.verifier.model, self._strategy
        records_phases, judging = self.config.phases is not None, None
        state, record, finish_reason = strategy.initial_state(), None, None
        while finish_reason is None and job.budget >= 0:
            if self._text is not text or verifier.cached_tokens != text[:-1]:
                raise SmartSpeedError("A model writes one text at a time, and has begun another.")
            watch = Stopwatch(self._clock)
            if record is not None:
                state = strategy.after_round(state, record)
                watch.lap("strategy_s")
            context_len = len(text)
            if self._router:
                state = self._router.choose(state, text)
                watch.lap("strategy_s")
            draft = self._draft(job, state, watch)
            proposed = draft.proposal.tokens

            watch.skip()
            unseen = [*text[verifier.cached_len :], *proposed]
            rows = verifier.feed(unseen, last=len(proposed) + 1)
            watch.lap("verifier_s")
            target = VerifierLaws(rows, job.sampling, text, proposed)
            verdict = job.rule.verify(draft.proposal, target, job.chance, judging)
            judging = verdict.state
            kept = [*proposed[: verdict.accepted_len], verdict.next_token]
            emitted, finish_reason = job.output.add(kept)
            text += emitted
            verifier_nats: tuple[float, ...] = ()
            if records_phases:
                watch.skip()
                verifier_nats = tuple(target.entropy_nats(at) for at in range(len(emitted)))
                watch.lap("entropy_s")
            verifier.rollback(len(text) - 1)
            self.drafter.rollback(len(text) - 1)
            if self._router:
                watch.skip()
                self._router.look(Scores(rows[verdict.accepted_len]))
                watch.lap("strategy_s")

            record = RoundRecord(
                context_len=context_len,
                entropies_nats=tuple(facts.entropy_nats for facts in draft.facts),
                top_probs=tuple(facts.top_prob for facts in draft.facts),
                draft_len=len(proposed),
                accepted_len=min(verdict.accepted_len, len(emitted)),
                emitted_len=len(emitted),
                stop_reason=draft.stop_reason,
                inexact_len=sum(at < len(emitted) for at in verdict.inexact),
                verifier_entropies_nats=verifier_nats,
                round_s=watch.total(),
                drafter=self._router.chosen if self._router else "",
                **watch.by_phase(),
            )
            yield Round(tuple(proposed), emitted, record, finish_reason)

    def _draft(self, job: Job, state: Any, watch: Stopwatch) -> Draft:
        """Draft one round: until the strategy, a cap, the budget or end of text says stop."""
        config, strategy, sampling = self.config, self._strategy, job.sampling
        keep_last = self._keep_last
        tokens: list[int] = []
        laws: list[Law] = []
        glances: list[Glance] = []
        facts: list[LawFacts] = []
        limit, reason = self._limit(job, strategy.max_len(state))
        while len(tokens) < limit:
            watch.skip()
            scores = self.drafter.scores_after(job.text, tokens)
            watch.lap("drafter_s")
            measured = scores
            if config.entropy_of == "sampled" and not sampling.greedy:
                measured = sampling.shape(scores, chain(job.text, tokens))
            facts.append(self._measure(measured))
            watch.lap("entropy_s")
            stop = None
            if len(tokens) + keep_last >= config.min_draft_len:
                stop = strategy.reason_to_stop(DraftView(tuple(facts)), state)
            watch.lap("strategy_s")
            if stop is not None and not keep_last:
                reason = stop
                break
            laws.append(sampling.law(scores, chain(job.text, tokens)))
            if job.glance_len:
                watch.skip()
                glances.append(glance_at(scores, job.glance_len))
                watch.lap("entropy_s")
            tokens.append(job.chance.draw(laws[-1]))
            if stop is not None or tokens[-1] in job.output.ending_tokens:
                reason = stop or "eos"
                break
            if self._sender and config.min_draft_len <= len(tokens) < limit:
                send = self._sender.reason_to_send(DraftView(tuple(facts)), state)
                watch.lap("strategy_s")
                if send is not None:
                    reason = send
                    break
        return Draft(Proposal(tokens, laws, glances), tuple(facts), reason)

    def _limit(self, job: Job, own: int | None) -> tuple[int, str]:
        """Return the most tokens that this round may draft, and what says so."""
        config, context_len = self.config, self.drafter.context_len
        caps = [(self._draft_cap, "max_draft_len"), (job.budget, "budget")]
        if own is not None:
            caps.append((max(own, config.min_draft_len), config.strategy))
        if context_len is not None:
            caps.append((max(context_len - len(job.text), 0), "drafter_context"))
        return min(caps, key=lambda cap: cap[0])


if __name__ == "speculative_decoding":
    # Imported by its bare name, with this folder on the path: be the package's own module.
    sys.modules[__name__] = importlib.import_module("smart_speed.speculative_decoding")
