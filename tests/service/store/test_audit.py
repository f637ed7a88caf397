"""The audit log is only added to, whoever asks the database for something else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, text, update
from sqlalchemy.exc import DatabaseError
from store_samples import NOW, back, deleted, note, noted, preference_from_edit, publish

from corll.errors import StoreError
from corll.service.store.accounts import (
    AuditRow,
    User,
    audit,
    create_key,
    read_audit,
    revoke_key,
    set_consent,
)
from corll.service.store.database import Database
from corll.service.store.imports import NewItem, add_import
from corll.service.store.lineages import requeue_set_aside
from corll.service.store.schema import audit_log
from corll.service.store.sign_ins import create_link


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE subject = 'ann'",
    ],
)
def test_what_is_in_the_audit_log_stays_as_it_is(database: Database, change: str) -> None:
    database.write(lambda db: note(db, "ann"))
    with pytest.raises(StoreError, match="only added to"):
        database.write(lambda db: db.execute(text(change)))
    database.write(lambda db: note(db, "bob"))
    assert noted(database) == {"ann", "bob"}


def test_details_are_taken_for_a_deletion_that_is_on_record(db: Connection, ada: User) -> None:
    """And nothing else of an entry, and by no other word."""
    audit(db, actor="a", action="set_aside", subject=ada.id, details={"reason": "Secret"}, now=NOW)
    note(db, "ann")
    for words in ('{"redacted": "deletion_1"}', '{"redacted": "Secret"}'):
        change = update(audit_log).where(audit_log.c.subject == ada.id)
        with pytest.raises(DatabaseError, match="only added to"), db.begin_nested():
            db.execute(change.values(details=json.loads(words)))
    deleted(db, "texts", ada.id)
    [gone, entry] = read_audit(db, subject=ada.id)
    assert (gone.action, entry.actor, entry.action) == ("texts deleted", "a", "set_aside")
    assert entry.details == {"redacted": gone.details["deletion"]}
    redacted = update(audit_log).where(audit_log.c.subject == "ann")
    with pytest.raises(DatabaseError, match="only added to"), db.begin_nested():
        db.execute(redacted.values(details=entry.details, actor="nobody"))


def of_subject(db: Connection, subject: str) -> list[tuple[str, str]]:
    """Who did what to a subject, the first first."""
    rows: list[AuditRow] = read_audit(db, subject=subject)
    return [(row.actor, row.action) for row in rows[::-1]]


def test_each_entry_names_whom_it_is_about(db: Connection, ada: User) -> None:
    """Whatever is done to a user is found under the user, and to a key under the key."""
    about: dict[str, Any] = {"namespace": "home", "label": "k", "actor": "a", "now": NOW}
    key, _ = create_key(db, scope="user", user_id=ada.id, **about)
    other, _ = create_key(db, scope="admin", **about)
    assert revoke_key(db, key.id, actor="b", now=NOW)
    assert of_subject(db, key.id) == [("a", "key created"), ("b", "key revoked")]
    assert of_subject(db, other.id) == [("a", "key created")]
    set_consent(db, ada.id, share=True, actor="c", now=NOW)
    publish(db, ada, preference_from_edit(db, ada))
    back(db, ada, 0)
    requeue_set_aside(db, ada.id, actor="d", now=NOW)
    items = [NewItem([{"role": "user", "content": "Hi"}], None, "Hello.")]
    row = add_import(db, user_id=ada.id, items=items, actor="e", now=NOW)
    deleted(db, "import", row.id)
    create_link(db, ada.id, actor="g", now=NOW)
    assert of_subject(db, ada.id) == [
        ("c", "consent"),
        ("key_1", "rollback"),
        ("d", "requeue"),
        ("e", "import"),
        ("key_1", "import deleted"),
        ("g", "link created"),
    ]


def test_entries_are_read_page_by_page(db: Connection) -> None:
    for subject in ("ann", "bob", "cem"):
        note(db, subject)
    newest, older = read_audit(db, limit=2)
    assert (newest.subject, older.subject) == ("cem", "bob")
    (oldest,) = read_audit(db, limit=2, before=older.number)
    assert oldest.subject == "ann"
