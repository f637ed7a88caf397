"""Moves every user of a data folder to another base model, and back."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, update

from corll.service.store.accounts import audit
from corll.service.store.bases import record_base, served_fingerprint, users_on_other_bases
from corll.service.store.coins import begin_all_anew
from corll.service.store.lineages import (
    Lineage,
    Reference,
    find_version,
    serve_version,
    serving_version,
    start_lineage,
)
from corll.service.store.preferences import count_waiting, waiting_state
from corll.service.store.rows import first_row, select_rows
from corll.service.store.schema import lineages, references


@dataclass(frozen=True, slots=True)
class Moved:
    """A user who moved: the number of the version that serves now, 0 for the base itself.

    `waiting` counts the preferences that wait to be learned on the new base.
    """

    user_id: str
    version: int
    waiting: int


def switch_base(
    db: Connection, reference: Reference, *, name: str, actor: str, now: float
) -> list[Moved]:
    """Serve another base from now on, and move each user who has learned on a former one.

    `reference` is the base itself, `name` what it is loaded by. Who learned on it before goes on
    with the version that served there last; the others begin anew. What the version that serves was
    not taught waits to be learned. What is known of anybody's arms is of the former base, and is
    forgotten.
    """
    if served_fingerprint(db) != reference.base_fingerprint:
        begin_all_anew(db, now=now)
    moved = []
    for user in users_on_other_bases(db, reference.base_fingerprint, or_unknown=True):
        earlier = _lineage_on(db, user.user_id, reference.base_fingerprint)
        start_lineage(db, user_id=user.user_id, reference_id=reference.id, now=now)
        if earlier is not None:
            _resume(db, earlier, now=now)
        serving = serving_version(db, user.user_id)
        details = {"from": user.base_model, "to": name, "resumed": earlier is not None}
        audit(
            db, actor=actor, action="base switched", subject=user.user_id, details=details, now=now
        )
        waiting = count_waiting(db, user.user_id)
        moved.append(Moved(user.user_id, 0 if serving is None else serving.number, waiting))
    record_base(db, name=name, reference_id=reference.id, reason="switched", now=now)
    return moved


def _lineage_on(db: Connection, user_id: str, fingerprint: str) -> Lineage | None:
    """Return the latest lineage that a user had on a base."""
    query = (
        select_rows(Lineage, lineages)
        .join(references, references.c.id == lineages.c.reference_id)
        .where(lineages.c.user_id == user_id, references.c.base_fingerprint == fingerprint)
        .order_by(lineages.c.ended_at.desc())
    )
    return first_row(db, Lineage, query)


def _resume(db: Connection, earlier: Lineage, *, now: float) -> None:
    """Go on with an earlier lineage, in place of the one that was just begun."""
    just_begun = (lineages.c.user_id == earlier.user_id) & lineages.c.ended_at.is_(None)
    db.execute(lineages.delete().where(just_begun))
    db.execute(update(lineages).where(lineages.c.id == earlier.id).values(ended_at=None))
    version = None if earlier.ended_with is None else find_version(db, earlier.ended_with)
    if version is not None and version.folder is not None:
        unlearned = waiting_state(db, earlier.user_id)
        serve_version(db, earlier.user_id, version.id, unlearned=unlearned, now=now)
