"""smart_speed beside other people's speculative decoding, on the same weights and prompts.

    python -m benchmarks.peers --prepare        # environments and models, nothing else
    python -m benchmarks.peers --data DATA
    python -m benchmarks.peers --data DATA --peers transformers "smart_speed hf" --per-task 1
    python -m benchmarks.peers --draws 400      # not how fast: do drawn texts keep the law?

benchmarks/unseen_prompts.py says which files DATA must hold, docs/peers.md who the peers are. They
take turns on each prompt in random order; a run that was stopped goes on where it was.
"""

import argparse
import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.console import console, progress_bar, refusing, write_json
from benchmarks.peers.catalogue import PeerSpec, chosen, specs_of
from benchmarks.peers.checkpoints import Checkpoints
from benchmarks.peers.environments import ROOT, python_of
from benchmarks.peers.figures import figures_of
from benchmarks.peers.interleaving import Contestant, Question, Worker, run_all
from benchmarks.peers.laws import QUESTIONS, draw_all, laws_of, show_laws
from benchmarks.peers.llama_server_build import LLAMA_SERVER, llama_server
from benchmarks.peers.report import plot, show
from benchmarks.peers.standings import standings_of
from benchmarks.peers.worker_process import WorkerProcess
from benchmarks.resumable import ResumableRows
from benchmarks.unseen_prompts import READERS, unseen_prompts
from smart_speed.engines.base import LoadedModel, usable_cores
from smart_speed.errors import ConfigError, SmartSpeedError, check_that
from smart_speed.loading import LoadOptions, load_verifier
from smart_speed.machine import machine_facts
from smart_speed.profiles import read_profile
from smart_speed.prompting import encode_prompt

RESULTS = Path(__file__).parents[1] / "results"
_LOAD_S = 900.0
"""Loading may measure what drafting costs."""
_WARM_UP_LEN = 32


def main() -> None:
    """Do what the command line asks for."""
    with refusing():
        _do(_parser().parse_args())


def _do(args: argparse.Namespace) -> None:
    # llama.cpp is needed all the same, and says what the processor can.
    from smart_speed.engines.llama_files import flattest_format

    verifier = load_verifier("default", LoadOptions())
    ending = sorted(verifier.tokenizer.eos_ids)
    profiles = {path: read_profile(path) for path in args.profiles}
    dtype = args.dtype or ("bfloat16" if flattest_format() == "bf16" else "float32")
    known = specs_of(dtype=dtype, threads=args.threads, ending=ending, profiles=profiles)
    specs = chosen(known, args.peers)
    checkpoints = Checkpoints(args.work / "models", args.drafter, venvs=args.work / "venvs")
    if args.prepare:
        _prepare(specs, checkpoints, args.work)
    elif args.draws is not None:
        _compare_laws(args, specs, checkpoints, verifier)
    else:
        _compare_speeds(args, specs, checkpoints, verifier)


def _compare_speeds(
    args: argparse.Namespace,
    specs: Sequence[PeerSpec],
    checkpoints: Checkpoints,
    verifier: LoadedModel,
) -> None:
    if args.data is None:
        raise ConfigError("data must be the folder of the data sets, got none.")
    questions = _questions(args, verifier)
    settings = {
        "models": checkpoints.ids(),
        "peers": {spec.name: spec.to_json() for spec in specs},
        "max_new_tokens": args.tokens,
    }
    rows = ResumableRows(args.work / f"answers-{args.drafter}.jsonl", settings)
    end_s = time.monotonic() + 60 * args.minutes
    with progress_bar("answers of all") as progress:
        run_all(
            _contestants(specs, checkpoints, args.work, verifier),
            questions,
            rows,
            max_new_tokens=args.tokens,
            sampling={spec.name for spec in specs if spec.samples},
            progress=progress,
            out_of_time=lambda: time.monotonic() > end_s,
        )
    check_that(bool(rows.rows), "minutes", "enough for one prompt", args.minutes)
    ending = sorted(verifier.tokenizer.eos_ids)
    document = document_of(rows.rows, specs, ending) | {"drafter": args.drafter, **settings}
    out = args.out or RESULTS / f"peers-{args.drafter}.json"
    write_json(out, document)
    plot(document, out.with_suffix(".svg"))
    show(document)


def _compare_laws(
    args: argparse.Namespace,
    specs: Sequence[PeerSpec],
    checkpoints: Checkpoints,
    verifier: LoadedModel,
) -> None:
    check_that(args.draws >= 1, "draws", "at least 1", args.draws)
    temperature = max(args.temperatures)
    check_that(temperature > 0, "temperatures", "above 0 to draw at", temperature)
    drawing = [spec for spec in specs if spec.samples]
    settings = {
        "models": checkpoints.ids(),
        "peers": {spec.name: spec.to_json() for spec in drawing},
        "temperature": temperature,
        "num_draws": args.draws,
    }
    rows = ResumableRows(args.work / f"draws-{args.drafter}.jsonl", settings)
    prompts = {
        name: encode_prompt([{"role": "user", "content": text}], verifier)
        for name, text in QUESTIONS.items()
    }
    with progress_bar("samples") as progress:
        draw_all(
            _contestants(drawing, checkpoints, args.work, verifier),
            prompts,
            rows,
            temperature=temperature,
            count=args.draws,
            progress=progress,
        )
    ending = sorted(verifier.tokenizer.eos_ids)
    document = {
        "machine": machine_facts(),
        **settings,
        "laws": laws_of(rows.rows, drawing, ending),
        "left_out": {row["peer"]: row["failure"] for row in rows.rows if row["failure"]},
    }
    write_json(args.out or RESULTS / "peers-laws.json", document)
    show_laws(document)


