"""Rules that no linter knows: sizes, docstrings, what an import may cost, names that resolve."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import smart_speed

PACKAGE = Path(smart_speed.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(
    path
    for folder in ("smart_speed", "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
)
MODULES = [path for path in FILES if path.is_relative_to(PACKAGE)]

LONGEST_FILE = 500
LONGEST_README = 200

HEAVY = {"torch", "transformers", "llama_cpp", "openvino", "gguf", "tokenizers"}

SEED_NAMES = {
    "speculative_decoding": ("EntropyBasedSpeculativeDecoder", "EntropyConfig"),
    "experiment": ("ExperimentRunner", "ExperimentConfig"),
    "evaluation": (),
    "analysis": ("AnalysisPipeline",),
}
"""The modules that may also be imported by their bare names, from the package's own folder."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python(code: str) -> str:
    """Run code in a process of its own, away from this folder."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=False, cwd=Path(sys.executable).parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_after(code: str) -> set[str]:
    """Return the modules that are there once some code has run."""
    names = python(f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))")
    return set(json.loads(names))


def test_files_are_found() -> None:
    assert len(MODULES) > 20
    assert Path(__file__) in FILES


def test_files_are_short_enough_to_be_read() -> None:
    lens = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: count for name, count in lens.items() if count > LONGEST_FILE} == {}


def test_modules_say_what_they_are_for() -> None:
    texts = {
        name_of(path): ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        for path in MODULES
    }
    assert [name for name, text in texts.items() if not (text or "").strip()] == []


def test_readme_is_short() -> None:
    readme = ROOT / "README.md"
    assert len(readme.read_text(encoding="utf-8").splitlines()) < LONGEST_README


def test_importing_the_package_costs_nothing() -> None:
    loaded = loaded_after("import smart_speed")
    assert not loaded & {*HEAVY, "numpy"}
    assert {name for name in loaded if name.startswith("smart_speed.")} == set()


@pytest.mark.parametrize(
    "code",
    [
        "from smart_speed import EntropyBasedSpeculativeDecoder, EntropyConfig, Sampling",
        "import smart_speed.loading, smart_speed.comparison, smart_speed.heatmap_data",
        "import smart_speed.cli.generate, smart_speed.cli.doctor",
    ],
)
def test_engines_are_imported_only_when_chosen(code: str) -> None:
    assert not loaded_after(code) & HEAVY


def test_public_names_resolve() -> None:
    for name in smart_speed.__all__:
        assert getattr(smart_speed, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Decoder'"):
        smart_speed.Decoder  # noqa: B018


def seed_modules() -> list[str]:
    return [name for name in SEED_NAMES if (PACKAGE / f"{name}.py").is_file()]


@pytest.mark.parametrize("module", seed_modules())
def test_seed_module_has_a_bare_name_as_well(module: str) -> None:
    names = SEED_NAMES[module]
    imported = f"from {module} import {', '.join(names)}" if names else f"import {module}"
    python(f"import sys\nsys.path.insert(0, {str(PACKAGE)!r})\n{imported}")


@pytest.mark.parametrize("module", seed_modules())
def test_both_names_are_one_module(module: str) -> None:
    """Else an object made under one name is none of the other's class."""
    out = python(
        f"import sys\nsys.path.insert(0, {str(PACKAGE)!r})\n"
        f"import {module}\nimport smart_speed.{module}\n"
        f"print({module} is smart_speed.{module})"
    )
    assert out == "True\n"
