"""Would drafting beside the verifier's pass pay, and how many threads are best for whom?

    python -m benchmarks.overlap --engine llama_cpp --traces TEST   # or --engine hf

TEST is a folder of traces of unseen prompts (benchmarks.calibrated trace); without it, only passes
are timed: each model in its own loop ("alone"), taking turns as in decoding ("in turn"), and in two
threads ("at once"), with few threads and many, blocks in random order. With the medians, rounds of
the calibrated strategy are costed in turn and in overlap (benchmarks/overlap_gain.py), with the
drafter as it is and with dearer ones. Timed blocks outlive an interruption; --repeats 0 times none
and loads no model. Figures and a plot go to benchmarks/results.
"""

import argparse
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, final

import numpy as np

from benchmarks.console import progress_bar, refusing, write_json
from benchmarks.overlap_report import draw, report, show
from benchmarks.resumable import ResumableRows
from smart_speed.calibration.here import SHIPPED_FOLDER
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel, read_ahead, usable_cores
from smart_speed.errors import check_that
from smart_speed.loading import DEFAULT_DRAFTERS, LoadOptions, load_drafter, load_verifier
from smart_speed.machine import machine_facts
from smart_speed.profiles import read_profile
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.trace_files import read_traces
from smart_speed.workloads.builtin import builtin_prompts

RESULTS = Path(__file__).parent / "results"
CONTEXT_LEN = 200
WIDTHS = (1, 2, 3, 5, 9, 17)
DRAFT_LEN = 4
"""Drafter passes in a row; the first, which finds its weights driven out of the caches, is left
out: rounds pay for it either way."""
PASSES = 5
"""Verifier passes of a block, after one to warm up."""
LOOK_S = 0.3
"""How long the interpreter lock is watched."""


class Block(NamedTuple):
    """What is timed in one go; ``None`` for the threads of a model that does nothing."""

    mode: str
    verifier_threads: int | None
    drafter_threads: int | None
    width: int | None


def blocks_of(threads: Sequence[int], *, mixed: bool) -> list[Block]:
    """Return the blocks of one repetition.

    Args:
        threads: Numbers that either model may have.
        mixed: Whether two models at work may have different ones.
    """
    found = [Block("lock", 1, None, 1), Block("lock", None, 1, None)]
    found += [Block("alone", each, None, width) for each, width in product(threads, WIDTHS)]
    found += [Block("alone", None, each, None) for each in threads]
    for verifier, drafter, width in product(threads, threads, WIDTHS):
        found.append(Block("in turn", verifier, drafter, width))
        if mixed or verifier == drafter:
            found.append(Block("at once", verifier, drafter, width))
    return found


@final
@dataclass(frozen=True, kw_only=True)
class Models:
    """Both models by their numbers of threads."""

    verifiers: Mapping[int, LoadedModel]
    drafters: Mapping[int, Drafter]
    pin: Callable[[int], None]
    """Sets the calling thread's number, where models do not hold their own."""


def load(options: LoadOptions, drafter: str, threads: Sequence[int]) -> "Timer":
    """Load the default verifier and a drafter with each number of threads, and a text."""
    verifiers, drafters = dict[int, LoadedModel](), dict[int, Drafter]()
    for count in threads:
        if options.engine == "hf" and verifiers:  # PyTorch's threads are not the model's
            verifiers[count], drafters[count] = verifiers[threads[0]], drafters[threads[0]]
            continue
        here = replace(options, threads=count)
        verifiers[count] = load_verifier("default", here)
        drafters[count] = load_drafter(drafter, verifiers[count], here)
    pin: Callable[[int], None] = _no_matter
    if options.engine == "hf":
        import torch

        pin = torch.set_num_threads
    text = "\n\n".join(each.text for each in builtin_prompts())
    tokens = verifiers[threads[0]].tokenizer.encode(text)
    return Timer(Models(verifiers=verifiers, drafters=drafters, pin=pin), tokens)


def _no_matter(_threads: int) -> None:
    """Set nothing: each model was loaded with its threads."""


