"""Which threads are fastest in turn, and what overlap gains: figures, tables and a plot."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.console import console, show_table, with_interval
from benchmarks.overlap_gain import Slowed, TextRounds, gain, right_share, rounds_of
from smart_speed.evaluation import Interval, ratio_of_medians
from smart_speed.files import whole
from smart_speed.profiles import Profile
from smart_speed.reporting.run_plot_style import GREY, LINES, drawing, panels
from smart_speed.stopping.calibrated import Calibration
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.rounds import RoundCounts

SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Of the verifier's pass of one token, taken by simulated drafters."""
FREE = "cost-free"
USES = ALWAYS, FORESEEN, AT_MOST = ("always", "where right", "where right, at most")
"""How overlap is used: wherever there is something to draft; only where that saves time, as if
it were known; and with slow-downs as small as the timings allow."""
_KEY = ("model", "mode", "verifier_threads", "drafter_threads", "width")
Seconds = Mapping[tuple[Any, ...], np.ndarray]
"""By all these: one median for each repetition."""


def report(
    rows: Sequence[Mapping[str, Any]], texts: Sequence[PreparedTrace], profile: Profile
) -> dict[str, Any]:
    """Return all figures as JSON values.

    Args:
        rows: Timed blocks; without any, costs are the profile's, and overlap is free.
        texts: With the profile's drafter; none for a report on timings alone.
        profile: Whose calibrated strategy drafts.
    """
    seconds = _seconds(rows)
    watched = [row for row in rows if row["mode"] == "lock"]
    document: dict[str, Any] = {
        "unlocked": {
            model: float(np.median([row["unlocked"] for row in looks]))
            for model in ("verifier", "drafter")
            if (looks := [row for row in watched if row[f"{model}_threads"]])
        },
        "timings": [
            dict(zip(_KEY, key, strict=True))
            | {"seconds": _over(found, np.ones(len(found))).to_json()}
            for key, found in seconds.items()
        ],
    }
    if not texts:
        return document
    calibration = Calibration.from_json(profile.config["calibration"])
    costs = CostModel.from_json(profile.learned["measured"]["costs"])
    slowed: dict[str, dict[int, tuple[Interval, ...]]] = {}
    if seconds:
        pairs = sorted({key[2:4] for key in seconds if key[1] == "in turn"})
        by_pair = {pair: costs_of(costs, seconds, pair, np.median) for pair in pairs}
        usual = rounds_of(texts, calibration, by_pair[pairs[-1]])
        counts = RoundCounts.of(each.turn for text in usual for each in text.rounds)
        document["threads"], best = _threads(costs, seconds, pairs, counts)
        costs = by_pair[best]
        slowed = slow_downs(seconds, best)
        document["slow_downs"] = {
            name: {
                str(width): dict(zip(Slowed._fields, (each.to_json() for each in found),
                                     strict=True))
                for width, found in by_width.items()
            }
            for name, by_width in slowed.items()
        }  # fmt: skip
    own = costs.drafter_step_s / costs.pass_s(1)
    document["own_share"] = own
    document["by_drafter_share"] = _sweep(texts, calibration, costs, slowed, own)
    return document


def _seconds(rows: Sequence[Mapping[str, Any]]) -> Seconds:
    found = defaultdict[tuple[Any, ...], list[float]](list)
    for row in sorted(rows, key=lambda row: row["repeat"]):
        for model in ("verifier", "drafter"):
            if (took := row.get(f"{model}_s")) is not None:
                threads = row["verifier_threads"], row["drafter_threads"]
                found[model, row["mode"], *threads, row["width"]].append(took)
    ordered = sorted(found, key=lambda key: [each or 0 for each in key])
    return {key: np.array(found[key]) for key in ordered}


def _over(above: np.ndarray, below: np.ndarray) -> Interval:
    return ratio_of_medians(above.tolist(), below.tolist())


def _widths(seconds: Seconds) -> list[int]:
    return sorted({key[4] for key in seconds if key[1] == "in turn"})


def _step(seconds: Seconds, pair: tuple[int, int]) -> np.ndarray:
    """Return the seconds of a drafter pass in turn, whatever the width beside it."""
    found = [seconds["drafter", "in turn", *pair, width] for width in _widths(seconds)]
    middle: np.ndarray = np.median(found, axis=0)
    return middle


