"""Who serves where a version was found ruined: its parent may be as ruined, unseen until then.

The versions that it came of are looked at by the same prompts and today's rules. The nearest that
passes serves, by a rollback; where none does, the reference.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from sqlalchemy import Connection

from corll.errors import AdapterError, StaleParentError
from corll.service.learning.checks import Examined
from corll.service.learning.policies import VersionPolicies
from corll.service.store import lineages
from corll.service.store.database import Database
from corll.service.store.lineages import Reference, Version
from corll.verdicts.rejections import serves_instead

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FallBack:
    """A move of the alias, away from a ruined version: to an ancestor of it, or to π_0 (None)."""

    ruined: Version
    to: Version | None


class FallingBack:
    """Finds what is to serve in place of a ruined version, and has it serve."""

    def __init__(self, database: Database, policies: VersionPolicies) -> None:
        self._database, self._policies = database, policies

    def find(
        self, examined: Examined, serving: Version | None, reference: Reference
    ) -> FallBack | None:
        """Return where to fall back to from the parent of a rejected version; None: it goes on.

        `serving` is that parent. It is looked at only where the look spoke against its child.
        Ancestors whose weights were pruned, or cannot be loaded, are passed over.
        """
        if serving is None or examined.ruin is None:
            return None
        with self._database.read() as db:
            line = lineages.ancestry(db, serving.id)

        def reasons_against(ancestor: Version) -> list[str]:
            if ancestor.id == serving.id:
                reason = examined.ruin_of(examined.parent_look)
            else:
                reason = self._ruin_of(examined, ancestor, reference)
            if reason is not None:
                log.warning("version %d is ruined, unseen so far: %s", ancestor.number, reason)
            return [] if reason is None else [reason]

        to = serves_instead([one for one in line if one.folder is not None], reasons_against)
        return None if to is not None and to.id == serving.id else FallBack(serving, to)

    def _ruin_of(self, examined: Examined, ancestor: Version, reference: Reference) -> str | None:
        try:
            with self._policies.of_version(ancestor, reference) as policy:
                return examined.ruin_of(examined.look_of(policy))
        except AdapterError as error:
            return f"its weights cannot be loaded ({error})"

    @staticmethod
    def carry_out(db: Connection, move: FallBack) -> None:
        """Roll back to what is to serve; what only the ruined versions had learned is set aside.

        *Raises*: StaleParentError where another version serves by now, or the weights that should
        serve were pruned.
        """
        user_id, to = move.ruined.user_id, move.to
        serving = lineages.serving_version(db, user_id)
        if serving is None or serving.id != move.ruined.id:
            raise StaleParentError(
                f"version {move.ruined.number} of user {user_id} is ruined, but another one serves"
            )
        target = None if to is None else lineages.find_version(db, to.id)
        if to is not None and (target is None or target.folder is None):
            raise StaleParentError(f"the weights of version {to.number} of {user_id} were pruned")
        number = 0 if to is None else to.number
        now = time.time()
        lineages.rollback(db, user_id, to=number, requeue=False, actor="learner", now=now)