@final
class Timer:
    """Times blocks of passes."""

    def __init__(
        self,
        models: Models,
        tokens: Sequence[int],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Read a text.

        Args:
            models: Their caches are changed.
            tokens: ``CONTEXT_LEN`` that are read, and then as many as the widest pass.
            clock: Returns seconds.
        """
        self._models = models
        self._clock = clock
        self._beside = ThreadPoolExecutor(1)
        self._text, self._ahead = tokens[:CONTEXT_LEN], tokens[CONTEXT_LEN:]
        for verifier in models.verifiers.values():
            read_ahead(verifier.model, self._text)
        for drafter in models.drafters.values():
            drafter.prefill(self._text)

    def row(self, block: Block) -> dict[str, Any]:
        """Return the block and what it took: median seconds of either model's passes."""
        if block.mode == "lock":
            return {**block._asdict(), "unlocked": self._unlocked(block)}
        if block.mode == "at once":
            verifying, drafting = self._at_once(block)
        else:
            rounds = [(self._verify(block), self._draft(block)) for _ in range(PASSES + 1)][1:]
            verifying = [each for took, _ in rounds for each in took]
            drafting = [each for _, took in rounds for each in took]
        return {
            **block._asdict(),
            "verifier_s": median(verifying) if verifying else None,
            "drafter_s": median(drafting) if drafting else None,
        }

    def _verify(self, block: Block) -> list[float]:
        if block.verifier_threads is None:
            return []
        model = self._models.verifiers[block.verifier_threads].model
        tokens = [self._text[-1], *self._ahead][: block.width]
        self._models.pin(block.verifier_threads)
        start = self._clock()
        model.feed(tokens, last=len(tokens))
        took = self._clock() - start
        model.rollback(CONTEXT_LEN - 1)
        return [took]

    def _draft(self, block: Block) -> list[float]:
        if block.drafter_threads is None:
            return []
        drafter, found = self._models.drafters[block.drafter_threads], []
        self._models.pin(block.drafter_threads)
        for length in range(DRAFT_LEN):
            start = self._clock()
            float(drafter.scores_after(self._text, self._ahead[:length]).logits[0])
            found.append(self._clock() - start)
        drafter.rollback(CONTEXT_LEN - 1)
        return found[1:]

    def _at_once(self, block: Block) -> tuple[list[float], list[float]]:
        drafting, over = list[float](), threading.Event()

        def draft() -> None:
            while not over.is_set():
                drafting.extend(self._draft(block))

        work = self._beside.submit(draft)
        verifying = list[float]()
        try:
            while not (drafting or work.done()):
                self._verify(block)  # warms up
            begun = len(drafting)
            while len(verifying) < PASSES or (len(drafting) == begun and not work.done()):
                verifying += self._verify(block)
        finally:
            over.set()
        found = drafting[begun:]
        work.result()
        return verifying, found

    def _unlocked(self, block: Block) -> float:
        """Return how fast Python counts beside passes of an engine, over how fast it counts."""
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                self._verify(block)
                self._draft(block)

        alone = self._counted()
        busy = self._beside.submit(work)
        try:
            beside = self._counted()
        finally:
            over.set()
        busy.result()
        return beside / alone

    def _counted(self) -> int:
        end, count = self._clock() + LOOK_S, 0
        while self._clock() < end:
            count += 1
        return count


def time_all(
    rows: ResumableRows, repeats: int, blocks: Sequence[Block], load_timer: Callable[[], Timer]
) -> None:
    """Time what is not among the rows yet, in another order each time."""
    known = {(row["repeat"], *(row[name] for name in Block._fields)) for row in rows.rows}
    missing = [
        (repeat, blocks[at])
        for repeat in range(repeats)
        for at in np.random.default_rng(repeat).permutation(len(blocks)).tolist()
        if (repeat, *blocks[at]) not in known
    ]
    if not missing:
        return
    timer = load_timer()
    with progress_bar("blocks") as progress:
        for done, (repeat, block) in enumerate(missing):
            rows.add({"repeat": repeat, **timer.row(block)})
            progress(done + 1, len(missing))


def main() -> None:
    """Do what the command line asks for."""
    with refusing():
        run(_parser().parse_args())


def run(args: argparse.Namespace) -> None:
    """Time, cost, report."""
    options = LoadOptions(engine=args.engine, dtype=args.dtype).for_engine(args.engine)
    known = args.repeats == 0 or args.repeats >= 2
    check_that(known, "repeats", "0, or 2 and more, for there to be intervals", args.repeats)
    threads = sorted({1, usable_cores()})
    profile = read_profile(args.profile or SHIPPED_FOLDER / f"{args.engine}-{args.drafter}.json")
    texts = []
    if args.traces:
        traces = read_traces(args.traces)
        texts = [PreparedTrace(each) for each in traces if each.drafter == args.drafter]
        names = sorted({each.drafter for each in traces})
        check_that(bool(texts), "drafter", f"one of the traces' {', '.join(names)}", args.drafter)
    label = "-".join([args.engine, *([args.dtype] if args.dtype else [])])
    settings = {"engine": label, "drafter": args.drafter, "machine": machine_facts()}
    rows = ResumableRows(args.work / f"{label}-{args.drafter}.jsonl", settings)
    blocks = blocks_of(threads, mixed=args.engine != "hf")
    time_all(rows, args.repeats, blocks, lambda: load(options, args.drafter, threads))
    document = {**settings, **report(rows.rows, texts, profile)}
    out = args.out or RESULTS / f"overlap-{label}.json"
    write_json(out, document)
    show(document)
    if texts:
        draw(document, out.with_suffix(".svg"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=("llama_cpp", "hf"), default="llama_cpp")
    parser.add_argument("--dtype", help="for hf")
    parser.add_argument("--drafter", default=DEFAULT_DRAFTERS["hf"])
    parser.add_argument("--traces", type=Path, help="folder of test traces, with this drafter")
    parser.add_argument("--profile", type=Path, help="default: the shipped one of the engine")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--work", type=Path, default=Path("runs/overlap"), help="for resuming")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/overlap-*")
    return parser


if __name__ == "__main__":
    main()
