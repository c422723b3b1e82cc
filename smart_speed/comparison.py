"""Several conditions on the same prompts, interleaved, so that a drifting machine favours none."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from smart_speed.divergence import Divergence, find_divergence
from smart_speed.engines.base import LoadedModel
from smart_speed.evaluation import (
    acceptance_rate,
    drafter_passes_per_token,
    empty_draft_share,
    entropy_share,
    mean_draft_len,
    mean_emitted_len,
    overhead_share,
    speedup,
    strategy_share,
    tokens_per_decode_s,
)
from smart_speed.generation import Result
from smart_speed.prompting import Prompt, encode_prompt
from smart_speed.records import SequenceRecord
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

BASELINE = "plain"
"""The condition that speed-ups are over and texts are compared with."""

Progress = Callable[[int, int], None]
"""Called with the number of answers so far, and of all."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All answers of a comparison."""

    results: Mapping[tuple[str, str], Result]
    """By condition and prompt id, in the order in which they were made."""
    divergences: Sequence[Divergence]
    """Greedy outputs that differ from plain decoding's and should not: those of lossy conditions
    are not among them. Empty under sampling."""

    def records(self, condition: str) -> list[SequenceRecord]:
        """Return the records of one condition."""
        return [result.record for (name, _), result in self.results.items() if name == condition]

    def figures(self, condition: str) -> dict[str, Any]:
        """Return one condition's row of the table, as JSON values.

        The number of divergences is null where texts need not be the verifier's.
        """
        records = self.records(condition)
        differing = sum(gap.condition == condition for gap in self.divergences)
        exact = all(record.lossless for record in records)
        figures = figures_of(records, self.records(BASELINE))
        return {
            "num_sequences": len(records),
            "num_divergences": differing if exact else None,
            **figures,
        }


def figures_of(
    records: Sequence[SequenceRecord], baseline: Sequence[SequenceRecord]
) -> dict[str, float | None]:
    """Return the figures of one condition beside plain decoding's, as JSON values."""
    ratio = speedup(records, baseline)
    figures = {
        "tokens_per_decode_s": tokens_per_decode_s(records),
        "speedup_over_plain": ratio.value,
        "speedup_low": ratio.low,
        "speedup_high": ratio.high,
        "acceptance_rate": acceptance_rate(records),
        "mean_emitted_len": mean_emitted_len(records),
        "mean_draft_len": mean_draft_len(records),
        "empty_draft_share": empty_draft_share(records),
        "drafter_passes_per_token": drafter_passes_per_token(records),
        "overhead_share": overhead_share(records),
        "entropy_share": entropy_share(records),
        "strategy_share": strategy_share(records),
    }
    # JSON knows no NaN: what could not be computed is null.
    return {name: value if np.isfinite(value) else None for name, value in figures.items()}


def compare(
    decoders: Mapping[str, EntropyBasedSpeculativeDecoder],
    prompts: Sequence[tuple[str, Prompt]],
    **settings: Any,
) -> Comparison:
    """Answer every prompt under every condition; settings are those of ``compare_each``."""
    results: dict[tuple[str, str], Result] = {}
    divergences: list[Divergence] = []
    for part in compare_each(decoders, prompts, **settings):
        results |= part.results
        divergences += part.divergences
    return Comparison(results=results, divergences=divergences)


def compare_each(
    decoders: Mapping[str, EntropyBasedSpeculativeDecoder],
    prompts: Sequence[tuple[str, Prompt]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    repeats: int = 1,
    progress: Progress | None = None,
) -> Iterator[Comparison]:
    """Answer every prompt under every condition, and hand over each prompt's answers once made.

    The conditions take turns in random order, which depends on the prompt's id and not on the
    prompts before it.

    Args:
        decoders: By condition; they may share models. ``BASELINE`` must be among them.
        prompts: Ids and prompts.
        max_new_tokens: The most tokens of an answer.
        sampling: The same for all.
        repeats: How often each answer is made; the one of median decode time is kept.
        progress: Called after each answer.
    """
    total, done = len(decoders) * len(prompts) * repeats, 0
    for number, (prompt_id, prompt) in enumerate(prompts):
        if number == 0:
            warm_up(decoders, prompt, sampling)
        runs: dict[str, list[Result]] = {name: [] for name in decoders}
        for name, result in answers_in_turn(
            decoders,
            prompt_id,
            prompt,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            repeats=repeats,
        ):
            runs[name].append(result)
            done += 1
            if progress:
                progress(done, total)
        results: dict[tuple[str, str], Result] = {}
        for name, made in runs.items():
            made.sort(key=lambda result: result.record.decode_s)
            results[name, prompt_id] = made[len(made) // 2]
        verifier = decoders[BASELINE].verifier
        parted = _divergences(results, prompt, verifier) if sampling.greedy else []
        yield Comparison(results=results, divergences=parted)


def answers_in_turn(
    decoders: Mapping[str, EntropyBasedSpeculativeDecoder],
    prompt_id: str,
    prompt: Prompt,
    *,
    max_new_tokens: int,
    sampling: Sampling,
    repeats: int = 1,
    reread: bool = True,
) -> Iterator[tuple[str, Result]]:
    """Answer one prompt under every condition, in random order, and hand over each answer.

    Args:
        decoders: By condition.
        prompt_id: Of the prompt; the order depends on it.
        prompt: What to answer.
        max_new_tokens: The most tokens of an answer.
        sampling: The same for all.
        repeats: How often each answer is made.
        reread: Whether every answer begins with empty caches. If not, seconds of prefill mean
            nothing, and a long prompt need not be read anew by each.
    """
    order = np.random.default_rng([sampling.seed, zlib.crc32(prompt_id.encode())])
    for name in order.permutation(list(decoders) * repeats).tolist():
        if reread:
            decoders[name].forget()  # no condition may profit from another's prefill
        yield (
            name,
            decoders[name].generate(
                prompt,
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                prompt_id=prompt_id,
                condition=name,
            ),
        )


def warm_up(
    decoders: Mapping[str, EntropyBasedSpeculativeDecoder], prompt: Prompt, sampling: Sampling
) -> None:
    """Answer a little under every condition: first calls allocate, import and choose kernels."""
    for decoder in decoders.values():
        decoder.generate(prompt, max_new_tokens=16, sampling=sampling)


def _divergences(
    results: Mapping[tuple[str, str], Result], prompt: Prompt, verifier: LoadedModel
) -> list[Divergence]:
    found = (
        find_divergence(
            verifier.model,
            encode_prompt(prompt, verifier),
            results[BASELINE, prompt_id].tokens,
            result.tokens,
            prompt_id=prompt_id,
            condition=name,
        )
        for (name, prompt_id), result in results.items()
        if result.record.lossless
    )
    return [divergence for divergence in found if divergence is not None]
