"""Runs of the command line, and what a refusal looks like."""

import pytest

from smart_speed import cli


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Return the exit status and what was said on standard error, the dim remarks left out."""
    try:
        status = cli.main(argv)
    except SystemExit as end:  # argparse's way
        status = int(end.code or 0)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("smart-speed")]
    return status, "\n".join(said)


def assert_refused(outcome: tuple[int, str], *words: str) -> None:
    """Check for exit status 2 and one sentence that holds some words."""
    status, said = outcome
    assert status == 2, said
    assert said.count("\n") == 0, said
    assert said.endswith("."), said
    assert "Traceback" not in said
    for word in words:
        assert word in said
