"""What a version store does: it keeps folders of weights whole, by names that rows hold.

A name is relative to the store, such as `versions/ver_1a2b` or `references/0f3c`, so that a store
may be moved. A folder is complete in the store before a row names it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

VERSIONS = "versions"
"""Where the folders of versions lie in a store."""

REFERENCES = "references"
"""Where the folders of imported references lie in a store."""


class Published(NamedTuple):
    """A folder that is whole in the store: its name there, and its manifest's SHA-256."""

    name: str
    manifest_sha256: str


class VersionStore(ABC):
    """Folders of weights by name; safe to use from many threads.

    All methods *raise* StoreUnavailableError where the store cannot be reached, and StoreError
    where it may not be read or written.
    """

    is_shared: bool
    """Whether processes of other machines can use the same store."""

    @abstractmethod
    def publish(self, version_id: str, save: Callable[[Path], None]) -> Published:
        """Write a version's folder by `save`, whole or not at all; return what it is called.

        It lies on this machine too, as if it had been fetched. *Raises*: OSError where the disk is
        full.
        """

    @abstractmethod
    def publish_as(self, name: str, save: Callable[[Path], None]) -> str:
        """Write a folder under just this name; return its manifest's SHA-256, as `publish`."""

    @abstractmethod
    def put(self, name: str, source: Path) -> None:
        """Copy a folder into the store just as it is, whole or not at all."""

    @abstractmethod
    def at(self, name: str) -> Path:
        """Return where a folder lies on this machine, once it was fetched."""

    @abstractmethod
    def fetch(self, name: str, *, optimizer: bool = False) -> Path:
        """Copy a folder to this machine, and return where; with its `optimizer`, if it has one.

        *Raises*: AdapterError where the store has no such folder, only a part of one, or a file of
        which the checksum differs.
        """

    @abstractmethod
    def copied(self, name: str) -> AbstractContextManager[Path]:
        """Yield a folder just as the store has it, whole or not, to be looked at."""

    @abstractmethod
    def read(self, name: str, file: str) -> bytes:
        """Return what a file of a folder holds. *Raises*: FileNotFoundError."""

    @abstractmethod
    def holds(self, name: str) -> bool:
        """Say whether there is a folder of that name, or a part of one: stored, or a copy here.

        The name may lack the checksum that a store adds to it.
        """

    @abstractmethod
    def has_file(self, name: str, file: str) -> bool:
        """Say whether a folder has a file in the store."""

    @abstractmethod
    def remove(self, name: str) -> bool:
        """Remove a folder and the copy on this machine; say whether both are gone.

        A store that cannot be reached is no error: then they are not.
        """

    @abstractmethod
    def remove_file(self, name: str, file: str) -> None:
        """Remove a file of a folder; nothing where it is not there, or cannot be reached."""

    @abstractmethod
    def names(self, root: str) -> list[str]:
        """Return the names of all folders and parts of folders under a root, in order."""

    @abstractmethod
    def evict(self, names: Collection[str]) -> None:
        """Remove the copies on this machine of folders that were erased; none is fetched again.

        The names may lack the checksums that a store adds to them.
        """

    @abstractmethod
    def keep_only(self, known: Collection[str]) -> None:
        """Remove the copies on this machine of folders that no row names."""

    @abstractmethod
    def write_text(self, file: str, content: str) -> None:
        """Replace a file that lies beside the folders."""

    @abstractmethod
    def read_text(self, file: str) -> str:
        """Return what such a file holds. *Raises*: FileNotFoundError."""

    @abstractmethod
    def check(self) -> None:
        """Check that folders can be written, read and removed here.

        *Raises*: StoreError with what to do.
        """

    @abstractmethod
    def __str__(self) -> str:
        """Return what messages call the store."""
