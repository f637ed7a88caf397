"""Drafts, edits and imports that a trainer learns from, on a tiny model and a real database."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from corll.model import file_names
from corll.records import Sample
from corll.schemas.deletions import Receipt
from corll.service.learning import replaying
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, drafts, imports, lineages, preferences, replays
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow, EditRow
from corll.service.store.imports import ImportRow, NewItem
from corll.service.store.lineages import Version
from corll.service.store.rows import new_id
from corll.service.versions.forgetting import delete_now

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


def serving(trainer: Trainer, user: User) -> Version | None:
    with trainer.database.read() as db:
        return lineages.serving_version(db, user.id)


def bytes_of(trainer: Trainer, version: Version | None) -> tuple[bytes, bytes]:
    """Weights and optimiser of a version, as they lie on the disk."""
    assert version is not None
    assert version.folder is not None
    folder = trainer.database.versions.at(version.folder)
    names = file_names.ADAPTER_WEIGHTS, file_names.OPTIMIZER
    return tuple((folder / name).read_bytes() for name in names)  # type: ignore[return-value]


def deleted(trainer: Trainer, edit: EditRow) -> Receipt:
    return delete_now(trainer.database, "edit", edit.id, actor="a")


def replayed(trainer: Trainer, user: User) -> list[Version]:
    """Goes on until no replay is open; what was examined."""
    examined = []
    while (row := opened(trainer, user)) is not None:
        version = replaying.go_on(trainer, row)
        examined += [] if version is None else [version]
    return examined


def opened(trainer: Trainer, user: User) -> replays.ReplayRow | None:
    with trainer.database.read() as db:
        return replays.find_replay(db, user.id)
