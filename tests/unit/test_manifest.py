"""A drafter whose files are not those it was made of is refused; without a manifest all go."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from smart_speed.drafters.manifest import check_files, check_made_for, read_manifest
from smart_speed.errors import ModelError, VocabularyError

CONTENTS = {"drafter.gguf": b"GGUF", "model.safetensors": b"weights", "README.md": b"read"}
VERIFIER = {"name": "large", "vocabulary_sha256": "0" * 64}
MANIFEST = {
    "schema": 1,
    "name": "small",
    "verifier": VERIFIER,
    "files": {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()},
    "corpus": {"whatever": ["else", 1]},
}


def change(folder: Path, **changes: Any) -> None:
    """Write a manifest, some keys changed; ``None`` takes a key out."""
    document = {key: value for key, value in {**MANIFEST, **changes}.items() if value is not None}
    (folder / "drafter.json").write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    change(tmp_path)
    return tmp_path


def refusal(path: Path) -> str:
    """Return the one sentence that a drafter is refused with."""
    with pytest.raises(ModelError) as caught:
        check_files(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("to use it all the same.")
    return message


def test_drafter_as_it_was_made_is_what_its_manifest_says(folder: Path) -> None:
    assert read_manifest(folder) == MANIFEST
    assert check_files(folder) == MANIFEST
    assert check_files(folder / "drafter.gguf") == MANIFEST


def test_model_without_a_manifest_is_left_to_whatever_loads_it(folder: Path) -> None:
    (folder / "drafter.json").unlink()
    for path in (folder, folder / "drafter.gguf", folder / "none", folder / "drafter.gguf" / "x"):
        assert check_files(path) is None
        assert read_manifest(path) is None


def test_file_that_is_not_there_is_left_to_whatever_loads_it(folder: Path) -> None:
    assert check_files(folder / "other.gguf") is None
    assert check_files(Path("some/hub-id")) is None


def test_changed_file_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"others")
    assert refusal(folder).startswith(
        "The file 'model.safetensors' of drafter 'small' was changed after it was made: copy the"
    )
    (folder / "drafter.gguf").write_bytes(b"GGUG")
    assert "'drafter.gguf' of drafter 'small' was changed" in refusal(folder / "drafter.gguf")


def test_missing_file_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "'model.safetensors' of drafter 'small' is missing" in refusal(folder)


def test_unreadable_file_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("smart_speed.drafters.manifest.file_sha256", fail)
    assert "cannot be read (Permission denied)" in refusal(folder)


def test_file_beside_a_manifest_that_does_not_list_it_is_refused(folder: Path) -> None:
    (folder / "other.gguf").write_bytes(b"GGUF")
    assert "'other.gguf' of drafter 'small' is not in its manifest" in refusal(
        folder / "other.gguf"
    )


def test_only_what_would_be_read_is_looked_at(folder: Path) -> None:
    for name in ("drafter.gguf", "README.md"):
        (folder / name).write_bytes(b"another")
    assert check_files(folder) == MANIFEST
    for name in ("README.md", "model.safetensors"):
        (folder / name).unlink()
    (folder / "drafter.gguf").write_bytes(CONTENTS["drafter.gguf"])
    assert check_files(folder / "drafter.gguf") == MANIFEST


@pytest.mark.parametrize("content", [b"{", b"\xff", b""])
def test_manifest_that_is_no_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "drafter.json").write_bytes(content)
    assert refusal(folder).startswith("A drafter's manifest must be a readable JSON file (")


def test_manifest_that_is_a_folder_is_refused(folder: Path) -> None:
    (folder / "drafter.json").unlink()
    (folder / "drafter.json").mkdir()
    assert "must be a readable JSON file (" in refusal(folder / "drafter.gguf")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schema": 2}, "must be of schema 1, not 2, got"),
        ({"schema": None}, "must be of schema 1, not None, got"),
        ({"name": 3}, "must be one with name, verifier.name and verifier.vocabulary_sha256"),
        ({"name": None}, "must be one with name, verifier.name and"),
        ({"verifier": None}, "must be one that names a verifier"),
        ({"verifier": "large"}, "must be one that names a verifier"),
        ({"verifier": {"name": "large"}}, "must be one with name, verifier.name and"),
        ({"verifier": VERIFIER | {"name": None}}, "must be one with name, verifier.name and"),
        ({"files": None}, "must be one that gives the sha256 of every file"),
        ({"files": ["drafter.gguf"]}, "must be one that gives the sha256 of every file"),
        ({"files": {"drafter.gguf": 1}}, "must be one that gives the sha256 of every file"),
    ],
    ids=repr,
)
def test_manifest_that_says_something_else_is_refused(
    folder: Path, changes: dict[str, Any], complaint: str
) -> None:
    change(folder, **changes)
    assert complaint in refusal(folder)


def test_manifest_that_is_a_list_is_refused(folder: Path) -> None:
    (folder / "drafter.json").write_text("[1]")
    assert "must be a JSON object" in refusal(folder)


def test_verifier_of_another_vocabulary_is_refused() -> None:
    check_made_for(MANIFEST, "large too", "0" * 64)
    with pytest.raises(VocabularyError) as caught:
        check_made_for(MANIFEST, "other", "1" * 64)
    assert str(caught.value) == (
        "Drafter small was made for large, whose vocabulary is another than that of other; "
        "use another drafter."
    )
