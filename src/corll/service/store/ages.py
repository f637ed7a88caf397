"""How old texts are: a draft's age is that of all that was made of it, which is younger.

*Units*: times are in seconds since 1970.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from corll.service.store.schema import drafts, imports


def users_with_texts_as_old_as(db: Connection, until: float) -> list[str]:
    """Return the ids of users with a draft or an import of that time or before, in order."""
    drawn = select(drafts.c.user_id).where(drafts.c.created_at <= until)
    sent = select(imports.c.user_id).where(
        imports.c.created_at <= until, imports.c.deleted_at.is_(None)
    )
    return sorted(db.execute(drawn.union(sent)).scalars())


def drafts_as_old_as(db: Connection, user_id: str, until: float) -> list[str]:
    """Return the ids of a user's drafts that were drawn at that time or before."""
    theirs = (drafts.c.user_id == user_id) & (drafts.c.created_at <= until)
    return list(db.execute(select(drafts.c.id).where(theirs)).scalars())


def imports_as_old_as(db: Connection, user_id: str, until: float) -> list[str]:
    """Return the ids of a user's imports that came at that time or before."""
    theirs = (imports.c.user_id == user_id) & (imports.c.created_at <= until)
    there = imports.c.deleted_at.is_(None)
    return list(db.execute(select(imports.c.id).where(theirs, there)).scalars())
