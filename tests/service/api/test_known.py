"""What drafts go on from while the database is away: the latest answers, for ten minutes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from store_samples import add_user

from corll.errors import StoreUnavailableError
from corll.service.api.known import LASTS_S, Known, Watch
from corll.service.api.services import Services
from corll.service.store import accounts
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.writer import Writer


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_known_for_ten_minutes_after_it_was_last_confirmed() -> None:
    clock = Clock()
    known = Known(clock=clock)
    known.keep("a", lambda db: 1, 1)
    clock.now = LASTS_S
    assert known.find("a") == 1
    clock.now = LASTS_S + 0.1
    assert known.find("a") is None
    known.confirmed()
    assert known.find("a") == 1


def test_nothing_is_not_known() -> None:
    known = Known()
    known.keep("a", lambda db: 1, 1)
    known.keep("a", lambda db: None, None)
    assert known.find("a") is None


def test_the_answers_that_were_not_read_for_longest_are_forgotten() -> None:
    known = Known()
    for number in range(1024):
        known.keep(number, lambda db: 1, number)
    assert known.find(0) == 0
    known.keep(1, lambda db: 1, 1)
    known.keep("one more", lambda db: 1, 1)
    known.keep("and another", lambda db: 1, 1)
    assert [known.find(name) for name in (0, 1, 2, 3)] == [None, 1, None, 3]


@pytest.fixture
def users(database: Database) -> tuple[User, User]:
    return database.write(add_user), database.write(lambda db: add_user(db, "ben"))


def watch_of(database: Database, known: Known, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """One that looks when it is told to."""
    monkeypatch.setattr(Watch, "_watch", lambda self: None)
    return Watch(database, known, lambda db: None)


def test_what_was_changed_elsewhere_is_read_again(
    database: Database, users: tuple[User, User], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = Known()
    for one in users:

        def query(db: Connection, one: User = one) -> User | None:
            return accounts.find_user(db, one.id)

        known.keep(one.id, query, one)
    watch = watch_of(database, known, monkeypatch)
    watch.look()
    elsewhere = Database.open(database.url.render_as_string(hide_password=False), tmp_path / "two")
    elsewhere.write(
        lambda db: accounts.set_consent(
            db, users[0].id, store=True, learn=False, actor="a", now=1.0
        )
    )
    elsewhere.close()
    watch.look()
    assert [known.find(one.id).learn for one in users] == [False, True]


def test_a_database_that_cannot_be_read_is_away_until_it_can(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known()
    watch = watch_of(database, known, monkeypatch)

    def away() -> Any:
        raise StoreUnavailableError("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(database, "read", away)
        watch.look()
    assert known.is_away
    watch.look()
    assert not known.is_away


def test_what_was_just_changed_is_not_taken_from_what_was_known(
    database: Database, users: tuple[User, User]
) -> None:
    """A database that came back is asked, also before the watch has noticed."""
    user = users[0]

    async def ask() -> list[bool]:
        with Writer(database) as writer:
            nothing: Any = None
            services = Services(nothing, database, writer, nothing, nothing, nothing)

            async def learns() -> bool:
                found = await services.read_or_known(
                    ("user", user.id), lambda db: accounts.find_user(db, user.id)
                )
                assert found is not None
                return found.learn

            before = await learns()
            services.known.failed()
            await services.write(
                lambda db: accounts.set_consent(
                    db, user.id, store=True, learn=False, actor="a", now=1.0
                )
            )
            return [before, await learns()]

    assert asyncio.run(ask()) == [True, False]