def costs_of(
    costs: CostModel,
    seconds: Seconds,
    pair: tuple[int, int],
    pick: Callable[[np.ndarray], Any],
) -> CostModel:
    """Return costs with passes as they were timed in turn.

    Args:
        costs: For the rest.
        seconds: Timed.
        pair: Threads of verifier and drafter.
        pick: One figure out of those of all repetitions.
    """
    passes = {
        width: float(pick(seconds["verifier", "in turn", *pair, width]))
        for width in _widths(seconds)
    }
    step_s = float(pick(_step(seconds, pair)))
    return replace(
        costs,
        verifier_pass_s=passes,
        drafter_step_s=step_s,
        verifier_context_s={1: 0.0},
        drafter_context_s=0.0,
    )


def _threads(
    costs: CostModel, seconds: Seconds, pairs: Sequence[tuple[int, int]], counts: RoundCounts
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Return the speed of each pair of thread numbers over the last one's, and the best pair."""
    taken = {
        pair: np.array(
            [
                costs_of(costs, seconds, pair, itemgetter(at)).seconds_of(counts)[0]
                for at in range(len(_step(seconds, pair)))
            ]
        )
        for pair in pairs
    }
    speeds = {pair: _over(taken[pairs[-1]], taken[pair]) for pair in pairs}
    best = max(pairs, key=lambda pair: speeds[pair].value)
    return {_name(pair): each.to_json() for pair, each in speeds.items()}, best


def slow_downs(
    seconds: Seconds, best: tuple[int, int]
) -> dict[str, dict[int, tuple[Interval, ...]]]:
    """Return what ``Slowed`` holds with intervals, by threads at once and by width.

    Args:
        seconds: Timed.
        best: Threads in turn that everything is over.
    """
    found: dict[str, dict[int, tuple[Interval, ...]]] = defaultdict(dict)
    for model, mode, *threads, width in seconds:
        if (model, mode) == ("verifier", "at once"):
            pair = (threads[0], threads[1])
            in_turn = seconds["verifier", "in turn", *best, width]
            found[_name(pair)][width] = (
                _over(seconds["verifier", "at once", *pair, width], in_turn),
                _over(seconds["drafter", "at once", *pair, width], _step(seconds, best)),
                _over(seconds["verifier", "in turn", *pair, width], in_turn),
            )
    return {name: dict(sorted(each.items())) for name, each in sorted(found.items())}


def by_width(found: Mapping[int, Sequence[Interval]], end: str, widest: int) -> list[Slowed]:
    """Return slow-downs by every width, on lines between those that were timed.

    None is below 1: nothing gets faster by being disturbed, it only looks so by chance.

    Args:
        found: By width, in order.
        end: "value", or "low" for as little as the timings allow.
        widest: The last width.
    """
    columns = [
        np.interp(
            range(1, widest + 1), list(found), [getattr(each[at], end) for each in found.values()]
        )
        for at in range(len(Slowed._fields))
    ]
    return [Slowed(*row) for row in np.maximum(columns, 1.0).T.tolist()]


def _gains(
    drafts: Sequence[Sequence[TextRounds]],
    costs: CostModel,
    slowed: Mapping[str, Mapping[int, Sequence[Interval]]],
) -> dict[str, dict[str, Any]]:
    """Return the gain of overlap by threads at once and by how it is used.

    Args:
        drafts: Of several policies. The last is the one in turn; the best in overlap counts, in
            hindsight.
        costs: In turn.
        slowed: By threads at once.
    """
    widest = costs.max_draft_len + 1
    found = {FREE: {FORESEEN: _best(drafts, costs, [Slowed()] * widest, foresight=True)}}
    for name, each in slowed.items():
        usual, least = by_width(each, "value", widest), by_width(each, "low", widest)
        found[name] = {
            ALWAYS: _best(drafts, costs, usual, foresight=False),
            FORESEEN: _best(drafts, costs, usual, foresight=True),
            AT_MOST: _best(drafts, costs, least, foresight=True),
        }
    return {
        name: {use: figure.to_json() for use, figure in each.items()}
        for name, each in found.items()
    }


def _best(
    drafts: Sequence[Sequence[TextRounds]],
    costs: CostModel,
    slowed: Sequence[Slowed],
    *,
    foresight: bool,
) -> Interval:
    gains = [gain(each, costs, slowed, foresight=foresight, rivals=drafts[-1]) for each in drafts]
    return max(gains, key=lambda each: each.value)


def _sweep(
    texts: Sequence[PreparedTrace],
    calibration: Calibration,
    costs: CostModel,
    slowed: Mapping[str, Mapping[int, Sequence[Interval]]],
    own: float,
) -> dict[str, Any]:
    """Return right shares and gains by what a drafter pass takes of the verifier's plain one.

    In overlap, drafts may be those of a policy for any cheaper drafter too: passes that are hidden
    behind the verifier's cost less than they take.
    """
    found, drafts = {}, list[list[TextRounds]]()
    for share in sorted({own, *SHARES}):
        simulated = replace(costs, drafter_step_s=share * costs.pass_s(1), drafter_context_s=0.0)
        drafts.append(rounds_of(texts, calibration, simulated))
        tasks = dict.fromkeys(each.task for each in drafts[-1])
        turns = [each.turn for text in drafts[-1] for each in text.rounds]
        found[str(share)] = {
            "right": right_share(drafts[-1]).to_json(),
            "right_and_drafted": right_share(drafts[-1], drafted=True).to_json(),
            "right_by_task": {
                task: right_share([each for each in drafts[-1] if each.task == task]).to_json()
                for task in tasks
            },
            "mean_draft_len": float(np.mean([turn.draft_len for turn in turns])),
            "gains": _gains(drafts, simulated, slowed),
        }
    return found


def _name(pair: tuple[int, int]) -> str:
    return f"{pair[0]} + {pair[1]} threads"


def show(document: Mapping[str, Any]) -> None:
    """Show the figures."""
    lines = defaultdict[tuple[str, ...], list[str]](list)
    for each in document["timings"]:
        threads = (f"{each[f'{model}_threads'] or '–'}" for model in ("verifier", "drafter"))
        lines[each["model"], each["mode"], *threads].append(f"{1e3 * each['seconds']['value']:.2f}")
    if lines:
        # A drafter alone has no width beside it.
        widths = [*dict.fromkeys(each["width"] for each in document["timings"] if each["width"])]
        rows = [(*key, *found, *[""] * (len(widths) - len(found))) for key, found in lines.items()]
        headings = ("pass of", "mode", "verifier's threads", "drafter's", *map(str, sorted(widths)))
        show_table("Milliseconds of a pass, by width of the verifier's; medians", headings, rows)
    for name, share in document["unlocked"].items():
        console.print(f"Python counts at {share:.0%} of its speed beside passes of the {name}.")
    if "threads" in document:
        rows = [(name, with_interval(each, ".3f")) for name, each in document["threads"].items()]
        show_table(
            "In turn, over as many threads as there are", ("verifier + drafter", "speed"), rows
        )
    by_share = document.get("by_drafter_share", {})
    rows = [
        (
            f"{float(share):.1%}" + (" (own)" if float(share) == document["own_share"] else ""),
            f"{each['mean_draft_len']:.2f}",
            f"{each['right']['value']:.1%}",
            name,
            *(with_interval(uses[use], ".3f") if use in uses else "" for use in USES),
        )
        for share, each in by_share.items()
        for name, uses in each["gains"].items()
    ]
    if rows:
        headings = ("drafter pass", "drafts of", "right", "at once", *USES)
        show_table(
            "Overlap over taking turns; drafter pass over a plain verifier pass", headings, rows
        )


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw what overlap gains where it is known to be right, against what drafting costs.

    Args:
        document: Of ``report``, with texts.
        path: An SVG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    by_share = document["by_drafter_share"]
    shares = [float(each) for each in by_share]
    with drawing():
        figure, (axis,) = panels(height=4.0)
        FigureCanvasAgg(figure)
        for look, name in zip(LINES, by_share[str(shares[0])]["gains"], strict=False):
            for use, line in ((FORESEEN, look.line), (ALWAYS, ":")):
                gains = [each["gains"][name].get(use) for each in by_share.values()]
                if None in gains:
                    continue
                ends = [[each[key] for each in gains] for key in ("value", "low", "high")]
                axis.plot(shares, ends[0], color=look.colour, marker=look.marker, ls=line,
                          label=f"{name}, {use}")  # fmt: skip
                if None not in (*ends[1], *ends[2]):
                    axis.fill_between(shares, *ends[1:], color=look.colour, alpha=0.15, lw=0)
        axis.axvline(document["own_share"], color=GREY, ls="--", lw=0.8)
        axis.axhline(1, color=GREY, lw=0.8)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_xlabel(
            "drafter pass over a verifier pass of one token (dashed: the drafter's own)"
        )
        axis.set_ylabel("speed over taking turns")
        figure.legend(loc="outside lower center", ncols=3)
        with whole(path) as part:
            figure.savefig(part, format="svg", metadata={"Date": None})
