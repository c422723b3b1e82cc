"""What if the drafter were dearer, or drafts were shorter? Every rule on the same traces.

    smart-speed calibrate CAL --prompts PROMPTS          # PROMPTS are no test prompts
    python -m benchmarks.calibrated trace --data DATA --calibration CAL --test TEST
    python -m benchmarks.drafter_cost --calibration CAL --test TEST

By replay, so neither models nor data sets are needed. A drafter that takes c times the verifier's
pass of one token stands in for the one that was measured; what else its passes take, for further
tokens and for context, grows with it, and all other costs stay. At every c whatever costs decide
is learned again on the calibration traces: the best fixed length, thresholds, and what a second is
worth to "calibrated", whose model of acceptance stays. Rules of other projects have the settings
that those give them. A second sweep has the measured c and caps drafts instead.

Measuring a law and asking a rule cost the same for all, for those too that count and read no law.
Drafts end at the longest that was traced, where other projects' caps lie beyond. Both sweeps go on
where they were stopped.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np

from benchmarks.console import progress_bar, refusing, write_json
from benchmarks.drafter_cost_report import CALIBRATED, PLAIN, TUNED, draw, findings, show
from benchmarks.resumable import ResumableRows
from smart_speed.calibration.fitting import fit_acceptance
from smart_speed.calibration.judging import Judge, Judgement, Totals, totals_of
from smart_speed.calibration.learning import calibrated_config, learn_calibration, replayed_rate
from smart_speed.calibration.samples import all_samples
from smart_speed.calibration.search import GRIDS, best_settings
from smart_speed.config import EntropyConfig
from smart_speed.errors import check_that
from smart_speed.evaluation import bootstrap_mean
from smart_speed.files import file_sha256
from smart_speed.profiles import Profile, read_profile, shared_settings
from smart_speed.stopping.acceptance import AcceptanceModel
from smart_speed.strategies import STRATEGIES
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.oracle import best_fixed, plain_seconds
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay
from smart_speed.tracing.rounds import ReplayedRound
from smart_speed.tracing.trace_files import MANIFEST_NAME, read_traces

RESULTS = Path(__file__).parent / "results"
STEPS = (0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.22, 0.33, 0.5)
"""Drafter passes over verifier passes."""
LEARNED = ("absolute", "relative")
"""Strategies of this project whose settings are learned at every cost."""
RULES: Mapping[str, Mapping[str, Any]] = {
    "transformers constant": {"strategy": "fixed", "max_draft_len": 5},
    "transformers heuristic": {"strategy": "heuristic", "start_len": 5, "max_draft_len": 20},
    "transformers dynamic": {"strategy": "confidence", "theta_conf": 0.4, "max_draft_len": 20},
    "llama.cpp 3": {"strategy": "fixed", "max_draft_len": 3},
    "llama.cpp 7": {"strategy": "fixed", "max_draft_len": 7},
    "llama.cpp confident": {
        "strategy": "confidence",
        "theta_conf": 0.75,
        "max_draft_len": 16,
        "stop_placement": "before",
    },
    "svip": {"strategy": "svip"},
    "adaedl": {"strategy": "adaedl"},
    "specdec_pp": {"strategy": "specdec_pp"},
    "absolute default": {"strategy": "absolute"},
    "relative default": {"strategy": "relative"},
}
"""What knows no costs: other projects' schedules, published rivals, and this project's defaults.
The first is a fixed length of 5; transformers' threshold stays the one that it begins with."""


class Known(NamedTuple):
    """What there is to learn on."""

    texts: Sequence[PreparedTrace]
    acceptance: AcceptanceModel
    profile: Profile
    longest: int
    """Draft that traces and costs reach."""


@final
class Played:
    """Test texts, and the rounds of every configuration that was asked for, played once."""

    def __init__(self, texts: Sequence[PreparedTrace]) -> None:
        """Begin with nothing played."""
        self.texts = texts
        self._rounds: dict[EntropyConfig, list[list[ReplayedRound]]] = {}

    def totals(self, config: EntropyConfig, costs: CostModel) -> list[Totals]:
        """Return what each text takes under a configuration."""
        if config not in self._rounds:
            self._rounds[config] = [replay(text, config) for text in self.texts]
        return [
            totals_of(text, rounds, costs.seconds(rounds))
            for text, rounds in zip(self.texts, self._rounds[config], strict=True)
        ]


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    with refusing():
        _sweep(_parser().parse_args(argv))


def measured_share(costs: CostModel) -> float:
    """Return how long the drafter's pass takes, over the verifier's of one token.

    Raises:
        ConfigError: If it takes no time, so that there is nothing to make dearer.
    """
    step_s = costs.drafter_step_s
    check_that(step_s > 0, "drafter_step_s", "above 0 for a drafter to be made dearer", step_s)
    return step_s / costs.pass_s(1)


