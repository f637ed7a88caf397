"""Which version store a setting names: the data folder, or what a URL leads to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from tyro.conf import arg

from corll.service.version_store.cache import FolderCache
from corll.service.version_store.data_folder import DataFolder
from corll.service.version_store.folders import VersionStore

CACHE = "version-cache"
"""The folder of a data folder in which copies of a shared store's folders lie."""

_GIB = 2**30
CACHE_GB = 20.0
"""How much of a shared store is kept on a machine, unless a setting says. *Units*: GiB."""

_FORM = re.compile(r"(?P<protocol>file|s3|gs|memory)://(?P<rest>.*)", re.DOTALL)


def check_url(url: str | None) -> str | None:
    """Check that a URL names a version store. *Raises*: ValueError with the forms there are."""
    if url is None:
        return None
    found = _FORM.fullmatch(url)
    known = "give file:///FOLDER, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or memory://NAME"
    if found is None:
        raise ValueError(f"{url!r} is no URL of a version store; {known}")
    rest = found["rest"]
    if "?" in rest or "#" in rest or "@" in rest or ".." in rest.split("/"):
        raise ValueError(
            f"{url!r} holds more than a place; {known}. Rights and endpoints come by the "
            "environment, as for any client of the store (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID)"
        )
    if found["protocol"] == "file" and not rest.startswith("/"):
        raise ValueError(f"{url!r} is no absolute path; {known}")
    if not rest.strip("/"):
        raise ValueError(f"{url!r} names no place; {known}")
    return url.rstrip("/")


def is_store_url(place: str) -> bool:
    """Say whether a place is the URL of a version store, and not of a database."""
    return _FORM.fullmatch(place) is not None


OptionalVersions = Annotated[
    str | None, AfterValidator(check_url), arg(metavar="URL", help_behavior_hint="")
]
"""The URL of a version store; None for the data folder."""


def open_store(url: str | None, folder: Path, *, cache_gb: float = CACHE_GB) -> VersionStore:
    """Return the version store of a data folder, or the one that a URL names.

    Nothing is asked of it yet. *Raises*: ConfigError where the package is missing that knows it.
    """
    if url is None:
        return DataFolder(folder)
    from corll.service.version_store.remote import RemoteStore

    return RemoteStore(url, FolderCache(folder / CACHE, int(cache_gb * _GIB)))
