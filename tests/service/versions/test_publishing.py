"""Folders of versions: whole or not there, and found out where they were changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corll.errors import AdapterError
from corll.service.versions import publishing


@pytest.mark.parametrize("spoil", ["change", "remove"])
def test_a_folder_that_is_not_what_was_published_is_refused(tmp_path: Path, spoil: str) -> None:
    def save(folder: Path) -> None:
        (folder / "weights").write_text("1 2 3")

    folder = tmp_path / "version"
    digest = publishing.publish(folder, save)
    publishing.verify(folder, digest)
    if spoil == "change":
        (folder / "weights").write_text("1 2 4")
    else:
        (folder / "weights").unlink()
    with pytest.raises(AdapterError):
        publishing.verify(folder, digest)
    with pytest.raises(AdapterError):
        publishing.verify(folder, "0" * 64)


def test_a_crash_while_publishing_leaves_nothing(tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        (folder / "weights").write_text("1 2")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publishing.publish(tmp_path / "version", save)
    assert not (tmp_path / "version").exists()


def test_a_manifest_names_every_file(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "weights").write_text("1")
    publishing.write_manifest(tmp_path)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert list(files) == ["reference/weights"]
    assert files["reference/weights"]["bytes"] == 1