def costs_at(costs: CostModel, share: float) -> CostModel:
    """Return costs with another drafter; all that its own passes take grows alike.

    Args:
        costs: As they were measured.
        share: Of the verifier's pass of one token that a drafter pass is to take.

    Raises:
        ConfigError: If the share is not positive, or the measured drafter takes no time.
    """
    check_that(share > 0, "c", "a positive share of a verifier pass", share)
    times = share / measured_share(costs)
    return replace(
        costs,
        drafter_step_s=costs.drafter_step_s * times,
        first_step_extra_s=costs.first_step_extra_s * times,
        drafter_context_s=costs.drafter_context_s * times,
    )


def at_cost(known: Known, played: Played, costs: CostModel) -> dict[str, Any]:
    """Return the figures of every policy at some costs, as JSON values."""
    lens = range(1, known.longest + 1)
    fixed = best_fixed(known.texts, costs, lens)
    configs = {
        CALIBRATED: _calibrated(known, costs, known.longest),
        PLAIN: EntropyConfig(strategy="plain"),
        TUNED: EntropyConfig(strategy="fixed", max_draft_len=fixed.draft_len),
    }
    learned = {name: best_settings(name, known.texts, costs).settings for name in LEARNED}
    configs |= {f"{name} learned": EntropyConfig.from_dict(each) for name, each in learned.items()}
    configs |= {name: rule_config(rule, known) for name, rule in RULES.items()}
    judge = Judge(played.texts, costs, fixed_len=fixed.draft_len)
    plain_s = sum(plain_seconds(each, costs) for each in known.texts)
    return {
        "plain_is_best": plain_s < fixed.seconds,
        "fixed_len": fixed.draft_len,
        "learned": learned,
        "oracle": _figures(judge.oracle()),
        "policies": _compared(judge, played, configs),
    }


def at_length(known: Known, played: Played, costs: CostModel, cap: int) -> dict[str, Any]:
    """Return the figures of a fixed length, and of thresholds that are learned below a cap."""
    thresholds = (
        EntropyConfig(
            strategy="absolute", theta_abs=theta, max_draft_len=cap, stop_placement=placement
        )
        for theta in GRIDS["absolute"]["theta_abs"]
        for placement in GRIDS["absolute"]["stop_placement"]
    )
    absolute = max(thresholds, key=lambda config: replayed_rate(known.texts, config, costs))
    configs = {
        CALIBRATED: _calibrated(known, costs, cap),
        "absolute learned": absolute,
        "fixed": EntropyConfig(strategy="fixed", max_draft_len=cap),
    }
    judge = Judge(played.texts, costs)
    learned = {"theta_abs": absolute.theta_abs, "stop_placement": absolute.stop_placement}
    return {"learned": learned, "policies": _compared(judge, played, configs)}


def rule_config(rule: Mapping[str, Any], known: Known) -> EntropyConfig:
    """Return a rule's configuration, its cap at most the longest draft that was traced."""
    name = rule["strategy"]
    cap = rule.get("max_draft_len", STRATEGIES[name].max_draft_len)
    shared = shared_settings(name, known.profile.config)
    return EntropyConfig.from_dict({**shared, **rule, "max_draft_len": min(cap, known.longest)})


def _calibrated(known: Known, costs: CostModel, longest: int) -> EntropyConfig:
    kind = known.profile.config.get("entropy_type", "shannon")
    made = learn_calibration(
        known.texts, known.acceptance, costs, max_draft_len=longest, entropy_type=kind
    )
    return calibrated_config(made, kind)


def _compared(
    judge: Judge, played: Played, configs: Mapping[str, EntropyConfig]
) -> dict[str, dict[str, Any]]:
    """Return each policy's figures, and how many times faster "calibrated" is."""
    totals = {name: played.totals(config, judge.costs) for name, config in configs.items()}
    ours = totals[CALIBRATED]
    return {
        name: {**_figures(judge.judgement(each)), "calibrated_over_it": _ratio(judge, ours, each)}
        for name, each in totals.items()
    }


def _figures(judged: Judgement) -> dict[str, Any]:
    names = ("speed", "speed_by_task", "mean_draft_len", "acceptance_rate", "passes_per_token")
    document = judged.to_json()
    return {name: document[name] for name in names}


def _ratio(judge: Judge, ours: Sequence[Totals], theirs: Sequence[Totals]) -> dict[str, Any]:
    """Return how many times faster we are on the same texts: of tasks, and their mean."""
    tables: dict[str, list[tuple[float, float]]] = {task: [] for task in judge.tasks}
    for text, mine, other in zip(judge.texts, ours, theirs, strict=True):
        tables[text.trace.task].append((mine.seconds, other.seconds))
    arrays = {task: np.array(rows, dtype=np.float64) for task, rows in tables.items()}
    return {
        "mean_of_tasks": bootstrap_mean(list(arrays.values()), _faster).to_json(),
        "by_task": {
            task: bootstrap_mean([each], _faster).to_json() for task, each in arrays.items()
        },
    }


