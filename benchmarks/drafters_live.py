"""Speed of whole answers over plain decoding, by task, drafter and condition, all interleaved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from benchmarks.console import progress_bar, show_table, with_interval, write_json
from benchmarks.resumable import ResumableRows
from benchmarks.unseen_prompts import UnseenPrompt
from smart_speed.cli.comparing import parse_conditions
from smart_speed.cli.figures import number
from smart_speed.comparison import BASELINE, Comparison, compare_each, figures_of
from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.evaluation import Records, mean_speedup, speedup
from smart_speed.metrics.texts import count_repeats
from smart_speed.records import SequenceRecord
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LivePlan:
    """What is compared."""

    verifier: LoadedModel
    drafters: Mapping[str, Drafter]
    prompts: Sequence[UnseenPrompt]
    conditions: Sequence[str] | Mapping[str, EntropyConfig]
    """Strategies, as in "absolute" or "fixed:4", or configurations by name; plain decoding is
    always among them."""
    max_new_tokens: int
    others: Mapping[str, tuple[Drafter, EntropyConfig]] = field(default_factory=dict)
    """More conditions, each with a drafter of its own."""

    def decoders(self) -> dict[str, EntropyBasedSpeculativeDecoder]:
        """Return one for plain decoding, and one for each drafter and condition."""
        configs = self.conditions
        if not isinstance(configs, Mapping):
            configs = parse_conditions(",".join(configs), {})
        made = {BASELINE: EntropyBasedSpeculativeDecoder(self.verifier)}
        for drafter_name, drafter in self.drafters.items():
            for name, config in configs.items():
                if name != BASELINE:
                    decoder = EntropyBasedSpeculativeDecoder(self.verifier, drafter, config)
                    made[f"{drafter_name} {name}"] = decoder
        for name, (drafter, config) in self.others.items():
            made[name] = EntropyBasedSpeculativeDecoder(self.verifier, drafter, config)
        return made


def run_live(plan: LivePlan, about: Mapping[str, Any], *, rows: Path, out: Path) -> dict[str, Any]:
    """Answer every prompt under every condition, greedily, and report.

    Args:
        plan: What to compare.
        about: What the result depends on besides, as JSON values; ``drafter_files`` among them.
        rows: Where the records of each prompt go once it is answered; a run goes on from there.
        out: The report, JSON.

    Returns:
        The report, and the rows that it was made from.

    Raises:
        ConfigError: If ``rows`` was made with other models or conditions, or one is unknown.
    """
    decoders = plan.decoders()
    settings = {
        "verifier": plan.verifier.description,
        "drafter_files": about["drafter_files"],
        "conditions": {name: each.config.resolved() for name, each in decoders.items()},
        "max_new_tokens": plan.max_new_tokens,
    }
    file = ResumableRows(rows, settings)
    done = {row["prompt_id"] for row in file.rows}
    todo = [each for each in plan.prompts if each.prompt_id not in done]
    with progress_bar("answers") as progress:
        parts = compare_each(
            decoders,
            [(each.prompt_id, each.prompt) for each in todo],
            max_new_tokens=plan.max_new_tokens,
            sampling=Sampling(),
            progress=progress,
        )
        for prompt, part in zip(todo, parts, strict=True):
            file.add(_row(prompt, part))
    document = {**about, **settings, **_report(file.rows, list(decoders))}
    write_json(out, document)
    _show(document)
    return {**document, "rows": file.rows}


def _row(prompt: UnseenPrompt, part: Comparison) -> dict[str, Any]:
    repeats = count_repeats(part.results[BASELINE, prompt.prompt_id].tokens)
    return {
        "prompt_id": prompt.prompt_id,
        "task": prompt.task,
        **repeats._asdict(),
        "records": [result.record.to_json() for result in part.results.values()],
        "divergences": [divergence.to_json() for divergence in part.divergences],
    }


def _report(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    """Return every condition's figures: all prompts together, by task, and the mean of tasks."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    records: dict[str, dict[str, list[SequenceRecord]]] = {}
    for row in rows:
        for document in row["records"]:
            record = SequenceRecord.from_json(document)
            by_task = records.setdefault(record.condition, {task: [] for task in tasks})
            by_task[row["task"]].append(record)
    gaps = [gap for row in rows for gap in row["divergences"]]
    found = {}
    for name in names:
        mine, plain = records[name], records[BASELINE]
        faster = {task: speedup(mine[task], plain[task]).to_json() for task in tasks}
        own = [gap for gap in gaps if gap["condition"] == name]
        found[name] = {
            "speedup_by_task": faster,
            "mean_speedup": mean_speedup([(mine[task], plain[task]) for task in tasks]).to_json(),
            "num_divergences": len(own),
            "num_near_ties": sum(gap["near_tie"] for gap in own),
            **figures_of(_all(mine), _all(plain)),
        }
    return {
        "baseline": BASELINE,
        "num_prompts": {task: sum(row["task"] == task for row in rows) for task in tasks},
        "repeated_4gram_share": {task: _repeats(rows, task) for task in tasks},
        "figures": found,
    }


def _all(by_task: Mapping[str, Records]) -> list[SequenceRecord]:
    return [record for records in by_task.values() for record in records]


def _repeats(rows: Sequence[Mapping[str, Any]], task: str) -> float | None:
    own = [row for row in rows if row["task"] == task]
    total = sum(row["num_4grams"] for row in own)
    return sum(row["num_repeated"] for row in own) / total if total else None


def _show(document: Mapping[str, Any]) -> None:
    tasks = list(document["num_prompts"])
    speeds, figures = [], []
    for name, row in document["figures"].items():
        by_task = [with_interval(row["speedup_by_task"][task], ".2f") for task in tasks]
        speeds.append((name, *by_task, with_interval(row["mean_speedup"], ".2f")))
        figures.append(
            (
                name,
                number(row["tokens_per_decode_s"], ".1f"),
                number(row["acceptance_rate"], ".0%"),
                number(row["mean_emitted_len"], ".2f"),
                number(row["mean_draft_len"], ".2f"),
                number(row["drafter_passes_per_token"], ".2f"),
                f"{row['num_divergences'] - row['num_near_ties']} + {row['num_near_ties']}",
            )
        )
    title = "Speed over plain decoding, 95 % intervals over prompts"
    show_table(title, ("condition", *tasks, "mean of tasks"), speeds)
    show_table(
        "All prompts together (parted: texts unlike plain decoding's, not near-ties + near-ties)",
        ("condition", "tok/s", "accept", "emit", "draft", "passes", "parted"),
        figures,
    )
