"""The command smart-speed: one file per subcommand, imported when it is asked for."""

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn, final

from smart_speed import __version__
from smart_speed.errors import SmartSpeedError

_COMMANDS = {
    "generate": "answer a prompt, or compare conditions on several",
    "experiment": "answer prompts under many conditions, into a folder",
    "evaluate": "work out every figure of a run",
    "analyze": "test the hypotheses on a run, and write its report",
    "compare": "show two runs side by side",
    "calibrate": "learn draft lengths for models, machine and texts",
    "replay": "say what any strategy would have earned on traces",
    "trace": "record what drafters would write, for calibrate and replay",
    "profile": "explain what calibrate has learned",
    "distill": "make a drafter for a verifier",
    "doctor": "show versions, engines, devices and what would be chosen",
}


@final
class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.rstrip('.')}.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: Arguments after the program's name; ``None`` takes the command line's.

    Returns:
        0 done, 1 some sequences failed, 2 bad input, 130 interrupted.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _Parser(prog="smart-speed", description="Entropy-aware speculative decoding.")
    parser.add_argument("--version", action="version", version=f"smart-speed {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=f"{purpose.capitalize()}.")
        command.add_argument(
            "--traceback", action="store_true", help="show where an error came from"
        )
        if name in argv[:1]:
            importlib.import_module(f"smart_speed.cli.{name}").add_arguments(command)
    args = parser.parse_args(argv)
    try:
        return int(importlib.import_module(f"smart_speed.cli.{args.command}").run(args))
    except SmartSpeedError as error:
        if args.traceback:
            traceback.print_exc()
        sys.stderr.write(f"smart-speed: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("smart-speed: interrupted.\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone
        return 0
