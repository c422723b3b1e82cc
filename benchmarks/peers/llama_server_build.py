"""llama.cpp's server, built once from the very sources and with the flags of the engine here.

A server that somebody else has built may lack what this processor can, so the comparison would be
one of compilers. llama-cpp-python's source package holds all of llama.cpp.
"""

import importlib.metadata
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmarks.peers.environments import ROOT, run_or_say
from smart_speed.engines.base import usable_cores

LLAMA_SERVER = "@llama-server"
"""What stands for the program's path in a peer's settings."""
_TOOLS = ("cmake==3.31.6", "ninja==1.11.1.4")
_OPTIONS = (
    "BUILD_SHARED_LIBS=OFF",
    "LLAMA_CURL=OFF",
    "LLAMA_OPENSSL=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    # The page that the server shows would be fetched; it has had two names.
    "LLAMA_BUILD_UI=OFF",
    "LLAMA_BUILD_WEBUI=OFF",
)


def llama_server(folder: Path) -> Path:
    """Return the program, which is built if need be; that takes some minutes.

    Args:
        folder: Where it goes.

    Raises:
        PeerError: If sources or tools cannot be had, or the build fails.
    """
    version = importlib.metadata.version("llama-cpp-python")
    folder = folder.resolve()  # CMake runs Ninja elsewhere
    target = folder / f"llama-server-{version}"
    if not target.is_file():
        part = folder / ".part"
        shutil.rmtree(part, ignore_errors=True)
        _build(version, part).replace(target)
        shutil.rmtree(part)
    return target


def _build(version: str, folder: Path) -> Path:
    python = folder / "tools" / "bin" / "python"
    run_or_say(sys.executable, "-m", "venv", str(folder / "tools"))
    run_or_say(str(python), "-m", "pip", "install", "--only-binary", ":all:", *_TOOLS)
    run_or_say(
        *(str(python), "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"),
        *("--dest", str(folder), f"llama-cpp-python=={version}"),
    )
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    sources = next(folder.glob("*/vendor/llama.cpp"))
    flags = subprocess.run(
        ["sh", str(ROOT / "tools/llama_cmake_args.sh")], capture_output=True, text=True, check=True
    )
    cmake, build = str(folder / "tools/bin/cmake"), str(folder / "build")
    ninja = f"CMAKE_MAKE_PROGRAM={folder / 'tools/bin/ninja'}"
    defined = [f"-D{each}" for each in (*_OPTIONS, ninja, "CMAKE_BUILD_TYPE=Release")]
    run_or_say(
        *(cmake, "-S", str(sources), "-B", build, "-G", "Ninja"),
        *(*defined, *shlex.split(flags.stdout)),
    )
    jobs = str(usable_cores())
    run_or_say(cmake, "--build", build, "--target", "llama-server", "--parallel", jobs)
    return folder / "build" / "bin" / "llama-server"
