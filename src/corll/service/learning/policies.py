"""The policies of versions, loaded from their folders while somebody computes with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corll.config import LoraConfig
from corll.errors import StaleParentError
from corll.model import file_names
from corll.policy import Policy
from corll.service.store import lineages
from corll.service.store.database import Database
from corll.service.store.lineages import Reference, Version
from corll.service.versions import publishing


class VersionPolicies:
    """Loads adapters on one base model; `lora` is the shape of those that are new."""

    def __init__(self, base: Policy, database: Database, lora: LoraConfig) -> None:
        self._base, self._database, self._lora = base, database, lora

    @contextmanager
    def of_user(self, user_id: str) -> Iterator[Policy]:
        """Yield the policy of the version that serves a user; unload it afterwards."""
        with self._database.read() as db:
            version = lineages.serving_version(db, user_id)
            reference = lineages.current_reference(db, user_id)
        with self.of_version(version, reference) as policy:
            yield policy

    @contextmanager
    def of_version(
        self, version: Version | None, reference: Reference | None = None
    ) -> Iterator[Policy]:
        """Yield the policy of a version, or a new one that is its reference; unload it then.

        *Raises*: AdapterError where its folder is not what was published; StaleParentError where it
        has none any more.
        """
        folder = None if version is None else self._verified(version)
        with self.of_folder(folder, reference) as policy:
            yield policy

    @contextmanager
    def of_folder(self, folder: Path | None, reference: Reference | None) -> Iterator[Policy]:
        """Yield the policy of an adapter's folder; unload it afterwards."""
        frozen = None
        if reference is not None and reference.folder is not None:
            frozen = self._database.versions.fetch(reference.folder)
        policy = self._base.with_adapter(folder, lora=self._lora, reference=frozen)
        try:
            yield policy
        finally:
            policy.unload()

    def _verified(self, version: Version) -> Path:
        if version.folder is None:
            raise StaleParentError(f"Version {version.number} has no folder any more.")
        if not self._database.versions.holds(version.folder):
            raise StaleParentError(f"The weights of version {version.number} are gone.")
        assert version.manifest_sha256 is not None
        folder = self._database.versions.fetch(version.folder)
        publishing.verify(folder, version.manifest_sha256, without=(file_names.OPTIMIZER,))
        return folder
