"""What does the loop cost besides engine passes? Shares of decode time, by engine and strategy.

    python -m benchmarks.overhead                       # all engines that are installed
    python -m benchmarks.overhead --engine hf --dtype bfloat16

Writes results/overhead-*.json, a stacked bar beside it, and with --profile the functions that
the rest is spent in.
"""

import argparse
import cProfile
import io
import json
import platform
import pstats
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from smart_speed.comparison import BASELINE, Comparison, compare
from smart_speed.config import EntropyConfig
from smart_speed.evaluation import (
    acceptance_rate,
    entropy_share,
    mean_emitted_len,
    overhead_share,
    speedup,
    strategy_share,
)
from smart_speed.loading import LoadOptions, is_installed, load_drafter, load_verifier
from smart_speed.records import SequenceRecord
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.workloads.builtin import builtin_prompts

CONDITIONS = ("plain", "fixed", "absolute", "relative", "combined", "adaptive", "svip", "adaedl")
FORMATS = {
    "llama_cpp": ({},),
    "hf": ({"dtype": "float32"}, {"dtype": "bfloat16"}),
    "openvino": ({},),
}
WITHOUT_LAYERS = ("openvino",)
"""Engines that have no layers:N."""
RESULTS = Path(__file__).parent / "results"

console = Console(stderr=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", help="default: each that is installed")
    parser.add_argument("--dtype", help="hf: default float32 and bfloat16")
    parser.add_argument("--drafters", nargs="+", help="default: ngram, layers:2")
    parser.add_argument("--per-task", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    for engine in [args.engine] if args.engine else list(FORMATS):
        if not is_installed(engine):
            console.print(f"{engine} is not installed: left out")
            continue
        for settings in ({"dtype": args.dtype},) if args.dtype else FORMATS[engine]:
            load: dict[str, Any] = {"engine": engine, **settings}
            options = LoadOptions(**load)
            verifier = load_verifier("default", options)
            both = ["ngram"] if engine in WITHOUT_LAYERS else ["ngram", "layers:2"]
            for name in args.drafters or both:
                drafter = load_drafter(name, verifier, options)
                decoders = {
                    condition: EntropyBasedSpeculativeDecoder(
                        verifier, drafter, EntropyConfig(strategy=condition)
                    )
                    for condition in CONDITIONS
                }
                label = "-".join([engine, *settings.values(), name.replace(":", "")])
                _measure(label, decoders, args, verifier.description)


def _measure(
    label: str,
    decoders: dict[str, EntropyBasedSpeculativeDecoder],
    args: argparse.Namespace,
    description: str,
) -> None:
    prompts = [
        (prompt.prompt_id, [{"role": "user", "content": prompt.text}])
        for prompt in builtin_prompts(per_task=args.per_task)
    ]
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        comparison = compare(
            decoders,
            prompts,
            max_new_tokens=args.tokens,
            sampling=Sampling(),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    rows = {name: _shares(comparison, name) for name in decoders}
    RESULTS.mkdir(exist_ok=True)
    document = {
        "verifier": description,
        "machine": f"{platform.machine()}, {platform.platform()}",
        "num_prompts": len(prompts),
        "max_new_tokens": args.tokens,
        "conditions": rows,
    }
    (RESULTS / f"overhead-{label}.json").write_text(json.dumps(document, indent=1) + "\n")
    _show(f"{label}: {description}", rows)
    _plot(RESULTS / f"overhead-{label}.svg", label, comparison, list(decoders))
    if args.profile:
        _profile(decoders["absolute"], prompts[0][1], args.tokens)


def _shares(comparison: Comparison, name: str) -> dict[str, Any]:
    records = comparison.records(name)
    ratio = speedup(records, comparison.records(BASELINE))
    return {
        "overhead": _spread(overhead_share, records),
        "entropy": _spread(entropy_share, records),
        "strategy": _spread(strategy_share, records),
        "acceptance_rate": acceptance_rate(records) if name != BASELINE else None,
        "mean_emitted_len": mean_emitted_len(records),
        "speedup_over_plain": list(ratio),
    }


def _spread(share: Any, records: list[SequenceRecord]) -> dict[str, float]:
    """Return a share over all prompts, and the quartiles of the prompts' own."""
    own = [share([record]) for record in records]
    low, median, high = np.percentile(own, [25, 50, 75]).tolist()
    return {"all": share(records), "quartile_1": low, "median": median, "quartile_3": high}


def _show(title: str, rows: dict[str, Any]) -> None:
    table = Table(title=title)
    for heading in ("condition", "overhead", "entropy", "strategy", "speed", "interval"):
        table.add_column(heading, justify="left" if heading == "condition" else "right")
    for name, row in rows.items():
        shares = [
            f"{row[key]['median']:.2%} [{row[key]['quartile_1']:.2%}, {row[key]['quartile_3']:.2%}]"
            for key in ("overhead", "entropy", "strategy")
        ]
        value, low, high = row["speedup_over_plain"]
        table.add_row(name, *shares, f"{value:.2f}", f"{low:.2f}–{high:.2f}")
    console.print(table)


def _plot(path: Path, label: str, comparison: Comparison, names: list[str]) -> None:
    """Draw where decode time goes; the rest is verification, bookkeeping and Python."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    phases = ("verifier_s", "drafter_s", "entropy_s", "strategy_s")
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    left = np.zeros(len(names))
    for phase in (*phases, "rest"):
        shares = [_phase_share(comparison.records(name), phase, phases) for name in names]
        axes.barh(names, shares, left=left, label=phase.removesuffix("_s"))
        left += shares
    axes.set(title=f"Where decode time goes: {label}", xlabel="share of decode time", xlim=(0, 1))
    axes.invert_yaxis()
    axes.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _phase_share(records: list[SequenceRecord], phase: str, phases: tuple[str, ...]) -> float:
    whole = sum(record.decode_s for record in records)
    turns = [turn for record in records for turn in record.rounds]
    booked = {name: sum(getattr(turn, name) for turn in turns) for name in phases}
    share: float = booked.get(phase, whole - sum(booked.values())) / whole
    return share


def _profile(decoder: EntropyBasedSpeculativeDecoder, prompt: Any, tokens: int) -> None:
    profile = cProfile.Profile()
    generation = decoder.stream(prompt, max_new_tokens=tokens)
    profile.enable()
    generation.finish()
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(20)
    console.print(text.getvalue(), markup=False)


if __name__ == "__main__":
    main()
