"""drafter.json: what a distilled drafter is called, whom it was made for, and what it is made of.

::

    {
      "schema": 1,
      "name": "small",
      "verifier": {"name": "SmolLM2-135M-Instruct", "vocabulary_sha256": "..."},
      "files": {"drafter.gguf": "<sha256>", "model.safetensors": "<sha256>"}
    }

Other keys say how it was made, and are not read here.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from smart_speed.errors import ModelError, VocabularyError
from smart_speed.files import file_sha256

FILE_NAME = "drafter.json"
SCHEMA = 1


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return what a folder's drafter.json says; ``None`` where there is none.

    Raises:
        ModelError: If it cannot be read, is of another schema, or lacks what the module's
            docstring shows.
    """
    path = folder / FILE_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unfit(path, f"a readable JSON file ({error})") from error
    if not isinstance(document, dict):
        raise _unfit(path, "a JSON object")
    if document.get("schema") != SCHEMA:
        raise _unfit(path, f"of schema {SCHEMA}, not {document.get('schema')!r}")
    verifier, files = document.get("verifier"), document.get("files")
    if not isinstance(verifier, dict):
        raise _unfit(path, "one that names a verifier")
    for said in (document.get("name"), verifier.get("name"), verifier.get("vocabulary_sha256")):
        if not isinstance(said, str):
            raise _unfit(path, "one with name, verifier.name and verifier.vocabulary_sha256")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise _unfit(path, "one that gives the sha256 of every file")
    return document


def _unfit(path: Path, rule: str) -> ModelError:
    return ModelError(
        f"A drafter's manifest must be {rule}, got {str(path)!r}: copy the drafter again, or "
        f"remove {FILE_NAME} to use it all the same."
    )


def check_files(path: Path) -> dict[str, Any] | None:
    """Refuse a drafter whose files are not those that its manifest was written with.

    Only what would be read is looked at. Where there is no manifest, or nothing at all, whatever
    loads the model has the say.

    Args:
        path: A folder or a GGUF file.

    Returns:
        The manifest, if there is one.

    Raises:
        ModelError: If a file was changed, is missing or is not listed, or the manifest is broken.
    """
    folder = path if path.is_dir() else path.parent
    manifest = read_manifest(folder) if path.exists() else None
    if manifest is None:
        return None
    digests = manifest["files"]
    for name in _names_read(digests) if path.is_dir() else [path.name]:
        problem = _problem(folder / name, digests.get(name))
        if problem is not None:
            raise ModelError(
                f"The file {name!r} of drafter {manifest['name']!r} {problem}: copy the drafter "
                f"again, or remove {str(folder / FILE_NAME)!r} to use it all the same."
            )
    return manifest


def _names_read(names: Iterable[str]) -> list[str]:
    """Return what is read of a folder: a GGUF file is given by its own path."""
    return [name for name in names if not name.endswith(".gguf") and name != "README.md"]


def _problem(file: Path, digest: str | None) -> str | None:
    """Say what is wrong with a file, if anything is."""
    if digest is None:
        return "is not in its manifest"
    if not file.is_file():
        return "is missing"
    try:
        return None if file_sha256(file) == digest else "was changed after it was made"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def check_made_for(manifest: dict[str, Any], verifier: str, vocabulary_sha256: str) -> None:
    """Refuse a verifier that a drafter was not made for.

    Args:
        manifest: The drafter's.
        verifier: The verifier's name.
        vocabulary_sha256: The fingerprint of its vocabulary.

    Raises:
        VocabularyError: If the vocabulary is another.
    """
    wanted = manifest["verifier"]
    if wanted["vocabulary_sha256"] != vocabulary_sha256:
        raise VocabularyError(
            f"Drafter {manifest['name']} was made for {wanted['name']}, whose vocabulary is "
            f"another than that of {verifier}; use another drafter."
        )
