"""A version's folder: complete, checksummed and on disk before a database row names it.

manifest.json, written last, names each file with its size and SHA-256; its own digest is in the
version's row, so that a folder is taken for a version only if it is that version to the byte.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from corll.errors import AdapterError
from corll.files import durable

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
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1) + "\n")


def verify(folder: Path, manifest_sha256: str, *, without: Iterable[str] = ()) -> None:
    """Check that a folder is what was published, to the byte. *Raises*: AdapterError.

    `without` names files that may have been dropped since.
    """
    manifest = folder / MANIFEST
    try:
        if file_sha256(manifest) != manifest_sha256:
            raise AdapterError(f"{manifest} is not the one that was published.")
        files = json.loads(manifest.read_text())["files"]
        for name, about in files.items():
            if name in without and not (folder / name).exists():
                continue
            if file_sha256(folder / name) != about["sha256"]:
                raise AdapterError(f"{folder / name} was changed since it was published.")
    except OSError as error:
        raise AdapterError(f"The version in {folder} is incomplete: {error}.") from error


def sweep(root: Path, known: Iterable[str | Path]) -> list[Path]:
    """Remove the folders of `root` that no version names; return them."""
    if not root.is_dir():
        return []
    kept = {Path(path).name for path in known}
    found = [path for path in root.iterdir() if path.is_dir() and path.name not in kept]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return found


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
