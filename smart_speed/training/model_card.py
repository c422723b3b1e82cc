"""The page that goes with a drafter, written from its manifest."""

from collections.abc import Mapping
from typing import Any

_LIMITS = (
    "Its text is checked by the verifier, so it changes how fast an answer comes and not what it "
    "says. On text unlike its corpus, it is accepted less often."
)
_MEASURED = (
    "Over the verifier's own greedy answers to prompts it was not trained on, 95 % intervals over "
    "prompts. *Agreement*: both find the same token likeliest. *Overlap*: what speculative "
    "sampling would accept."
)


def model_card(manifest: Mapping[str, Any]) -> str:
    """Return a model card in the form that the Hugging Face hub reads.

    Args:
        manifest: What ``drafter.json`` holds.
    """
    shape, corpus, training = manifest["shape"], manifest["corpus"], manifest["training"]
    verifier = manifest["verifier"]["name"]
    kept = shape["vocab_size"]
    trimmed = (
        f"Its vocabulary is the {kept - 1:,} tokens that the verifier writes most, and one more, "
        "`<|outside|>`, that stands for all others: it is read, and never drafted.\n"
        if manifest["trimmed"]
        else ""
    )
    layers = f"{shape['num_layers']} layers of width {shape['width']}"
    what = (
        f"A Llama of {shape['parameters'] / 1e6:.1f} million parameters ({layers}) that writes "
        f"ahead of {verifier} in speculative decoding. It is no model to talk to."
    )
    command = f"smart-speed generate --verifier VERIFIER --drafter PATH/TO/{manifest['name']}"
    how = (
        f"By `smart-speed distill` {manifest['smart_speed']}. The verifier answered "
        f"{corpus['examples']:,} prompts, drawn at random from those below, with "
        f"{corpus['answer_tokens']:,} tokens "
        f"({_shares(corpus['settings'])}), and the drafter learned its laws in "
        f"{training['steps']:,} steps ({training['epochs']:.3g} passes). "
        f"{_start(shape, verifier)}"
    )
    rows = [
        f"| {row['source']} | {row['licence']} | {row['count']:,} |" for row in corpus["prompts"]
    ]
    lines = ["---", "library_name: smart-speed", "pipeline_tag: text-generation"]
    lines += ["tags: [speculative-decoding, drafter]", "---", ""]
    lines += [f"# {manifest['name']}: a drafter for {verifier}", "", what, trimmed]
    lines += ["```sh", command, "```", "", "## How it was made", "", how, ""]
    lines += ["| prompts from | licence | prompts |", "| --- | --- | ---: |", *rows, ""]
    lines += _evaluation(manifest.get("evaluation"))
    lines += ["## Limits", "", _LIMITS, ""]
    return "\n".join(lines)


def _shares(settings: Mapping[str, Any]) -> str:
    greedy = 1 - settings["sampled_share"]
    return f"{greedy:.0%} of the answers greedy, the others drawn at {settings['temperature']}"


def _start(shape: Mapping[str, Any], verifier: str) -> str:
    if not shape["kept_layers"]:
        return f"It began with random layers and the embedding of {verifier}."
    layers = ", ".join(map(str, shape["kept_layers"]))
    return f"It began as layers {layers} of {verifier} with its embedding."


def _evaluation(evaluation: Mapping[str, Any] | None) -> list[str]:
    if evaluation is None:
        return []
    lines = ["## How good it is", "", _MEASURED, ""]
    lines += ["| task | prompts | agreement | overlap |", "| --- | ---: | ---: | ---: |"]
    for task, row in [*evaluation["tasks"].items(), ("mean", evaluation["mean"])]:
        agreement, overlap = (_interval(row[name]) for name in ("agreement", "overlap"))
        lines.append(f"| {task} | {row['num_prompts']} | {agreement} | {overlap} |")
    return [*lines, ""]


def _interval(estimate: Mapping[str, float | None]) -> str:
    if estimate["low"] is None:  # a single prompt has no spread
        return f"{estimate['value']:.2f}"
    return f"{estimate['value']:.2f} ({estimate['low']:.2f}–{estimate['high']:.2f})"
