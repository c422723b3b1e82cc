"""Thresholds played on a run's traces: seconds of every prompt with each of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Float64, Int64

from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.loaded_run import LoadedRun
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.grid import count_absolute
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay

RATIO = 1.25**0.5
"""Of a threshold to the one below it: two steps are 25 % more."""
SETTINGS: Mapping[str, str] = {"absolute": "theta_abs", "relative": "theta_rel"}
"""By strategy, the setting that is its threshold."""
LEAST_RATIO = 1.01
"""The lowest ``theta_rel``, which must be above 1; lower ones are raised to it."""
_CLOSE = 1e-3
"""Thresholds within this part of the fewest seconds count as equally good."""

Picks = Int64[np.ndarray, "samples prompts"]
"""Bootstrap samples of a task's prompts."""


class Replayable(NamedTuple):
    """What a run holds for replay."""

    tasks: Mapping[str, Sequence[Sequence[PreparedTrace]]]
    """By task, the texts of each prompt: one for each turn."""
    costs: CostModel
    max_draft_len: int
    """The longest draft that traces hold and costs know."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """One task's prompts with each of some thresholds."""

    thetas: Float64[np.ndarray, " thetas"]
    seconds: Float64[np.ndarray, "prompts thetas"]

    def best(self) -> float:
        """Return the threshold with which all prompts together take the fewest seconds."""
        return float(self.thetas[best_indices(self.seconds.sum(axis=0, keepdims=True))[0]])

    def best_of(self, picks: Picks) -> Float64[np.ndarray, " samples"]:
        """Return the same for each of some bootstrap samples."""
        best: np.ndarray = self.thetas[best_indices(weights_of(picks) @ self.seconds)]
        return best


def replayable(run: LoadedRun) -> Replayable:
    """Return what a run holds for replay.

    Raises:
        ConfigError: If traces or costs are missing, or cannot be read.
    """
    if not run.texts:
        raise ConfigError(
            "Thresholds must be played on traces of the prompts that were answered, and the run "
            f"has none of {run.manifest.drafter.get('name')!r}."
        )
    if run.costs is None:
        raise ConfigError(
            "Thresholds must be played with measured costs, and the run's calibration has none."
        )
    prompts: dict[str, dict[str, list[PreparedTrace]]] = {}
    known = {each.prompt_id: each.task for each in run.manifest.prompts}
    for text in run.texts:
        turn_id = text.trace.prompt_id
        prompt_id = turn_id if turn_id in known else re.sub(r"/turn-\d+$", "", turn_id)
        task = known.get(prompt_id, text.trace.task)
        prompts.setdefault(task, {}).setdefault(prompt_id, []).append(text)
    longest = min(each.trace.max_draft_len for each in run.texts)
    return Replayable(
        tasks={task: list(each.values()) for task, each in prompts.items()},
        costs=run.costs,
        max_draft_len=min(longest, run.costs.max_draft_len),
    )


def settings_for(run: LoadedRun, strategy: str, max_draft_len: int) -> dict[str, Any]:
    """Return the learned settings of a strategy but for its threshold, defaults if none were.

    Args:
        run: Its profile says what was learned.
        strategy: A key of ``SETTINGS``.
        max_draft_len: Drafts longer than that cannot be replayed.
    """
    learned = dict(run.profile.settings_of(strategy)) if run.profile else {}
    config = EntropyConfig.from_dict({"strategy": strategy, **learned})
    settings = {key: value for key, value in learned.items() if key != SETTINGS[strategy]}
    cap = min(config.draft_cap, max_draft_len)
    return {"strategy": strategy, **settings, "max_draft_len": cap}


def play(
    texts: Replayable, task: str, settings: Mapping[str, Any], thetas: Sequence[float]
) -> Played:
    """Return the seconds of a task's prompts with each threshold, all else being the same."""
    prompts = texts.tasks[task]
    rows = [
        sum(_seconds(text, texts.costs, settings, thetas) for text in prompt) for prompt in prompts
    ]
    return Played(
        thetas=np.array(thetas, dtype=np.float64), seconds=np.array(rows, dtype=np.float64)
    )


def ladder(low: float, high: float, ratio: float = RATIO) -> list[float]:
    """Return thresholds from low to high or a little above, each the same multiple of the last."""
    steps = int(np.ceil(np.log(high / low) / np.log(ratio)))
    return [float(low * ratio**step) for step in range(steps + 1)]


def best_indices(
    seconds: Float64[np.ndarray, "samples thetas"],
) -> Int64[np.ndarray, " samples"]:
    """Return which rung of a ladder takes the fewest seconds, in each row.

    Of those that are as good as the best it is the one in their middle: the fewest seconds of a
    flat valley are found on either side of it by chance.
    """
    close = seconds <= seconds.min(axis=1, keepdims=True) * (1 + _CLOSE)
    rungs = np.arange(seconds.shape[1])
    distances = np.abs(rungs - (close @ rungs / close.sum(axis=1))[:, None])
    indices: np.ndarray = np.where(close, distances, np.inf).argmin(axis=1)
    return indices


def weights_of(picks: Picks) -> Float64[np.ndarray, "samples prompts"]:
    """Return how often each prompt is in each bootstrap sample."""
    weights = np.zeros(picks.shape, dtype=np.float64)
    np.add.at(weights, (np.arange(len(picks))[:, None], picks), 1)
    return weights


def _seconds(
    text: PreparedTrace, costs: CostModel, settings: Mapping[str, Any], thetas: Sequence[float]
) -> np.ndarray:
    strategy = settings["strategy"]
    if strategy == "absolute":
        config = EntropyConfig.from_dict(settings)
        counts = count_absolute(
            text,
            thetas,
            max_draft_len=config.draft_cap,
            min_draft_len=config.min_draft_len,
            stop_placement="after" if config.keeps_uncertain else "before",
            entropy_type=config.entropy_type,
        )
        return costs.seconds_of(counts)
    configs = [EntropyConfig.from_dict({**settings, SETTINGS[strategy]: each}) for each in thetas]
    return np.array([costs.seconds(replay(text, config)) for config in configs])
