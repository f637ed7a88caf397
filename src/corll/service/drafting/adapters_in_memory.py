"""The adapters of the versions that draft, as many as memory is to hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from corll.policy import Policy
from corll.service.drafting.errands import fail
from corll.service.drafting.requests import (
    WAS_ERASED,
    DraftJob,
    VersionFolder,
    VersionGoneError,
)
from corll.service.drafting.turns import version_of, versions_of
from corll.service.drafting.whole_weights import check_weights


class Drawer(NamedTuple):
    """A job and the policy that draws it; None for the base."""

    job: DraftJob
    policy: Policy | None


class AdaptersInMemory:
    """The adapters of the versions used last, each loaded once; those in use stay."""

    def __init__(self, base: Policy, capacity: int) -> None:
        self._base, self._capacity = base, capacity
        self._loaded: OrderedDict[str, Policy] = OrderedDict()
        self._erased: set[str] = set()

    def get(self, version: VersionFolder, in_use: Collection[str | None]) -> Policy:
        """Return the version's policy, loaded if need be. *Raises*: AdapterError."""
        if version.id in self._erased:
            raise VersionGoneError(WAS_ERASED)
        policy = self._loaded.get(version.id)
        if policy is None:
            check_weights(version)
            policy = self._base.with_adapter(version.folder, reference=version.reference)
            self._loaded[version.id] = policy
        self._loaded.move_to_end(version.id)
        idle = [name for name in self._loaded if name not in in_use and name != version.id]
        for name in idle[: max(0, len(self._loaded) - self._capacity)]:
            self._loaded.pop(name).unload()
        return policy

    def drawers(self, jobs: Sequence[DraftJob], in_use: Collection[str]) -> list[Drawer]:
        """Return jobs with their policies, those of a version next to each other.

        Of a version that cannot be had they fail.
        """
        found: list[Drawer] = []
        in_use = {*in_use, *versions_of(jobs)}
        for job in sorted(jobs, key=lambda job: version_of(job) or ""):
            version = job.request.version
            try:
                found.append(Drawer(job, None if version is None else self.get(version, in_use)))
            except Exception as error:
                fail([job], error)
        return found

    def let_go(self, names: Collection[str]) -> None:
        """Let go of the adapters of these versions, which draw no more."""
        self._erased.update(names)
        for name in self._loaded.keys() & set(names):
            self._loaded.pop(name).unload()

    def __contains__(self, name: str) -> bool:
        return name in self._loaded

    def __len__(self) -> int:
        return len(self._loaded)
