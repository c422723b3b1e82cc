"""Prompts to calibrate the embedded pair on: of the drafters' families, but not trained on.

    python -m benchmarks.calibration_prompts PROMPTS.jsonl OUT.jsonl

PROMPTS is the file that `smart-speed distill` was given. Which of its prompts a drafter has seen
follows from its manifest: the corpus is answered in an order of its own, so many from the start.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from smart_speed.loading import SHIPPED_FOLDER, LoadOptions, load_verifier
from smart_speed.training.corpus import plan
from smart_speed.training.generating import chat_encoder
from smart_speed.training.prompts import TrainingPrompt, read_prompts
from smart_speed.training.settings import CorpusSettings
from smart_speed.workloads.selection import choose

LICENCES = ("MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0")
"""Of the prompts that the drafters were trained on; the corpus counts these."""
MOST_CHARACTERS = 1500
"""Of a prompt: longer ones are mostly reading."""

MARGIN = 1024
"""Examples that are taken for seen although the manifest does not count them: empty answers, and
those that were held out."""


def unseen(prompts: Path) -> list[TrainingPrompt]:
    """Return the prompts that no shipped drafter was trained on."""
    answered = read_prompts(str(prompts), LICENCES)
    verifier = load_verifier("default", LoadOptions(engine="llama_cpp"))
    seen: set[str] = set()
    for manifest in SHIPPED_FOLDER.glob("*/drafter.json"):
        corpus: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))["corpus"]
        blocks = plan(
            [each.text for each in answered],
            CorpusSettings(**corpus["settings"]),
            encode_chat=chat_encoder(verifier),
            encode=verifier.tokenizer.encode,
        )
        left = corpus["examples"] + MARGIN
        for block in blocks:
            if left <= 0:
                break
            seen |= {answered[each.index].prompt_id for each in block}
            left -= len(block)
    return [
        each
        for each in read_prompts(str(prompts))
        if each.prompt_id not in seen and len(each.text) <= MOST_CHARACTERS
    ]


def main() -> None:
    """Write prompts, the tasks taking turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, default=256)
    args = parser.parse_args()
    lines = [
        json.dumps({"id": f"distill/{each.prompt_id}", "task": each.task, "prompt": each.text})
        for each in choose(unseen(args.prompts), args.limit)
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
