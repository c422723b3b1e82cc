"""Which models are these? Short names of their contents, for profiles and traces.

A path may hold another model tomorrow, so what was learned for one is bound to its content.
"""

import hashlib
from pathlib import Path

from smart_speed.drafters.base import Drafter
from smart_speed.drafters.routed import PREFIX, RoutedDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.embedded import embedded_model
from smart_speed.engines.vocabulary import vocabulary_fingerprint
from smart_speed.loading import BLENDED, routed_names, shipped_drafters

_WHOLE = 8 << 20
_SAMPLE = 1 << 16
_NUM_SAMPLES = 64
_ID_LEN = 16
_SUFFIXES = (".gguf", ".safetensors", ".bin", ".json", ".model")
"""Of the files in a model's folder that make it what it is."""


def verifier_id(name: str, verifier: LoadedModel) -> str:
    """Return what identifies a verifier.

    Args:
        name: What was asked for.
        verifier: What was loaded. The embedded model is the same whatever format it was
            converted to for this machine.
    """
    return _model_id(
        str(embedded_model()) if name == "default" and _is_real(verifier) else name,
        vocabulary_fingerprint(verifier.tokenizer),
    )


def drafter_id(name: str, drafter: Drafter, verifier: str) -> str:
    """Return what identifies a drafter.

    Args:
        name: What was asked for.
        drafter: What was loaded.
        verifier: Of ``verifier_id``: first layers are those of a verifier.
    """
    if name == "default":
        name = drafter.name
    if name == "ngram":
        return name
    if isinstance(drafter, RoutedDrafter):
        parts = zip(routed_names(name), drafter.drafters, strict=True)
        return PREFIX + ",".join(drafter_id(each, part, verifier) for each, part in parts)
    if name.endswith(BLENDED):
        return drafter_id(name.removesuffix(BLENDED), drafter, verifier) + BLENDED
    if name.startswith("layers:"):
        return f"{name} of {verifier}"
    shipped = shipped_drafters().get(name)
    return _model_id(str(shipped / "drafter.gguf") if shipped else name, drafter.name)


def _is_real(verifier: LoadedModel) -> bool:
    return verifier.engine != "toy"


def _model_id(name: str, otherwise: str) -> str:
    """Return a hash of a file's or folder's content; of a name, where it is on a hub."""
    path = Path(name).expanduser()
    digest = hashlib.sha256()
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES)
    else:
        digest.update(f"{name}\0{otherwise}".encode())
        files = []
    for file in files:
        _add_file(digest, file)
    return digest.hexdigest()[:_ID_LEN]


def _add_file(digest: "hashlib._Hash", path: Path) -> None:
    """Add a file: all of a small one, of a large one its size and samples from end to end."""
    size = path.stat().st_size
    digest.update(f"{size}\0".encode())
    with path.open("rb") as file:
        if size <= _WHOLE:
            digest.update(file.read())
            return
        for number in range(_NUM_SAMPLES):
            file.seek(number * (size - _SAMPLE) // (_NUM_SAMPLES - 1))
            digest.update(file.read(_SAMPLE))
