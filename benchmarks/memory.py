"""Does memory grow? Many short answers of the default pair, and what the process holds after them.

    python -m benchmarks.memory --engine llama_cpp --generations 1000
    python -m benchmarks.memory --engine hf

Every prompt is another one, some answers are greedy and some drawn at random. Garbage is collected
before each look, so that what is seen is what is kept. Figures and a plot go to
benchmarks/results.
"""

import argparse
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.console import console, progress_bar, refusing, show_table, shown, write_json
from benchmarks.pair import load_default_pair
from smart_speed.cli.console import say
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError, check_that
from smart_speed.files import whole
from smart_speed.loading import LoadOptions
from smart_speed.metrics.intervals import Interval, bootstrap
from smart_speed.reporting.run_plot_style import BLUE, drawing, panels
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.workloads.builtin import builtin_prompts

RESULTS = Path(__file__).parent / "results"
LEAST_LOOKS = 8
"""Fewer leave too little in the half that growth is told from."""
_STATM = Path("/proc/self/statm")

Progress = Callable[[int, int], None]


class Held(NamedTuple):
    """What a process holds at one time."""

    generations: int
    """So many answers had been made."""
    resident_bytes: int
    num_objects: int
    """Of Python, those that may hold others."""


def resident_bytes() -> int:
    """Return the memory that this process holds now.

    Raises:
        ConfigError: If the system does not say so.
    """
    try:
        pages = int(_STATM.read_text("ascii").split()[1])
    except OSError as error:
        raise ConfigError(
            f"The system must have {str(_STATM)!r}, as Linux has: {error}."
        ) from error
    import resource

    return pages * resource.getpagesize()


def look(generations: int) -> Held:
    """Collect garbage, and return what is held nevertheless."""
    gc.collect()
    return Held(generations, resident_bytes(), len(gc.get_objects()))


def held_over(
    answer: Callable[[int], object], count: int, every: int, progress: Progress | None = None
) -> list[Held]:
    """Make answers, and look now and then, the first time before any.

    Args:
        answer: Makes the answer of a number; what it returns is dropped.
        count: How many to make.
        every: How many between two looks.
        progress: Called after each look with how many were made, and of all.
    """
    found = [look(0)]
    for number in range(1, count + 1):
        answer(number)
        if number % every == 0:
            found.append(look(number))
            if progress:
                progress(number, count)  # no oftener: a bar keeps what it is told
    return found


def growth(held: Sequence[Held], what: str) -> Interval:
    """Return how much is added in one generation, over the later half of the looks.

    The interval is a bootstrap over the steps from one look to the next. Memory that merely goes
    up and down has steps that undo each other; the interval is then too wide rather than narrow.

    Args:
        held: At least ``LEAST_LOOKS``, in order.
        what: A field of ``Held``.

    Raises:
        ConfigError: If there are fewer.
    """
    check_that(len(held) >= LEAST_LOOKS, "looks", f"at least {LEAST_LOOKS}", len(held))
    late = np.array([(each.generations, getattr(each, what)) for each in held[len(held) // 2 :]])
    return bootstrap(np.diff(late, axis=0).astype(float), lambda sums: sums[..., 1] / sums[..., 0])


def verdict(kept: Interval) -> str:
    """Return in words what bytes a generation say of leaks."""
    if kept.low > 0:
        return f"memory grows by {kept.value / 1024:.2f} kB with every generation"
    return f"no growth is seen; it is at most {max(kept.high, 0) / 1024:.2f} kB a generation"


def main() -> None:
    """Measure what the command line asks for."""
    with refusing():
        measure(_parser().parse_args())


def measure(args: argparse.Namespace) -> None:
    """Make the answers, and report."""
    looks = args.generations // args.every + 1
    rule = f"at least {LEAST_LOOKS - 1} times as many as --every"
    check_that(looks >= LEAST_LOOKS, "generations", rule, args.generations)
    options = LoadOptions(engine=args.engine, dtype=args.dtype, threads=args.threads, say=say)
    pair, profile = load_default_pair(options, args.profile)
    decoder = EntropyBasedSpeculativeDecoder(
        pair.verifier, pair.drafter, EntropyConfig.from_dict(profile.config)
    )
    with progress_bar("generations") as progress:
        held = held_over(_answerer(decoder, args.tokens), args.generations, args.every, progress)
    kept, objects = (growth(held, what) for what in ("resident_bytes", "num_objects"))
    document = {
        **pair.facts(),
        "max_new_tokens": args.tokens,
        "held": [each._asdict() for each in held],
        "bytes_per_generation": kept.to_json(),
        "objects_per_generation": objects.to_json(),
        "verdict": verdict(kept),
    }
    out = args.out or RESULTS / f"memory-{pair.verifier.engine}-{args.dtype or 'auto'}.json"
    write_json(out, document)
    _draw(held, out.with_suffix(".svg"))
    _show(held, kept, objects)


def _answerer(decoder: EntropyBasedSpeculativeDecoder, tokens: int) -> Callable[[int], object]:
    prompts = builtin_prompts()

    def answer(number: int) -> object:
        text = f"{number}. {prompts[number % len(prompts)].text}"
        return decoder.generate(
            [{"role": "user", "content": text}],
            max_new_tokens=tokens,
            sampling=Sampling(temperature=0.7 * (number % 2), seed=number),
            prompt_id=str(number),
        )

    return answer


def _show(held: Sequence[Held], kept: Interval, objects: Interval) -> None:
    show_table(
        "What the process holds",
        ("generations", "resident, MB", "objects"),
        (
            (str(each.generations), f"{each.resident_bytes / 1e6:.1f}", str(each.num_objects))
            for each in held
        ),
    )
    kilobytes = Interval(*(figure / 1024 for figure in kept))
    console.print(f"over the later half: {shown(kilobytes, '+.2f')} kB a generation")
    console.print(f"objects: {shown(objects, '+.3f')} a generation")
    console.print(verdict(kept))


def _draw(held: Sequence[Held], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with drawing():
        figure, (axis,) = panels(height=3.2)
        FigureCanvasAgg(figure)
        axis.plot(
            [each.generations for each in held],
            [each.resident_bytes / 1e6 for each in held],
            color=BLUE, marker="o", markersize=4,
        )  # fmt: skip
        axis.set_xlabel("generations")
        axis.set_ylabel("resident memory, MB")
        with whole(path) as part:
            figure.savefig(part, format="svg", metadata={"Date": None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", default="llama_cpp")
    parser.add_argument("--dtype", help="on PyTorch")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--profile", default="default", help="default: the one of the package")
    parser.add_argument("--generations", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50, help="generations between two looks")
    parser.add_argument("--tokens", type=int, default=8, help="of each answer")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/memory-*")
    return parser


if __name__ == "__main__":
    main()
