"""What do rounds cost here? Measured in the decoding loop, draft lengths interleaved.

Timing the two models apart would flatter the drafter: in the loop every verifier pass drives the
drafter's weights out of the processor's caches, and both also read what the other one added. So
the loop itself is run, on real prompts, and each round drafts as many tokens as a shuffled list
says. A machine that drifts or is interrupted then disturbs all lengths alike.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, NamedTuple, final

import numpy as np

from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import MeasurementError, check_that
from smart_speed.prompting import Prompt, encode_prompt
from smart_speed.records import RoundRecord
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.stopping.base import DraftView, SendingStrategy, StoppingStrategy
from smart_speed.tracing.catch_up import measure_catch_up
from smart_speed.tracing.context_costs import measure_context_costs
from smart_speed.tracing.cost_estimates import LEAST_SAMPLES, estimate_costs
from smart_speed.tracing.measured_costs import MeasuredCosts, RoughCostsError

TEXT_LEN = 192
"""Tokens that are written after each prompt: contexts of a range of lengths."""
WARM_UP_ROUNDS = 4
"""Of each text, left out."""

Progress = Callable[[int, int, str], None]
"""Called with seconds spent, seconds allowed, and how wide the widest interval is."""


def measure_costs(
    verifier: LoadedModel,
    drafter: LoadedModel | Drafter,
    prompts: Sequence[Prompt],
    *,
    max_draft_len: int = 16,
    config: EntropyConfig | None = None,
    resolution: float = 0.03,
    least_s: float = 5.0,
    most_s: float = 120.0,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
) -> MeasuredCosts:
    """Measure until the costs are known well enough, or refuse to say.

    The texts are greedy ones, written until enough is known; what must be is in
    ``cost_estimates.estimate_costs``.

    Args:
        verifier: Its cache is changed.
        drafter: The same; a model is paired with the verifier.
        prompts: Texts to write on from, taking turns; at least one.
        max_draft_len: Longest draft, at least 1.
        config: Whose strategy is asked at each token, for its own cost, and whose entropy is
            measured; ``None`` for a strategy that does nothing.
        resolution: How well costs must be known, as a share. It is the least difference between
            two policies that can be told from these costs.
        least_s: Seconds to measure in any case, once it is known what a longer context adds, which
            takes some seconds more.
        most_s: And at most.
        seed: Of the order of draft lengths.
        clock: Returns seconds.
        progress: Called after each text.

    Raises:
        RoughCostsError: If the intervals are still wider when time is up.
        MeasurementError: If not every draft length came up often enough until then.
        ConfigError: If a setting breaks a rule, or a prompt leaves the drafter or the verifier no
            room for what is to be measured.
        VocabularyError: If the models disagree on a token.
    """
    check_that(max_draft_len >= 1, "max_draft_len", "at least 1", max_draft_len)
    check_that(0 < resolution < 1, "resolution", "between 0 and 1", resolution)
    check_that(len(prompts) > 0, "prompts", "at least one", len(prompts))
    config = config or EntropyConfig(strategy="fixed")
    probe = _Probe(max_draft_len, config.build_strategy(), np.random.default_rng(seed))
    decoder = EntropyBasedSpeculativeDecoder(
        verifier,
        drafter,
        replace(config, max_draft_len=max_draft_len, min_draft_len=0),
        strategy=probe,
        clock=clock,
    )
    _check_room(verifier, decoder.drafter, prompts, max_draft_len)
    read = max((encode_prompt(each, verifier) for each in prompts), key=len)
    contexts = measure_context_costs(
        verifier, decoder.drafter, read, max_width=max_draft_len + 1, clock=clock
    )
    start, texts = clock(), list[Sequence[RoundRecord]]()
    for prompt in cycle(prompts):
        rounds = _text_rounds(decoder, prompt, lambda: clock() - start >= most_s)
        texts.append(rounds[WARM_UP_ROUNDS:])
        spent_s = clock() - start
        found = estimate_costs(texts, max_draft_len, resolution, contexts)
        if progress:
            note = f"±{found.worst.spread:.1%} for {found.worst.what}" if found else ""
            progress(int(min(spent_s, most_s)), int(most_s), note)
        known = found is not None and found.resolved and spent_s >= least_s
        if known or spent_s >= most_s:
            break
    if found is None:
        raise MeasurementError(
            f"Costs must be measured on {LEAST_SAMPLES} rounds or more of each draft length, got "
            f"fewer in {spent_s:.0f} s; allow more time, or choose a smaller max_draft_len."
        )
    catch_up_s = measure_catch_up(decoder.drafter, read, clock)
    measured = MeasuredCosts(
        costs=replace(found.costs, catch_up_s=catch_up_s),
        figures=found.figures,
        spread=found.worst.spread,
        widest=found.worst.what,
        num_rounds=sum(map(len, texts)),
        seconds=spent_s,
    )
    if not found.resolved:
        what, spread, most = found.worst
        raise RoughCostsError(
            f"Costs must be known to {most:.1%} of a plain verifier pass, got {spread:.1%} for "
            f"{what} after {spent_s:.0f} s; measure on a quieter machine, for longer, or with a "
            "coarser resolution.",
            measured,
        )
    return measured


def _check_room(
    verifier: LoadedModel, drafter: Drafter, prompts: Sequence[Prompt], max_draft_len: int
) -> None:
    """Refuse prompts after which not even every draft length has its turn."""
    least = WARM_UP_ROUNDS + 2 * (max_draft_len + 1)
    contexts = {"verifier": verifier.model.context_len, "drafter": drafter.context_len}
    for prompt in prompts:
        length = len(encode_prompt(prompt, verifier))
        for who, context_len in contexts.items():
            fits = context_len is None or length + least <= context_len
            rule = f"short enough for {least} more tokens in the {who}'s context of {context_len}"
            check_that(fits, "prompts", rule, length)


def _text_rounds(
    decoder: EntropyBasedSpeculativeDecoder, prompt: Prompt, is_over: Callable[[], bool]
) -> Sequence[RoundRecord]:
    """Return the rounds of one text, or of its beginning if time is over."""
    sampling = Sampling(ignore_eos=True)
    generation = decoder.stream(prompt, max_new_tokens=TEXT_LEN, sampling=sampling)
    for _ in generation:
        if is_over():
            break
    return generation.result().record.rounds


class _ProbeState(NamedTuple):
    draft_len: int
    """Of the next round."""
    asked: Any
    """State of the strategy that is asked."""


@final
class _Probe:
    """Drafts each length equally often, in random order; asks a strategy, and does not listen."""

    def __init__(
        self, max_draft_len: int, asked: StoppingStrategy[Any], generator: np.random.Generator
    ) -> None:
        self._lens = np.arange(max_draft_len + 1)
        self._asked = asked
        self._sender = asked if isinstance(asked, SendingStrategy) else None
        self._generator = generator
        self._waiting: list[int] = []

    def initial_state(self) -> _ProbeState:
        return _ProbeState(self._next(), self._asked.initial_state())

    def max_len(self, state: _ProbeState) -> int:
        self._asked.max_len(state.asked)
        return state.draft_len

    def reason_to_stop(self, draft: DraftView, state: _ProbeState) -> None:
        self._asked.reason_to_stop(draft, state.asked)

    def reason_to_send(self, draft: DraftView, state: _ProbeState) -> None:
        if self._sender:
            self._sender.reason_to_send(draft, state.asked)

    def after_round(self, state: _ProbeState, outcome: RoundRecord) -> _ProbeState:
        return _ProbeState(self._next(), self._asked.after_round(state.asked, outcome))

    def _next(self) -> int:
        if not self._waiting:
            self._waiting = self._generator.permutation(self._lens).tolist()
        return self._waiting.pop()
