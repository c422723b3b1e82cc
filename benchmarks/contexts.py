"""How fast is decoding after long prompts? Speed against the length of the context.

    python -m benchmarks.contexts --data DATA --engine llama_cpp
    python -m benchmarks.contexts --data DATA --engine hf --dtype bfloat16 --lengths 512 2048

DATA holds wikitext2/wiki.test.raw. A prompt is so many tokens before a place of its text, and the
places are the same for every length: what is asked to go on is the same, and only how much came
before differs. Each prompt is read once, by the verifier and by the drafter, and then answered
under every condition in random order; reading is timed apart. Figures and a plot go to
benchmarks/results; a run that was stopped goes on where it was.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.calibrated_live import conditions_of
from benchmarks.console import progress_bar, refusing, write_json
from benchmarks.contexts_report import draw, report, show
from benchmarks.pair import load_default_pair
from benchmarks.resumable import ResumableRows
from smart_speed.cli.console import say
from smart_speed.comparison import BASELINE, answers_in_turn, warm_up
from smart_speed.errors import check_that
from smart_speed.loading import LoadOptions
from smart_speed.metrics.seconds import times_to_first_token_s
from smart_speed.running.about import peak_memory_bytes
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.workloads.data_files import read_text

RESULTS = Path(__file__).parent / "results"
LENGTHS = (512, 1024, 2048, 4096, 8000)
CONDITIONS = (BASELINE, "fixed-best", "absolute-learned", "calibrated")
SAMPLING = Sampling(ignore_eos=True)
"""Greedy, and every answer as long as it may be: what is measured is seconds."""

Decoders = Mapping[str, EntropyBasedSpeculativeDecoder]


class Prompt(NamedTuple):
    """Tokens to go on with."""

    prompt_id: str
    """Where in the text they end, the same for every length."""
    tokens: Sequence[int]


def main() -> None:
    """Measure what the command line asks for."""
    with refusing():
        measure(_parser().parse_args())


def measure(args: argparse.Namespace) -> None:
    """Answer every prompt of every length under every condition, and report."""
    check_that(args.tokens >= 1, "tokens", "at least 1", args.tokens)
    check_that(min(args.lengths) >= 1, "lengths", "at least 1", args.lengths)
    lengths = sorted(set(args.lengths))
    text = read_text(args.data / "wikitext2" / "wiki.test.raw")
    options = LoadOptions(
        engine=args.engine, dtype=args.dtype, threads=args.threads, say=say,
        context_len=lengths[-1] + args.tokens,
    )  # fmt: skip
    pair, profile = load_default_pair(options, args.profile)
    known = conditions_of(profile)
    decoders = {
        name: EntropyBasedSpeculativeDecoder(pair.verifier, pair.drafter, known[name])
        for name in CONDITIONS
    }
    settings = {
        **pair.facts(),
        "context_len": options.context_len,
        "max_new_tokens": args.tokens,
        "conditions": {name: each.config.resolved() for name, each in decoders.items()},
    }
    name = f"{pair.verifier.engine}-{args.dtype or 'auto'}"
    rows = ResumableRows(args.work / f"{name}.jsonl", settings)
    tokens = pair.verifier.tokenizer.encode(text)
    ends = ends_of(len(tokens), args.prompts, longest=lengths[-1])
    answer_all(decoders, tokens, ends, lengths, args.tokens, rows)
    document = {**settings, **report(rows.rows, CONDITIONS)}
    out = args.out or RESULTS / f"contexts-{name}.json"
    write_json(out, document)
    draw(document, out.with_suffix(".svg"))
    show(document)


def ends_of(text_len: int, count: int, *, longest: int) -> list[int]:
    """Return where prompts end: at random, one in each of as many equal parts of a text.

    Args:
        text_len: Tokens of the text.
        count: How many prompts.
        longest: Tokens of the longest prompt, which all have before them.

    Raises:
        ConfigError: If the text is too short for prompts that do not overlap.
    """
    most = text_len // longest
    check_that(1 <= count <= most, "prompts", f"1 to {most} for a text of that length", count)
    part = text_len // count
    late = np.random.default_rng(0).integers(part - longest + 1, size=count)
    return [number * part + longest + more for number, more in enumerate(late.tolist())]


def answer_all(
    decoders: Decoders,
    tokens: Sequence[int],
    ends: Sequence[int],
    lengths: Sequence[int],
    max_new_tokens: int,
    rows: ResumableRows,
) -> None:
    """Answer what the rows lack, the shortest prompts first: memory of longer ones comes on top.

    Args:
        decoders: By condition; they share their models.
        tokens: Of the text.
        ends: Where prompts end.
        lengths: Of prompts, ascending.
        max_new_tokens: Of every answer.
        rows: Added to.
    """
    done = {(row["length"], row["prompt_id"]) for row in rows.rows}
    wanted = [
        (length, Prompt(f"wikitext2/{end}", tokens[end - length : end]))
        for length in lengths
        for end in ends
    ]
    with progress_bar("prompts") as progress:
        warmed = 0
        for number, (length, prompt) in enumerate(wanted, 1):
            if (length, prompt.prompt_id) not in done:
                if length != warmed:
                    warm_up(decoders, prompt.tokens, SAMPLING)
                    warmed = length
                rows.add({"length": length, **answers_of(decoders, prompt, max_new_tokens)})
            progress(number, len(wanted))


def answers_of(decoders: Decoders, prompt: Prompt, max_new_tokens: int) -> dict[str, Any]:
    """Read one prompt and answer it under every condition.

    Returns:
        A row of JSON values: seconds to a first token without and with a drafter, which reads the
        prompt as well; every record; whose text is plain decoding's; and the most memory that the
        process has held so far.
    """
    drafting = next(each for name, each in decoders.items() if name != BASELINE)
    plain_s, drafter_s = _reading_s(decoders[BASELINE], drafting, prompt)
    made = dict(
        answers_in_turn(
            decoders,
            *prompt,
            max_new_tokens=max_new_tokens,
            sampling=SAMPLING,
            reread=False,
        )
    )
    plain = made[BASELINE].tokens
    return {
        "prompt_id": prompt.prompt_id,
        "first_token_s": {"plain": plain_s, "drafting": plain_s + drafter_s},
        "records": [each.record.to_json() for each in made.values()],
        "same_text": [name for name, each in made.items() if each.tokens == plain],
        "peak_bytes": peak_memory_bytes(),
    }


def _reading_s(
    plain: EntropyBasedSpeculativeDecoder, drafting: EntropyBasedSpeculativeDecoder, prompt: Prompt
) -> tuple[float, float]:
    """Return the seconds to a first token from empty caches, and those of the drafter's reading.

    The verifier reads once: it has read all of the prompt when the drafter's turn comes.
    """
    drafting.forget()
    found = [
        decoder.generate(prompt.tokens, max_new_tokens=1, sampling=SAMPLING).record
        for decoder in (plain, drafting)
    ]
    (first_s,) = times_to_first_token_s(found[:1])
    return first_s, found[1].prefill_s


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--engine", default="llama_cpp")
    parser.add_argument("--dtype", help="on PyTorch")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--profile", default="default", help="default: the one of the package")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--prompts", type=int, default=12, help="of each length")
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--work", type=Path, default=Path("runs/contexts"), help="for resuming")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/contexts-*")
    return parser


if __name__ == "__main__":
    main()
