"""Files that are replaced at once, by several writers too."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from corll.files import durable


def during_the_first_sync(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Something that happens while the first file to be synced is written, but not yet in place."""
    sync = os.fsync

    def interrupted(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        happens()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)


def test_two_writers_of_a_file_do_not_empty_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    during_the_first_sync(monkeypatch, lambda: durable.write_text(path, "second"))
    durable.write_text(path, "first")
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    durable.write_text(path, "old")
    during_the_first_sync(monkeypatch, full)
    with pytest.raises(OSError, match="No space"):
        durable.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").write_text("h")
        raise OSError(28, "No space left on device")

    path = tmp_path / "folder"
    durable.write_folder(path, lambda folder: folder.mkdir())
    with pytest.raises(OSError, match="No space"):
        durable.write_folder(path, full)
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(path) == []
