"""Is greedy speculative decoding the verifier's own text, token for token, on a real model?

Every strategy under every cap, against plain decoding. Each divergence is judged by the noise
that the width of a pass makes (smart_speed.divergence). No time is measured here.

    python -m benchmarks.greedy_equality --engine hf --dtype float32
    python -m benchmarks.greedy_equality --engine llama_cpp
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from smart_speed.config import EntropyConfig
from smart_speed.divergence import find_divergence
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.prompting import encode_prompt
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.strategies import STRATEGIES
from smart_speed.workloads.builtin import builtin_prompts

console = Console(stderr=True)


def main() -> None:
    """Run what the command line asks for, going on from where an earlier run stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", default="llama_cpp")
    parser.add_argument("--dtype")
    parser.add_argument("--quantize", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--drafter", default="ngram")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--caps", type=int, nargs="+", default=list(range(9)))
    parser.add_argument("--out", type=Path, help="JSON lines; default by engine and format")
    args = parser.parse_args()
    name = f"greedy-equality-{args.engine}-{args.dtype or args.quantize}-{args.drafter}.jsonl"
    out = args.out or Path(__file__).parent / "results" / name.replace(":", "")
    out.parent.mkdir(parents=True, exist_ok=True)
    done = {json.loads(line)["prompt_id"] for line in out.open()} if out.exists() else set()
    # Short prompts first: the caps are what is varied, and reading a prompt is not.
    prompts = sorted(builtin_prompts(), key=lambda prompt: len(prompt.text))[: args.prompts]
    todo = [prompt for prompt in prompts if prompt.prompt_id not in done]
    if todo:
        decoders = dict(_decoders(args))
        with out.open("a") as file:
            for prompt in track(todo, description="prompts", console=console):
                chat = [{"role": "user", "content": prompt.text}]
                row = _compare(decoders, chat, prompt.prompt_id, args.tokens)
                file.write(json.dumps(row) + "\n")
                file.flush()
    _report(out)


def _decoders(args: argparse.Namespace) -> Iterator[tuple[str, EntropyBasedSpeculativeDecoder]]:
    options = LoadOptions(
        engine=args.engine, dtype=args.dtype, quantize=args.quantize, threads=args.threads
    )
    verifier = load_verifier("default", options)
    drafter = load_drafter(args.drafter, verifier, options)
    yield "plain", EntropyBasedSpeculativeDecoder(verifier)
    for strategy in STRATEGIES:
        for cap in args.caps:
            # Nothing may be drafted under a cap of 0, whatever the strategy: one stands for all.
            if strategy == "plain" or (cap == 0 and strategy != "fixed"):
                continue
            config = EntropyConfig(strategy=strategy, max_draft_len=cap)
            yield f"{strategy}:{cap}", EntropyBasedSpeculativeDecoder(verifier, drafter, config)


def _compare(
    decoders: dict[str, EntropyBasedSpeculativeDecoder], prompt: Any, prompt_id: str, tokens: int
) -> dict[str, Any]:
    outputs = {
        name: decoder.generate(prompt, max_new_tokens=tokens).tokens
        for name, decoder in decoders.items()
    }
    verifier = decoders["plain"].verifier
    found = (
        find_divergence(
            verifier.model,
            encode_prompt(prompt, verifier),
            outputs["plain"],
            output,
            prompt_id=prompt_id,
            condition=name,
        )
        for name, output in outputs.items()
    )
    return {
        "prompt_id": prompt_id,
        "num_tokens": len(outputs["plain"]),
        "num_conditions": len(outputs) - 1,
        "divergences": [each.to_json() for each in found if each is not None],
    }


def _report(path: Path) -> None:
    rows = [json.loads(line) for line in path.open()]
    gaps = [gap for row in rows for gap in row["divergences"]]
    answers = sum(row["num_conditions"] for row in rows)
    ties = Counter(bool(gap["near_tie"]) for gap in gaps)
    console.print(
        f"{path.name}: {len(rows)} prompts, {sum(row['num_tokens'] for row in rows)} tokens of "
        f"plain decoding, {answers} answers compared: {answers - len(gaps)} identical, "
        f"{ties[True]} part at a near-tie, {ties[False]} otherwise"
    )
    if gaps:
        sizes = sorted(gap["logit_gap"] for gap in gaps)
        console.print(
            f"logit gaps: median {sizes[len(sizes) // 2]:.4f}, largest {sizes[-1]:.4f}; "
            f"noise of the pass's width there: up to {max(gap['pass_noise'] for gap in gaps):.4f}"
        )


if __name__ == "__main__":
    main()
