"""Copies of a store's folders on this machine: the ones used last, up to a size.

Processes of one machine share the copies without a lock. A copy is whole before it has its name,
and one that was used in the last minutes stays, so that whoever has just fetched it can read it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from corll.service.version_store.folders import REFERENCES, VERSIONS

LEAST_S = 300.0
"""For how long a copy that was used stays, whatever its size. *Units*: seconds."""


class FolderCache:
    """Copies in a folder, of `size_bytes` at most beside those that were used just now."""

    def __init__(self, folder: Path, size_bytes: int, *, least_s: float = LEAST_S) -> None:
        self.folder, self._size, self._least_s = folder, size_bytes, least_s

    def at(self, name: str) -> Path:
        """Return where the copy of a folder lies, or would lie."""
        return self.folder / name

    def new_place(self) -> Path:
        """Return a folder to write a copy into, which `keep` gives its name."""
        place = self.folder / f".{uuid4().hex}.new"
        place.mkdir(mode=0o700, parents=True)
        return place

    def keep(self, written: Path, name: str) -> Path:
        """Give a whole copy its name, and let older ones go; return where it lies.

        Where another process was quicker its copy stays.
        """
        target = self.at(name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            written.rename(target)
        except OSError:
            shutil.rmtree(written, ignore_errors=True)
            if not target.is_dir():
                raise
        self.touch(name)
        self.shrink()
        return target

    def touch(self, name: str) -> None:
        """Note that a copy is used now."""
        with suppress(OSError):
            os.utime(self.at(name))

    def drop(self, name: str) -> bool:
        """Remove a copy; say whether it is gone."""
        path = self.at(name)
        gone = self.folder / f".{uuid4().hex}.old"
        with suppress(OSError):  # it has lost its name before the first of its files goes
            path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        return not path.exists()

    def drop_unused(self, name: str) -> None:
        """Remove a copy, unless it was used in the last minutes: it may be about to be named."""
        with suppress(OSError):
            if self.at(name).stat().st_mtime <= time.time() - self._least_s:
                self.drop(name)

    def names(self) -> list[str]:
        """Return the names of all copies."""
        return [f"{path.parent.name}/{path.name}" for path in self._copies()]

    def shrink(self) -> None:
        """Remove the copies that were used longest ago, until the others fit the size."""
        found = []
        for path in self._copies():
            with suppress(OSError):
                found.append((path.stat().st_mtime, path, _bytes_of(path)))
        left = sum(size for _, _, size in found)
        for used_at, path, size in sorted(found):
            if left <= self._size or used_at > time.time() - self._least_s:
                return
            if self.drop(f"{path.parent.name}/{path.name}"):
                left -= size

    def clear_leftovers(self) -> None:
        """Remove what a process that died was writing, once it is an hour old."""
        for path in self.folder.glob(".*"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - 3600:
                    shutil.rmtree(path, ignore_errors=True)

    def _copies(self) -> Iterator[Path]:
        for root in (VERSIONS, REFERENCES):
            yield from (self.folder / root).glob("[!.]*")


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
