"""`corll consent …`: what a user agrees to: that texts are kept, learned from, used beyond them.

show                  the switches as they stand
give SWITCH …         the user agrees: store, learn, share
withdraw SWITCH …     the user agrees no longer
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field
from sqlalchemy import Connection
from tyro.conf import Positional, arg

from corll.cli.parsing import dispatch, parse
from corll.cli.store import UserSettings, actor, stores_by_default
from corll.errors import ConfigError
from corll.schemas.requests import ConsentRequest
from corll.service.store import accounts, preferences
from corll.service.store.accounts import User, find_user_called

Switch = Literal["store", "learn", "share"]
Switches = Annotated[Positional[tuple[Switch, ...]], arg(metavar="SWITCH …")]

_ABOUT = "What the user agrees to: store, learn, share."


class ShowConsentSettings(UserSettings):
    """Show what a user agrees to, and what was not learned from since they had not agreed."""


class GiveConsentSettings(UserSettings):
    """Note that a user agrees. A name that is new makes a user, before their first draft.

    A service that runs heeds it within seconds.
    """

    switches: Switches = Field(min_length=1, description=_ABOUT)
    include_past: bool = Field(
        False, description="With learn: let what came before consent be learned from too."
    )


class WithdrawConsentSettings(UserSettings):
    """Note that a user agrees no longer. Without `learn` the base serves from now on.

    What is kept stays until it is deleted: see `corll forget`.
    """

    switches: Switches = Field(min_length=1, description=_ABOUT)


def main(arguments: Sequence[str]) -> None:
    dispatch("consent", __doc__, _COMMANDS, arguments)


def _show(arguments: Sequence[str]) -> None:
    settings = parse(ShowConsentSettings, arguments, command="consent show")
    with settings.opened() as database:
        user = settings.found_in(database)
        with database.read() as db:
            print(*_lines(db, user), sep="\n")


def _give(arguments: Sequence[str]) -> None:
    settings = parse(GiveConsentSettings, arguments, command="consent give")
    if settings.include_past and "learn" not in settings.switches:
        raise ConfigError("--include-past says what may be learned from: give learn with it.")
    with settings.opened(create=True) as database:
        print(*database.write(lambda db: _given(db, settings)), sep="\n")


def _given(db: Connection, settings: GiveConsentSettings) -> list[str]:
    user = find_user_called(db, settings.namespace, settings.user)
    if user is None:
        store, now = stores_by_default(), time.time()
        user = accounts.get_or_create_user(
            db, settings.namespace, settings.user, store=store, now=now
        )
    return _changed(db, user, settings.switches, to=True, include_past=settings.include_past)


def _withdraw(arguments: Sequence[str]) -> None:
    settings = parse(WithdrawConsentSettings, arguments, command="consent withdraw")
    with settings.opened() as database:
        user = settings.found_in(database)
        print(*database.write(lambda db: _changed(db, user, settings.switches, to=False)), sep="\n")


def _changed(
    db: Connection, user: User, switches: Sequence[Switch], *, to: bool, include_past: bool = False
) -> list[str]:
    """Set the switches that are named, and return what there is to say of all."""
    store, learn, share = (to if name in switches else None for name in get_args(Switch))
    changed = accounts.set_consent(
        db,
        user.id,
        store=store,
        learn=learn,
        share=share,
        include_past=include_past,
        actor=actor(),
        now=time.time(),
    )
    return list(_lines(db, changed))


def _lines(db: Connection, user: User) -> Iterator[str]:
    """Yield who it is, a line for each switch, and what was withheld meanwhile."""
    yield f"{user.name} ({user.id}), name space {user.namespace}"
    for name in get_args(Switch):
        meaning = str(ConsentRequest.model_fields[name].description)
        yield f"{name}  {'yes' if getattr(user, name) else 'no ':3}  {meaning}"
    withheld = preferences.count_withheld(db, user.id)
    if withheld:
        were = "1 edit was" if withheld == 1 else f"{withheld} edits were"
        yield (
            f"{were} made while the user did not agree to be learned from; "
            "`corll consent give learn --include-past` lets them be learned too."
        )


_COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "show": _show,
    "give": _give,
    "withdraw": _withdraw,
}
