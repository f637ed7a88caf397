"""News between processes, learners that are seen, and clocks that differ."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest
from sqlalchemy import text, update
from store_samples import NOW, add_user

from corll.errors import LeaseLostError, StoreError
from corll.schemas.events import EditEvent, Event, VersionEvent
from corll.service.fleet_news import FleetNews, LearnersElsewhere
from corll.service.learning.holding import Holding
from corll.service.store import fleet, leases, migrating
from corll.service.store.accounts import audit
from corll.service.store.database import Database
from corll.service.store.fleet import NewsRow
from corll.service.store.fleet_tables import learners, news, schema_compatibility
from running_service import until

PROMISED_SINCE = "0017"
"""From this revision on, processes of an earlier one go on with a later schema."""
VERSION = VersionEvent(number=3, state="serving")


def test_news_are_read_once_by_all_but_who_posted_them(database: Database) -> None:
    rows = [NewsRow("user_1", "version", {"number": n, "state": "serving"}) for n in (1, 2)]
    database.write(lambda db: fleet.post(db, rows, origin="one"))
    with database.read() as db:
        found, last = fleet.news_since(db, 0, but="two")
        assert found == rows
        assert fleet.news_since(db, last, but="two") == ([], last)
        assert fleet.news_since(db, 0, but="one") == ([], last)


def test_old_news_go(database: Database) -> None:
    row = NewsRow("user_1", "version", {})
    database.write(lambda db: fleet.post(db, [row], origin="one"))
    database.write(lambda db: db.execute(update(news).values(created_at=time.time() - 4000)))
    database.write(lambda db: fleet.post(db, [row, row], origin="one"))
    with database.read() as db:
        assert len(fleet.news_since(db, 0, but="")[0]) == 2


def test_what_happens_in_one_process_is_heard_in_another(database: Database) -> None:
    heard: list[tuple[str, Event]] = []
    one = FleetNews(database, "one", learner=True)
    two = FleetNews(database, "two", hear=lambda user, event: heard.append((user, event)))
    edit = EditEvent(id="edit_1", state="recorded", edit_cost=0.5)
    one.post("user_1", VERSION)
    one.post("user_2", edit)
    until(lambda: len(heard) == 2)
    assert heard == [("user_1", VERSION), ("user_2", edit)]
    elsewhere = LearnersElsewhere()
    assert elsewhere.state == "down"
    elsewhere.count = lambda: two.learners
    assert elsewhere.state == "ready"
    one.post("user_1", VERSION)
    one.stop()  # which posts what waits
    until(lambda: (len(heard), elsewhere.state) == (3, "down"))
    two.stop()


def test_news_wait_for_a_database_that_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = FleetNews(database, "one")

    def away(_: object) -> None:
        raise StoreError("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(database, "write", away)
        one.post("user_1", VERSION)
        with pytest.raises(StoreError):
            one.look()
    one.stop()
    with database.read() as db:
        assert len(fleet.news_since(db, 0, but="")[0]) == 1


def test_a_learner_counts_as_long_as_it_is_seen(database: Database) -> None:
    database.write(lambda db: fleet.note_learner(db, "one"))
    database.write(lambda db: fleet.note_learner(db, "one"))
    with database.read() as db:
        assert fleet.count_learners(db) == 1
    ago = learners.c.seen_at - fleet.ALIVE_S
    database.write(lambda db: db.execute(update(learners).values(seen_at=ago)))
    with database.read() as db:
        assert fleet.count_learners(db) == 0


@pytest.mark.parametrize("minutes", [-10, 10])
def test_machines_whose_clocks_differ_by_minutes_hold_one_user_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """Leases end by the database's clock, whatever a machine takes the time to be."""
    user = database.write(add_user)
    now = time.time

    def note() -> None:
        database.write(
            lambda db: audit(db, actor="a", action="a", subject="a", details={}, now=NOW)
        )

    with Holding(database, "here").of(user.id) as held:
        assert held
        monkeypatch.setattr(time, "time", lambda: now() + 60 * minutes)
        with Holding(database, "there").of(user.id) as also_held:
            assert not also_held
        assert not database.write_rows(lambda db: leases.end_former(db, "there"))
        note()
    with Holding(database, "there").of(user.id) as held:
        assert held


def test_of_two_learners_with_one_claim_the_earlier_registers_nothing(database: Database) -> None:
    user = database.write(add_user)
    with Holding(database, "one").of(user.id) as held:
        assert held
        # It slept for longer than its lease, as a machine does that was suspended.
        gone = text("UPDATE learning_leases SET expires_at = 1")
        database.write_rows(lambda db: db.execute(gone))
        take = database.write_rows(lambda db: leases.take(db, user.id, "two", seconds=60.0))
        assert take is not None
        with pytest.raises(LeaseLostError, match="another learner has taken over"):
            database.write(
                lambda db: audit(db, actor="a", action="a", subject="a", details={}, now=0)
            )


def test_a_newer_schema_is_used_where_it_says_that_it_may_be(
    database: Database, database_url: str | None, tmp_path: Path
) -> None:
    def stamp(revision: str, oldest: str) -> None:
        def write(db):  # type: ignore[no-untyped-def]
            db.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
            db.execute(update(schema_compatibility).values(revision=oldest))

        database.write(write)

    stamp("9999_newer", migrating.newest_revision())
    opened = Database.open(database_url, tmp_path / "data")
    opened.write(add_user)
    with opened.read() as db:
        assert migrating.revision_of(db) == "9999_newer"
    opened.close()
    stamp("9999_newer", "9999_newer")
    with pytest.raises(StoreError, match="was written by a newer corll"):
        Database.open(database_url, tmp_path / "data")


def _ops(path: Path) -> list[ast.Call]:
    """What a migration does to the tables."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [one for one in calls if ast.unparse(one.func).startswith("op.")]


def breaks(path: Path) -> list[str]:
    """What of a migration a process of an earlier revision could not go on with."""
    found = []
    for call in _ops(path):
        name, told = ast.unparse(call.func), ast.unparse(call)
        optional = "nullable=False" not in told or "server_default" in told
        if name in ("op.create_table", "op.create_index", "op.get_bind"):
            continue
        if (name == "op.add_column" and optional) or "schema_compatibility" in told:
            continue
        if name != "op.execute" or "compatibility" not in told:
            found.append(told)
    return found


def test_migrations_after_the_promise_add_and_take_nothing_away() -> None:
    """One that does otherwise sets `schema_compatibility` to its own revision, and says so."""
    found = sorted((migrating.MIGRATIONS / "versions").glob("[0-9]*.py"))
    later = [path for path in found if path.name[:4] >= PROMISED_SINCE]
    assert later
    told = {path.name: breaks(path) for path in later}
    sets = {path.name for path in later if "schema_compatibility" in path.read_text("utf-8")}
    assert {name for name, what in told.items() if what and name not in sets} == set()


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        ("op.add_column('users', sa.Column('a', sa.String()))", True),
        ("op.add_column('users', sa.Column('a', sa.String(), nullable=False))", False),
        ("op.drop_column('users', 'mask')", False),
        ("op.execute('DELETE FROM users')", False),
    ],
)
def test_what_an_earlier_process_could_not_go_on_with_is_found(
    tmp_path: Path, line: str, is_kept: bool
) -> None:
    (tmp_path / "0099_x.py").write_text(f"def upgrade():\n    {line}\n")
    assert (breaks(tmp_path / "0099_x.py") == []) == is_kept
