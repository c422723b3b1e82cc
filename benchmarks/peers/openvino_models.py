"""Models of transformers, converted for OpenVINO by Optimum Intel in an environment of its own."""

from pathlib import Path

from benchmarks.peers.environments import python_of, run_or_say

RUNS_OPENVINO = (
    "numpy==2.4.6",
    "openvino==2026.4.1",
    "openvino-genai==2026.4.1.0",
    "openvino-tokenizers==2026.4.1.0",
)
"""What runs them."""
_CONVERTS = (
    "torch==2.13.0",
    "transformers==5.5.4",
    "nncf==3.4.0",
    "numpy==2.4.6",
    "openvino==2026.4.1",
    "openvino-tokenizers==2026.4.1.0",
    "requests==2.34.2",
)
_ALONE = ("optimum==2.3.0", "optimum-intel==2.2.0")
"""They ask for torchvision, and with it for another build of torch."""


def convert(source: Path, target: Path, venvs: Path) -> None:
    """Write a model for OpenVINO, its matrices in float16, which holds what bfloat16 rounded.

    Args:
        source: A folder of transformers, tokenizer included.
        target: Another, which is there.
        venvs: Of all environments.

    Raises:
        PeerError: If it cannot be converted.
    """
    python = python_of("openvino-convert", venvs, _CONVERTS, _ALONE)
    run_or_say(
        *(str(python.parent / "optimum-cli"), "export", "openvino", "--model", str(source)),
        *("--task", "text-generation-with-past", "--weight-format", "fp16", str(target)),
    )