def document_of(
    rows: Sequence[dict[str, Any]], specs: Sequence[PeerSpec], ending: Sequence[int]
) -> dict[str, Any]:
    """Return the report: who was compared where, and every figure."""
    figures = figures_of(rows, specs, ending)
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    prompts = {(row["task"], row["prompt_id"]) for row in rows}
    about: dict[str, Any] = {}
    for row in rows:
        about |= row["about"]
    return {
        "machine": machine_facts(),
        "num_prompts": {task: sum(own == task for own, _ in prompts) for task in tasks},
        "about": about,
        "left_out": {
            name: " ".join(each["failures"])
            for by_name in figures.values()
            for name, each in by_name.items()
            if not each["num_answers"]
        },
        "figures": figures,
        "standings": {
            temperature: standings_of(
                [row for row in rows if f"{row['temperature']:g}" == temperature], specs
            )
            for temperature in figures
        },
    }


def _questions(args: argparse.Namespace, verifier: LoadedModel) -> list[Question]:
    prompts = unseen_prompts(args.data, per_task=args.per_task, tasks=args.tasks)
    return [
        Question(
            prompt_id=each.prompt_id,
            task=each.task,
            tokens=encode_prompt(each.prompt, verifier),
            temperature=temperature,
        )
        for each in prompts
        for temperature in args.temperatures
    ]


def _contestants(
    specs: Sequence[PeerSpec], checkpoints: Checkpoints, work: Path, verifier: LoadedModel
) -> dict[str, Contestant]:
    prompt = encode_prompt([{"role": "user", "content": "Count from one to twenty."}], verifier)
    warm_up = {"do": "answer", "prompt": prompt, "max_new_tokens": _WARM_UP_LEN}
    warm_up |= {"temperature": 0.0, "seed": 0}
    return {spec.name: Contestant(_starter(spec, checkpoints, work), warm_up) for spec in specs}


def _starter(
    spec: PeerSpec, checkpoints: Checkpoints, work: Path
) -> Callable[[], tuple[Worker, dict[str, Any]]]:
    def start() -> tuple[Worker, dict[str, Any]]:
        python = python_of(spec.environment, work / "venvs", spec.requirements)
        settings = _filled_in(spec, checkpoints, work)
        worker = WorkerProcess(
            [str(python), "-m", spec.worker],
            log=work / "logs" / f"{re.sub(r'[^a-z0-9]+', '-', spec.name.lower())}.log",
            environment={"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        )
        try:
            reply = worker.ask({"do": "load", "settings": settings}, timeout_s=_LOAD_S)
        except SmartSpeedError:
            worker.stop()
            raise
        return worker, reply["about"]

    return start


def _filled_in(spec: PeerSpec, checkpoints: Checkpoints, work: Path) -> dict[str, Any]:
    """Return a peer's settings with the paths of models and programs, which are made if need be."""
    settings = checkpoints.fill_in(spec.settings)
    if settings.get("server") == LLAMA_SERVER:
        settings["server"] = str(llama_server(work))
    return settings


def _prepare(specs: Sequence[PeerSpec], checkpoints: Checkpoints, work: Path) -> None:
    """Make every environment and model, and say which cannot be had."""
    for spec in specs:
        try:
            python_of(spec.environment, work / "venvs", spec.requirements)
            _filled_in(spec, checkpoints, work)
        except SmartSpeedError as error:
            console.print(f"{spec.name}: {error}", markup=False, soft_wrap=True)
        else:
            console.print(f"{spec.name}: ready", markup=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--prepare", action="store_true", help="make environments and models only")
    parser.add_argument(
        "--peers", nargs="+", metavar="WORD", help="those whose names hold one of these; all"
    )
    parser.add_argument(
        "--draws", type=int, metavar="N",
        help="test on short answers, N of each, whether drawn texts keep plain decoding's law",
    )  # fmt: skip
    parser.add_argument("--drafter", default="nano", help="that ships: small or nano")
    parser.add_argument(
        "--profiles", type=Path, nargs="*", default=[], metavar="FILE",
        help="of smart-speed calibrate, any engine: of a drafter that ships or of the widened one",
    )  # fmt: skip
    parser.add_argument(
        "--dtype",
        help="on PyTorch; default: bfloat16 where the processor multiplies it, else float32",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.7])
    parser.add_argument("--tasks", nargs="+", default=list(READERS))
    parser.add_argument("--per-task", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="then stop; the next run goes on"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/peers"), help="for resuming")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/peers-*")
    return parser


if __name__ == "__main__":
    main()
