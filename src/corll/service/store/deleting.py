"""Rows of texts: which of them go together, and how they go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Column, Connection, Table, delete, func, select, update

from corll.service.store.deletions import redact_audit
from corll.service.store.drafts import EditRow
from corll.service.store.remembered import imported_letters
from corll.service.store.responses import followers
from corll.service.store.rows import in_chunks
from corll.service.store.schema import (
    aliases,
    coins,
    comparisons,
    drafts,
    edits,
    free_evidence,
    import_items,
    imports,
    keys,
    learn_requests,
    learning_leases,
    lineages,
    memories_cleared,
    memory_marks,
    news,
    preferences,
    replays,
    sessions,
    sign_in_links,
    starts,
    trials,
    users,
    version_preferences,
    versions,
)

_REASONS_GONE = "The reasons were removed with a text that was deleted."
_QUOTING = ("start rejected", "set_aside")
"""Actions whose details may quote a text."""


@dataclass(frozen=True)
class Doomed:
    """Rows that are to go together, by their ids.

    `exchanges` are the ids under which letters among them stood before prompts.
    """

    drafts: frozenset[str] = frozenset()
    edits: frozenset[str] = frozenset()
    comparisons: frozenset[str] = frozenset()
    preferences: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    exchanges: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """The ids by which the audit log may name them."""
        return sorted(self.drafts | self.edits | self.comparisons | self.preferences | self.imports)


def with_edit(db: Connection, edit: EditRow) -> Doomed:
    """Return what goes with an edit: earlier edits of the same choice, and what they taught.

    The responses that followed go too, since they read what was sent.
    """
    number = select(edits.c.number).where(edits.c.id == edit.id).scalar_subquery()
    same = (edits.c.draft_id == edit.draft_id) & (edits.c.choice == edit.choice)
    columns = edits.c.id, edits.c.preference_id, edits.c.created_at
    query = select(*columns).where(same, edits.c.number <= number)
    found = db.execute(query).all()
    ids = frozenset(row.id for row in found)
    taught = frozenset(row.preference_id for row in found if row.preference_id is not None)
    own = Doomed(edits=ids, preferences=taught, exchanges=ids)
    if edit.choice != 0:  # a conversation goes on with the first one
        return own
    since = min(row.created_at for row in found)
    return all_of([own, with_drafts(db, followers(db, [edit.draft_id], since=since))])


def with_drafts(db: Connection, draft_ids: Iterable[str]) -> Doomed:
    """Return what goes with drafts: their edits, comparisons, and what these taught.

    The responses that followed them go too, since their prompts hold what was said before.
    """
    named = set(draft_ids)
    ids = sorted(named | followers(db, named))
    of_edits = _rows(db, (edits.c.id, edits.c.preference_id), edits.c.draft_id, ids)
    columns = comparisons.c.id, comparisons.c.preference_id
    compared = _rows(db, columns, comparisons.c.chosen_draft_id, ids)
    compared += _rows(db, columns, comparisons.c.rejected_draft_id, ids)
    own = _rows(db, (preferences.c.id,), preferences.c.draft_id, ids)
    taught = {row.preference_id for row in [*of_edits, *compared]} | {row.id for row in own}
    sent = frozenset(row.id for row in of_edits)
    return Doomed(
        drafts=frozenset(ids),
        edits=sent,
        comparisons=frozenset(row.id for row in compared),
        preferences=frozenset(taught - {None}),
        exchanges=sent,
    )


def with_import(db: Connection, import_id: str) -> Doomed:
    """Return what goes with an import: its texts, the drafts beside them, and what they taught."""
    taught = (preferences.c.import_id == import_id) & (drafts.c.source == "import")
    joined = select(drafts.c.id).join(preferences, preferences.c.draft_id == drafts.c.id)
    found = with_drafts(db, db.execute(joined.where(taught)).scalars())
    more = select(preferences.c.id, edits.c.id.label("edit")).outerjoin(
        edits, edits.c.preference_id == preferences.c.id
    )
    rows = db.execute(more.where(preferences.c.import_id == import_id)).all()
    items = select(import_items.c.number).where(import_items.c.import_id == import_id)
    letters = {f"{import_id}.{number}" for number in db.execute(items).scalars()}
    return Doomed(
        drafts=found.drafts,
        edits=found.edits | {row.edit for row in rows if row.edit is not None},
        comparisons=found.comparisons,
        preferences=found.preferences | {row.id for row in rows},
        imports=frozenset([import_id]),
        exchanges=found.exchanges | letters,
    )


def all_of_user(db: Connection, user_id: str) -> Doomed:
    """Return all texts of a user."""

    def ids(table: Table) -> frozenset[str]:
        return frozenset(db.execute(select(table.c.id).where(table.c.user_id == user_id)).scalars())

    sent = ids(edits)
    return Doomed(
        drafts=ids(drafts),
        edits=sent,
        comparisons=ids(comparisons),
        preferences=ids(preferences),
        imports=ids(imports),
        exchanges=sent | imported_letters(db, user_id),
    )


def all_of(parts: Iterable[Doomed]) -> Doomed:
    """Return what goes with any of these."""
    some = list(parts)
    names = [field.name for field in fields(Doomed)]
    joined = {name: frozenset().union(*(getattr(one, name) for one in some)) for name in names}
    return Doomed(**joined)


def count_items(db: Connection, doomed: Doomed) -> int:
    """Return how many texts of imports go."""
    of_them = import_items.c.import_id.in_(sorted(doomed.imports))
    return int(
        db.execute(select(func.count()).select_from(import_items).where(of_them)).scalar_one()
    )


def delete_rows(db: Connection, user_id: str, doomed: Doomed, *, now: float) -> None:
    """Delete rows; of imports the row stays, without a text.

    Whoever calls it has erased the versions that were taught by them.
    """
    _delete(db, version_preferences, "preference_id", doomed.preferences)
    for table, ids in (
        (comparisons, doomed.comparisons),
        (edits, doomed.edits),
        (preferences, doomed.preferences),
        (drafts, doomed.drafts),
    ):
        _delete(db, table, "id", ids)
    _delete(db, import_items, "import_id", doomed.imports)
    # Their results and errors may quote texts.
    gone = {"deleted_at": now, "result": None, "error": None}
    for chunk in in_chunks(doomed.imports):
        db.execute(update(imports).where(imports.c.id.in_(chunk)).values(gone))
    marks = memory_marks.c.user_id == user_id
    for chunk in in_chunks(doomed.exchanges):
        db.execute(delete(memory_marks).where(marks, memory_marks.c.exchange_id.in_(chunk)))


def redact(db: Connection, user_id: str, deletion_id: str, doomed: Doomed) -> None:
    """Take free text that may quote what is deleted: of the audit log, and of starts."""
    redact_audit(db, deletion_id, doomed.names)
    others = select(preferences.c.id).where(preferences.c.user_id == user_id)
    subjects = [user_id, *db.execute(others).scalars()]
    redact_audit(db, deletion_id, subjects, of_actions=_QUOTING)
    rejected = (starts.c.user_id == user_id) & (starts.c.state == "rejected")
    db.execute(update(starts).where(rejected).values(reasons=[_REASONS_GONE]))


def delete_memory(db: Connection, user_id: str) -> None:
    """Forget what a user said of letters, and that a step was asked for."""
    for table in (memory_marks, memories_cleared, learn_requests):
        db.execute(delete(table).where(table.c.user_id == user_id))


def delete_account(db: Connection, user_id: str, deletion_id: str) -> None:
    """Delete a user, whose texts are gone, with keys, sessions, versions and all that is counted.

    What keys of others did for the user stays in the audit log, without its details.
    """
    own_keys = list(db.execute(select(keys.c.id).where(keys.c.user_id == user_id)).scalars())
    redact_audit(db, deletion_id, [user_id, *own_keys])
    delete_memory(db, user_id)
    theirs_alone = (aliases, replays, coins, free_evidence, trials, starts, sessions, news)
    for table in (*theirs_alone, sign_in_links):
        db.execute(delete(table).where(table.c.user_id == user_id))
    db.execute(delete(learning_leases).where(learning_leases.c.user_id == user_id))
    own_versions = select(versions.c.id).where(versions.c.user_id == user_id)
    taught = version_preferences.c.version_id.in_(own_versions)
    db.execute(delete(version_preferences).where(taught))
    theirs = versions.c.user_id == user_id
    db.execute(update(versions).where(theirs).values(parent_id=None))
    for table in (versions, lineages, imports, keys):
        db.execute(delete(table).where(table.c.user_id == user_id))
    db.execute(delete(users).where(users.c.id == user_id))


def drafts_behind(db: Connection, user_id: str, exchanges: frozenset[str]) -> list[str]:
    """Return the ids of a user's drafts that one of these exchanges stood before."""
    if not exchanges:
        return []
    theirs = select(drafts.c.id, drafts.c.memory).where(drafts.c.user_id == user_id)
    return [row.id for row in db.execute(theirs) if not exchanges.isdisjoint(row.memory)]


def drafts_by(db: Connection, user_id: str, version_ids: frozenset[str]) -> list[str]:
    """Return the ids of a user's drafts that one of these versions wrote."""
    theirs = (drafts.c.user_id == user_id) & drafts.c.version_id.is_not(None)
    query = select(drafts.c.id, drafts.c.version_id).where(theirs)
    return [row.id for row in db.execute(query) if row.version_id in version_ids]


def _rows(
    db: Connection, columns: tuple[Column[Any], ...], key: Column[Any], ids: Sequence[str]
) -> list[Any]:
    found: list[Any] = []
    for chunk in in_chunks(ids):
        found += db.execute(select(*columns).where(key.in_(chunk))).all()
    return found


def _delete(db: Connection, table: Table, key: str, ids: Iterable[str]) -> None:
    for chunk in in_chunks(ids):
        db.execute(delete(table).where(table.c[key].in_(chunk)))
