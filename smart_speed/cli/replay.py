"""smart-speed replay: what would a rule have earned? Needs no model, and no engine."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from smart_speed.calibration.judging import Judge, Judgement
from smart_speed.calibration.search import GRIDS, Found, best_settings
from smart_speed.cli import arguments, comparing, replay_routed
from smart_speed.cli.console import console, print_json, say
from smart_speed.cli.figures import interval, number
from smart_speed.cli.gauge import Gauge, progress_bar
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.profiles import Profile, read_profile, shared_settings
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.trace_files import read_traces
from smart_speed.tracing.traces import Trace

_POLICIES = "absolute,relative,window,combined,adaptive,confidence,heuristic,svip,adaedl,ema"
_CALIBRATED = "calibrated,specdec_pp"
"""Policies that read what a profile says of acceptance."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    parser.add_argument("folder", type=Path, help="traces: of `trace`, or of `calibrate`")
    parser.add_argument(
        "--costs", type=Path, metavar="FILE",
        help="what rounds take, as calibrate measured; default: those of the profile",
    )  # fmt: skip
    parser.add_argument("--drafter", metavar="NAME", help="whose traces, if there are several")
    parser.add_argument(
        "--also", action="append", metavar="NAME=FILE",
        help="another drafter of the traces and its costs, for an oracle that chooses who drafts",
    )  # fmt: skip
    parser.add_argument(
        "--compare", default=_POLICIES, metavar="NAMES",
        help=f"policies, as for generate; default {_POLICIES}, and with a profile {_CALIBRATED}",
    )  # fmt: skip
    parser.add_argument(
        "--search", metavar="NAMES",
        help=f"find the best settings of some strategies on these traces: {','.join(GRIDS)}",
    )  # fmt: skip
    parser.add_argument(
        "--fixed-len", type=int, metavar="N",
        help="the fixed length to beat; default: the profile's, else the best on these traces",
    )  # fmt: skip
    arguments.add_decoding_arguments(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="of what is accepted in traces of sampled texts"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Replay policies, or search settings."""
    profile = read_profile(Path(args.profile)) if args.profile else Profile()
    if "routing" in profile.config:
        _check_routed(args)
        return replay_routed.run(_read(args.folder), profile, json=args.json)
    texts = _texts(args, profile)
    costs = _costs(args.costs, profile)
    if args.search:
        return _search(args, texts, costs, profile)
    conditions = _conditions(args, profile)
    rule = "lossless for a replay: a trace holds the verifier's own text alone"
    for config in conditions.values():
        check_that(config.lossless, "verification", rule, config.verification)
    longest = min(each.trace.max_draft_len for each in texts)
    to_beat = _learned_len(profile) if args.fixed_len is None else args.fixed_len
    judge = Judge(texts, costs, fixed_len=to_beat)
    found: dict[str, Judgement] = {}
    with progress_bar() as bar, Gauge(bar, "policies") as gauge:
        for done, (name, config) in enumerate(conditions.items()):
            gauge.show(done, len(conditions), name)
            if config.draft_cap > longest:
                say(f"{name} drafts up to {config.draft_cap}, the traces hold {longest}: left out.")
                continue
            found[name] = judge.judge(config)
    fixed = EntropyConfig(strategy="fixed", max_draft_len=judge.fixed_len)
    found[f"fixed-{judge.fixed_len} (to beat)"] = judge.judge(fixed)
    found |= _oracles(args, judge)
    if args.json:
        document = {
            "num_texts": len(texts),
            "tasks": judge.tasks,
            "fixed_len": judge.fixed_len,
            "best_fixed_by_task": judge.best_fixed_by_task(),
            "policies": {name: each.to_json() for name, each in found.items()},
        }
        print_json(document)
    else:
        _show(found, judge)
    return 0


def _check_routed(args: argparse.Namespace) -> None:
    """Refuse arguments that a choice among drafters does not read."""
    given = {
        name: getattr(args, name) for name in ("costs", "drafter", "also", "search", "strategy")
    }
    unread = [name for name, value in given.items() if value]
    unread += ["compare"] if args.compare != _POLICIES else []
    rule = "left out with a profile that chooses among drafters"
    check_that(
        not unread, "--costs, --drafter, --also, --search, --compare, --strategy", rule, unread
    )


def _oracles(args: argparse.Namespace, judge: Judge) -> dict[str, Judgement]:
    """Return the bounds: for this drafter alone, and for a choice among several."""
    found = {"oracle": judge.oracle()}
    others: list[tuple[list[PreparedTrace], CostModel]] = []
    for each in args.also or []:
        name, equals, path = each.partition("=")
        check_that(bool(equals), "--also", "of the form DRAFTER=COSTS", each)
        traces = [PreparedTrace(trace) for trace in _read(args.folder) if trace.drafter == name]
        check_that(bool(traces), "--also", "a drafter of the traces", name)
        others.append((traces, _costs(Path(path), Profile())))
    if others:
        found[f"oracle, choice of {len(others) + 1} drafters"] = judge.oracle_choice(others)
    return found


def _read(folder: Path) -> list[Trace]:
    inner = folder / "traces"
    return read_traces(inner if inner.is_dir() else folder)


def _texts(args: argparse.Namespace, profile: Profile) -> list[PreparedTrace]:
    """Return the traces of one drafter.

    Raises:
        ConfigError: If there are several drafters and none is named, or none of that name.
    """
    traces = _read(args.folder)
    names = list(dict.fromkeys(each.drafter for each in traces))
    named = profile.drafter["name"] if profile.drafter else None
    wanted = args.drafter or (named if named in names else None)
    if wanted is None:
        check_that(len(names) == 1, "--drafter", f"one of {', '.join(names)}", None)
        wanted = names[0]
    if wanted not in names:
        raise unknown_name("drafter", wanted, names)
    return [PreparedTrace(each) for each in traces if each.drafter == wanted]


def _costs(path: Path | None, profile: Profile) -> CostModel:
    if path is None:
        known = "measured" in profile.learned
        check_that(known, "--costs", "given, unless a profile with measured costs is", None)
        return CostModel.from_json(profile.learned["measured"]["costs"])
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--costs must be a readable JSON file, got {str(path)!r}: {error}."
        ) from error
    nested = isinstance(document, dict) and "costs" in document
    return CostModel.from_json(document["costs"] if nested else document)


def _conditions(args: argparse.Namespace, profile: Profile) -> Mapping[str, EntropyConfig]:
    names = args.compare
    if args.strategy:
        names = args.strategy
    elif "calibration" in profile.config and args.compare == _POLICIES:
        names = f"{_CALIBRATED},{names}"
    return comparing.parse_conditions(names, arguments.decoding_settings(args), profile)


def _learned_len(profile: Profile) -> int | None:
    length: int | None = profile.settings_of("fixed").get("max_draft_len")
    return length


def _show(found: Mapping[str, Judgement], judge: Judge) -> None:
    table = Table(
        title=f"By replay of {len(judge.texts)} texts; means of tasks, 95 % intervals over prompts",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    headings = ("policy", "over plain", "interval", f"over fixed-{judge.fixed_len}", "of the gap")
    for heading in (*headings, "draft", "accept", "passes"):
        table.add_column(heading, justify="left" if heading == "policy" else "right", no_wrap=True)
    for name in sorted(found, key=lambda each: found[each].speed.value, reverse=True):
        row = found[name].to_json()
        table.add_row(
            name,
            number(row["speed"]["value"], ".3f"),
            interval(row["speed"], ".2f"),
            number(row["over_fixed"]["value"], ".3f"),
            number(row["share"]["value"], ".0%"),
            number(row["mean_draft_len"], ".2f"),
            number(row["acceptance_rate"], ".0%"),
            number(row["passes_per_token"], ".2f"),
        )
    console.print(table)
    lens = sorted(judge.best_fixed_by_task().items())
    by_task = ", ".join(f"{task or 'any'} {length}" for task, length in lens)
    console.print(f"best fixed length of each task, in hindsight: {by_task}", markup=False)


def _search(
    args: argparse.Namespace, texts: list[PreparedTrace], costs: CostModel, profile: Profile
) -> int:
    names = [name.strip() for name in args.search.split(",")]
    for name in names:
        if name not in GRIDS:
            raise unknown_name("strategy", name, GRIDS)
    shared = {name: shared_settings(name, profile.config) for name in names}
    for name in names:
        EntropyConfig.from_dict({"strategy": name, **shared[name]})
    found: dict[str, Found] = {}
    with progress_bar() as bar, Gauge(bar, "strategies") as gauge:
        for done, name in enumerate(names):
            gauge.show(done, len(names), name)
            found[name] = best_settings(name, texts, costs, shared=shared[name])
    plain_rate = 1 / costs.round_s(0, 0)
    if args.json:
        print_json({name: _document(each, plain_rate) for name, each in found.items()})
        return 0
    for name, each in found.items():
        chosen = {key: value for key, value in each.settings.items() if key != "strategy"}
        shown = ", ".join(f"{key} {value}" for key, value in chosen.items())
        console.print(f"{name}: {shown}; {each.rate / plain_rate:.3f} over plain", markup=False)
        for setting, curve in each.curves.items():
            points = "  ".join(f"{value}: {rate / plain_rate:.3f}" for value, rate in curve)
            console.print(f"  {setting}  {points}", style="dim", markup=False)
    return 0


def _document(found: Found, plain_rate: float) -> dict[str, Any]:
    return {
        "settings": dict(found.settings),
        "over_plain": found.rate / plain_rate,
        "curves": {
            name: [[value, rate / plain_rate] for value, rate in curve]
            for name, curve in found.curves.items()
        },
        "num_tried": found.num_tried,
    }
