"""Models of the catalogue on this machine: what is here, how it comes, how it goes."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from corll.cache import cache_folder
from corll.catalog.entries import CatalogModel, Hub, Wheels
from corll.catalog.fetching import (
    Progress,
    check_room,
    fetch_wheels,
    fetched_file,
    is_intact,
    remove_fetched,
)
from corll.catalog.hub import check_blobs, fetch_from_hub, hub_folder, remove_from_hub_cache
from corll.errors import ModelNotFoundError

WEIGHTS = "*.safetensors"
"""How files of weights are called. Pickles are none, since to read one can run code."""


def has_weights(folder: Path) -> bool:
    """Say whether a folder holds a model: its configuration and weights."""
    return (folder / "config.json").is_file() and any(folder.glob(WEIGHTS))


def converted_folder(model: CatalogModel) -> Path:
    """Return where a model lies once its file was converted."""
    return cache_folder() / model.name


def file_here(model: CatalogModel) -> Path | None:
    """Return a model's GGUF file: fetched, or in a wheel that is installed; None where it is not.

    *Raises*: ModelNotFoundError where it is another file than the catalogue means.
    """
    source = model.source
    if not isinstance(source, Wheels):
        return None
    file = fetched_file(model)
    if not file.is_file():
        installed = _installed_file(source)
        if installed is None:
            return None
        file = installed
    if not is_intact(file, source):
        raise ModelNotFoundError(
            f"{file} is another file than the catalogue means by {model.name}, or half of it; "
            f"remove it, and get the right one by: corll models fetch {model.name}"
        )
    return file


def is_here(model: CatalogModel) -> bool:
    """Say whether a model can be loaded without a download."""
    if has_weights(converted_folder(model)):
        return True
    if isinstance(model.source, Hub):
        return hub_folder(model.source.repository) is not None
    return fetched_file(model).is_file() or _installed_file(model.source) is not None


def state_of(model: CatalogModel) -> str:
    """Return in a few words how far a model is."""
    if has_weights(converted_folder(model)):
        return "ready"
    if isinstance(model.source, Hub):
        return "not here" if hub_folder(model.source.repository) is None else "ready"
    if fetched_file(model).is_file():
        return "fetched, converted at first use"
    if _installed_file(model.source) is not None:
        return "installed, converted at first use"
    return "not here"


def fetch(model: CatalogModel, *, progress: Progress = lambda _here, _all: None) -> None:
    """Copy a model onto this machine, checked; nothing is done for one that is here.

    *Raises*: ModelNotFoundError.
    """
    if is_here(model):
        return
    if isinstance(model.source, Wheels):
        fetch_wheels(model, model.source, progress=progress)
        return
    check_room(model, cache_folder())
    check_blobs(fetch_from_hub(model.source.repository))


def remove(model: CatalogModel) -> int:
    """Remove a model's files from the caches; return how many bytes became free.

    A wheel that is installed stays: it is pip's.
    """
    before = _bytes_in(cache_folder())
    shutil.rmtree(converted_folder(model), ignore_errors=True)
    if isinstance(model.source, Hub):
        return remove_from_hub_cache(model.source.repository)
    remove_fetched(model, model.source)
    return before - _bytes_in(cache_folder())


def _installed_file(source: Wheels) -> Path | None:
    """Return the file in a wheel that pip installed, if the model is in one wheel."""
    if source.parts != 1:
        return None
    module, _, inside = source.members()[0].partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / inside
    return path if path.is_file() else None


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
