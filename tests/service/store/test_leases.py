"""Leases: one holder a user, taken over once it ended, and fences that only grow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from store_samples import ON_POSTGRESQL, add_user, deleted

from corll.errors import LeaseLostError
from corll.service.store import leases
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.leases import Lease
from corll.service.store.schema import learning_leases
from patience import PATIENCE_S

OVER = -1.0
"""Seconds of a lease that has ended already, by any clock."""


@pytest.fixture
def user(database: Database) -> User:
    return database.write(add_user)


def take(database: Database, user: User, holder: str, seconds: float = 60.0) -> Lease | None:
    return database.write_rows(lambda db: leases.take(db, user.id, holder, seconds=seconds))


def taken(database: Database, user: User, holder: str, seconds: float = 60.0) -> Lease:
    lease = take(database, user, holder, seconds)
    assert lease is not None
    return lease


def is_held(database: Database, lease: Lease) -> bool:
    """Whether what was begun under a lease may be registered."""
    try:
        database.write(lambda db: leases.check(db, lease))
    except LeaseLostError:
        return False
    return True


def test_a_user_has_one_holder_and_each_user_their_own(database: Database, user: User) -> None:
    other = database.write(lambda db: add_user(db, "ben"))
    first = taken(database, user, "a")
    assert take(database, user, "b") is None
    second = taken(database, other, "b")
    assert take(database, other, "a") is None
    assert is_held(database, first)
    assert is_held(database, second)


def test_a_lease_that_ended_is_taken_over_and_its_holder_can_do_nothing(
    database: Database, user: User
) -> None:
    former = taken(database, user, "a", OVER)
    latter = taken(database, user, "b")
    assert latter.fence > former.fence
    assert not is_held(database, former)
    with pytest.raises(LeaseLostError, match="taken over"):
        database.write_rows(lambda db: leases.renew(db, former, seconds=60.0))
    database.write_rows(lambda db: leases.release(db, former))
    assert is_held(database, latter)
    assert take(database, user, "a") is None


def test_a_lease_that_ended_goes_on_where_nobody_took_it(database: Database, user: User) -> None:
    lease = taken(database, user, "a", OVER)
    assert is_held(database, lease)
    database.write_rows(lambda db: leases.renew(db, lease, seconds=60.0))
    assert take(database, user, "b") is None
    assert is_held(database, lease)


def test_a_lease_ends_with_its_last_second(database: Database, user: User) -> None:
    taken(database, user, "a", 0.0)
    assert taken(database, user, "b").fence == 2


def test_a_holder_that_starts_anew_takes_over_from_itself(database: Database, user: User) -> None:
    dead = taken(database, user, "a")
    alive = taken(database, user, "a")
    assert (is_held(database, dead), is_held(database, alive)) == (False, True)


def test_a_user_who_was_released_can_be_taken_at_once(database: Database, user: User) -> None:
    lease = taken(database, user, "a")
    database.write_rows(lambda db: leases.release(db, lease))
    assert not is_held(database, lease)
    assert taken(database, user, "b").fence > lease.fence


def test_the_lease_of_a_deleted_user_is_gone(database: Database, user: User) -> None:
    lease = taken(database, user, "a")
    database.write(lambda db: deleted(db, "user", user.id))
    assert not is_held(database, lease)
    assert take(database, user, "a") is None
    with database.read() as db:
        assert db.execute(select(learning_leases)).all() == []


def test_who_starts_ends_its_own_leases_and_those_that_ran_out(
    database: Database, user: User
) -> None:
    others = [database.write(lambda db, n=name: add_user(db, n)) for name in ("ben", "cara")]
    own = taken(database, user, "a")
    over = taken(database, others[0], "b", OVER)
    assert database.write_rows(lambda db: leases.end_former(db, "a"))
    assert not is_held(database, own)
    assert not is_held(database, over)
    working = taken(database, others[1], "b")
    assert not database.write_rows(lambda db: leases.end_former(db, "a"))
    assert is_held(database, working)


@ON_POSTGRESQL
def test_nobody_is_taken_while_what_was_learned_from_them_is_registered(
    database: Database, user: User
) -> None:
    other = database.write(lambda db: add_user(db, "ben"))
    lease = taken(database, user, "a", OVER)

    def register(db: object) -> tuple[Lease | None, Lease | None]:
        leases.check(db, lease)  # type: ignore[arg-type]
        with ThreadPoolExecutor(1) as beside:
            found = [beside.submit(take, database, one, "b") for one in (user, other)]
            held, free = (one.result(PATIENCE_S) for one in found)
        return held, free

    held, free = database.write(register)
    assert held is None
    assert free is not None
    assert taken(database, user, "b").fence == lease.fence + 1


HOLDERS = ("a", "b", "c")
STEPS = st.tuples(
    st.sampled_from(["take", "let it end", "renew", "release"]),
    st.sampled_from(HOLDERS),
    st.integers(0, 1),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=12))
def test_whatever_happens_a_user_has_one_holder_at_most(
    database: Database, steps: list[tuple[str, str, int]]
) -> None:
    users = [database.write(lambda db, n=name: add_user(db, n)) for name in ("ada", "ben")]
    with database.read() as db:
        fences = dict(db.execute(select(learning_leases.c.user_id, learning_leases.c.fence)).all())
    database.write(lambda db: db.execute(learning_leases.update().values(expires_at=0.0)))
    held: dict[tuple[str, int], Lease] = {}
    running: dict[int, str] = {}
    for what, holder, number in steps:
        user, mine = users[number], held.get((holder, number))
        if what in ("take", "let it end"):
            lease = take(database, user, holder, 60.0 if what == "take" else OVER)
            assert (lease is not None) == (running.get(number, holder) == holder)
            if lease is None:
                continue
            assert lease.fence > fences.get(user.id, 0)
            fences[user.id] = lease.fence
            held[holder, number] = lease
            running.pop(number, None)
            if what == "take":
                running[number] = holder
        elif mine is not None and is_held(database, mine):
            if what == "renew":
                database.write_rows(lambda db, one=mine: leases.renew(db, one, seconds=60.0))
                running[number] = holder
            else:
                database.write_rows(lambda db, one=mine: leases.release(db, one))
                fences[user.id] = mine.fence + 1
                running.pop(number, None)
        holders = [who for (who, n), one in held.items() if n == number and is_held(database, one)]
        assert len(holders) <= 1
        assert set(running.get(number, "")) <= set("".join(holders))
