"""Every Python block of the README and the docs runs as written."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S))
]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_block_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "docs", "exec"), {"__name__": "docs"})


def test_the_tree_of_the_readme_names_what_there_is() -> None:
    tree = (ROOT / "README.md").read_text().split("smart_speed/\n", 1)[1].split("```")[0]
    named = {
        name.rstrip("/,")
        for line in tree.splitlines()
        for name in re.findall(r"[\w.]+(?:/|\.py)", line)
    }
    there = {path.name for path in (ROOT / "smart_speed").iterdir()}
    assert named <= there
