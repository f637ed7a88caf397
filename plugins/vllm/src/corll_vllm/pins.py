"""The engine's own copies of versions: nobody else removes them while the engine lives.

vLLM reads an adapter's folder again whenever it has dropped the adapter from memory, and ends for
everybody where the folder is gone. So it is given a copy. What must be forgotten is filled with
zeros in its place: an adapter of the same shapes that changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from corll_vllm.places import Place

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "manifest.json"
_NEEDED = (WEIGHTS, CONFIG)
_EMPTIED = "corll_emptied"
_CHUNK = 2**20


class BrokenVersionError(ValueError):
    """A version's folder is not what was published."""


class Pins:
    """Copies of versions in a folder of one engine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        for left in root.glob(".*.part"):
            shutil.rmtree(left, ignore_errors=True)

    def names(self) -> list[str]:
        """List the versions of which there is a copy with weights."""
        found = (path for path in self._root.iterdir() if path.is_dir())
        names = (path.name for path in found if not path.name.startswith("."))
        return sorted(name for name in names if not self.is_empty(name))

    def is_empty(self, name: str) -> bool:
        """Say whether a copy was filled with zeros."""
        return (self._root / name / _EMPTIED).exists()

    def pin(self, name: str, place: Place, copy_to: Callable[[Path], None]) -> Path:
        """Return a copy of a version, made by `copy_to` if there is none yet, whole or not at all.

        *Raises*: BrokenVersionError where what was copied is not what was published; OSError.
        """
        target = self._root / name
        with self._lock:
            if target.is_dir():
                return target
            part = self._root / f".{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                copy_to(part)
                _check(part, place)
                os.replace(part, target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return target

    def empty(self, name: str) -> None:
        """Fill a copy's weights with zeros; its folder stays, with weights of the same shapes."""
        folder = self._root / name
        with self._lock:
            if not folder.is_dir() or self.is_empty(name):
                return
            weights, part = folder / WEIGHTS, folder / f".{WEIGHTS}.part"
            write_zeros(weights, part)
            os.replace(part, weights)
            (folder / MANIFEST).unlink(missing_ok=True)
            (folder / _EMPTIED).touch()


def rank_of(folder: Path) -> int:
    """Return the rank of an adapter. *Raises*: BrokenVersionError."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        ranks = [config["r"], *config.get("rank_pattern", {}).values()]
        return max(int(rank) for rank in ranks)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenVersionError(f"{folder / CONFIG} cannot be read: {error}") from error


def write_zeros(weights: Path, to: Path) -> None:
    """Write a file of tensors of the same names, shapes and types, all of zeros.

    The form is that of safetensors: the length of a header in eight bytes, the header, the numbers.
    """
    left = weights.stat().st_size
    with weights.open("rb") as read, to.open("wb") as written:
        length = read.read(8)
        header = read.read(int.from_bytes(length, "little"))
        written.write(length + header)
        left -= len(length) + len(header)
        while left > 0:
            left -= written.write(bytes(min(left, _CHUNK)))
        written.flush()
        os.fsync(written.fileno())


def _check(folder: Path, place: Place) -> None:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise BrokenVersionError(f"{place.folder} has no {', '.join(missing)}")
    if place.manifest_sha256 is not None:
        if _sha256(folder / MANIFEST) != place.manifest_sha256:
            raise BrokenVersionError(f"the manifest of {place.folder} is not what was published")
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        changed = [name for name in _NEEDED if _sha256(folder / name) != files[name]["sha256"]]
    else:
        changed = [WEIGHTS] if _sha256(folder / WEIGHTS) != place.weights_sha256 else []
    if changed:
        raise BrokenVersionError(f"{place.folder}: {', '.join(changed)} changed since it was made")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BrokenVersionError(f"{path} cannot be read: {error.strerror}") from error
