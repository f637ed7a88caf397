"""Rows to start a test of the store from: a user, a draft of theirs, an edit, a version."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from corll.schemas.deletions import Receipt
from corll.schemas.states import DeletionKind
from corll.service.store.accounts import User, audit, get_or_create_user, read_audit
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow, EditRow, add_draft, record_edit
from corll.service.store.lineages import (
    Version,
    current_lineage,
    get_or_create_base_reference,
    next_number,
    register_version,
    rollback,
    serving_version,
    start_lineage,
)
from corll.service.store.rows import new_id
from corll.service.versions.forgetting import find_target, forget

NOW = 1_700_000_000.0


def add_user(db: Connection, name: str = "ada") -> User:
    return get_or_create_user(db, "home", name, store=True, learn=True, now=NOW)


def draft_of(user: User, **changes: Any) -> DraftRow:
    """Two candidates, of which the second was shown first."""
    candidates = [
        {"text": text, "token_ids": [1, 2], "logprob": -3.5, "finished": True}
        for text in ("Dear Sir", "Hello there")
    ]
    fields: dict[str, Any] = {
        "id": new_id("chatcmpl-"),
        "user_id": user.id,
        "key_id": None,
        "kind": "chat",
        "model": "corll",
        "prompt": [{"role": "user", "content": "Write to Tom ✉"}],
        "version_id": None,
        "candidates": candidates,
        "shown": [1, 0],
        "scores": [0.25, 0.5],
        "sampling": {"temperature": 1.0},
        "seed": 2**62 + 1,
        "status": "complete",
        "held_back": False,
        "source": "live",
        "created_at": NOW,
    }
    return DraftRow(**{**fields, **changes})


def kept_draft(db: Connection, user: User, **changes: Any) -> DraftRow:
    draft = draft_of(user, **changes)
    add_draft(db, draft)
    return draft


def edit(db: Connection, draft: DraftRow, text: str, **changes: Any) -> EditRow:
    """An edit that is an acceptance where it is the draft's text."""
    accepted = text == draft.choice(changes.get("choice", 0))["text"]
    fields: dict[str, Any] = {
        "draft": draft,
        "choice": 0,
        "text": text,
        "accepted": accepted,
        "edit_cost": 0.0 if accepted else 0.5,
        "will_learn": True,
        "reason": None,
        "idempotency_key": None,
        "now": NOW,
    }
    return record_edit(db, **{**fields, **changes}).edit


def preference_from_edit(db: Connection, user: User) -> str:
    """The id of a preference that waits, from an edit of a draft of its own."""
    recorded = edit(db, kept_draft(db, user), "Hi Tom")
    assert recorded.preference_id is not None
    return recorded.preference_id


def new_version(db: Connection, user: User, **changes: Any) -> Version:
    """A candidate that starts from what serves; a lineage is started where there is none."""
    lineage = current_lineage(db, user.id)
    if lineage is None:
        reference = get_or_create_base_reference(
            db, base_model="tiny", base_fingerprint="f0", now=NOW
        )
        lineage = start_lineage(db, user_id=user.id, reference_id=reference.id, now=NOW)
    parent = serving_version(db, user.id)
    number = next_number(db, user.id)
    fields: dict[str, Any] = {
        "id": new_id("version"),
        "user_id": user.id,
        "lineage_id": lineage.id,
        "number": number,
        "parent_id": None if parent is None else parent.id,
        "reference_id": lineage.reference_id,
        "state": "candidate",
        "reasons": [],
        "metrics": {"loss": 0.69},
        "folder": f"adapters/{number}",
        "manifest_sha256": "0" * 64,
        "has_optimizer": True,
        "steps": number,
        "created_at": NOW,
        "served_at": None,
    }
    return Version(**{**fields, **changes})


def publish(db: Connection, user: User, *preference_ids: str) -> Version:
    """A version that serves, taught those preferences."""
    version = new_version(db, user)
    return register_version(
        db,
        version,
        preference_ids=preference_ids,
        expected_parent=version.parent_id,
        serve=True,
        now=NOW,
    )


def note(db: Connection, subject: str, *, fail: bool = False) -> str:
    """Writes an entry, and then may raise."""
    audit(db, actor="test", action="note", subject=subject, details={}, now=0.0)
    if fail:
        raise ValueError(f"no {subject}")
    return subject


def noted(database: Database) -> set[str]:
    with database.read() as db:
        return {row.subject for row in read_audit(db, limit=10_000)}


ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""For tests of what only its files can go through."""


def back(db: Connection, user: User, to: int, *, requeue: bool = False) -> Version | None:
    return rollback(db, user.id, to=to, requeue=requeue, actor="key_1", now=NOW)


def register(db: Connection, version: Version, *ids: str, serve: bool = True) -> Version:
    return register_version(
        db,
        version,
        preference_ids=ids,
        expected_parent=version.parent_id,
        serve=serve,
        now=NOW,
    )


def deleted(db: Connection, kind: DeletionKind, subject: str) -> Receipt:
    """The receipt of a deletion."""
    target = find_target(db, kind, subject)
    assert target is not None
    return forget(db, target, weights_of=lambda _: None, actor="key_1", now=NOW)
