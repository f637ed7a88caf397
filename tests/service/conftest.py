"""A database of the test's own, on SQLite and on PostgreSQL, and a service over HTTP.

PostgreSQL is the server that `CORLL_TEST_POSTGRES` names, or one that is started for the tests.
"""

from __future__ import annotations

import logging
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from store_samples import add_user

from corll.service.store.accounts import User
from corll.service.store.database import Database
from postgres_server import new_database, postgres_server, why_not
from running_service import RunningService, running_service, settings_for

OLDER = Path(__file__).parents[1] / "data" / "service_of_0_1.tar.gz"


@pytest.fixture(autouse=True)
def _log_restored() -> Iterator[None]:
    """What a test sends the log to, by a command in this process, is let go of when it ends."""
    loggers = [logging.getLogger(name) for name in (None, "alembic", "uvicorn", "httpx")]
    root, levels = loggers[0], [logger.level for logger in loggers]
    before = list(root.handlers)
    yield
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


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
    with new_database(postgres_url) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where to restore to: as `database_url`, whichever kind the backup is of."""
    if request.param == "sqlite":
        yield None
        return
    with new_database(request.getfixturevalue("postgres_url")) as url:
        yield url


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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service_database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """As `database_url`, for a service of the module's own."""
    if request.param == "sqlite":
        yield None
        return
    with new_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    service_database: str | None,
) -> Iterator[RunningService]:
    """A service of the module's own without a learner: for tests of what it answers."""
    folder = tmp_path_factory.mktemp("service")
    settings = settings_for(tiny_model_folder, folder, learn=False, database=service_database)
    with running_service(settings) as running:
        yield running


@pytest.fixture
def store(service: RunningService) -> Iterator[Database]:
    """The database of the module's service, as a command beside it opens it."""
    opened = Database.open(service.settings.database, service.settings.data_dir)
    yield opened
    opened.close()


@pytest.fixture
def database_of_commands(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> str | None:
    """As `database_url`: where commands find the database by their environment."""
    monkeypatch.setenv("CORLL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    if database_url is None:
        monkeypatch.delenv("CORLL_DATABASE", raising=False)
    else:
        monkeypatch.setenv("CORLL_DATABASE", database_url)
    return database_url
