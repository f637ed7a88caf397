"""What is told whoever starts the server, once it serves: where, by which keys, and a link."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

from sqlalchemy import Connection

from corll.schemas.states import KeyScope
from corll.service.api.sign_in_routes import link_path
from corll.service.folder_lock import is_served
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, sign_ins
from corll.service.store.accounts import DEFAULT_USER, LOCAL_NAMESPACE, User
from corll.service.store.database import Database

_ADDRESS = "server.url"
"""The file of a data folder that holds where its server answers."""

_FIRST_KEY = "the first key"
_OWN_KEY = "the key of whoever is at the terminal"


def address_for_people(settings: ServiceSettings, port: int) -> str:
    """Return where a browser on this machine, or beyond the proxy, reaches the server.

    A socket that listens on every address has none of its own to show.
    """
    host, named = settings.host, next(iter(settings.public_hosts), None)
    if named is not None and settings.behind_proxy:
        return f"https://{named}"  # on the proxy's port, which is not ours to know
    if named is None and listens_everywhere(settings):
        host = "::1" if ":" in host else "127.0.0.1"
    shown = named or host
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}"


def listens_everywhere(settings: ServiceSettings) -> bool:
    """Tell whether the server listens on every address of its machine."""
    try:
        return ip_address(settings.host).is_unspecified
    except ValueError:  # a name
        return False


@contextmanager
def address_noted(data_dir: Path, address: str) -> Iterator[None]:
    """Keep beside the data where their server answers, as long as it does."""
    file = data_dir / _ADDRESS
    file.write_text(address + "\n", encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            if _noted(data_dir) == address:  # and no server that was started later
                file.unlink()


def noted_address(data_dir: Path) -> str | None:
    """Return where the server of a data folder answers; None where none runs."""
    return _noted(data_dir) if is_served(data_dir) else None


def _noted(data_dir: Path) -> str | None:
    """Return the address beside the data, which a server that was killed leaves there."""
    try:
        return (data_dir / _ADDRESS).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def keep_given_key(settings: ServiceSettings, database: Database) -> None:
    """Keep the admin key that CORLL_ADMIN_KEY names, before anybody asks with it."""
    if settings.admin_key is None:
        return
    secret, now = settings.admin_key.get_secret_value(), time.time()

    def keep(db: Connection) -> None:
        if accounts.find_key(db, secret, now=now) is None:
            _new_key(db, "admin", _FIRST_KEY, secret=secret, now=now)

    database.write(keep)


def announce(
    settings: ServiceSettings,
    database: Database,
    say: Callable[[str], None],
    *,
    model: str,
    address: str,
    log_file: Path | None,
) -> None:
    """Tell all of it; the keys that are made here are shown this once. The link comes last."""
    now = time.time()

    def make(db: Connection) -> tuple[list[str], str]:
        user = accounts.get_or_create_user(
            db, LOCAL_NAMESPACE, DEFAULT_USER, store=settings.stores_by_default, now=now
        )
        # Whoever chose the admin's key makes the others too; nobody may be at the terminal.
        keys = [] if settings.admin_key is not None else list(_first_keys(db, user, now=now))
        return keys, sign_ins.create_link(db, user.id, actor="server", now=now)

    keys, token = database.write(make)
    if settings.upstream is not None:
        say(f"{settings.upstream_model} at {settings.upstream} drafts chats of corll")
    say(f"corll serves {model} at {address}/v1 (stop with Ctrl-C)")
    if listens_everywhere(settings) and not settings.public_hosts:
        say("Other machines reach the desk by a name of this one: --public-hosts NAME")
    for line in keys:
        say(line)
    if log_file is not None:
        say(f"The log is in {log_file}")
    say("Write in your browser by this link, which works once (`corll link` makes another):")
    say(f"{address}{link_path(token)}")


def _first_keys(db: Connection, user: User, *, now: float) -> Iterator[str]:
    """Make the keys that are not there yet; yield a line for each."""
    live = [key for key in accounts.list_keys(db, None) if key.is_live(now)]
    if not any(key.user_id == user.id for key in live):
        secret = _new_key(db, "user", _OWN_KEY, user_id=user.id, now=now)
        yield f"Your key, for any OpenAI client, shown this once: {secret}"
    if not any(key.scope == "admin" for key in live):
        secret = _new_key(db, "admin", _FIRST_KEY, now=now)
        yield f"Your admin key, shown this once: {secret}"


def _new_key(
    db: Connection,
    scope: KeyScope,
    label: str,
    *,
    user_id: str | None = None,
    secret: str | None = None,
    now: float,
) -> str:
    _, secret = accounts.create_key(
        db,
        scope=scope,
        namespace=LOCAL_NAMESPACE,
        label=label,
        user_id=user_id,
        secret=secret,
        actor="server",
        now=now,
    )
    return secret
