"""Where the prompts of ``generate`` come from."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import final

from smart_speed.errors import ConfigError, check_that
from smart_speed.prompting import Prompt
from smart_speed.workloads.builtin import builtin_prompts


@final
@dataclass(frozen=True, slots=True)
class NamedPrompt:
    """A prompt as the decoder takes it, and as a person reads it."""

    prompt_id: str
    prompt: Prompt
    text: str


def read_prompts(args: argparse.Namespace) -> list[NamedPrompt]:
    """Return the prompts that the arguments name, at least one.

    Raises:
        ConfigError: If they name none, or more than one source, or one that cannot be read.
    """
    sources = [args.prompt is not None, args.file is not None, args.builtin is not None]
    check_that(sum(sources) <= 1, "prompt", "given once: as text, --file or --builtin", args.prompt)
    check_that(args.chat or args.system is None, "--system", "given with --chat only", args.system)
    if args.builtin is not None:
        check_that(bool(args.compare), "--builtin", "given with --compare only", args.builtin)
        prompts = builtin_prompts(per_task=args.builtin)
        return [_named(args, prompt.prompt_id, prompt.text) for prompt in prompts]
    return [_named(args, "prompt", _read_text(args))]


def _read_text(args: argparse.Namespace) -> str:
    if args.file is not None:
        return _read_file(args.file)
    if args.prompt not in (None, "-"):
        return str(args.prompt)
    waiting = sys.stdin is None or sys.stdin.isatty()
    check_that(not waiting, "prompt", "given, as text, --file or standard input", None)
    return sys.stdin.read()


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"A prompt must be a readable UTF-8 file, got {str(path)!r}: {error}."
        ) from error


def _named(args: argparse.Namespace, prompt_id: str, text: str) -> NamedPrompt:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"A prompt must be UTF-8 text, got bytes that are not: {error}."
        ) from error
    if not args.chat:
        return NamedPrompt(prompt_id, text, text)
    system = [{"role": "system", "content": args.system}] if args.system else []
    return NamedPrompt(prompt_id, [*system, {"role": "user", "content": text}], text)
