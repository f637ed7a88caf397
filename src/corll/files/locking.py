"""The lock of a folder that one process writes at a time."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from corll.errors import RunFolderError


def lock_folder(path: Path) -> FileLock:
    """Make a folder where it is not there, lock it, and return the lock.

    *Raises*: RunFolderError where it cannot be written, or is in use.
    """
    lock = FileLock(path / ".lock")
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunFolderError(
            f"{path} is in use by another process; wait for it to end, or end it."
        ) from error
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be written: {error.strerror}. Choose another folder."
        ) from error
    return lock
