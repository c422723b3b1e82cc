"""A run's report: what was found first, then what was run, then every figure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from smart_speed.hypotheses.verdict import Verdict
from smart_speed.reporting import run_tables
from smart_speed.reporting.report_document import (
    Block,
    Commands,
    Facts,
    Paragraph,
    Plot,
    Report,
    Section,
    Table,
)
from smart_speed.reporting.run_fidelity import fidelity_blocks
from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_gap_section import gap_blocks
from smart_speed.reporting.run_headline import headline
from smart_speed.reporting.run_sameness import sameness_blocks
from smart_speed.reporting.run_screening import screening_blocks
from smart_speed.run_folder import ANSWERS_NAME, CALIBRATION_NAME, MANIFEST_NAME, TRACES_NAME

CAPTIONS: Mapping[str, str] = {
    "speed": "Speed over plain decoding, means of tasks; the tuned fixed length has a dashed line.",
    "speed-by-task": "Speed over plain decoding by task; a dozen conditions at most: the fastest "
    "of each kind, those that look at entropy, and the next ones.",
    "oracle-gap": "Share of the oracle's gap closed: filled by replay, hollow as measured; the "
    "dotted line, where there is one, is plain decoding's.",
    "acceptance-by-position": "Acceptance by position in the draft, of tokens that were tested.",
    "draft-lengths": "How many tokens a round proposes.",
    "entropy-acceptance": "Acceptance by the drafter's entropy, of tokens that were tested.",
    "reliability": "Acceptance by the probability of the drafter's likeliest token; on the grey "
    "line the drafter would be calibrated.",
    "threshold-sensitivity": "Predicted speed on all calibration texts as one, with one setting "
    "changed; the hollow diamond is the learned value.",
    "complexity": "H2: each task's best threshold over its complexity; crosses are parts of tasks.",
    "acceptance-speed": "Acceptance against speed; on the dashed line, no other condition is "
    "better in both.",
    "fidelity": "Lossy conditions: speed and time to answer against what the text loses by the "
    "verifier's own judgement; exact conditions stand on the dashed line.",
    "time-shares": "What decode time goes into.",
    "drafter-passes": "What became of the drafter's passes.",
}


def report_of(found: Findings, plots: Sequence[str], commands: Sequence[str]) -> Report:
    """Return the report of a run.

    Args:
        found: What is known of it.
        plots: Names of those that could be drawn.
        commands: What makes its figures again.
    """
    run = found.figures["run"]

    def section(title: str, *blocks: Block | None, missing: str = "") -> Section:
        kept = [
            block
            for block in blocks
            if block is not None and (not isinstance(block, Plot) or block.name in plots)
        ]
        return Section(title, kept or [Paragraph(missing)])

    nothing = "No condition that drafts has answered yet."
    parts = [
        section("What was run", _facts(found), _progress(found)),
        section("Speed", _plot("speed"), run_tables.speed_table(found)),
        section("Speed by task", _plot("speed-by-task"), run_tables.task_table(found)),
        section("Hypotheses", *_hypotheses(found), missing=found.unjudged),
        section(
            "Share of the oracle's gap closed",
            _plot("oracle-gap"),
            *gap_blocks(found),
        ),
        section(
            "Acceptance by position",
            _plot("acceptance-by-position"),
            _filled(run_tables.position_table(found)),
            missing=nothing,
        ),
        section(
            "Draft lengths",
            _plot("draft-lengths"),
            _filled(run_tables.draft_len_table(found)),
            missing=nothing,
        ),
        section(
            "Entropy against acceptance",
            _plot("entropy-acceptance"),
            _filled(run_tables.association_table(found)),
            _plot("reliability"),
            _filled(run_tables.bin_table(found)),
            missing=nothing,
        ),
        section(
            "Threshold sensitivity",
            _plot("threshold-sensitivity"),
            run_tables.sensitivity_table(found),
            missing="Nothing was learned for this run, so no curve is known.",
        ),
        section(
            "Ablations",
            run_tables.ablation_table(found),
            missing="No ablation was run.",
        ),
        section(
            "Predicted by replay, and measured",
            *screening_blocks(found),
            missing="Nothing was predicted of this run's conditions.",
        ),
        section("Acceptance against speed", _plot("acceptance-speed"), missing=_TOO_FEW),
        section(
            "What lossy conditions lose",
            _plot("fidelity"),
            *fidelity_blocks(found),
            missing="Every condition is lossless.",
        ),
        section("Latency", run_tables.latency_table(found)),
        section("Where the time goes", _plot("time-shares"), run_tables.time_table(found)),
        section(
            "Drafter passes",
            _plot("drafter-passes"),
            _filled(run_tables.waste_table(found)),
            missing=nothing,
        ),
        section("Is it still the same text?", *sameness_blocks(found)),
        section("Repetition of texts", run_tables.repetition_table(found)),
        section("Failures", run_tables.failure_table(found), missing="No answer failed."),
        section("How to recompute every figure", *_recompute(commands)),
    ]
    return Report(
        title=run["name"],
        summary=_summary(found),
        replies=headline(found),
        sections=parts,
    )


_TOO_FEW = "Fewer than two conditions that draft have answered."


def _plot(name: str) -> Plot:
    return Plot(name, CAPTIONS[name])


def _filled(table: Table) -> Table | None:
    return table if table.rows else None


def _summary(found: Findings) -> str:
    run = found.figures["run"]
    tasks = f"{len(found.tasks)} task{'s' * (len(found.tasks) != 1)}"
    return (
        f"{run['verifier']['name']} with drafter {run['drafter']['name']} on {run['engine']}; "
        f"{run['num_prompts']} prompts, {tasks}, {len(found.answered)} conditions."
    )


def _facts(found: Findings) -> Facts:
    manifest, run = found.run.manifest, found.figures["run"]
    about, config = manifest.about, manifest.config
    sets = config.get("dataset_name", "not recorded")
    names = ", ".join(sets) if isinstance(sets, list | tuple) else str(sets)
    split = config.get("dataset_split")
    argv = about.get("argv")
    peak = run["peak_memory_bytes"]
    rows = [
        ("Verifier", _model(manifest.verifier)),
        ("Drafter", _model(manifest.drafter)),
        ("Engine", manifest.engine),
        ("Machine", _machine(about.get("machine"), run["machine"])),
        ("Data sets", f"{names}, split {split}" if split else names),
        ("Prompts", _prompts(found)),
        ("Calibration", f"{len(manifest.calibration_prompt_ids)} other prompts"),
        ("Answers", f"up to {config.get('max_new_tokens', '?')} tokens; {_law(manifest.sampling)}"),
        ("Repeats", f"{manifest.repeats}; the answer of median decode time counts"),
        ("Peak memory", f"{peak / 2**30:.2f} GiB" if peak else "not known"),
        ("Date", _date(about.get("date"))),
        ("Command", " ".join(map(str, argv)) if argv else "not recorded"),
        ("Version", _version(about)),
    ]
    return Facts(rows)


def _prompts(found: Findings) -> str:
    counts: dict[str, int] = {}
    for each in found.run.manifest.prompts:
        counts[each.task] = counts.get(each.task, 0) + 1
    tasks = ", ".join(f"{task or 'without a task'} {count}" for task, count in counts.items())
    run = found.figures["run"]
    return f"{run['num_prompts']} ({tasks}); {run['num_prompts_evaluated']} in all conditions"


def _model(about: Mapping[str, str]) -> str:
    details = [about[key] for key in ("description", "id") if about.get(key)]
    return "; ".join([about["name"], *details])


def _machine(facts: Any, identity: str | None) -> str:
    known = ", ".join(f"{key} {value}" for key, value in dict(facts or {}).items())
    return "; ".join(each for each in (known, f"id {identity}" if identity else "") if each) or "–"


def _law(sampling: Mapping[str, Any]) -> str:
    temperature = sampling.get("temperature", 0)
    return "greedy" if temperature == 0 else f"temperature {temperature}"


def _date(text: Any) -> str:
    try:
        return f"{datetime.fromisoformat(str(text)):%d %B %Y, %H:%M %Z}"
    except ValueError:
        return "not recorded"


def _version(about: Mapping[str, Any]) -> str:
    git = about.get("git") or {}
    changed = " with changes" if git.get("dirty") else ""
    commit = f", commit {str(git['commit'])[:12]}{changed}" if git.get("commit") else ""
    packages = ", ".join(f"{name} {each}" for name, each in dict(about.get("packages", {})).items())
    own = f"smart-speed {about.get('smart_speed', '?')}{commit}"
    return f"{own}; {packages}" if packages else own


def _progress(found: Findings) -> Paragraph:
    run = found.figures["run"]
    done, planned = run["num_answers"], run["num_answers_planned"]
    if run["complete"]:
        return Paragraph(f"All {planned} answers that were planned are there.")
    return Paragraph(
        f"This run is not finished: {done} of {planned} answers are there. Conditions are compared "
        "on the prompts that all of them have answered."
    )


def _hypotheses(found: Findings) -> list[Block | None]:
    """Return what each hypothesis says, with the power of what is open, then every variant."""
    if not found.verdicts:
        return []
    blocks: list[Block | None] = [Paragraph(_STATEMENTS)]
    blocks.append(Facts([_finding(each) for each in _foremost(found.verdicts)]))
    blocks += run_tables.h1_tables(found)
    blocks.append(_plot("complexity"))
    blocks.append(run_tables.verdict_table(found))
    return blocks


_STATEMENTS = (
    "H1: entropy stopping is more than 10 % faster than the best fixed draft length on at least "
    "half of the tasks; once against the standard lengths, once against the best of all. H2: the "
    "best threshold correlates with how complex a task is. H3: relative stopping is more robust "
    "than absolute stopping. H1 is judged from measured answers, H2 and H3 by replay with measured "
    "costs."
)


_VARIANTS = {"chosen/grid": "standard lengths", "chosen/tuned": "best of all lengths"}


def _foremost(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts that stand for their hypothesis, not those on single conditions."""
    return [each for each in verdicts if each.hypothesis != "H1" or "chosen/" in each.variant]


def _finding(verdict: Verdict) -> tuple[str, str]:
    variant = _VARIANTS.get(verdict.variant, verdict.variant)
    name = f"{verdict.hypothesis}, {variant}: {verdict.outcome}"
    return name, f"{verdict.sentence} {verdict.power or ''}".strip()


def _recompute(commands: Sequence[str]) -> list[Block]:
    return [
        Paragraph(
            f"{MANIFEST_NAME} says what was run; {ANSWERS_NAME} holds counts and raw seconds of "
            f"every round; {CALIBRATION_NAME}/ what was learned, and the costs; {TRACES_NAME}/ "
            "what replay and oracle read. Formulas stand in docs/metrics.md and "
            "docs/hypotheses.md. Every interval is a bootstrap over whole prompts with a fixed "
            "seed, so the commands give the same digits. The tables above are files in tables/, "
            "unrounded."
        ),
        Commands(commands),
    ]
