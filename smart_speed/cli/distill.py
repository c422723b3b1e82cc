"""smart-speed distill: make a drafter for a verifier."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from smart_speed.cli.console import console, print_json
from smart_speed.cli.gauge import progress_bar
from smart_speed.errors import ConfigError, EngineMissingError, check_that, unknown_name
from smart_speed.loading import INSTALLS, is_installed
from smart_speed.training.settings import (
    CorpusSettings,
    DrafterShape,
    Recipe,
    TrainingSettings,
)

STAGES = ("corpus", "train", "export", "evaluate")
_DEFAULT_LAYERS = (0, 1, -1)

_HELP = {
    "max_prompt_len": "leave out prompts of more tokens",
    "max_new_tokens": "longest answer, in tokens",
    "sampled_share": "share of answers that are drawn, the others being greedy",
    "temperature": "at which they are drawn",
    "raw_share": "share of prompts given outside the chat template",
    "block_size": "prompts answered side by side",
    "top": "the verifier's likeliest tokens kept of every position",
    "limit": "prompts used at most",
    "num_layers": "random layers, instead of --keep-layers",
    "width": "of the drafter, if not the verifier's",
    "num_heads": "of attention",
    "num_key_value_heads": "of attention",
    "mlp_width": "inner width of a layer",
    "vocab_size": "keep the most frequent tokens only",
    "epochs": "passes over the corpus",
    "learning_rate": "at its highest",
    "warmup_share": "share of all steps in which the rate rises",
    "weight_decay": "of AdamW",
    "batch_rows": "rows of a step, on each device",
    "row_len": "tokens of a row",
    "hard_share": "weight of the likeliest token against the law",
    "soft_targets": "the verifier's top tokens from the corpus (top) or its whole law (whole)",
    "precision": "auto, bf16 or float32",
    "save_steps": "steps between checkpoints",
    "seed": "of every random choice",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``run`` reads."""
    parser.add_argument("folder", type=Path, help="where corpus, checkpoints and drafter go")
    parser.add_argument("--verifier", default="default", metavar="MODEL", help="for whom")
    parser.add_argument("--name", default="drafter", help="of the drafter, and its folder")
    parser.add_argument("--only", metavar="STAGES", help=f"some of {','.join(STAGES)}")
    parser.add_argument(
        "--prompts", default="builtin", metavar="FILE",
        help="JSON lines or one a line; a data set; or builtin",
    )  # fmt: skip
    parser.add_argument("--licences", metavar="NAMES", help="keep prompts of these, as MIT,CC0-1.0")
    parser.add_argument(
        "--evaluation-prompts", default="builtin", metavar="FILE", help="never trained on"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 …")
    parser.add_argument("--dtype", default="auto", help="of the verifier")
    parser.add_argument("--threads", type=int, metavar="N", help="cores to use")
    parser.add_argument("--json", action="store_true", help="print the manifest")
    _add_settings(parser.add_argument_group("corpus"), CorpusSettings)
    shape = parser.add_argument_group("drafter")
    shape.add_argument(
        "--keep-layers", metavar="LIST", help="layers of the verifier to begin with, as 0,1,-1"
    )
    _add_settings(shape, DrafterShape)
    shape.add_argument("--number-format", default="q8_0", help="of the GGUF file")
    shape.add_argument(
        "--whole-vocabulary", action="store_true",
        help="export with the verifier's whole vocabulary, for other people's engines",
    )  # fmt: skip
    group = parser.add_argument_group("training")
    _add_settings(group, TrainingSettings)
    group.add_argument("--max-steps", type=int, metavar="N", help="end here, to go on later")


def run(args: argparse.Namespace) -> int:
    """Make a drafter, or the stages of it that are asked for."""
    stages = _stages(args.only)
    shape = _given(args, DrafterShape)
    layers = _layers(args.keep_layers) or (() if "num_layers" in shape else _DEFAULT_LAYERS)
    recipe = Recipe(
        name=args.name,
        shape=DrafterShape(**shape, keep_layers=layers),
        training=TrainingSettings(**_given(args, TrainingSettings)),
        number_format=args.number_format,
        whole_vocabulary=args.whole_vocabulary,
    )
    corpus_settings = CorpusSettings(**_given(args, CorpusSettings))
    if not is_installed("hf"):
        raise EngineMissingError(
            f"Distilling needs the module {INSTALLS['hf'][0]}, which is not installed: run "
            f"`{INSTALLS['hf'][1]}`."
        )
    _check_processes(stages)
    # Large blocks of memory come in huge pages: their first use takes as long as the work else.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from smart_speed.cli.distilling import Distillation

    with progress_bar() as bar:
        manifest = Distillation(args, corpus_settings, recipe).run(stages, bar)
    if args.json:
        print_json(manifest)
    return 0


def _check_processes(stages: Sequence[str]) -> None:
    """Let only the first of several processes speak, and refuse what one of them should do.

    Raises:
        ConfigError: If several processes were started for more than training.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        only = ",".join(stages)
        check_that(only == "train", "only", "train where several processes are started", only)
        console.quiet = os.environ.get("RANK") != "0"


def _stages(names: str | None) -> Sequence[str]:
    """Return the stages to go through.

    Raises:
        ConfigError: If there is no such stage.
    """
    chosen = [name.strip() for name in names.split(",")] if names else list(STAGES)
    for name in chosen:
        if name not in STAGES:
            raise unknown_name("stage", name, STAGES)
    return chosen


def _layers(text: str | None) -> tuple[int, ...]:
    """Return the layers that a list names.

    Raises:
        ConfigError: If it is no list of whole numbers.
    """
    try:
        return tuple(int(number) for number in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(
            f"keep_layers must be whole numbers, as in 0,1,-1, got {text!r}."
        ) from None


def _given(args: argparse.Namespace, settings: type) -> dict[str, Any]:
    """Return the fields of some settings that were given."""
    names = (field.name for field in fields(settings))
    return {
        name: value
        for name in names
        if name != "keep_layers" and (value := getattr(args, name)) is not None
    }


def _add_settings(group: Any, settings: type) -> None:
    """Add one flag per field; a field of several settings has one flag."""
    for name, hint in get_type_hints(settings).items():
        if name == "keep_layers" or (name == "seed" and settings is not CorpusSettings):
            continue
        kind = next((kind for kind in (int, float) if kind is hint or kind in get_args(hint)), str)
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, type=kind, metavar=kind.__name__.upper(), help=_HELP[name])
