"""What a run would take: answers, bytes, and an estimate of the time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from smart_speed.calibration.search import GRIDS
from smart_speed.engines.base import LoadedModel
from smart_speed.running.conditions import ABLATIONS, TEMPERATURES, recipes
from smart_speed.running.progress import in_words
from smart_speed.running.prompts import LivePrompt, Selected
from smart_speed.running.settings import ExperimentConfig
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

_TIMED_TOKENS = 24
_BYTES_PER_TOKEN = 190
"""Of a record: an output token takes about two thirds of a round, a round is so long in JSON."""
_TRACE_ANSWERS = 3.0
"""A trace takes as long as so many plain answers."""
_LEARNING_S = 60.0
_SCREENING_S = 300.0
_LONG_S = 3600.0
"""What takes longer is worth a word on how to have it shorter."""


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would do."""

    conditions: Sequence[str]
    """Names; those of an ablation by the name of its setting, for their values are learned."""
    num_conditions: int
    num_prompts: int
    num_turns: int
    """Of all prompts together."""
    num_calibration_prompts: int
    repeats: int
    num_answers: int
    num_done: int
    num_bytes: int
    """Of the answers, about."""
    seconds: float | None
    """Still to go, about: as if every condition were as fast as plain decoding, and every answer
    as long as it may be; ``None`` if the first prompt cannot be answered."""
    budget_s: float | None
    """Seconds of answering after which the run stops; ``None`` if it does not."""

    def sentences(self) -> list[str]:
        """Return what people want to know of it."""
        long = "how long it takes is not known, as the first prompt cannot be answered"
        if self.seconds is not None:
            long = f"{in_words(self.seconds)}, if every condition were as fast as plain decoding"
        size = (
            f"{self.num_conditions} conditions × {self.num_prompts} prompts ({self.num_turns} "
            f"turns) × {self.repeats} repeats = {self.num_answers} answers, {self.num_done} of "
            f"them done; {self.num_calibration_prompts} further prompts to learn on."
        )
        said = [
            size,
            f"Conditions: {', '.join(self.conditions)}.",
            f"About {self.num_bytes / 1e6:.0f} MB; {long}.",
        ]
        if self.budget_s is not None and (self.seconds or 0) > self.budget_s:
            said.append(
                f"It stops after {in_words(self.budget_s)} of answering (time_budget_s; 0 is no "
                "limit), and what is there by then can be analysed; another call goes on."
            )
        elif (self.seconds or 0) > _LONG_S:
            said.append(
                "It may be stopped at any time: another call goes on, and what is there by then "
                'can be analysed; a smaller num_samples, conditions="quick" or time_budget_s make '
                "it shorter."
            )
        return said

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "conditions": list(self.conditions)}


def condition_names(config: ExperimentConfig) -> dict[str, int]:
    """Return the conditions that settings ask for, and how many each name stands for."""
    counts = dict.fromkeys(recipes(config), 1)
    for group in config.ablations:
        for each in ABLATIONS[group]:
            counts[f"{each.strategy}/{each.setting}"] = len(each.values) or len(each.factors)
    if config.confirm_live:
        counts |= {f"{strategy}/screened": config.confirm_live for strategy in GRIDS}
    return counts


def make_plan(
    config: ExperimentConfig,
    verifier: LoadedModel,
    selected: Selected,
    conditions: Mapping[str, int],
    *,
    num_done: int,
    num_traced: int,
    calibrated: bool,
) -> Plan:
    """Return what is to be done.

    Args:
        config: Of the experiment.
        verifier: Answers the beginning of one prompt, to be timed.
        selected: Its prompts.
        conditions: Names, and how many each stands for.
        num_done: Answers that there are.
        num_traced: Prompts whose traces there are.
        calibrated: Whether nothing is left to be learned.
    """
    num_turns = sum(len(each.turns) for each in selected.test)
    num_answers = num_turns * sum(conditions.values()) * config.repeats
    num_plain: float = num_answers - num_done  # so many plain answers take as long
    learning_s = 0.0
    if num_done < num_answers:
        num_plain += _TRACE_ANSWERS * (len(selected.test) - num_traced)
    if not calibrated and selected.calibration:
        num_plain += _TRACE_ANSWERS * len(selected.calibration)
        learning_s = config.cost_seconds + _LEARNING_S
        learning_s += _SCREENING_S if config.confirm_live else 0
    answer_s = _answer_seconds(config, verifier, selected.test[0]) if num_plain else 0.0
    runs = 1 + len(TEMPERATURES) if "temperature" in config.ablations else 1
    return Plan(
        conditions=list(conditions),
        num_conditions=sum(conditions.values()),
        num_prompts=len(selected.test),
        num_turns=num_turns,
        num_calibration_prompts=len(selected.calibration),
        repeats=config.repeats,
        num_answers=num_answers,
        num_done=num_done,
        num_bytes=num_answers * config.max_new_tokens * _BYTES_PER_TOKEN,
        seconds=None if answer_s is None else runs * (num_plain * answer_s + learning_s),
        budget_s=config.budget_s,
    )


def _answer_seconds(
    config: ExperimentConfig, verifier: LoadedModel, prompt: LivePrompt
) -> float | None:
    """Return how long a plain answer takes, from the beginning of one; ``None`` if it fails."""
    decoder = EntropyBasedSpeculativeDecoder(verifier)
    try:
        decoder.generate(prompt.asked([]), max_new_tokens=4)  # first calls take longer
        decoder.forget()
        record = decoder.generate(prompt.asked([]), max_new_tokens=_TIMED_TOKENS).record
    # Whatever an engine may say: it is for the run to record, and others may do.
    except Exception:  # noqa: BLE001
        return None
    token_s = record.decode_s / max(record.output_len, 1)
    return record.prefill_s + token_s * config.max_new_tokens
