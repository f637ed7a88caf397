"""Files that a crash leaves whole: lines appended, files and folders replaced at once.

Functions raise plain OSErrors; their callers say what was at stake.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from corll.durable_points import reached
from corll.errors import RecordError


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON object; return once the disk has it.

    A crash leaves the line whole, absent, or torn at the end of the file (`drop_torn_line`).
    """
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    size = os.fstat(descriptor).st_size
    try:
        # The write has no buffer that an interrupted process could flush half-written, later.
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Read the JSON objects of a file with their line numbers; a torn last line is left out.

    *Raises*: RecordError where a whole line is not a JSON object.
    """
    if not path.exists():
        return []
    records = []
    # The text after the last line feed is empty or torn.
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RecordError(path, number, f"not JSON ({error})") from error
        if not isinstance(record, dict):
            raise RecordError(path, number, "not a JSON object")
        records.append((number, record))
    return records


def drop_torn_line(path: Path) -> bool:
    """Remove a last line that a crash cut short; return whether there was one."""
    if not path.exists():
        return False
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    return whole < len(content)


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace a file by JSON lines; readers see the old file or the new one."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records))


def write_text(path: Path, content: str) -> None:
    """Replace a file; readers see the old one or the new one, whoever else replaces it."""
    new = _beside(path, f"{uuid4().hex}.new")  # Two writers of one would empty each other's.
    try:
        with new.open("x", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_folder(path: Path, save: Callable[[Path], None]) -> None:
    """Replace a folder by what `save` writes into the folder it is given.

    The new folder is complete and on disk before the old one moves. A crash between the two renames
    leaves no folder under this name; `recover_folder` puts that right. What could not be written
    whole is removed.
    """
    new, old = _beside(path, "new"), _beside(path, "old")
    shutil.rmtree(new, ignore_errors=True)
    try:
        save(new)
        reached("folder written")
        sync_folder(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    reached("folder synced")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    new.rename(path)
    reached("folder renamed")
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Return once the disk has a folder with all that is in it."""
    for item in [*path.rglob("*"), path]:
        _sync(item)


def recover_folder(path: Path) -> None:
    """Finish what a crash interrupted in `write_folder`: keep the old folder, or the new one."""
    new, old = _beside(path, "new"), _beside(path, "old")
    # The old folder moves only when the new one is complete.
    if not path.exists() and old.exists():
        new.rename(path)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{suffix}")


def _sync(path: Path) -> None:
    # Windows does not open folders.
    with suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