def _faster(sums: np.ndarray) -> np.ndarray:
    """Tokens per second are one over seconds here: both wrote the same tokens."""
    return np.asarray(sums[..., 1] / sums[..., 0])


def evenly(texts: Sequence[PreparedTrace], per_task: int | None) -> list[PreparedTrace]:
    """Return so many texts of each task, evenly from first to last; all where ``None``."""
    if per_task is None:
        return list(texts)
    check_that(per_task >= 1, "per_task", "at least 1", per_task)
    by_task: dict[str, list[PreparedTrace]] = {}
    for each in texts:
        by_task.setdefault(each.trace.task, []).append(each)
    return [
        own[at * len(own) // count]
        for own in by_task.values()
        for count in (min(per_task, len(own)),)
        for at in range(count)
    ]


def _sweep(args: argparse.Namespace) -> None:
    path = args.calibration / "profile.json"
    profile = read_profile(path)
    named = profile.drafter is not None and "measured" in profile.learned
    check_that(named, str(path), "a profile that `smart-speed calibrate` made", profile.drafter)
    assert profile.drafter is not None
    drafter = args.drafter or profile.drafter["name"]
    tests = evenly(_texts(args.test, drafter), args.per_task)
    costs = CostModel.from_json(profile.learned["measured"]["costs"])
    known = _known(_texts(args.calibration / "traces", drafter), tests, profile, costs)
    measured = measured_share(costs)
    shares = sorted({*args.c, measured})
    manifests = {"calibration": args.calibration / "traces", "test": args.test}
    settings = {
        "profile": file_sha256(path),
        **{name: file_sha256(folder / MANIFEST_NAME) for name, folder in manifests.items()},
        "drafter": drafter,
        "per_task": args.per_task,
    }
    rows = ResumableRows(args.work / f"drafter-cost-{profile.engine}.jsonl", settings)
    _fill(rows, known, Played(tests), costs, shares)
    by_cost = {row["c"]: row for row in rows.rows if "c" in row}
    by_length = {row["max_draft_len"]: row for row in rows.rows if "max_draft_len" in row}
    document = {
        "engine": profile.engine,
        "profile": {"verifier": profile.verifier, "drafter": profile.drafter},
        "num_calibration": len(known.texts),
        "num_tests": len(tests),
        "measured_c": measured,
        "costs": costs.to_json(),
        "by_cost": [by_cost[share] for share in shares],
        "by_length": [by_length[cap] for cap in range(1, known.longest + 1)],
    }
    document["findings"] = findings(document)
    out = args.out or RESULTS / f"drafter-cost-{profile.engine}.json"
    write_json(out, document)
    draw(document, out.with_suffix(".svg"))
    show(document)


def _known(
    texts: Sequence[PreparedTrace],
    tests: Sequence[PreparedTrace],
    profile: Profile,
    costs: CostModel,
) -> Known:
    kind = profile.config.get("entropy_type", "shannon")
    longest = min([costs.max_draft_len, *(each.trace.max_draft_len for each in [*texts, *tests])])
    return Known(texts, fit_acceptance(all_samples(texts, kind)), profile, longest)


def _fill(
    rows: ResumableRows, known: Known, played: Played, costs: CostModel, shares: Sequence[float]
) -> None:
    """Work out the rows that are not there yet."""
    there = {(key, row[key]) for row in rows.rows for key in ("c", "max_draft_len") if key in row}
    caps = range(1, known.longest + 1)
    wanted = [*(("c", each) for each in shares), *(("max_draft_len", cap) for cap in caps)]
    with progress_bar("costs and lengths") as progress:
        for done, (key, value) in enumerate(wanted):
            if (key, value) not in there:
                row = (
                    at_cost(known, played, costs_at(costs, value))
                    if key == "c"
                    else at_length(known, played, costs, int(value))
                )
                rows.add({key: value, **row})
            progress(done + 1, len(wanted))


def _texts(folder: Path, drafter: str) -> list[PreparedTrace]:
    found = [PreparedTrace(each) for each in read_traces(folder) if each.drafter == drafter]
    check_that(len(found) > 0, str(folder), f"traces with {drafter!r}", len(found))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True, help="folder of calibrate")
    parser.add_argument("--test", type=Path, required=True, help="folder of the test traces")
    parser.add_argument("--drafter", help="default: the profile's")
    parser.add_argument(
        "--c", type=float, nargs="+", default=list(STEPS), metavar="SHARE",
        help="drafter pass over verifier pass, beside the measured one; default ten",
    )  # fmt: skip
    parser.add_argument("--per-task", type=int, help="test prompts; default all")
    parser.add_argument("--work", type=Path, default=Path("runs/drafter-cost"), help="for resuming")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/drafter-cost-*")
    return parser


if __name__ == "__main__":
    main()
