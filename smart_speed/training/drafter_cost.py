"""What does a drafted token cost, in passes of the verifier?

Measured in the decoding loop rather than by timing the two models apart, which would flatter the
drafter. In the loop every verifier pass drives the drafter's weights out of the processor's
caches, a round's first step also reads what the verifier added, and measuring the law, asking the
strategy, choosing the token and checking it all take time. So a step is whatever makes a round
longer than one of plain decoding, the verifier's own pass left out.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple, final

from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import check_that
from smart_speed.evaluation import Interval, ratio_of_medians
from smart_speed.prompting import Prompt
from smart_speed.records import RoundRecord
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

DRAFT_LEN = 4
"""Tokens a round drafts where nothing else is asked for."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DrafterCost:
    """A drafter's cost beside its verifier's; medians over repetitions."""

    step_share: Interval
    """Seconds of a drafter step over those of a verifier pass of one token; "c" in the papers."""
    wide_pass: Interval
    """Seconds of a verifier pass over a full draft, over those of a pass of one token; NaN if no
    draft was full."""
    step_s: float
    pass_s: float
    draft_len: int
    """Tokens of a full draft."""
    num_steps: int
    num_passes: int
    """Of one token."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            name: value.to_json() if isinstance(value, Interval) else value
            for name, value in asdict(self).items()
        }


class _Repetition(NamedTuple):
    """Some rounds of plain decoding and of drafting after the same text."""

    plain: Sequence[RoundRecord]
    drafting: Sequence[RoundRecord]

    @property
    def pass_s(self) -> float:
        return median(turn.verifier_s for turn in self.plain)

    @property
    def num_steps(self) -> int:
        return sum(len(turn.entropies_nats) for turn in self.drafting)

    @property
    def step_s(self) -> float:
        other_s = median(turn.round_s - turn.verifier_s for turn in self.plain)
        longer_s = sum(turn.round_s - turn.verifier_s - other_s for turn in self.drafting)
        return longer_s / self.num_steps

    def wide_pass_s(self, draft_len: int) -> float | None:
        full = [turn.verifier_s for turn in self.drafting if turn.draft_len == draft_len]
        return median(full) if full else None


def drafter_cost(
    verifier: LoadedModel,
    drafter: LoadedModel | Drafter,
    prompts: Sequence[Prompt],
    *,
    config: EntropyConfig | None = None,
    repeats: int = 50,
    max_new_tokens: int = 12,
    clock: Callable[[], float] = time.perf_counter,
) -> DrafterCost:
    """Measure a drafter's step beside its verifier's pass, the two interleaved.

    Each repetition goes on with a prompt for a few tokens, once plainly and once drafting, in
    turns first. One before them is not counted.

    Args:
        verifier: The model whose text is wanted.
        drafter: A model to be paired with it, or any drafter.
        prompts: Texts of the length at which it is to be measured; they take turns.
        config: How to draft; ``None`` for drafts of four tokens.
        repeats: How often; each gives one value of either time, and the interval is a bootstrap
            over them.
        max_new_tokens: Tokens of each continuation, more than a draft holds.
        clock: Returns seconds.

    Raises:
        VocabularyError: If the models disagree on a token.
        ConfigError: If a setting breaks a rule, or nothing was drafted.
        ContextLengthError: If a prompt does not leave room for one more token.
    """
    check_that(repeats >= 1, "repeats", "at least 1", repeats)
    check_that(bool(prompts), "prompts", "at least one", len(prompts))
    config = config or EntropyConfig(strategy="fixed", max_draft_len=DRAFT_LEN)
    rule = f"more than a draft of {config.draft_cap} and the verifier's token"
    check_that(max_new_tokens > config.draft_cap + 1, "max_new_tokens", rule, max_new_tokens)
    if isinstance(drafter, LoadedModel):
        drafter = ModelDrafter.for_verifier(drafter, verifier)
    plain = EntropyBasedSpeculativeDecoder(verifier, clock=clock)
    drafting = EntropyBasedSpeculativeDecoder(verifier, drafter, config, clock=clock)

    def rounds(decoder: EntropyBasedSpeculativeDecoder, number: int) -> Sequence[RoundRecord]:
        prompt, sampling = prompts[number % len(prompts)], Sampling(ignore_eos=True)
        result = decoder.generate(prompt, max_new_tokens=max_new_tokens, sampling=sampling)
        return result.record.rounds

    made = []
    for number in range(repeats + 1):
        order = (plain, drafting) if number % 2 else (drafting, plain)
        by_decoder = {id(decoder): rounds(decoder, number) for decoder in order}
        made.append(_Repetition(by_decoder[id(plain)], by_decoder[id(drafting)]))
    return _summary(made[1:], config.draft_cap)


def _summary(made: Sequence[_Repetition], draft_len: int) -> DrafterCost:
    idle = sum(each.num_steps == 0 for each in made)
    check_that(not idle, "prompts", "short enough for the drafter to go on with", idle)
    wide = [
        (seconds, each.pass_s)
        for each in made
        if (seconds := each.wide_pass_s(draft_len)) is not None
    ]
    step_s, pass_s = [each.step_s for each in made], [each.pass_s for each in made]
    return DrafterCost(
        step_share=ratio_of_medians(step_s, pass_s),
        wide_pass=ratio_of_medians([pair[0] for pair in wide], [pair[1] for pair in wide]),
        step_s=median(step_s),
        pass_s=median(pass_s),
        draft_len=draft_len,
        num_steps=sum(each.num_steps for each in made),
        num_passes=sum(len(each.plain) for each in made),
    )
