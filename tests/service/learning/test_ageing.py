"""Texts that have grown too old go as if their user had deleted them, and nobody else's do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import store_samples
from sqlalchemy import Connection
from store_samples import ON_SQLITE, edit, kept_draft, new_version, register
from teaching import NOW, add_edit, add_user

from corll.policy import Policy
from corll.schemas.deletions import Receipt
from corll.schemas.events import VersionEvent
from corll.service.durations import DAY_S
from corll.service.learning import ageing
from corll.service.learning import worker as worker_module
from corll.service.learning.ageing import delete_old
from corll.service.learning.trainer import Trainer
from corll.service.learning.worker import Worker
from corll.service.store import accounts, deletions, drafts, imports, lineages
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.imports import NewItem
from corll.service.versions.verifying import verify_receipt
from running_service import running_service, settings_for, until

KEEP_S = 90 * DAY_S
BORDER = NOW - KEEP_S
YOUNGER = BORDER + 0.001


def written(db: Connection, user: User, at: float, *, edited_at: float | None = None) -> str:
    """The id of a draft of that time, with an edit."""
    draft = kept_draft(db, user, created_at=at)
    edit(db, draft, f"Text of {at}", now=at if edited_at is None else edited_at)
    return draft.id


def imported(db: Connection, user: User, at: float) -> str:
    item = NewItem([{"role": "user", "content": "Hi"}], None, "A secret.")
    return imports.add_import(db, user_id=user.id, items=[item], actor="a", now=at).id


def texts(database: Database, user: User) -> tuple[set[str], int, set[str]]:
    """The ids of drafts, the number of edits, and the ids of imports that a user has."""
    with database.read() as db:
        kept = {row.id for row in drafts.drafts_of(db, user.id, limit=99)}
        edits = drafts.edits_of(db, user.id, limit=99)
        jobs = {row.id for row in imports.imports_of(db, user.id, limit=99)}
    return kept, len(edits), jobs


def swept(database: Database, now: float = NOW, **more: Any) -> list[Receipt]:
    return delete_old(database, keep_s=KEEP_S, now=now, **more)


@pytest.fixture
def ben(database: Database) -> User:
    return add_user(database, "ben")


def test_a_text_goes_once_it_is_as_old_as_it_may_grow_and_none_that_is_younger(
    database: Database, user: User, ben: User
) -> None:
    def write(db: Connection) -> tuple[list[str], list[str], str]:
        written(db, user, BORDER, edited_at=NOW)
        written(db, user, BORDER - 1)
        job = imported(db, user, BORDER), imported(db, user, YOUNGER)
        return [written(db, user, YOUNGER)], [written(db, ben, YOUNGER)], job[1]

    stay, of_ben, job = database.write(write)
    [receipt] = swept(database)
    assert texts(database, user) == (set(stay), 1, {job})
    assert texts(database, ben) == (set(of_ben), 1, set())
    assert (receipt.kind, receipt.user, receipt.until) == ("age", user.id, BORDER)
    assert receipt.counts.model_dump() == {
        "drafts": 2,
        "edits": 2,
        "comparisons": 0,
        "preferences": 2,
        "imported_texts": 1,
    }
    with database.read() as db:
        row = deletions.find_deletion(db, receipt.id)
        entry = accounts.read_audit(db, subject=user.id, limit=1)[0]
        assert deletions.deletions_of(db, ben.id) == []
    assert row is not None
    assert row.to_receipt().cleaned
    assert (entry.actor, entry.action) == (ageing.ACTOR, "age deleted")
    assert swept(database) == []


def test_nothing_goes_where_all_is_younger(database: Database, user: User) -> None:
    database.write(lambda db: (written(db, user, YOUNGER), imported(db, user, YOUNGER)))
    assert swept(database) == []
    assert texts(database, user)[1] == 1


def test_a_user_s_texts_go_once_a_day_at_most(database: Database, user: User, ben: User) -> None:
    database.write(lambda db: (written(db, user, BORDER), written(db, user, YOUNGER)))
    assert len(swept(database)) == 1
    database.write(lambda db: written(db, ben, YOUNGER))
    assert [one.user for one in swept(database, NOW + DAY_S - 1)] == [ben.id]
    assert [one.user for one in swept(database, NOW + DAY_S)] == [user.id]
    assert texts(database, user) == texts(database, ben) == (set(), 0, set())


def test_a_sweep_that_was_stopped_goes_on(database: Database, user: User, ben: User) -> None:
    database.write(lambda db: (written(db, user, BORDER), written(db, ben, BORDER)))
    stops: Iterator[bool] = iter([False, True])
    first = swept(database, is_stopping=lambda: next(stops))
    second = swept(database)
    assert len(first) == len(second) == 1
    assert {one.user for one in (*first, *second)} == {user.id, ben.id}


def test_the_trouble_of_one_user_does_not_stop_the_others(
    database: Database, user: User, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.write(lambda db: (written(db, user, BORDER), written(db, ben, BORDER)))
    forget = ageing.forget

    def fail_for_one(db: Connection, target: Any, **more: Any) -> Receipt:
        if target.user.id == min(user.id, ben.id):
            raise RuntimeError("no")
        return forget(db, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(ageing, "forget", fail_for_one)
        assert [one.user for one in swept(database)] == [max(user.id, ben.id)]
    assert [one.user for one in swept(database)] == [min(user.id, ben.id)]


def test_versions_that_saw_an_old_text_are_erased_and_the_receipt_holds(
    database: Database, user: User, ben: User
) -> None:
    def write(db: Connection) -> tuple[list[lineages.Version], lineages.Version]:
        made = []
        for at in (YOUNGER, BORDER, NOW):
            sent = edit(db, kept_draft(db, user, created_at=at), "Hello")
            made.append(register(db, new_version(db, user), sent.preference_id or ""))
        own = edit(db, kept_draft(db, ben, created_at=NOW), "Hello")
        return made, register(db, new_version(db, ben), own.preference_id or "")

    (clean, *_), of_ben = database.write(write)
    [receipt] = swept(database)
    assert [one.number for one in receipt.erased] == [2, 3]
    assert receipt.stands_in is not None
    assert receipt.stands_in.id == clean.id
    assert (receipt.replay.state, receipt.replay.edits) == ("waiting", 1)
    with database.read() as db:
        serving = lineages.serving_version(db, user.id)
        assert serving is not None
        assert serving.id == clean.id
        assert lineages.serving_version(db, ben.id) == of_ben
    assert not any(
        one.state == "broken"
        for one in verify_receipt(database, receipt)
        if "what was published" not in one.text
    )
    database.write(lambda db: written(db, user, BORDER))
    told = {one.text: one.state for one in verify_receipt(database, receipt)}
    assert told[f"texts of {user.id} that had grown old are still there"] == "broken"
    forged = receipt.model_copy(update={"until": BORDER - 1})
    assert verify_receipt(database, forged)[0].state == "broken"


@ON_SQLITE
def test_the_learner_deletes_them_and_learns_the_rest_again(
    policy: Policy,
    database: Database,
    user: User,
    ben: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_for(
        tiny_model_folder,
        tmp_path / "data",
        coactive={"preferences_per_step": 1},
        keep_texts="90d",
    )
    trainer = Trainer(policy, database, settings)
    monkeypatch.setattr(worker_module.time, "time", lambda: NOW)
    for number, at in enumerate((BORDER, YOUNGER, NOW)):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number, created_at=at)
        trainer.learn(user.id)
        if number:
            add_edit(trainer, ben, f"Sorry, number {number}.", number=number)
            trainer.learn(ben.id)
    sent: list[Any] = []
    inbox: Any = SimpleNamespace(stopping=False, news=threading.Event(), send=sent.append)
    worker = Worker(trainer, inbox, inbox)
    while worker._round():
        pass
    with database.read() as db:
        [row] = deletions.deletions_of(db, user.id)
        versions = [lineages.serving_version(db, one.id) for one in (user, ben)]
    receipt = row.to_receipt()
    assert receipt.replay.state == "done"
    assert sent[:2] == [
        ("erased", [one.id for one in receipt.erased]),
        ("event", (user.id, VersionEvent(number=3, state="retired"))),
    ]
    weights = [
        (database.versions.at(str(version.folder)) / "adapter_model.safetensors").read_bytes()
        for version in versions
        if version is not None
    ]
    assert len(weights) == 2
    assert weights[0] == weights[1]


def test_a_service_deletes_them_by_itself(tiny_model_folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_model_folder, tmp_path, keep_texts="1d")
    database = Database.open(None, tmp_path)

    def write(db: Connection) -> User:
        ada = store_samples.add_user(db)
        written(db, ada, NOW)
        return ada

    ada = database.write(write)
    database.close()
    with running_service(settings) as service:
        service.draft(user="young")
        until(lambda: service.get(f"users/{ada.id}/deletions")["data"])
        [receipt] = service.get(f"users/{ada.id}/deletions")["data"]
        assert (receipt["kind"], receipt["counts"]["edits"]) == ("age", 1)
        assert service.get(f"users/{ada.id}/drafts")["data"] == []
        assert len(service.get("users/young/drafts")["data"]) == 1
