"""The folder that a backup is written into, or that one is restored into."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corll.errors import ConfigError, StoreError


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a private folder, or take an empty one; where the block fails, nothing stays in it.

    *Raises*: ConfigError where the folder is not empty; StoreError where it cannot be written.
    """
    existed = folder.exists()
    try:
        if existed and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is not empty; name a new folder.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}).") from error
    try:
        yield
    except BaseException as error:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if not existed:
            folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            why = error.strerror or error
            raise StoreError(f"{folder} cannot be written ({why}); nothing was kept") from error
        raise
