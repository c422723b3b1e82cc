"""The tables of a report, of raw values: what a figure is rounded to is the reader's business."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smart_speed.reporting.report_document import Column, Table
from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_headline import tuned_length
from smart_speed.reporting.run_setting_plots import sensitivity_curves
from smart_speed.reporting.run_time_plots import PARTS, time_parts

_NAME = Column("condition", "condition")
_TIMES = ".2f"


def speed_table(found: Findings) -> Table:
    """Return every condition's speed, over plain decoding and over the best fixed length."""
    return _by_condition(
        found,
        "speed",
        f"Over plain decoding and over the best fixed length ({tuned_length(found)}); means of "
        "tasks, 95 % intervals",
        {
            Column("over_plain", "over plain", _TIMES): _field("speedup_over_plain"),
            Column("over_fixed", "over best fixed", _TIMES): _field("speedup_over_fixed_best"),
            Column("tokens_per_decode_s", "tokens/s", ".1f"): _field("tokens_per_decode_s"),
            Column("role", "kind"): lambda name, _: found.role(name),
            Column("acceptance_rate", "accepted", ".0%"): _field("acceptance_rate"),
            Column("mean_emitted_len", "emitted a round", _TIMES): _field("mean_emitted_len"),
            Column("mean_draft_len", "drafted a round", _TIMES): _field("mean_draft_len"),
            Column("empty_draft_share", "empty drafts", ".0%"): _field("empty_draft_share"),
        },
        found.main,
    )


def task_table(found: Findings) -> Table:
    """Return the same for each task."""
    conditions = found.figures["conditions"]
    columns = [
        Column("task", "task"),
        _NAME,
        Column("num_prompts", "prompts", "d"),
        Column("tokens_per_decode_s", "tokens/s", ".1f"),
        Column("speedup_over_plain", "over plain", _TIMES),
        Column("speedup_over_fixed_best", "over best fixed", _TIMES),
    ]
    names = [column.name for column in columns[2:]]
    rows = [
        [task, found.title(name), *(conditions[name]["by_task"][task][key] for key in names)]
        for task in found.tasks
        for name in found.main
    ]
    caption = (
        "Speeds by task, over plain decoding and over the best fixed length "
        f"({tuned_length(found)}); 95 % intervals over prompts"
    )
    return Table(name="speed-by-task", caption=caption, columns=columns, rows=rows, folded=True)


def verdict_table(found: Findings) -> Table | None:
    """Return every variant in which a hypothesis was judged."""
    if not found.verdicts:
        return None
    columns = [
        Column("hypothesis", "hypothesis"),
        Column("variant", "judged"),
        Column("outcome", "outcome"),
        Column("sentence", "what was found"),
    ]
    rows = [[each.hypothesis, each.variant, each.outcome, each.sentence] for each in found.verdicts]
    caption = "All variants in which the hypotheses were judged"
    return Table(name="verdicts", caption=caption, columns=columns, rows=rows, folded=True)


def h1_tables(found: Findings) -> list[Table]:
    """Return, for the strategy that H1 is judged by, what each task says."""
    columns = [
        Column("task", "task"),
        Column("num_prompts", "prompts", "d"),
        Column("ratio", "ratio of speeds", _TIMES),
        Column("corrected", "interval after Holm", _TIMES),
        Column("side", "of 1.1"),
        Column("holm_p_value", "p, Holm", ".3g"),
        Column("wilcoxon_holm_p_value", "Wilcoxon p, Holm", ".3g"),
        Column("rank_biserial", "rank-biserial", "+.2f"),
        Column("detectable_percent", "detectable, %", ".1f"),
        Column("prompts_needed", "prompts needed", "d"),
    ]
    tables = []
    for each in found.verdicts:
        if each.hypothesis != "H1" or not each.figures.get("chosen"):
            continue
        figures = each.figures
        rows = [
            [task, *(values.get(column.name) for column in columns[1:])]
            for task, values in figures["tasks"].items()
        ]
        caption = f"H1: {figures['condition']} over {figures['baseline']}, task by task"
        name = f"h1-{figures['against']}"
        tables.append(Table(name=name, caption=caption, columns=columns, rows=rows))
    return tables


