"""A version store by fsspec: a bucket, or a folder that machines share, with copies on each.

A version's folder is called by its id and the beginning of its manifest's checksum, so that a name
is never used for two contents, and no two versions share a folder: to erase one erases no other.
The manifest is written last. A folder without one, or with another than its name says, was never
finished, and no row names it.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from corll.durable_points import reached
from corll.errors import AdapterError, ConfigError, StoreError, StoreUnavailableError
from corll.files import durable
from corll.model.file_names import OPTIMIZER
from corll.service.version_store.cache import FolderCache
from corll.service.version_store.folders import VERSIONS, Published, VersionStore
from corll.service.versions import publishing
from corll.service.versions.publishing import MANIFEST

log = logging.getLogger(__name__)

_SHOWN = 24
"""Characters of a manifest's checksum in a folder's name."""
_LOCKS = 64
"""So many folders are fetched at the same time at most; those of one name one after another."""
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
_OPTIONS: dict[str, dict[str, Any]] = {
    # A store that does not answer is given up after seconds, so that drafts are told.
    "s3": {
        "use_listings_cache": False,
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 30,
            "retries": {"max_attempts": 3},
        },
    },
    "gs": {"use_listings_cache": False, "timeout": 30},
}
_NO_RIGHTS = ("AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch")


class RemoteStore(VersionStore):
    """Folders of weights under a URL, copied to a cache of this machine before they are read."""

    def __init__(self, url: str, cache: FolderCache) -> None:
        self._url, self._cache = url, cache
        self._protocol = url.partition("://")[0]
        self.is_shared = self._protocol != "memory"
        self._fs, self._root = _file_system(url, self._protocol)
        self._erased: set[str] = set()
        self._fetching = [threading.Lock() for _ in range(_LOCKS)]

    def publish(self, version_id: str, save: Callable[[Path], None]) -> Published:
        def name_of(manifest_sha256: str) -> str:
            return f"{VERSIONS}/{version_id}.{manifest_sha256[:_SHOWN]}"

        return self._publish(name_of, save)

    def publish_as(self, name: str, save: Callable[[Path], None]) -> str:
        return self._publish(lambda _: name, save).manifest_sha256

    def _publish(self, name_of: Callable[[str], str], save: Callable[[Path], None]) -> Published:
        written = self._cache.new_place()
        try:
            save(written)
            publishing.write_manifest(written)
            digest = publishing.file_sha256(written / MANIFEST)
            name = name_of(digest)
            self._upload(written, name)
            self._cache.drop(name)
            self._cache.keep(written, name)
        finally:
            shutil.rmtree(written, ignore_errors=True)
        return Published(name, digest)

    def put(self, name: str, source: Path) -> None:
        self._upload(source, name)

    def _upload(self, folder: Path, name: str) -> None:
        """Write a folder's files, read them again, and write the manifest last."""
        try:
            with self._asked("written"):
                self._put(folder, name, but=MANIFEST)
                self._check_uploaded(folder, name)
                reached("upload read back")
                self._put(folder, name, only=MANIFEST)
            reached("manifest uploaded")
        except BaseException:
            self._remove_stored(name)
            raise

    def _put(self, folder: Path, name: str, *, but: str = "", only: str = "") -> None:
        folders: set[str] = set()
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder).as_posix()
            if file.is_file() and inside != but and only in ("", inside):
                target = self._path(name, inside)
                parent = target.rpartition("/")[0]
                if parent not in folders:  # a bucket is asked about each
                    self._fs.makedirs(parent, exist_ok=True)
                    folders.add(parent)
                self._fs.put_file(str(file), target)
                if inside != MANIFEST:
                    reached("file uploaded")
        if self._protocol == "file":
            durable.sync_folder(Path(self._path(name)))

    def _check_uploaded(self, folder: Path, name: str) -> None:
        with TemporaryDirectory(prefix="corll-upload-") as scratch:
            copy = Path(scratch) / "file"
            for inside, about in publishing.checksums(folder).items():
                if inside == MANIFEST:
                    continue
                self._fs.get_file(self._path(name, inside), str(copy))
                if publishing.file_sha256(copy) != about["sha256"]:
                    raise StoreError(
                        f"{self}/{name}/{inside} came back from the store otherwise than it was "
                        "written; nothing was registered. Look after the store"
                    )

    def at(self, name: str) -> Path:
        return self._cache.at(name)

    def fetch(self, name: str, *, optimizer: bool = False) -> Path:
        with self._fetching[hash(name) % len(self._fetching)]:
            if not self._is_copied(name):
                self._cache.drop(name)
                with self._whole_copy(name) as copy:
                    self._cache.keep(copy, name)
            if optimizer and not (self._cache.at(name) / OPTIMIZER).exists():
                self._add_optimizer(name)
        self._cache.touch(name)
        if not self._erased.isdisjoint((name, name.partition(".")[0])):
            self._cache.drop(name)
            raise AdapterError(f"{name} saw a text that was deleted, and is erased.")
        return self._cache.at(name)

    def _is_copied(self, name: str) -> bool:
        """Say whether there is a copy that is whole, to the byte."""
        folder = self._cache.at(name)
        if not (folder / MANIFEST).is_file():
            return False
        try:
            _check(name, folder)
        except AdapterError as error:
            log.warning("a copy is fetched again: %s", error)
            return False
        return True

    @contextmanager
    def _whole_copy(self, name: str) -> Iterator[Path]:
        """Yield a folder's files but the optimiser in a new place, checked.

        *Raises*: AdapterError.
        """
        copy = self._cache.new_place()
        try:
            try:
                with self._asked("read"):
                    self._get(name, copy, but=(OPTIMIZER,))
            except FileNotFoundError as error:
                raise AdapterError(
                    f"{self}/{name} is missing, or was never finished: it has no {MANIFEST}, or "
                    "lacks a file of it."
                ) from error
            _check(name, copy, where=str(self))
            yield copy
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def _add_optimizer(self, name: str) -> None:
        """Add the optimiser to a copy, which may be read meanwhile. *Raises*: AdapterError."""
        place = self._cache.new_place()
        try:
            with self._asked("read"):
                self._fs.get_file(self._path(name, OPTIMIZER), str(place / OPTIMIZER))
            shutil.copyfile(self._cache.at(name) / MANIFEST, place / MANIFEST)
            publishing.verify(place, publishing.file_sha256(place / MANIFEST), only=(OPTIMIZER,))
            (place / OPTIMIZER).replace(self._cache.at(name) / OPTIMIZER)
        except FileNotFoundError as error:
            raise AdapterError(f"{self}/{name} has no {OPTIMIZER}.") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _get(self, name: str, target: Path, *, but: Collection[str] = ()) -> None:
        """Copy what the store has of a folder. *Raises*: FileNotFoundError without a manifest."""
        self._fs.get_file(self._path(name, MANIFEST), str(target / MANIFEST))
        for inside in self._files(name):
            if inside != MANIFEST and inside not in but:
                copy = target / inside
                copy.parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(self._path(name, inside), str(copy))

    @contextmanager
    def copied(self, name: str) -> Iterator[Path]:
        with TemporaryDirectory(prefix="corll-") as scratch:
            with self._asked("read"), suppress(FileNotFoundError):
                self._get(name, Path(scratch))
            yield Path(scratch)

    def read(self, name: str, file: str) -> bytes:
        with self._asked("read"):
            return bytes(self._fs.cat_file(self._path(name, file)))

    def holds(self, name: str) -> bool:
        with self._asked("read"):
            stored = self._fs.glob(f"{self._path(name)}*")
        found = [*(self._name(path) for path in stored), *self._cache.names()]
        return any(_is_of(one, name) for one in found)

    def has_file(self, name: str, file: str) -> bool:
        with self._asked("read"):
            return bool(self._fs.isfile(self._path(name, file)))

    def remove(self, name: str) -> bool:
        gone = self._remove_stored(name)
        return self._cache.drop(name) and gone

    def _remove_stored(self, name: str) -> bool:
        """Remove a folder from the store, the manifest first; say whether it is gone."""
        try:
            with self._asked("written"):
                for file in (MANIFEST, *self._files(name)):
                    with suppress(FileNotFoundError):
                        self._fs.rm_file(self._path(name, file))
                with suppress(FileNotFoundError, NotADirectoryError):
                    self._fs.rm(self._path(name), recursive=True)
                return not self._fs.exists(self._path(name))
        except StoreError as error:
            log.warning("%s/%s is removed later: %s", self, name, error)
            return False

    def remove_file(self, name: str, file: str) -> None:
        (self._cache.at(name) / file).unlink(missing_ok=True)
        try:
            with self._asked("written"), suppress(FileNotFoundError):
                self._fs.rm_file(self._path(name, file))
        except StoreError as error:
            log.warning("%s/%s/%s was left: %s", self, name, file, error)

    def names(self, root: str) -> list[str]:
        with self._asked("read"), suppress(FileNotFoundError):
            return sorted(self._name(path) for path in self._fs.ls(self._path(root), detail=False))
        return []

    def evict(self, names: Collection[str]) -> None:
        self._erased |= set(names)
        for copy in self._cache.names():
            if any(_is_of(copy, name) for name in names):
                self._cache.drop(copy)

    def keep_only(self, known: Collection[str]) -> None:
        self._cache.clear_leftovers()
        for name in set(self._cache.names()) - set(known):
            self._cache.drop_unused(name)

    def write_text(self, file: str, content: str) -> None:
        with self._asked("written"):
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(self._path(file), content.encode())

    def read_text(self, file: str) -> str:
        with self._asked("read"):
            return bytes(self._fs.cat_file(self._path(file))).decode()

    def check(self) -> None:
        probe, content = f".probe-{uuid4().hex}", b"corll"
        with self._asked("written"):
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(self._path(probe), content)
        with self._asked("read"):
            found = self._fs.cat_file(self._path(probe))
            self._fs.ls(self._root, detail=False)
        with self._asked("written"):
            self._fs.rm_file(self._path(probe))
        if found != content:
            raise StoreError(f"{self} gives back otherwise than was written; name another store")

    def _files(self, name: str) -> list[str]:
        """Return the files of a folder, relative to it."""
        folder = self._path(name)
        return [path.removeprefix(f"{folder}/") for path in self._fs.find(folder)]

    def _path(self, *parts: str) -> str:
        return "/".join((self._root, *parts))

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self._root}/").rstrip("/")

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Translate what a store answers: it may not be used, or not now.

        *Raises*: StoreError, StoreUnavailableError; FileNotFoundError as it is.
        """
        try:
            yield
        except (FileNotFoundError, StoreError):
            raise
        except Exception as error:
            if isinstance(error, PermissionError) or any(one in str(error) for one in _NO_RIGHTS):
                raise StoreError(
                    f"{self} may not be {what} ({error}): give this process the right to list, "
                    "read, write and delete there"
                ) from error
            raise StoreUnavailableError(
                f"the version store {self} cannot be {what} now ({type(error).__name__}: {error})"
            ) from error

    def __str__(self) -> str:
        return self._url


def _file_system(url: str, protocol: str) -> tuple[Any, str]:
    """Return what speaks a protocol, and the root there. *Raises*: ConfigError."""
    for package in ("fsspec", *filter(None, [_PACKAGES.get(protocol)])):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            extra = f"corll[{protocol}]" if protocol in _PACKAGES else package
            raise ConfigError(
                f"{url} needs the package {package}: pip install '{extra}'"
            ) from error
    import fsspec

    fs, root = fsspec.core.url_to_fs(url, **_OPTIONS.get(protocol, {}))
    return fs, str(root).rstrip("/")


def _check(name: str, folder: Path, *, where: str = "") -> None:
    """Check a folder by its manifest, and that by its name. *Raises*: AdapterError."""
    digest = publishing.file_sha256(folder / MANIFEST)
    told = name.rpartition("/")[2].partition(".")[2]
    if not digest.startswith(told):
        raise AdapterError(
            f"{where}/{name}: its {MANIFEST} is not the one that was published; its checksum is "
            f"{digest[:_SHOWN]}."
        )
    publishing.verify(folder, digest, without=(OPTIMIZER,))


def _is_of(found: str, name: str) -> bool:
    """Say whether a folder is the one of a name, which may lack the checksum."""
    return found == name or found.startswith(f"{name}.")
