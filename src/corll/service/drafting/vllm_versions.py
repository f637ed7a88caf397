"""The versions that engines elsewhere draw by: which may draft, and which are forgotten there.

An engine's copy of a version is filled with zeros once the database names the version no more, and
draws as the base does from then on. The row goes first. So whoever asks the database after a draft
was drawn, and finds the version named, knows that the version's own weights drew it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from corll.errors import StoreError
from corll.service.drafting.requests import WAS_ERASED, VersionGoneError
from corll.service.drafting.vllm_calls import Replicas

log = logging.getLogger(__name__)

StillDraft = Callable[[Collection[str]], Collection[str]]
"""Returns which of these versions the database still lets draft. *Raises*: StoreError."""

_WAS_PRUNED = "The version that was to draft is kept no more, since newer ones serve; ask again."
_SWEEPS_EVERY_S = 60.0


class RoutedVersions:
    """The versions that drafts were asked of, by id; None is the base, which always may draft.

    To be used in one event loop, but for `erase`.
    """

    def __init__(self, replicas: Replicas, still_draft: StillDraft) -> None:
        self._replicas, self._still_draft = replicas, still_draft
        self._routed: set[str] = set()
        self._erased: set[str] = set()

    def erase(self, version_ids: Collection[str]) -> None:
        """Take versions off the routes: nothing is asked of them any more."""
        self._erased.update(version_ids)

    def route(self, name: str | None) -> None:
        """Note that a draft is asked of a version. *Raises*: VersionGoneError."""
        self.check_not_erased(name)
        if name is not None:
            self._routed.add(name)

    def check_not_erased(self, name: str | None) -> None:
        """Check that a version may draft as far as is known here. *Raises*: VersionGoneError."""
        if name in self._erased:
            raise VersionGoneError(WAS_ERASED)

    async def check(self, name: str | None) -> None:
        """Check with the database that what was drawn until now is the version's own.

        Where the database is away, drafts go on: an engine keeps a pruned version's copy for longer
        than that lasts. *Raises*: VersionGoneError where it was pruned or erased.
        """
        self.check_not_erased(name)
        if name is None:
            return
        try:
            found = await asyncio.to_thread(self._still_draft, [name])
        except StoreError as error:
            log.debug("whether %s still drafts is not known: %s", name, error)
            return
        self.check_not_erased(name)
        if name not in found:
            raise VersionGoneError(_WAS_PRUNED)

    async def forget(self, version_ids: Collection[str]) -> None:
        """Let every replica forget versions by name; what they are drawing goes on."""
        for version_id in version_ids:
            await self._replicas.unload(version_id)
            self._routed.discard(version_id)

    async def keep_forgetting(self, in_use: Callable[[], Collection[str | None]]) -> None:
        """Let replicas forget versions that were pruned, from time to time, for ever.

        Those that a draft is under way with, `in_use`, are forgotten later.
        """
        while True:
            await asyncio.sleep(_SWEEPS_EVERY_S)
            await self.forget_pruned(in_use())

    async def forget_pruned(self, in_use: Collection[str | None]) -> None:
        """Let replicas forget versions that the database lets draft no more, but for some."""
        asked = self._routed - set(in_use)
        if not asked:
            return
        try:
            found = await asyncio.to_thread(self._still_draft, asked)
        except StoreError as error:
            log.debug("versions are forgotten later: %s", error)
            return
        await self.forget(asked - set(found))
