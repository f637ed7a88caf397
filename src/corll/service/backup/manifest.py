"""What a backup is: rows as JSON lines, adapters as folders, and a manifest that names every file.

The manifest is written last. A backup without one was never finished.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from corll.errors import InputError
from corll.files import durable
from corll.service.versions.publishing import file_sha256

MANIFEST = "manifest.json"
ROWS = "rows"
"""The folder of the rows, a file for each table."""
FORMAT = 1
_CHECKSUM = "sha256"


class StoredFile(BaseModel):
    """The size in bytes and the SHA-256 of a file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a backup holds.

    `made_at` is in Unix seconds; `corll` is the version that made it; `schema_revision` is that of
    the rows; `rows` counts these by table, and `counters` are the numbers that tables gave last;
    `files` are named relative to the backup. `made_of` is the data folder on the machine that made
    it; a backup of an earlier corll does not say it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    made_at: float
    corll: str
    schema_revision: str
    base_model: str | None
    rows: dict[str, int]
    counters: dict[str, int]
    files: dict[str, StoredFile]
    made_of: str | None = None

    def write(self, backup: Path) -> None:
        """Write the manifest into its backup, which is finished by that."""
        content = self.model_dump()
        text = json.dumps({**content, _CHECKSUM: _checksum(content)}, indent=1)
        durable.write_text(backup / MANIFEST, text + "\n")


def verify_backup(backup: Path) -> Manifest:
    """Check that a backup is whole, to the byte; return its manifest.

    *Raises*: InputError for what is no backup, or was torn or damaged, or made by a newer corll.
    """
    manifest = read_manifest(backup)
    for name, about in manifest.files.items():
        check_file(backup, name, about)
    return manifest


def read_manifest(backup: Path) -> Manifest:
    """Return the manifest of a backup, whose files are not looked at. *Raises*: InputError."""
    path = backup / MANIFEST
    if not backup.is_dir():
        raise InputError(f"{backup} is not there, or no folder; name the folder of a backup.")
    if not path.exists():
        raise InputError(
            f"{backup} is no backup, or one that was never finished: it has no {MANIFEST}. "
            "Use another one."
        )
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise InputError(
                f"{backup} was made by a newer corll ({content['corll']}); install that one."
            )
        if content.pop(_CHECKSUM) != _checksum(content):
            raise ValueError("its checksum is another")
        manifest = Manifest.model_validate(content)
        _check_names(manifest)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        told = (
            "its fields are not those of a backup"
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise InputError(f"{path} is damaged ({told}); use another backup.") from error
    return manifest


def check_file(backup: Path, name: str, about: StoredFile) -> None:
    """Check that a file of a backup is what was written. *Raises*: InputError."""
    path = backup / name
    try:
        same = path.stat().st_size == about.bytes and file_sha256(path) == about.sha256
    except OSError as error:
        raise InputError(
            f"The backup is damaged: {path} cannot be read ({error.strerror}); use another one."
        ) from error
    if not same:
        raise InputError(f"The backup is damaged: {path} was changed; use another one.")


def _check_names(manifest: Manifest) -> None:
    """Check that no file lies outside the backup."""
    for name in manifest.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise ValueError(f"{name} lies outside")
    missing = [table for table in manifest.rows if rows_file(table) not in manifest.files]
    if missing:
        raise ValueError(f"the rows of {', '.join(missing)} are missing")


def rows_file(table: str) -> str:
    """Return the name of the file of a table's rows, relative to the backup."""
    return f"{ROWS}/{table}.jsonl"


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
