"""The program in an answer: out of its fences, behind its talk, with what the prompt began."""

import ast
import re
import textwrap
import warnings

from smart_speed.checks.answer_check import AnswerCheck

_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL | re.MULTILINE)
_BEGINS = re.compile(
    r"^(?:import \w|from [\w.]+ import |(?:async )?def \w|class \w|@\w)", re.MULTILINE
)


def program_of(text: str, check: AnswerCheck) -> str:
    """Return the program that must run to its end: the answer's code, then the tests.

    Code between fences counts, in the block that defines the function if there is one. Where an
    answer defines the function itself, only what stands before it in the prompt is put in front,
    else all that the prompt began. What follows the last line up to which the code can be read is
    left out, for that is talk, or was cut off.

    Args:
        text: The answer.
        check: Of kind "python".
    """
    code, defines = _code(text, check.entry_point), _definition(check.entry_point)
    if defines.search(code):
        found = defines.search(check.opening)
        return _joined(_readable(check.opening[: found.start()] if found else "", code), check)
    if check.opening:
        code = code if code.startswith((" ", "\t")) else textwrap.indent(code, "    ")
    return _joined(_readable(check.opening, code), check)


def _joined(program: str, check: AnswerCheck) -> str:
    return f"{program.rstrip()}\n\n{check.expected.strip()}\n"


def _definition(name: str) -> re.Pattern[str]:
    named = re.escape(name) if name else r"\w+"
    return re.compile(rf"^(?:async )?def {named}\b", re.MULTILINE)


def _code(text: str, name: str) -> str:
    """Return what is code in an answer, or might be."""
    defines = _definition(name)
    blocks = [textwrap.dedent(block) for block in _FENCE.findall(text)]
    telling = [block for block in blocks if defines.search(block)]
    if blocks:
        return (telling or blocks)[0].strip("\n")
    begin = _BEGINS.search(text) if defines.search(text) else None
    return text[begin.start() :] if begin else text.strip("\n")


def _readable(before: str, code: str) -> str:
    """Return both, as many of the code's lines as can be read."""
    lines = code.split("\n")
    for end in range(len(lines), 0, -1):
        program = before + "\n".join(lines[:end])
        if _parses(program):
            return program
    return before + code


def _parses(program: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in somebody else's strings
            ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
