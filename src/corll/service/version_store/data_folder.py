"""The simplest version store: the data folder itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from corll.errors import StoreError
from corll.files import durable
from corll.service.version_store.folders import VERSIONS, Published, VersionStore
from corll.service.versions import publishing


class DataFolder(VersionStore):
    """Folders of weights in a data folder, of which there is no other copy."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, version_id: str, save: Callable[[Path], None]) -> Published:
        name = f"{VERSIONS}/{version_id}"
        return Published(name, self.publish_as(name, save))

    def publish_as(self, name: str, save: Callable[[Path], None]) -> str:
        return publishing.publish(self.at(name), save)

    def put(self, name: str, source: Path) -> None:
        def copy(to: Path) -> None:
            shutil.copytree(source, to)
            if publishing.checksums(to) != publishing.checksums(source):
                raise StoreError(
                    f"{to} was written otherwise than {source} is; look after the disk"
                )

        self.at(name).parent.mkdir(parents=True, exist_ok=True)
        durable.write_folder(self.at(name), copy)

    def at(self, name: str) -> Path:
        return self._folder / name

    def fetch(self, name: str, *, optimizer: bool = False) -> Path:
        return self.at(name)

    @contextmanager
    def copied(self, name: str) -> Iterator[Path]:
        yield self.at(name)

    def read(self, name: str, file: str) -> bytes:
        return (self.at(name) / file).read_bytes()

    def holds(self, name: str) -> bool:
        return self.at(name).exists()

    def has_file(self, name: str, file: str) -> bool:
        return (self.at(name) / file).is_file()

    def remove(self, name: str) -> bool:
        path = self.at(name)
        if path.is_file():
            path.unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()

    def remove_file(self, name: str, file: str) -> None:
        (self.at(name) / file).unlink(missing_ok=True)

    def names(self, root: str) -> list[str]:
        folder = self._folder / root
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(f"{root}/{path.name}" for path in found)

    def evict(self, names: Collection[str]) -> None:
        """Do nothing: there are no copies."""

    def keep_only(self, known: Collection[str]) -> None:
        """Do nothing: there are no copies."""

    def write_text(self, file: str, content: str) -> None:
        durable.write_text(self._folder / file, content)

    def read_text(self, file: str) -> str:
        return (self._folder / file).read_text(encoding="utf-8")

    def check(self) -> None:
        """Do nothing: the database, which lies there too, has been opened."""

    def __str__(self) -> str:
        return str(self._folder)
