"""Thousands of settings screened by replay, and what became of them when they were run.

A prediction is a replay of traces with measured costs; what it is worth shows beside the figure of
the same settings live. So every run ends with both, for each of its conditions.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from smart_speed.calibration.learning import replayed_rate
from smart_speed.calibration.search import GRIDS
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.evaluation import tokens_per_decode_s
from smart_speed.files import whole, writing
from smart_speed.loaded_run import LoadedRun
from smart_speed.profiles import Profile, shared_settings
from smart_speed.run_folder import CALIBRATION_NAME
from smart_speed.running.calibrating import traces_folder
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.grid import count_absolute, count_fixed
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.trace_files import read_manifest, read_traces

LEARNED = ("calibration", "routing")
"""Settings that a profile holds, too long to be told again."""
SCREENING_NAME = "screening.json"

Progress = Callable[[int, int, str], None]
"""Called with settings tried, settings in all, and the strategy they are of."""


Count = Callable[[int, int], None]
"""Called with how many conditions are predicted, and of how many."""


class Screened(NamedTuple):
    """One setting of a strategy, by replay."""

    settings: Mapping[str, Any]
    rate: float
    """Tokens per second, predicted."""


def screen(
    texts: Sequence[PreparedTrace],
    costs: CostModel,
    config: Mapping[str, Any],
    *,
    progress: Progress | None = None,
) -> dict[str, list[Screened]]:
    """Replay every combination of every strategy's grid.

    Args:
        texts: Of one drafter, to learn on.
        costs: Of the machine at hand.
        config: Of the profile, for strategies that read what was learned of acceptance.
        progress: Called after each few settings.

    Returns:
        For each strategy all settings, the fastest first.
    """
    longest = min([costs.max_draft_len, *(each.trace.max_draft_len for each in texts)])
    grids = {name: list(_settings(name, longest)) for name in GRIDS}
    total, done = sum(map(len, grids.values())), 0
    found: dict[str, list[Screened]] = {}
    for strategy, all_settings in grids.items():
        shared = shared_settings(strategy, config)
        whole_settings = [{**each, **shared} for each in all_settings]
        rates = (_RATES.get(strategy) or one_by_one)(texts, costs, whole_settings)
        tried: list[Screened] = []
        for settings, rate in zip(all_settings, rates, strict=True):
            tried.append(Screened(settings, rate))
            done += 1
            if progress:
                progress(done, total, strategy)
        found[strategy] = sorted(tried, key=lambda each: -each.rate)
    return found


def _settings(strategy: str, longest: int) -> Iterator[dict[str, Any]]:
    """Yield the combinations that traces and costs reach."""
    grid = GRIDS[strategy]
    for values in product(*grid.values()):
        settings = {"strategy": strategy, **dict(zip(grid, values, strict=True))}
        if strategy == "ema":
            settings["max_draft_len"] = settings["tiers"][-1]
        if settings["max_draft_len"] <= longest:
            yield settings


def one_by_one(
    texts: Sequence[PreparedTrace], costs: CostModel, all_settings: Sequence[Mapping[str, Any]]
) -> Iterator[float]:
    """Yield the rate of each setting, replayed one after the other."""
    for settings in all_settings:
        yield replayed_rate(texts, EntropyConfig.from_dict(settings), costs)


def _fixed(
    texts: Sequence[PreparedTrace], costs: CostModel, all_settings: Sequence[Mapping[str, Any]]
) -> Iterator[float]:
    caps = [each["max_draft_len"] for each in all_settings]
    seconds = np.sum([costs.seconds_of(count_fixed(each, caps)) for each in texts], axis=0)
    yield from (sum(each.output_len for each in texts) / seconds).tolist()


def _absolute(
    texts: Sequence[PreparedTrace], costs: CostModel, all_settings: Sequence[Mapping[str, Any]]
) -> Iterator[float]:
    num_tokens = sum(each.output_len for each in texts)
    rates: dict[tuple[Any, ...], float] = {}
    keys = [
        (each["theta_abs"], each["max_draft_len"], each["stop_placement"]) for each in all_settings
    ]
    thetas = sorted({theta for theta, _, _ in keys})
    for cap, place in dict.fromkeys(key[1:] for key in keys):
        counts = [
            count_absolute(each, thetas, max_draft_len=cap, stop_placement=place) for each in texts
        ]
        seconds = np.sum([costs.seconds_of(each) for each in counts], axis=0)
        rates |= {
            (theta, cap, place): num_tokens / spent
            for theta, spent in zip(thetas, seconds.tolist(), strict=True)
        }
    yield from (rates[key] for key in keys)


_RATES: Mapping[str, Callable[..., Iterator[float]]] = {"fixed": _fixed, "absolute": _absolute}
"""Where many settings can be counted side by side."""


class Learning(NamedTuple):
    """What settings are learned on."""

    texts: Sequence[PreparedTrace]
    costs: CostModel
    config: Mapping[str, Any]
    """Of the profile that was learned on them."""

    def relearn(self, settings: Mapping[str, Any], name: str) -> Any:
        """Return the best value of one setting with the others as they are."""
        values = GRIDS[settings["strategy"]][name]

        def rate(value: Any) -> float:
            config = EntropyConfig.from_dict({**settings, name: value})
            return replayed_rate(self.texts, config, self.costs)

        return max(values, key=rate)


def learning_of(folder: Path, drafter: str, profile: Profile) -> Learning | None:
    """Return what a profile was learned on; ``None`` where its traces or costs are not there."""
    costs = profile.learned.get("measured", {}).get("costs")
    if costs is None:
        return None
    traces = traces_folder(folder)
    if not traces.is_dir() or read_manifest(traces).traces_sha256 is None:
        return None
    return Learning(
        [PreparedTrace(each) for each in read_traces(traces) if each.drafter == drafter],
        CostModel.from_json(costs),
        profile.config,
    )


def write_screening(run: LoadedRun, *, progress: Count | None = None) -> None:
    """Write what was predicted of every condition of a run, beside what came of it.

    The predicted figures are of the calibration prompts and of the answered ones, the live figure
    of the latter; all count first turns. What cannot be predicted, because drafts are longer than
    the traced ones or the text is not the verifier's, is null.

    Args:
        run: With all the answers that there are by now.
        progress: Called before each condition.

    Raises:
        OutputError: If it cannot be written.
    """
    costs = run.costs
    learning = None
    if run.profile is not None:
        drafter = run.manifest.drafter["name"]
        learning = learning_of(run.folder / CALIBRATION_NAME, drafter, run.profile)
    answers = [each for each in run.answers if each.turn == 0 and each.record.status == "ok"]
    answered = {each.prompt_id for each in answers}
    texts = [each for each in run.texts if each.trace.prompt_id in answered]
    rows = []
    for done, (name, info) in enumerate(run.manifest.conditions.items()):
        if progress:
            progress(done, len(run.manifest.conditions))
        records = [each.record for each in answers if each.record.condition == name]
        known = learning if info.lossless else None
        live = tokens_per_decode_s(records)
        rows.append(
            {
                "condition": name,
                "config": {key: val for key, val in info.config.items() if key not in LEARNED},
                "predicted_on_calibration_tokens_per_s": known
                and _predicted(known.texts, info.config, known.costs),
                "predicted_tokens_per_s": costs
                and (_predicted(texts, info.config, costs) if info.lossless else None),
                "live_tokens_per_s": live if np.isfinite(live) else None,
                "num_answers": len(records),
            }
        )
    screened = run.manifest.about.get("screening")
    document = {"schema": 1, "screened": screened, "conditions": rows}
    with writing("A run", run.folder), whole(run.folder / SCREENING_NAME) as part:
        part.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _predicted(
    texts: Sequence[PreparedTrace], settings: Mapping[str, Any], costs: CostModel
) -> float | None:
    if not texts:
        return None
    try:
        return replayed_rate(texts, EntropyConfig.from_dict(settings), costs)
    except ConfigError:  # drafts that are longer than the traced ones
        return None
