"""The users whom a learner holds: it learns for nobody whom another learner holds.

While a user is held, the lease is renewed by a thread of its own, and each transaction that the
learner writes begins with a check that nobody has taken the user over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from corll.errors import LeaseLostError, StoreError
from corll.service.store import leases
from corll.service.store.database import Database
from corll.service.store.leases import Lease

log = logging.getLogger(__name__)

ALONE = "the server"
"""The holder where no second server can be: its next learner holds what the last one held."""

_RENEWALS = 3
"""How often a lease is renewed before it would end."""


class Holding:
    """Takes users for one learner. *Units*: `seconds`, how long a lease lasts without renewal.

    `lease` is of the user who is held now.
    """

    def __init__(
        self, database: Database, holder: str, *, seconds: float = leases.LONGEST_S
    ) -> None:
        self._database, self._holder, self._seconds = database, holder, seconds
        self.lease: Lease | None = None

    @contextmanager
    def of(self, user_id: str) -> Iterator[bool]:
        """Hold a user while the context lasts; yield whether they could be taken.

        What this thread writes meanwhile *raises* LeaseLostError where another took them over.
        """
        lease = self._database.write_rows(
            lambda db: leases.take(db, user_id, self._holder, seconds=self._seconds)
        )
        if lease is None:
            yield False
            return
        ended = threading.Event()
        renewing = threading.Thread(
            target=self._renew, args=(lease, ended), name="lease", daemon=True
        )
        renewing.start()
        try:
            self.lease = lease
            with self._database.checking(lambda db: leases.check(db, lease)):
                yield True
        finally:
            self.lease = None
            ended.set()
            renewing.join()
            self._release(lease)

    def end_former(self) -> bool:
        """End what an earlier learner of this name held; say whether no other learner works."""
        return self._database.write_rows(lambda db: leases.end_former(db, self._holder))

    def _renew(self, lease: Lease, ended: threading.Event) -> None:
        while not ended.wait(self._seconds / _RENEWALS):
            try:
                self._database.write_rows(lambda db: leases.renew(db, lease, seconds=self._seconds))
            except LeaseLostError as lost:
                log.warning("%s", lost)
                return
            except StoreError as error:
                log.warning("a lease is renewed later: %s", error)

    def _release(self, lease: Lease) -> None:
        try:
            self._database.write_rows(lambda db: leases.release(db, lease))
        except StoreError as error:
            log.warning("a lease ends by itself in %.0f s: %s", self._seconds, error)
