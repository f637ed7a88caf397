"""`corll keys …`: the keys that open the service.

create    makes a key and prints it, once
list      the keys there are; never their secrets
rotate    makes a key that takes another's place, which ends later
revoke    ends a key at once
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Self

from pydantic import Field, field_validator, model_validator
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection
from tyro.conf import Positional

from corll.cli.parsing import dispatch, parse
from corll.cli.settings import OptionalName, OptionalNumber
from corll.cli.store import (
    Namespace,
    StoreSettings,
    actor,
    stores_by_default,
    when,
)
from corll.errors import ConfigError
from corll.schemas.states import KeyScope
from corll.service.durations import DAY_S, seconds_of
from corll.service.store import accounts
from corll.service.store.accounts import LOCAL_NAMESPACE, Key, User

_LONGEST_OVERLAP_S = 30 * DAY_S
_DATES = ("made", "ends")
_ANY_WIDTH = 10_000


class CreateKeySettings(StoreSettings):
    """Make a key and print it. It cannot be shown again: only its hash is kept."""

    scope: KeyScope = Field(
        "user",
        description="What it may do: `user` speaks for one user, `backend` for all users of its "
        "name space, `admin` for all.",
    )
    user: OptionalName = Field(
        None,
        min_length=1,
        max_length=64,
        description="The name of the user whom a key of scope user speaks for.",
    )
    namespace: Namespace = Field(LOCAL_NAMESPACE, description="The name space of its users.")
    label: str = Field("", description="What it is for, to tell it from others.")
    rate_per_minute: OptionalNumber = Field(
        None, ge=1, description="Requests it may make a minute; by default as the service says."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.scope == "user") != (self.user is not None):
            raise ValueError(
                "a key of scope user needs user, the name of the one it speaks for; other scopes "
                "speak for many and take none"
            )
        return self


class ListKeysSettings(StoreSettings):
    """List the keys, oldest first."""

    namespace: OptionalName = Field(
        None, description="Only those of this name space; by default all."
    )


class RotateKeySettings(StoreSettings):
    """Make a key that may do what another may, and print it. The other ends after the overlap."""

    key: Positional[str] = Field(description="The old key's id, as `corll keys list` shows it.")
    overlap: str = Field(
        "24h",
        description="How long the old key still works: such as 30m, 24h or 7d; 30d at most.",
    )

    @property
    def overlap_s(self) -> float:
        """The overlap. *Units*: seconds."""
        return seconds_of(self.overlap)

    @field_validator("overlap")
    @classmethod
    def _short(cls, overlap: str) -> str:
        if seconds_of(overlap) > _LONGEST_OVERLAP_S:
            raise ValueError(f"{overlap} is longer than 30d; give a shorter one")
        return overlap


class RevokeKeySettings(StoreSettings):
    """End a key: the service refuses it from now on."""

    key: Positional[str] = Field(description="The key's id, as `corll keys list` shows it.")


def main(arguments: Sequence[str]) -> None:
    dispatch("keys", __doc__, _COMMANDS, arguments)


def _create(arguments: Sequence[str]) -> None:
    settings = parse(CreateKeySettings, arguments, command="keys create")
    with settings.opened(create=True) as database:
        key, secret, user = database.write(lambda db: _created(db, settings))
    what = f"{key.id}: scope {key.scope}, name space {key.namespace}"
    if user is not None:
        kept = "are kept" if user.store else "are not kept"
        kept += " and learned from" if user.store and user.learn else ", and not learned from"
        what += f", user {user.name} ({user.id}), whose texts {kept}"
    print(f"{what}.\nThe key is shown once:", file=sys.stderr)
    print(secret)


def _created(db: Connection, settings: CreateKeySettings) -> tuple[Key, str, User | None]:
    now = time.time()
    user = None
    if settings.user is not None:
        store = stores_by_default()
        user = accounts.get_or_create_user(
            db, settings.namespace, settings.user, store=store, now=now
        )
    key, secret = accounts.create_key(
        db,
        scope=settings.scope,
        namespace=settings.namespace,
        label=settings.label,
        user_id=None if user is None else user.id,
        rate_per_minute=settings.rate_per_minute,
        actor=actor(),
        now=now,
    )
    return key, secret, user


def _list(arguments: Sequence[str]) -> None:
    settings = parse(ListKeysSettings, arguments, command="keys list")
    with settings.opened() as database, database.read() as db:
        keys = accounts.list_keys(db, settings.namespace)
        names = {user.id: user.name for user in accounts.users_of(db, settings.namespace)}
    rated = any(key.rate_per_minute is not None for key in keys)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "scope", "name space", "user", "label", *["a minute"] * rated, *_DATES):
        # What is cut off could not be revoked, and a date could not be read.
        table.add_column(name, no_wrap=name in ("id", "scope", *_DATES), overflow="fold")
    for key in keys:
        user = "–" if key.user_id is None else names.get(key.user_id, key.user_id)
        rate = "–" if key.rate_per_minute is None else str(key.rate_per_minute)
        dates = when(key.created_at), when(key.revoked_at)
        cells = key.id, key.scope, key.namespace, user, key.label, *[rate] * rated, *dates
        table.add_row(*cells)
    # A pipe has no width.
    Console(width=None if sys.stdout.isatty() else _ANY_WIDTH).print(table)


def _rotate(arguments: Sequence[str]) -> None:
    settings = parse(RotateKeySettings, arguments, command="keys rotate")
    now = time.time()
    with settings.opened() as database:
        rotated = database.write(
            lambda db: accounts.rotate_key(
                db, settings.key, overlap_s=settings.overlap_s, actor=actor(), now=now
            )
        )
    if rotated is None:
        raise ConfigError(
            f"There is no key {settings.key!r} that goes on; see `corll keys list`, where a key "
            "that was rotated or revoked has a date."
        )
    key, secret = rotated
    ends = f"{settings.key} ends {when(now + settings.overlap_s)}"
    print(f"{key.id} takes its place; {ends}.\nThe key is shown once:", file=sys.stderr)
    print(secret)


def _revoke(arguments: Sequence[str]) -> None:
    settings = parse(RevokeKeySettings, arguments, command="keys revoke")
    with settings.opened() as database:
        revoked = database.write(
            lambda db: accounts.revoke_key(db, settings.key, actor=actor(), now=time.time())
        )
    if not revoked:
        raise ConfigError(f"There is no key {settings.key!r} to revoke; see `corll keys list`.")
    print(f"{settings.key} is revoked.")


_COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "create": _create,
    "list": _list,
    "rotate": _rotate,
    "revoke": _revoke,
}
