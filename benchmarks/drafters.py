"""How good is a drafter, and what does it cost, on prompts that none was trained on?

    python -m benchmarks.drafters --data FOLDER --drafters small,nano
    python -m benchmarks.drafters --data FOLDER --drafters small,nano --live

The verifier answers prompts of five tasks (benchmarks/unseen_prompts.py says which files FOLDER
must hold). Every drafter reads those answers along with it: agreement, overlap, coverage, and what
its entropy tells. Then the cost of a drafter step on each installed engine. With --live, the speed
of whole answers under many conditions instead. All of it can be interrupted and resumed.
"""

import argparse
import json
import platform
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from benchmarks.console import console, progress_bar, show_table, shown, write_json
from benchmarks.drafters_live import LivePlan, run_live
from benchmarks.unseen_prompts import unseen_prompts
from benchmarks.verified_answers import verified_answers
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import SmartSpeedError
from smart_speed.files import file_sha256
from smart_speed.loading import (
    BLENDED,
    LoadOptions,
    is_installed,
    load_drafter,
    load_verifier,
    shipped_drafters,
)
from smart_speed.training.drafter_cost import DrafterCost, drafter_cost
from smart_speed.training.drafter_quality import DrafterQuality, Quality, judge_drafter
from smart_speed.training.drafter_scores import VerifiedAnswer

RESULTS = Path(__file__).parent / "results"
FORMATS: dict[str, Sequence[dict[str, Any]]] = {
    "llama_cpp": ({},),
    "hf": ({"dtype": "float32"}, {"dtype": "bfloat16"}),
}
"""Engines to measure the cost on, and number formats of each."""
COST_CONTEXT_LEN = 256
_COST_TEXTS = 10


