"""Two learners of one database: each learns for whom it holds, and nothing is learned twice."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, select
from teaching import NOW, add_edit, add_user, begun, states

from corll.errors import LeaseLostError, StoreError
from corll.service.learning import sweeping
from corll.service.learning.holding import Holding
from corll.service.learning.trainer import Trainer
from corll.service.learning.worker import Worker
from corll.service.store import imports, leases, preferences
from corll.service.store.accounts import User, audit, read_audit
from corll.service.store.database import Database
from corll.service.store.schema import learning_leases, versions
from running_service import until


def worker_of(trainer: Trainer, holder: str) -> Worker:
    """A learner of a server of this name."""
    inbox: Any = SimpleNamespace(
        stopping=False, news=threading.Event(), keep_asked=lambda: None, send=lambda _: None
    )
    return Worker(trainer, inbox, inbox, Holding(trainer.database, holder))


def take_over(database: Database, user: User) -> None:
    """Another learner takes a user whose lease has ended."""

    def take(db: Connection) -> None:
        db.execute(learning_leases.update().values(expires_at=0.0))
        assert leases.take(db, user.id, "another", seconds=60.0) is not None

    database.write_rows(take)


def note(database: Database) -> None:
    database.write(lambda db: audit(db, actor="a", action="a", subject="a", details={}, now=NOW))


def count_versions(trainer: Trainer) -> int:
    with trainer.database.read() as db:
        return len(db.execute(select(versions.c.id)).all())


def folders(trainer: Trainer) -> list[Path]:
    root = trainer.database.versions.at("versions")
    return list(root.iterdir()) if root.exists() else []


def test_what_is_written_while_a_user_is_held_fails_once_they_are_taken_over(
    database: Database, user: User
) -> None:
    with Holding(database, "one").of(user.id) as is_held:
        assert is_held
        note(database)
        take_over(database, user)
        with pytest.raises(LeaseLostError):
            note(database)
        others = threading.Thread(target=note, args=(database,))
        others.start()
        others.join()
    note(database)
    with database.read() as db:
        assert len([row for row in read_audit(db) if row.actor == "a"]) == 3


def test_a_user_whom_another_holds_is_left_to_it_and_others_are_not(
    trainer: Trainer, user: User
) -> None:
    other = add_user(trainer.database, "bob")
    for who in (user, other):
        for number in range(2):
            add_edit(trainer, who, "Sorry about the parcel.", number=number)
    first, second = worker_of(trainer, "one"), worker_of(trainer, "two")
    with Holding(trainer.database, "one").of(user.id):
        assert second._round()
        assert (states(trainer, user), states(trainer, other)) == (
            ["waiting"] * 2,
            ["learned"] * 2,
        )
        assert not second._round()
    assert second._round()
    assert states(trainer, user) == ["learned"] * 2
    assert not first._round()
    assert count_versions(trainer) == 2


def test_a_held_users_import_waits_and_anothers_goes_on(trainer: Trainer, user: User) -> None:
    other = add_user(trainer.database, "bob")
    first, second = begun(trainer, user, 2), begun(trainer, other, 2)
    worker = worker_of(trainer, "two")
    with Holding(trainer.database, "one").of(user.id):
        while worker._round():
            pass
        with trainer.database.read() as db:
            found = [imports.find_import(db, one.id) for one in (first, second)]
    assert [row and row.state for row in found] == ["waiting", "done"]


def test_a_step_whose_user_was_taken_over_registers_nothing(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_edit(trainer, user, "Sorry about the parcel.")
    trainer.database.write(lambda db: preferences.ask_to_learn(db, user.id, now=NOW))
    examine = trainer.examine

    def meanwhile(*given: Any) -> Any:
        take_over(trainer.database, user)
        return examine(*given)

    monkeypatch.setattr(trainer, "examine", meanwhile)
    assert not worker_of(trainer, "one")._round()
    assert (states(trainer, user), count_versions(trainer), folders(trainer)) == (
        ["waiting"],
        0,
        [],
    )
    monkeypatch.undo()
    assert worker_of(trainer, "another")._round()
    assert (states(trainer, user), count_versions(trainer)) == (["learned"], 1)


def test_an_import_whose_user_was_taken_over_goes_on_elsewhere(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = begun(trainer, user, 2)
    take = trainer.learn

    def meanwhile(*given: Any, **more: Any) -> Any:
        take_over(trainer.database, user)
        return take(*given, **more)

    monkeypatch.setattr(trainer, "learn", meanwhile)
    assert not worker_of(trainer, "one")._round()
    monkeypatch.undo()
    worker = worker_of(trainer, "another")
    while worker._round():
        pass
    with trainer.database.read() as db:
        done = imports.find_import(db, row.id)
    assert done is not None
    assert (done.state, done.used) == ("done", 2)
    assert states(trainer, user) == ["learned"] * 2


def test_a_lease_is_renewed_as_long_as_its_user_is_held(database: Database, user: User) -> None:
    def ends() -> float:
        with database.read() as db:
            return float(db.execute(select(learning_leases.c.expires_at)).scalar_one())

    with Holding(database, "one", seconds=0.3).of(user.id):
        first = ends()
        assert until(lambda: ends() > first + 0.3)
    assert ends() == 0.0


def test_a_lease_outlives_a_database_that_is_away_for_longer(
    database: Database, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def away(_: object) -> Any:
        tried.set()
        raise StoreError("it is away")

    with Holding(database, "one", seconds=0.01).of(user.id):
        with monkeypatch.context() as patch:
            patch.setattr(database, "write_rows", away)
            assert tried.wait(60)
        note(database)


@pytest.mark.parametrize("is_learning", [False, True])
def test_what_another_learner_publishes_is_not_swept(
    trainer: Trainer, user: User, *, is_learning: bool
) -> None:
    published = trainer.database.versions.at("versions") / "ver_of_another"
    published.mkdir(parents=True)
    former = Holding(trainer.database, "one")
    with Holding(trainer.database, "two").of(user.id):
        if not is_learning:
            trainer.database.write_rows(
                lambda db: db.execute(learning_leases.update().values(expires_at=0.0))
            )
        sweeping.sweep(trainer.database, former)
        assert published.exists() == is_learning
        if not is_learning:  # whose lease had ended, and who can register nothing any more
            with pytest.raises(LeaseLostError):
                note(trainer.database)
