"""The lock of a data folder: one server holds it, or several that share a PostgreSQL database.

What must not happen beside a server holds it alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock, Timeout

from corll.errors import ConfigError

LOCK = "server.lock"


@contextmanager
def only_server(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for one server, or for what must not happen beside one.

    No child process inherits the lock. *Raises*: ConfigError where another process holds it.
    """
    lock = FileLock(data_dir / LOCK, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise _taken(data_dir) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def one_of_servers(data_dir: Path) -> Iterator[None]:
    """Hold the data folder beside other servers; on Windows, which has no such lock, alone.

    No child process inherits the lock. *Raises*: ConfigError where a process holds it alone.
    """
    if find_spec("fcntl") is None:
        with only_server(data_dir):
            yield
        return
    import fcntl

    file = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(data_dir) from error
        yield
    finally:
        os.close(file)


def is_served(data_dir: Path) -> bool:
    """Say whether a server, or what must not happen beside one, holds the data folder now."""
    if not (data_dir / LOCK).exists():
        return False
    try:
        with only_server(data_dir):
            return False
    except ConfigError:
        return True


def _taken(data_dir: Path) -> ConfigError:
    return ConfigError(f"Another server uses {data_dir}; stop it, or choose another --data-dir.")