def position_table(found: Findings) -> Table:
    """Return acceptance by position in the draft."""
    columns = [
        _NAME,
        Column("position", "position", "d"),
        Column("num_tested", "tested", "d"),
        Column("num_accepted", "accepted", "d"),
        Column("share", "share", ".0%"),
    ]
    rows = [
        [
            found.title(name),
            each["position"] + 1,
            each["num_tested"],
            each["num_accepted"],
            each["share"],
        ]
        for name in found.drafting
        for each in found.overall(name)["acceptance_by_position"]
    ]
    caption = "Acceptance by position in the draft, counted from 1; untested positions are missing"
    return Table(
        name="acceptance-by-position", caption=caption, columns=columns, rows=rows, folded=True
    )


def draft_len_table(found: Findings) -> Table:
    """Return how many rounds proposed how many tokens."""
    columns = [_NAME, Column("draft_len", "tokens", "d"), Column("num_rounds", "rounds", "d")]
    rows = [
        [found.title(name), length, count]
        for name in found.drafting
        for length, count in enumerate(found.overall(name)["draft_lens"])
    ]
    caption = "Rounds by the number of tokens that they proposed"
    return Table(name="draft-lengths", caption=caption, columns=columns, rows=rows, folded=True)


def association_table(found: Findings) -> Table:
    """Return how entropy and acceptance go together."""
    columns = {
        Column("num_tested", "tokens tested", "d"): _field("entropy_acceptance", "num_tested"),
        Column("auc", "AUC", ".3f"): _field("entropy_acceptance", "auc"),
        Column("point_biserial", "point-biserial", ".3f"): _field(
            "entropy_acceptance", "point_biserial"
        ),
        Column("spearman", "Spearman", ".3f"): _field("entropy_acceptance", "spearman"),
        Column("calibration_error", "calibration error", ".3f"): _field(
            "top_prob_reliability", "calibration_error"
        ),
    }
    caption = (
        "Entropy against acceptance of tested tokens: AUC is the probability that a rejected "
        "token's entropy is the higher one; the error is that of the top probability"
    )
    return _by_condition(found, "entropy-acceptance", caption, columns, found.drafting)


def bin_table(found: Findings) -> Table:
    """Return acceptance by bin of the drafter's entropy."""
    columns = [
        _NAME,
        Column("low", "from, nats", ".2f"),
        Column("high", "to", ".2f"),
        Column("num_tested", "tested", "d"),
        Column("share", "accepted", ".0%"),
        Column("mean_value", "mean entropy", ".2f"),
    ]
    names = [column.name for column in columns[1:]]
    rows = [
        [found.title(name), *(each[key] for key in names)]
        for name in found.drafting
        for each in found.overall(name)["entropy_acceptance"]["bins"]
    ]
    caption = "Acceptance by bins of the drafter's entropy"
    return Table(name="entropy-bins", caption=caption, columns=columns, rows=rows, folded=True)


def sensitivity_table(found: Findings) -> Table | None:
    """Return the speeds that replay predicts beside the learned settings."""
    rows = [
        [curve.strategy, curve.setting, value, value == curve.learned, rate]
        for curve in sensitivity_curves(found)
        for value, rate in curve.points
    ]
    columns = [
        Column("strategy", "strategy"),
        Column("setting", "setting"),
        Column("value", "value", "g"),
        Column("learned", "learned"),
        Column("speed", "predicted over plain", _TIMES),
    ]
    caption = "Predicted speed on all calibration texts as one, with one setting changed"
    table = Table(
        name="threshold-sensitivity", caption=caption, columns=columns, rows=rows, folded=True
    )
    return table if rows else None


def latency_table(found: Findings) -> Table:
    """Return quantiles of latencies."""
    columns: dict[Column, _Get] = {}
    for kind, heading in (
        ("time_to_first_token_s", "first token"),
        ("round_s", "round"),
        ("sequence_s", "answer"),
    ):
        form = "ms" if kind == "round_s" else "s"
        for quantile in ("p50", "p90", "p99"):
            column = Column(f"{kind}_{quantile}", f"{heading}, {quantile.upper()}", form)
            columns[column] = _field("latency", kind, quantile)
    token = Column("time_per_output_token_s", "per output token", "ms")
    columns = {token: _field("time_per_output_token_s"), **columns}
    return _by_condition(found, "latency", "Latencies", columns, found.main)


