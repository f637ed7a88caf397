"""Drafts, edits and imports that a trainer learns from, on a tiny model and a real database."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from corll.records import Sample
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, drafts, imports, preferences
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow, EditRow
from corll.service.store.imports import ImportRow, NewItem
from corll.service.store.rows import new_id

NOW = 1_700_000_000.0


def add_user(database: Database, name: str) -> User:
    return database.write(
        lambda db: accounts.get_or_create_user(db, "n", name, store=True, learn=True, now=NOW)
    )


def add_edit(
    trainer: Trainer, user: User, text: str, *, number: int = 0, **changes: Any
) -> EditRow:
    """A draft of π_0 with these changes, and what its user made of it."""
    draft = replace(drafted(trainer, user, number=number), **changes)

    def write(db: Any) -> EditRow:
        drafts.add_draft(db, draft)
        return drafts.record_edit(
            db,
            draft=draft,
            choice=0,
            text=text,
            accepted=False,
            edit_cost=1.0,
            will_learn=True,
            reason=None,
            idempotency_key=None,
            now=NOW,
        ).edit

    return trainer.database.write(write)


def drafted(trainer: Trainer, user: User, *, number: int) -> DraftRow:
    """A draft of π_0."""
    prompt = [{"role": "user", "content": f"The parcel {number} is late."}]
    sample: Sample = trainer.base.sample([prompt], 1, 12, number)[0][0]
    return DraftRow(
        id=new_id("chatcmpl-"),
        user_id=user.id,
        key_id=None,
        kind="chat",
        model="corll",
        prompt=prompt,
        version_id=None,
        candidates=[asdict(sample)],
        shown=[0],
        scores=None,
        sampling={},
        seed=number,
        status="complete",
        held_back=False,
        source="live",
        created_at=NOW,
    )


def states(trainer: Trainer, user: User) -> list[str]:
    with trainer.database.read() as db:
        return [row.state for row in preferences.preferences_of(db, user.id)]


def begun(trainer: Trainer, user: User, count: int) -> ImportRow:
    items = [
        NewItem(
            [{"role": "user", "content": f"Parcel {n} is late."}], None, f"A secret, number {n}."
        )
        for n in range(count)
    ]
    return trainer.database.write(
        lambda db: imports.add_import(db, user_id=user.id, items=items, actor="a", now=NOW)
    )
