"""Whether an adapter that was made elsewhere may serve a user: examined before it does.

It is held to the base by those checks of versions that ask for ruin: whether its numbers are
finite, what it drafts on the user's recent prompts, or on ours, and whether it refuses less. How
far it is from the base is its maker's business. What served before goes on until it passed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from sqlalchemy import Connection

from corll.errors import AdapterError, InputError
from corll.records import Preference
from corll.service.learning.checks import (
    Examined,
    is_not_ruined,
    reasons_against,
    refuses_as_before,
    stays_finite,
)
from corll.service.learning.starting_points import LOOKED_BACK
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, lineages, preferences, starts
from corll.service.store.lineages import Reference
from corll.service.store.starts import StartRow
from corll.service.tracing import GATE
from corll.service.versions.references import begin, check_reference, reject

log = logging.getLogger(__name__)

CHECKS: tuple[Callable[[Examined], str | None], ...] = (
    stays_finite,
    is_not_ruined,
    refuses_as_before,
)


def examine(trainer: Trainer, asked: StartRow) -> StartRow:
    """Examine what a user is to start from, and begin the lineage or say what speaks against it.

    Return the start as it stands then. One that was withdrawn meanwhile stays so.
    """
    with trainer.database.read() as db:
        reference = lineages.find_reference(db, asked.reference_id)
        ids = _latest_ids(db, asked.user_id)
    assert reference is not None
    past = list(trainer.reader.find(ids).values())
    about = {"corll.user.id": asked.user_id, "corll.reference.id": reference.id}
    with trainer.tracing.span(GATE, about) as span:
        reasons = _reasons_against(trainer, reference, past)
        span.note({"corll.gate.reasons": len(reasons)})
    if reasons:
        log.warning("reference %d is not to serve %s: %s", reference.number, asked.user_id, reasons)

    def settle(db: Connection) -> StartRow:
        row = starts.find_start(db, asked.number)
        assert row is not None
        if row.state != "examining":
            return row
        if reasons:
            return reject(db, row, reference, reasons, now=time.time())
        return begin(db, row, reference, examined=True, now=time.time())

    return trainer.database.write(settle)


def _latest_ids(db: Connection, user_id: str) -> list[str]:
    """Return the ids of a user's latest preferences, none where they may not be learned from."""
    user = accounts.find_user(db, user_id)
    if user is None or not (user.store and user.learn):
        return []
    return preferences.latest_ids(db, user_id, limit=LOOKED_BACK)


def _reasons_against(
    trainer: Trainer, reference: Reference, past: Sequence[Preference]
) -> list[str]:
    with ExitStack() as loaded:
        try:
            versions, place = trainer.database.versions, reference.folder
            folder = None if place is None else versions.fetch(place)
            check_reference(reference, trainer.base.base.fingerprint)
            policy = loaded.enter_context(trainer.policies.of_folder(folder, None))
        except (AdapterError, InputError) as error:
            return [str(error)]
        return reasons_against(trainer.examined(policy, past=past), CHECKS)
