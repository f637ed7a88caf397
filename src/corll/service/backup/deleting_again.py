"""Deletions that came after a backup was made, carried out on what was restored from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Connection

from corll.service.store import deletions
from corll.service.store.accounts import find_user
from corll.service.store.deletions import DeletionRow
from corll.service.store.unlearning import WeightsOf
from corll.service.versions.forgetting import Target, find_target, forget
from corll.service.versions.tombstones import in_order


class DeletedAgain(NamedTuple):
    """The ids of deletions that the backup did not know: of those that found something in it, and
    of those of what came after it too.
    """

    applied: list[str]
    of_nothing: list[str]


def delete_again(
    db: Connection,
    known: Sequence[DeletionRow],
    *,
    weights_of: WeightsOf,
    actor: str,
    now: float,
) -> DeletedAgain:
    """Delete what was deleted since, as it was, in the order of then; keep the receipts of then.

    Each that finds something leaves a receipt of its own beside. *Raises*: StoreError.
    """
    done = DeletedAgain([], [])
    for row in in_order(known):
        if deletions.find_deletion(db, row.id) is not None:
            continue
        target = _target(db, row)
        if target is not None:
            forget(db, target, weights_of=weights_of, actor=actor, now=now)
        (done.of_nothing if target is None else done.applied).append(row.id)
        deletions.add_deletion(db, _as_it_ended(row, namespace=target and target.user.namespace))
    return done


def _target(db: Connection, row: DeletionRow) -> Target | None:
    receipt = row.to_receipt()
    if receipt.kind != "age":
        return find_target(db, receipt.kind, receipt.subject)
    user = find_user(db, receipt.user)
    return None if user is None else Target("age", user.id, user, receipt.until)


def _as_it_ended(row: DeletionRow, *, namespace: str | None) -> DeletionRow:
    """Return a deletion of the folder that is replaced; what was learned again there is not here.

    Its bytes are cleaned with those of the deletion that was made here.
    """
    replay = row.receipt["replay"]
    if replay["state"] == "waiting":
        replay = {**replay, "state": "withdrawn"}
    receipt = {**row.receipt, "replay": replay}
    known = row.namespace or namespace or ""
    return replace(row, receipt=receipt, folders=[], cleaned_at=None, namespace=known)
