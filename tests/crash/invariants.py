"""What must hold of a data folder whatever was killed, read from its rows and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, select

from corll.errors import AdapterError
from corll.model.file_names import OPTIMIZER
from corll.service.doctor.examining import examine
from corll.service.store import deletions, imports, lineages, preferences, replays
from corll.service.store.accounts import User, users_of
from corll.service.store.database import Database
from corll.service.store.schema import drafts, edits, import_items, version_preferences
from corll.service.store.schema import preferences as preferences_table
from corll.service.versions import publishing
from corll.service.versions.verifying import verify_receipt
from crash.ledger import Ledger


def is_settled(database: Database, *, at_most: int = 0) -> bool:
    """Say whether nothing waits to be done; `at_most` so many preferences of a user's."""
    with database.read() as db:
        return not (
            any(one.waiting > at_most for one in preferences.users_with_waiting(db))
            or preferences.users_who_asked(db)
            or imports.next_import(db)
            or replays.all_replays(db)
        )


def who_waits(database: Database) -> list[str]:
    """Return the names of users with something to be learned."""
    with database.read() as db:
        waiting = {one.user_id for one in preferences.users_with_waiting(db)}
        return [user.name for user in users_of(db, None) if user.id in waiting]


def violations(database: Database, ledger: Ledger, folder: Path | None = None) -> list[str]:
    """Return what does not hold of a service that has settled and stopped.

    What was deleted is looked for in all files of a `folder`, by default the service's.
    """
    with database.read() as db:
        users = users_of(db, None)
        found = [
            *_of_drafts(db, ledger),
            *_of_edits(db, ledger),
            *_of_imports(db, ledger),
            *(said for user in users for said in of_learning(db, database, user)),
        ]
        receipts = [
            row.to_receipt() for user in users for row in deletions.deletions_of(db, user.id)
        ]
    for receipt in receipts:
        told = verify_receipt(database, receipt)
        found += [f"{receipt.id}: {one.text}" for one in told if one.state != "holds"]
    given = {one.receipt for one in ledger.deletions if one.receipt}
    found += [f"{one}: the receipt is gone" for one in given - {one.id for one in receipts}]
    found += [finding.problem for finding in examine(database, is_served=False)]
    found += _of_bytes(folder or database.folder, ledger)
    return found


def _of_drafts(db: Connection, ledger: Ledger) -> Iterator[str]:
    kept = set(db.execute(select(drafts.c.id)).scalars())
    for draft_id in set(ledger.drafts) - kept:
        yield f"draft {draft_id} was acknowledged, and is lost"


def _of_edits(db: Connection, ledger: Ledger) -> Iterator[str]:
    rows = list(db.execute(select(edits.c.id, edits.c.draft_id, edits.c.text)))
    ids = {row.id for row in rows}
    times = Counter((row.draft_id, row.text) for row in rows)
    for edit in ledger.edits:
        if edit.is_deleted:
            continue
        if edit.id is not None and edit.id not in ids:
            yield f"edit {edit.id} was acknowledged, and is lost"
        if times[edit.draft_id, edit.text] > 1:
            yield f"edit {edit.id} is there {times[edit.draft_id, edit.text]} times"


def _of_imports(db: Connection, ledger: Ledger) -> Iterator[str]:
    for sent in ledger.imports:
        if sent.id is None or sent.is_deleted:
            continue
        row = imports.find_import(db, sent.id)
        if row is None or row.state != "done":
            yield f"import {sent.id} is {'lost' if row is None else f'{row.state}: {row.error}'}"
            continue
        of_it = import_items.c.import_id == sent.id
        states = Counter(db.execute(select(import_items.c.state).where(of_it)).scalars())
        learned = preferences_table.c.import_id == sent.id
        made = len(list(db.execute(select(preferences_table.c.id).where(learned))))
        if sum(states.values()) != len(sent.marks):
            yield f"import {sent.id} has {sum(states.values())} texts of {len(sent.marks)}"
        if made != states["used"]:
            yield f"import {sent.id} has {made} preferences of {states['used']} texts that it used"


def of_learning(db: Connection, database: Database, user: User) -> Iterator[str]:
    """Look whether each preference was learned once at most, and the alias names whole weights.

    Versions are numbered in the order in which they were made from one another.
    """
    yield from _of_order(db, user)
    serving = lineages.serving_version(db, user.id)
    line = [] if serving is None else [one.id for one in lineages.ancestry(db, serving.id)]
    taught = version_preferences.c.version_id.in_(line)
    query = select(version_preferences.c.preference_id).where(taught)
    times = Counter(db.execute(query).scalars())
    for preference_id, count in times.items():
        if count > 1:
            yield f"preference {preference_id} was learned {count} times"
    for row in preferences.preferences_of(db, user.id):
        if (row.state == "learned") is not (row.id in times):
            yield f"preference {row.id} is {row.state}, learned {times[row.id]} times"
    if serving is None:
        return
    try:
        assert serving.folder is not None
        digest = serving.manifest_sha256 or ""
        publishing.verify(database.versions.fetch(serving.folder), digest, without=(OPTIMIZER,))
    except (AdapterError, AssertionError) as error:
        yield f"version {serving.number} serves, and is not whole: {error}"


def _of_order(db: Connection, user: User) -> Iterator[str]:
    made = lineages.versions_of(db, user.id)
    numbers = [one.number for one in made]
    if numbers != list(range(1, len(made) + 1)):
        yield f"versions of {user.name} are numbered {numbers}"
    by_id = {one.id: one.number for one in made}
    for one in made:
        if one.parent_id is not None and by_id.get(one.parent_id, one.number) >= one.number:
            yield f"version {one.number} of {user.name} was made from a later one"


def _of_bytes(folder: Path, ledger: Ledger) -> Iterator[str]:
    """Look into every file for what was deleted."""
    marks = [mark.encode() for one in ledger.deletions if one.is_done for mark in one.marks]
    for path in sorted(folder.rglob("*")) if marks else ():
        if path.is_file():
            content = path.read_bytes()
            yield from (f"{path.name} holds {mark!r}" for mark in marks if mark in content)
