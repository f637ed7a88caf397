"""The files of the data folder that only their owner may read."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from corll.errors import StoreError


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may look into. *Raises*: StoreError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A mounted folder of another owner is theirs to guard.
        with suppress(PermissionError):
            folder.chmod(0o700)
    except OSError as error:
        raise StoreError(
            f"the data folder {folder} cannot be made ({error.strerror}); choose another"
        ) from error


def make_private_file(path: Path) -> None:
    """Create a database with private permissions, which SQLite gives its other files too.

    *Raises*: StoreError.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"the database {path} cannot be written ({error.strerror}); see that this process may"
        ) from error