def time_table(found: Findings) -> Table:
    """Return what decode time went into."""

    def part(kind: str) -> "_Get":
        return lambda _, overall: time_parts(overall["time_shares"])[kind]

    columns = {Column(kind, heading, ".1%"): part(kind) for kind, heading in PARTS.items()}
    columns[Column("overhead", "all but passes", ".1%")] = _field("time_shares", "overhead")
    caption = "Shares of decode time; the last is the sum of the three before it"
    return _by_condition(found, "time-shares", caption, columns, found.main)


def waste_table(found: Findings) -> Table:
    """Return what became of the drafter's passes."""
    columns = {
        Column("drafter_passes_per_token", "passes a token", _TIMES): _field(
            "drafter_passes_per_token"
        ),
        Column("num_passes", "passes", "d"): _field("wasted_passes", "num_passes"),
        Column("num_rejected", "in vain", "d"): _field("wasted_passes", "num_rejected"),
        Column("num_unproposed", "never proposed", "d"): _field("wasted_passes", "num_unproposed"),
        Column("share", "wasted", ".0%"): _field("wasted_passes", "share"),
    }
    return _by_condition(found, "drafter-passes", "Drafter passes", columns, found.drafting)


def repetition_table(found: Findings) -> Table:
    """Return how repetitive the texts are."""
    columns = {
        Column("num_4grams", "runs of four tokens", "d"): _field("repetition", "num_4grams"),
        Column("num_repeated", "seen before", "d"): _field("repetition", "num_repeated"),
        Column("share", "share", ".1%"): _field("repetition", "share"),
    }
    caption = "Runs of four tokens that occurred in the same text before"
    return _by_condition(found, "repetition", caption, columns, found.main)


def ablation_table(found: Findings) -> Table | None:
    """Return the ablations' speeds, group by group."""
    names = [name for name in found.answered if found.role(name) == "ablation"]
    names.sort(key=lambda name: found.figures["conditions"][name]["group"])
    columns = {
        Column("group", "varied"): lambda name, _: found.figures["conditions"][name]["group"],
        Column("over_plain", "over plain", _TIMES): _field("speedup_over_plain"),
        Column("over_fixed", "over best fixed", _TIMES): _field("speedup_over_fixed_best"),
        Column("acceptance_rate", "accepted", ".0%"): _field("acceptance_rate"),
        Column("mean_draft_len", "drafted a round", _TIMES): _field("mean_draft_len"),
    }
    caption = "Ablations: one setting changed, run live on the same prompts"
    return _by_condition(found, "ablations", caption, columns, names) if names else None


def failure_table(found: Findings) -> Table | None:
    """Return the answers that failed."""
    failed = found.figures["failures"]["answers"]
    columns = [
        _NAME,
        Column("prompt_id", "prompt"),
        Column("task", "task"),
        Column("turn", "turn", "d"),
        Column("repeat", "repeat", "d"),
        Column("error", "what it said"),
    ]
    rows = [[each[column.name] for column in columns] for each in failed]
    table = Table(name="failures", caption="Failed answers", columns=columns, rows=rows)
    return table if rows else None


_Get = Callable[[str, Mapping[str, Any]], Any]


def _field(*path: str) -> _Get:
    """Return what looks a figure up."""

    def get(_: str, overall: Mapping[str, Any]) -> Any:
        value: Any = overall
        for key in path:
            value = value[key]
        return value

    return get


def _by_condition(
    found: Findings,
    name: str,
    caption: str,
    columns: Mapping[Column, _Get],
    names: Sequence[str],
) -> Table:
    """Return a table with a row for each condition."""
    rows = [
        [found.title(each), *(get(each, found.overall(each)) for get in columns.values())]
        for each in names
    ]
    return Table(name=name, caption=caption, columns=[_NAME, *columns], rows=rows)
