"""Which base model a data folder is served with: chosen once, and recorded.

It never changes by itself: what users learned belongs to their base. Another one is refused until
`corll models switch` has moved them.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection

from corll.auto.dialogue import Dialogue
from corll.auto.machine import too_little_to_learn
from corll.auto.resolve import resolve
from corll.config import AUTO
from corll.errors import ConfigError
from corll.policy import Policy
from corll.schemas.states import BaseReason
from corll.service.settings import ServiceSettings
from corll.service.store import bases, lineages
from corll.service.store.database import Database
from corll.service.store.lineages import Reference


def with_base_named(
    settings: ServiceSettings, database: Database, dialogue: Dialogue
) -> ServiceSettings:
    """Return the settings with the name of a base model that is here.

    `auto` means the base that the data folder is served with; where there is none yet, what suits
    this machine. *Raises*: ModelNotFoundError.
    """
    name = settings.model
    dialogue = dialogue.agreeing() if settings.yes else dialogue
    if name == AUTO:
        with database.read() as db:
            served = bases.served_base(db)
        name = AUTO if served is None else served.name
    name = resolve(name, dialogue, device=settings.device, dtype=settings.dtype)
    warning = too_little_to_learn(name, settings.device, settings.dtype)
    if warning is not None and settings.learn:
        dialogue.say(warning)
    return settings.model_copy(update={"model": name})


def keep_base(database: Database, base: Policy, *, asked_for: str) -> None:
    """Record which base is served from now on; `asked_for` is what --model said.

    *Raises*: ConfigError where users have learned on another base.
    """
    fingerprint = base.base.fingerprint
    with database.read() as db:
        others = bases.users_on_other_bases(db, fingerprint)
    if others:
        raise ConfigError(
            f"{_users(len(others))} of this data folder learned on {others[0].base_model}, and "
            f"{base.name} is another base model, to which their adapters do not belong. Serve "
            f"{others[0].base_model} (--model {AUTO} does), or move them: corll models switch "
            f"{base.name}"
        )

    def record(db: Connection) -> None:
        reference = base_reference(db, base)
        reason: BaseReason = "auto" if asked_for == AUTO else "named"
        bases.record_base(
            db, name=base.name, reference_id=reference.id, reason=reason, now=time.time()
        )

    database.write(record)


def base_reference(db: Connection, base: Policy) -> Reference:
    """Return the base model as a reference, which it becomes where it is none."""
    return lineages.get_or_create_base_reference(
        db, base_model=base.name, base_fingerprint=base.base.fingerprint, now=time.time()
    )


def _users(count: int) -> str:
    return "A user" if count == 1 else f"{count} users"
