"""A version's folder: complete, checksummed and on disk before a database row names it.

manifest.json, written last, names each file with its size and SHA-256; its own digest is in the
version's row, so that a folder is taken for a version only if it is that version to the byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from corll.errors import AdapterError
from corll.files import durable
from corll.model import file_names

MANIFEST = "manifest.json"


def publish(folder: Path, save: Callable[[Path], None]) -> str:
    """Write a folder by `save`; return its manifest's SHA-256.

    A crash leaves the folder whole or absent. *Raises*: OSError where the disk is full.
    """

    def save_with_manifest(target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        save(target)
        write_manifest(target)

    folder.parent.mkdir(parents=True, exist_ok=True)
    durable.write_folder(folder, save_with_manifest)
    return file_sha256(folder / MANIFEST)


def write_manifest(folder: Path) -> None:
    """List every file of a folder but the manifest itself."""
    files = {name: about for name, about in checksums(folder).items() if name != MANIFEST}
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1) + "\n")


def checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the size in bytes and the SHA-256 of every file of a folder, by its name there."""
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def verify(
    folder: Path,
    manifest_sha256: str,
    *,
    without: Iterable[str] = (),
    but: Iterable[str] = (),
    only: Iterable[str] | None = None,
) -> None:
    """Check that a folder is what was published, to the byte. *Raises*: AdapterError.

    `without` names files that may have been dropped since, and `but` those that are not looked at.
    With `only` no others than these are.
    """
    manifest = folder / MANIFEST
    try:
        if file_sha256(manifest) != manifest_sha256:
            raise AdapterError(f"{manifest} is not the one that was published.")
        files = json.loads(manifest.read_text())["files"]
        for name, about in files.items():
            if only is not None and name not in only:
                continue
            if name in but or (name in without and not (folder / name).exists()):
                continue
            if file_sha256(folder / name) != about["sha256"]:
                raise AdapterError(f"{folder / name} was changed since it was published.")
    except AdapterError:
        raise
    except OSError as error:
        raise AdapterError(f"The version in {folder} is incomplete: {error}.") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise AdapterError(f"{manifest} is damaged ({error}).") from error


def verify_reference(folder: Path, fingerprint: str) -> None:
    """Check that a folder holds the weights of a reference, to the byte. *Raises*: AdapterError."""
    weights = folder / file_names.ADAPTER_WEIGHTS
    try:
        if file_sha256(weights) != fingerprint:
            raise AdapterError(f"{weights} was changed since it was imported.")
        if not (folder / file_names.ADAPTER_CONFIG).is_file():
            raise AdapterError(f"{folder} has no {file_names.ADAPTER_CONFIG}.")
        if (folder / MANIFEST).exists():
            verify(folder, file_sha256(folder / MANIFEST))
    except OSError as error:
        raise AdapterError(f"The reference in {folder} is incomplete: {error}.") from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
