"""A file that is put together from parts, each on the disk before the next, over several runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from corll.files import durable

_CHUNK = 2**20


class Assembly:
    """A file as far as it is there, beside `target`, and the note of how far that is.

    `parts` names what the file is made of: a file begun from other parts is begun anew. The note is
    written after the bytes are on the disk, so that it never says more than is there.
    """

    def __init__(self, target: Path, parts: Sequence[str]) -> None:
        self._target, self._parts = target, list(parts)
        self.path = target.with_name(f"{target.name}.partial")
        self._note = target.with_name(f"{target.name}.parts.json")
        self._ends = self._read()

    @property
    def count(self) -> int:
        """The number of parts that are complete."""
        return len(self._ends)

    @property
    def size(self) -> int:
        """The bytes of the parts that are complete."""
        return self._ends[-1] if self._ends else 0

    def append(self, archive: Path, member: str, *, most: int) -> None:
        """Add a file out of a zip archive, which may bring the whole to `most` bytes.

        *Raises*: KeyError, BadZipFile where the archive does not hold it; OSError.
        """
        with ZipFile(archive) as opened, opened.open(member) as part:
            if self.size + opened.getinfo(member).file_size > most:
                raise BadZipFile(f"{member} is larger than what is missing")
            with self.path.open("r+b" if self.path.exists() else "w+b") as whole:
                whole.truncate(self.size)
                whole.seek(self.size)
                shutil.copyfileobj(part, whole, _CHUNK)
                whole.flush()
                os.fsync(whole.fileno())
                end = whole.tell()
        self._ends.append(end)
        durable.write_text(self._note, json.dumps({"parts": self._parts, "ends": self._ends}))

    def finish(self) -> None:
        """Give the file its name."""
        os.replace(self.path, self._target)
        self.drop()

    def drop(self) -> None:
        """Remove what there is of the file."""
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _read(self) -> list[int]:
        """Return where each complete part ends; nothing where the note does not fit the file."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            ends = [int(end) for end in note["ends"]]
            fits = note["parts"] == self._parts and self.path.stat().st_size >= max(ends, default=0)
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return ends if fits else []