def main() -> None:
    """Measure what the command line asks for."""
    args = _parser().parse_args()
    options = LoadOptions(
        engine=args.engine, dtype=args.dtype, quantize=args.quantize, threads=args.threads
    )
    verifier = load_verifier(args.verifier, options)
    label = f"{args.engine}-{args.dtype or args.quantize}"
    prompts = unseen_prompts(args.data, per_task=args.per_task, seed=args.seed, tasks=args.tasks)
    if args.live:
        plan = LivePlan(
            verifier=verifier,
            drafters={n: load_drafter(n, verifier, options) for n in args.drafters.split(",")},
            prompts=prompts,
            conditions=[*(f"fixed:{cap}" for cap in args.caps), *args.strategies.split(",")],
            max_new_tokens=args.tokens,
        )
        run_live(
            plan,
            _about(args, verifier),
            rows=args.work / f"live-{label}.jsonl",
            out=args.out or RESULTS / f"drafters-live-{label}.json",
        )
        return
    with progress_bar("verifier's answers") as progress:
        answers = verified_answers(
            verifier,
            prompts,
            args.work / f"answers-{label}.jsonl",
            max_new_tokens=args.tokens,
            progress=progress,
        )
    out = args.out or RESULTS / "drafters.json"
    # Each part replaces its own: quality may be judged beside other work, cost may not.
    document = json.loads(out.read_text("utf-8")) if out.is_file() else {}
    if args.part in (None, "quality"):
        document["quality"] = _judge(args, verifier, options, answers)
        write_json(out, document)
    if args.part in (None, "cost"):
        for cost in _measure(args, answers):
            document["cost"] = cost
            write_json(out, document)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--drafters", default="small,nano", help="names or paths")
    parser.add_argument("--verifier", default="default")
    parser.add_argument("--engine", default="llama_cpp", help="of answers, quality and speed")
    parser.add_argument("--dtype")
    parser.add_argument("--quantize", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--tasks", nargs="+", help="default: all five")
    parser.add_argument("--per-task", type=int, default=50, help="prompts of each task")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of prompts")
    parser.add_argument("--tokens", type=int, default=128, help="most tokens of an answer")
    parser.add_argument("--work", type=Path, default=Path("runs/drafters"), help="for resuming")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/drafters*.json")
    parser.add_argument("--part", choices=("quality", "cost"), help="default: both")
    parser.add_argument("--repeats", type=int, default=50, help="of the cost measurement")
    parser.add_argument("--live", action="store_true", help="measure the speed of whole answers")
    parser.add_argument("--caps", type=int, nargs="*", default=list(range(1, 9)), help="of fixed")
    parser.add_argument("--strategies", default="absolute,relative,window,combined,adaptive")
    return parser


def _about(args: argparse.Namespace, verifier: LoadedModel) -> dict[str, Any]:
    """Return what a result depends on, as JSON values."""
    return {
        "verifier": verifier.description,
        "engine": verifier.engine,
        "machine": platform.platform(),
        "drafter_files": _files(args),
        "per_task": args.per_task,
        "seed": args.seed,
        "max_new_tokens": args.tokens,
    }


def _files(args: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Return the sha256 of every drafter's weights: names outlive what they stand for."""
    found = {}
    for name in args.drafters.split(","):
        model = name.removesuffix(BLENDED)
        path = shipped_drafters().get(model, Path(model).expanduser())
        files = [path] if path.is_file() else sorted(path.glob("*.*"))
        weights = [file for file in files if file.suffix in (".gguf", ".safetensors")]
        found[name] = {file.name: file_sha256(file) for file in weights}
    return found


def _judge(
    args: argparse.Namespace,
    verifier: LoadedModel,
    options: LoadOptions,
    answers: Sequence[VerifiedAnswer],
) -> dict[str, Any]:
    drafters: dict[str, Any] = {}
    for name in args.drafters.split(","):
        drafter = load_drafter(name, verifier, options)
        with progress_bar(name) as progress:
            quality = judge_drafter(verifier, drafter, answers, progress=progress)
        drafters[name] = quality.to_json()
        _show_quality(name, quality)
    return {**_about(args, verifier), "drafters": drafters}


def _show_quality(name: str, quality: DrafterQuality) -> None:
    def row(task: str, each: Quality) -> tuple[str, ...]:
        shares = (each.coverage, each.greedy_share, each.repeated_4gram_share)
        figures = (shown(each.agreement, ".2f"), shown(each.overlap, ".2f"))
        return (task, *figures, *(f"{share:.2f}" for share in shares), str(each.num_prompts))

    show_table(
        f"{name}: quality, 95 % intervals over prompts",
        ("task", "agreement", "overlap", "covered", "greedy", "repeats", "prompts"),
        [row(*each) for each in [*quality.tasks.items(), ("mean", quality.mean)]],
    )
    show_table(
        f"{name}: by the entropy of its law",
        ("nats from", "agreement", "overlap", "tokens"),
        [
            (f"{e.low_nats:g}", f"{e.agreement:.2f}", f"{e.overlap:.2f}", str(e.num_positions))
            for e in quality.calibration
        ],
    )


def _measure(
    args: argparse.Namespace, answers: Sequence[VerifiedAnswer]
) -> Iterator[dict[str, Any]]:
    """Measure the cost of every drafter on every installed engine; yield what is known so far."""
    tokens = chain.from_iterable((*each.prompt, *each.answer) for each in answers)
    texts = [list(islice(tokens, COST_CONTEXT_LEN)) for _ in range(_COST_TEXTS)]
    texts = [text for text in texts if len(text) == COST_CONTEXT_LEN] or texts[:1]
    engines: dict[str, Any] = {}
    for engine in filter(is_installed, FORMATS):
        for settings in FORMATS[engine]:
            load: dict[str, Any] = {"engine": engine, "threads": args.threads, **settings}
            options = LoadOptions(**load)
            verifier = load_verifier(args.verifier, options)
            label = "-".join([engine, *settings.values()])
            costs: dict[str, Any] = {}
            for name in args.drafters.split(","):
                try:
                    drafter = load_drafter(name, verifier, options)
                    cost = drafter_cost(verifier, drafter, texts, repeats=args.repeats)
                except SmartSpeedError as error:
                    console.print(f"{name} is left out on {label}: {error}", markup=False)
                    continue
                costs[name] = cost.to_json()
                _show_cost(f"{name} on {label}", cost)
            engines[label] = {"verifier": verifier.description, "drafters": costs}
            about = {"machine": platform.platform(), "drafter_files": _files(args)}
            yield {**about, "context_len": len(texts[0]), "engines": engines}


def _show_cost(name: str, cost: DrafterCost) -> None:
    console.print(
        f"{name}: a drafter step takes {shown(cost.step_share, '.3f')} of a verifier pass "
        f"({1e3 * cost.step_s:.2f} of {1e3 * cost.pass_s:.2f} ms); a pass over "
        f"{cost.draft_len + 1} tokens takes {shown(cost.wide_pass, '.2f')} of one over 1"
    )


if __name__ == "__main__":
    main()
