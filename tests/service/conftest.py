"""A database of the test's own, on SQLite and on PostgreSQL, and a service over HTTP.

PostgreSQL is the server that `CORLL_TEST_POSTGRES` names, or one that is started for the tests.
"""

from __future__ import annotations

import os
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import postgres_server, why_not
from sqlalchemy import Connection, create_engine, make_url, text
from store_samples import add_user

from corll.service.store.accounts import User
from corll.service.store.database import Database
from running_service import RunningService, running_service, settings_for

OLDER = Path(__file__).parents[1] / "data" / "service_of_0_1.tar.gz"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder of 0.1, not where it was written.

    anna and ben have learned on the base, cara starts from an adapter.
    """
    with tarfile.open(OLDER) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL server on which databases can be made."""
    named = os.environ.get("CORLL_TEST_POSTGRES")
    if named:
        yield named
        return
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where to keep things: None for a file in the data folder, or an empty database's URL."""
    if request.param == "sqlite":
        yield None
        return
    postgres_url: str = request.getfixturevalue("postgres_url")
    name = f"test_{secrets.token_hex(6)}"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as db:
        db.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as db:
        db.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def database(tmp_path: Path, database_url: str | None) -> Iterator[Database]:
    """A real database, empty."""
    opened = Database.open(database_url, tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def db(database: Database) -> Iterator[Connection]:
    """One transaction that the whole test writes in."""
    with database._writer.begin() as connection:
        yield connection


@pytest.fixture
def ada(db: Connection) -> User:
    """A user who lets texts be stored and learned from."""
    return add_user(db)


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service of the module's own without a learner: for tests of what it answers."""
    settings = settings_for(tiny_model_folder, tmp_path_factory.mktemp("service"), learn=False)
    with running_service(settings) as running:
        yield running
