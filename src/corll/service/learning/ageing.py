"""Texts that have grown too old are deleted, with all weights that saw them, as if a user asked.

Each user is a transaction of their own, so a sweep that dies has deleted some users' old texts
whole, and the next one goes on with the others. A user's are deleted once a day at most, since each
time what is younger is learned again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from sqlalchemy import Connection

from corll.errors import StoreError
from corll.schemas.deletions import Receipt
from corll.service.durations import DAY_S
from corll.service.store import ages, deletions
from corll.service.store.accounts import find_user
from corll.service.store.database import Database
from corll.service.versions.forgetting import Target, clean, forget, weights_in

log = logging.getLogger(__name__)

ACTOR = "retention of texts"


def delete_old(
    database: Database,
    *,
    keep_s: float,
    now: float,
    is_stopping: Callable[[], bool] = lambda: False,
) -> list[Receipt]:
    """Delete the texts that are as old as `keep_s` or older; return the receipts.

    One user's trouble does not stop the others; it is tried again at the next sweep.
    *Units*: `keep_s` seconds, `now` seconds since 1970. *Raises*: StoreError.
    """
    made = []
    with database.read() as db:
        users = list(_due(db, until=now - keep_s, now=now))
    for user_id in users:
        if is_stopping():
            break
        try:
            receipt = _delete(database, user_id, until=now - keep_s, now=now)
        except StoreError:
            raise
        except Exception:
            log.exception("the old texts of %s were not deleted", user_id)
            continue
        if receipt is not None:
            log.info("%s deleted the texts of %s that had grown old", receipt.id, user_id)
            made.append(receipt)
    if made:
        clean(database)
    return made


def _due(db: Connection, *, until: float, now: float) -> Iterator[str]:
    """Yield the users with old texts of whom none were deleted within a day."""
    for user_id in ages.users_with_texts_as_old_as(db, until):
        last = deletions.last_at(db, user_id, "age")
        if last is None or now - last >= DAY_S:
            yield user_id


def _delete(database: Database, user_id: str, *, until: float, now: float) -> Receipt | None:
    """Delete a user's old texts; None where the user is gone by now."""
    weights_of = weights_in(database)

    def work(db: Connection) -> Receipt | None:
        user = find_user(db, user_id)
        if user is None:
            return None
        target = Target("age", user_id, user, until)
        return forget(db, target, weights_of=weights_of, actor=ACTOR, now=now)

    return database.write(work)
