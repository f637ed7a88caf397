"""The base models that a data folder was served with: which one is, and what a change moves.

Adapters belong to their base. A user who moves to another one begins a new lineage, or goes on with
the one that they had there before; nothing of the former base is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from corll.schemas.states import BaseReason
from corll.service.store.rows import first_row, select_rows
from corll.service.store.schema import lineages, references, served_bases, versions

UNKNOWN_BASE = "unknown"
"""The fingerprint of the base of an adapter that does not say it."""


@dataclass(frozen=True, slots=True)
class ServedBase:
    """A base model as it was served, by which name, and why it was taken."""

    number: int
    name: str
    reference_id: str
    reason: BaseReason
    created_at: float


@dataclass(frozen=True, slots=True)
class OnOtherBase:
    """A user whose lineage belongs to another base: how many versions it has there."""

    user_id: str
    base_model: str
    versions: int


def served_base(db: Connection) -> ServedBase | None:
    """Return the base that is served; None where none was yet."""
    query = select_rows(ServedBase, served_bases).order_by(served_bases.c.number.desc())
    return first_row(db, ServedBase, query)


def served_fingerprint(db: Connection) -> str | None:
    """Return the fingerprint of the base that is served; None where none was yet."""
    query = (
        select(references.c.base_fingerprint)
        .join(served_bases, served_bases.c.reference_id == references.c.id)
        .order_by(served_bases.c.number.desc())
        .limit(1)
    )
    found: str | None = db.execute(query).scalar()
    return found


def record_base(
    db: Connection, *, name: str, reference_id: str, reason: BaseReason, now: float
) -> None:
    """Note which base is served from now on; nothing where it is served already by that name."""
    former = served_base(db)
    if former is not None and (former.name, former.reference_id) == (name, reference_id):
        return
    row = {"name": name, "reference_id": reference_id, "reason": reason, "created_at": now}
    db.execute(insert(served_bases).values(row))


def users_on_other_bases(
    db: Connection, fingerprint: str, *, or_unknown: bool = False
) -> list[OnOtherBase]:
    """Return the users whose current lineage belongs to another base than that one.

    With `or_unknown` also those who started from an adapter that does not name its base.
    """
    same = [fingerprint] if or_unknown else [fingerprint, UNKNOWN_BASE]
    query: Any = (
        select(lineages.c.user_id, references.c.base_model, func.count(versions.c.id))
        .join(references, references.c.id == lineages.c.reference_id)
        .outerjoin(versions, versions.c.lineage_id == lineages.c.id)
        .where(lineages.c.ended_at.is_(None), references.c.base_fingerprint.not_in(same))
        .group_by(lineages.c.id, lineages.c.user_id, references.c.base_model)
        .order_by(lineages.c.user_id)
    )
    return [OnOtherBase(*row) for row in db.execute(query)]
