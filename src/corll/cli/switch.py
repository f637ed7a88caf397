"""`corll models switch`: another base model for a data folder, once it was said what that costs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import Field
from sqlalchemy import Connection

from corll.cli.dialogue import ask, terminal_dialogue
from corll.cli.parsing import parse
from corll.cli.settings import (
    WHICH_DEVICE,
    WHICH_DTYPE,
    WHICH_MODEL,
    ModelName,
    OptionalDType,
    OptionalName,
)
from corll.cli.store import StoreSettings, actor
from corll.config import AUTO
from corll.errors import ConfigError
from corll.service.folder_lock import only_server
from corll.service.store import accounts, bases, lineages
from corll.service.store.base_switch import Moved, switch_base
from corll.service.store.bases import OnOtherBase
from corll.service.store.database import Database


class SwitchModelSettings(StoreSettings):
    """Give a data folder another base model. The service must not run meanwhile.

    Adapters belong to their base: each user begins anew from it, and what was learned waits to be
    learned again. Versions on the former base stay; a switch back to it serves them again.
    """

    model_name: ModelName = Field(description=f"{WHICH_MODEL}, or auto.")
    yes: bool = Field(False, description="Neither ask before the switch, nor before a download.")
    device: OptionalName = Field(None, description=WHICH_DEVICE)
    dtype: OptionalDType = Field(None, description=WHICH_DTYPE)


def switch(arguments: Sequence[str]) -> None:
    """Run the command: load the model, say what the switch costs, ask, and move every user.

    *Raises*: ConfigError where a server uses the folder, or the switch was declined;
    ModelNotFoundError.
    """
    settings = parse(SwitchModelSettings, arguments, command="models switch")
    # The model is loaded with torch, and --help must not wait for it.
    from corll.auto.resolve import resolve
    from corll.model.loading import load_model

    with settings.opened() as database, only_server(settings.data_dir):
        with database.read() as db:
            served = bases.served_base(db)
        dialogue = terminal_dialogue(yes=settings.yes)
        name = resolve(settings.model_name, dialogue, device=settings.device, dtype=settings.dtype)
        # Loaded to see that it works, and for the name of its weights.
        fingerprint = load_model(name, device=settings.device, dtype=settings.dtype).fingerprint
        with database.read() as db:
            if served is not None and bases.served_fingerprint(db) == fingerprint:
                print(f"{settings.data_dir} is served with {served.name} already: the same model.")
                return
            others = bases.users_on_other_bases(db, fingerprint, or_unknown=True)
        print(_cost(name, None if served is None else served.name, others))
        if not settings.yes and not (dialogue.someone_is_there and ask(f"Switch to {name}?")):
            raise ConfigError("Nothing was changed. At a terminal it is asked; --yes goes on.")
        moved = _moved(database, name, fingerprint)
    for called, user in moved:
        print(_told(called, user))
    print(f"{settings.data_dir} is served with {name} from now on (--model {AUTO}).")


def _cost(name: str, former: str | None, others: Sequence[OnOtherBase]) -> str:
    if not others:
        return f"Nobody has learned on {former or 'another model'} yet: the switch costs nothing."
    versions = sum(user.versions for user in others)
    return (
        f"The adapters of {len(others)} users ({versions} versions) belong to {former}. On {name} "
        "each begins anew from it, or goes on where it was there before: what was learned waits to "
        "be learned again from the stored edits, some steps at a time. Until then drafts are "
        f"{name}'s own. The versions stay on the disk, and a switch back serves them again."
    )


def _moved(database: Database, name: str, fingerprint: str) -> list[tuple[str, Moved]]:
    """Move every user; return what each is called, and where they are."""
    now = time.time()

    def move(db: Connection) -> list[tuple[str, Moved]]:
        reference = lineages.get_or_create_base_reference(
            db, base_model=name, base_fingerprint=fingerprint, now=now
        )
        moved = switch_base(db, reference, name=name, actor=actor(), now=now)
        users = {one.user_id: accounts.find_user(db, one.user_id) for one in moved}
        return [(user.name if (user := users[one.user_id]) else "", one) for one in moved]

    return database.write(move)


def _told(name: str, user: Moved) -> str:
    serves = f"version {user.version}" if user.version else "the model itself"
    return f"{name}: {serves} serves, {user.waiting} edits wait to be learned."
