"""Answers that are right, however they are written, and programs that may do nothing else."""

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.checks.final_number import final_number
from smart_speed.checks.python_program import program_of
from smart_speed.checks.sandbox import Limits, Outcome, run_program
from smart_speed.errors import ConfigError

OPENING = '''from typing import List


def total(numbers: List[int]) -> int:
    """Add them up."""
'''
TOTAL = AnswerCheck(
    kind="python",
    opening=OPENING,
    expected="def check(candidate):\n    assert candidate([1, 2]) == 3\n\ncheck(total)",
    entry_point="total",
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18", "18"),
        ("#### 5\nNo: #### 1,234", "1234"),
        ("So it is \\boxed{\\$2.50} for 3 of them.", "2.5"),
        ("**The answer is: $70,000.** He has 3 houses.", "70000"),
        ("The final answer was −4 degrees, on 2 days.", "-4"),
        ("First 3 + 4 = 7, then 7 * 2 = 14 eggs.", "14"),
        ("- 12 apples", "12"),
        ("It takes 1/2 of an hour", "1/2"),
        ("That leaves .5 of it", "0.5"),
        ("x=18.00.", "18"),
        ("A4 paper, 30%", "30"),
    ],
)
def test_final_number(text: str, number: str) -> None:
    assert final_number(text) == Fraction(number)


@pytest.mark.parametrize("text", ["", "no number", "A4", "#### none"])
def test_no_final_number(text: str) -> None:
    assert final_number(text) is None
    assert not AnswerCheck(kind="number", expected="0").is_right(text)


def test_number_of_a_solution_is_compared_as_a_number() -> None:
    check = AnswerCheck(kind="number", expected="Janet sells 16 - 7 = 9.\n#### 18")
    assert check.is_right("so she makes $18.00")
    assert not check.is_right("so she makes 9 a day, of 18, no 17")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("It was in december 1972.", True),
        ("On 14 December, 1972 (UTC)", True),
        ("In December 19725", False),
        ("", False),
    ],
)
def test_phrase(text: str, right: bool) -> None:
    check = AnswerCheck(kind="phrase", expected="the December 1972\n14 December 1972 UTC")
    assert check.is_right(text) == right


DEFINED = "def total(numbers: List[int]) -> int:\n    return sum(numbers)\n"


@pytest.mark.parametrize(
    "text",
    [
        "    return sum(numbers)\n",
        "return sum(numbers)",
        f"Here it is:\n\n```python\n{DEFINED}```\n\nIt adds them up.",
        f"```\n{DEFINED}",
        "```python\nreturn sum(numbers)\n```",
        f"```python\nprint('no')\n```\nand\n```python\n{DEFINED}```",
        f"Sure! From the numbers:\n{DEFINED}\nThis function adds all of them up.",
        f"{DEFINED}\n\ndef main():\n    print(total([1,",
        f"  1. Like this:\n   ```python\n   {DEFINED.replace('    ', '       ')}   ```",
    ],
)
def test_code_of_an_answer_is_found(text: str) -> None:
    assert run_program(program_of(text, TOTAL)) == Outcome(True, "end")


@pytest.mark.parametrize(
    ("text", "ended_by"),
    [
        ("    return max(numbers)\n", "AssertionError"),
        ("I cannot do that.", "SyntaxError"),
        ("", "AssertionError"),
        ("    return exit(0)\n", "SystemExit"),
        ("    return total(numbers)\n", "RecursionError"),
    ],
)
def test_wrong_code_is_told(text: str, ended_by: str) -> None:
    assert run_program(program_of(text, TOTAL)) == Outcome(False, ended_by)


def test_helpers_of_the_prompt_stand_before_an_answer() -> None:
    opening = "def half(x):\n    return x / 2\n\n\ndef quarter(x):\n"
    check = AnswerCheck(
        kind="python", opening=opening, expected="assert quarter(4) == 1", entry_point="quarter"
    )
    program = program_of("def quarter(x):\n    return half(half(x))", check)
    assert run_program(program).passed
    assert program.count("def quarter") == 1


def test_a_loop_without_end_is_stopped() -> None:
    start = time.perf_counter()
    assert run_program("while True: pass", Limits(seconds=0.2)).ended_by in ("time", "killed")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "program",
    [
        "x = bytearray(1 << 33)",
        "open('big', 'wb').write(b'0' * (1 << 22))",
        "import os\nos.kill(os.getpid(), 9)",
        "import sys\nsys.stdout.write('x' * (1 << 22))\nraise ValueError",
        "open('/proc/self/environ').read() or 1 / 0",
        "input()",
    ],
)
def test_limits_hold(program: str) -> None:
    assert not run_program(program).passed


def test_files_are_left_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = "import os\nopen('left', 'w').write('x')\nassert not os.environ.get('HOME')"
    assert run_program(program).passed
    assert list(tmp_path.iterdir()) == []


def test_a_network_is_not_reached() -> None:
    program = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname(), timeout=1)"
    )
    outcome = run_program(program)
    assert outcome.ended_by in ("OSError", "end")  # "end" where a user may have no network apart


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Limits(seconds=0.0), "seconds must be above 0, got 0.0."),
        (lambda: Limits(memory_bytes=1), "memory_bytes must be at least 2"),
        (lambda: Limits(file_bytes=-1), "file_bytes must be at least 0, got -1."),
    ],
)
def test_limits_are_checked(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_without_limits_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.name", "nt")
    with pytest.raises(ConfigError, match="a system with limits, got 'nt'"):
        run_program("pass")
