"""References: frozen models that lineages start from, the base or imported adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from corll.errors import InputError
from corll.schemas.states import ReferenceKind
from corll.service.store.bases import UNKNOWN_BASE
from corll.service.store.rows import add_row, all_rows, find_row, new_id, select_rows
from corll.service.store.schema import references


@dataclass(frozen=True, slots=True)
class Reference:
    """A frozen model that lineages start from; `number` counts all references from 1.

    `folder` is its name in the version store; None for the base model itself. `erased_at` says when
    it was erased, since it was made of weights that saw a deleted text; nobody starts from it.
    """

    id: str
    number: int
    kind: ReferenceKind
    name: str
    fingerprint: str
    folder: str | None
    base_model: str
    base_fingerprint: str
    created_at: float
    erased_at: float | None = None


def get_or_create_base_reference(
    db: Connection, *, base_model: str, base_fingerprint: str, now: float
) -> Reference:
    """Return the base model as a reference; one for each fingerprint, whatever its name."""
    return _known_or_added(
        db,
        kind="base",
        name=base_model,
        fingerprint=base_fingerprint,
        folder=None,
        base_model=base_model,
        base_fingerprint=base_fingerprint,
        created_at=now,
    )


def add_reference(
    db: Connection,
    *,
    name: str,
    fingerprint: str,
    folder: str,
    base_model: str,
    base_fingerprint: str,
    now: float,
) -> Reference:
    """Keep an imported adapter as a reference; the same adapter of the same base is one.

    One that did not say its base is the same as one that does, and known by it from then on.
    """
    same = (references.c.kind == "adapter") & (references.c.fingerprint == fingerprint)
    bases = {
        one.base_fingerprint: one.base_model
        for one in all_rows(db, Reference, select_rows(Reference, references).where(same))
    }
    if base_fingerprint == UNKNOWN_BASE and bases:
        base_fingerprint, base_model = next(iter(bases.items()))
    elif UNKNOWN_BASE in bases and base_fingerprint not in bases:
        unsaid = same & (references.c.base_fingerprint == UNKNOWN_BASE)
        said = {"base_model": base_model, "base_fingerprint": base_fingerprint}
        db.execute(update(references).where(unsaid).values(**said))
    return _known_or_added(
        db,
        kind="adapter",
        name=name,
        fingerprint=fingerprint,
        folder=folder,
        base_model=base_model,
        base_fingerprint=base_fingerprint,
        created_at=now,
    )


def find_reference(db: Connection, reference_id: str) -> Reference | None:
    """Return the reference of that id."""
    return find_row(db, Reference, references, references.c.id == reference_id)


def all_references(db: Connection) -> list[Reference]:
    """Return every reference that was not erased, in order of number."""
    query = select_rows(Reference, references).where(references.c.erased_at.is_(None))
    return all_rows(db, Reference, query.order_by("number"))


def reference_folders(db: Connection) -> list[str]:
    """Return the names of the folders of all references that have one."""
    return [one.folder for one in all_references(db) if one.folder is not None]


def fingerprints_of(db: Connection, numbers: Sequence[int]) -> list[str]:
    """Return the fingerprints of references, of erased ones too, by their numbers."""
    query = select(references.c.fingerprint).where(references.c.number.in_(numbers))
    return list(db.execute(query).scalars())


def _known_or_added(db: Connection, **about: Any) -> Reference:
    """Return the reference of these weights; a new one gets an id and the next number."""
    same = ("kind", "fingerprint", "base_fingerprint")
    known = find_row(db, Reference, references, *(references.c[n] == about[n] for n in same))
    if known is not None and known.erased_at is not None:
        raise InputError(
            f"These weights were reference {known.number}, which was erased: it was made of a "
            "version that saw a text which its user deleted. Import other weights."
        )
    if known is not None:
        return known
    latest = db.execute(select(func.max(references.c.number))).scalar() or 0
    reference = Reference(id=new_id("reference"), number=latest + 1, **about)
    add_row(db, references, reference)
    return reference
