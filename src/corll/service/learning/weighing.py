"""What edits say of the version that served, told to the store before the next one learns.

It costs nobody's time: the new version serves already. `corll.verdicts.evidence` has the rules.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from corll.errors import InputError
from corll.policy import Policy
from corll.records import Preference, Sample, text_of
from corll.service.arms import coin_of
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, coins
from corll.verdicts.arms import Arm
from corll.verdicts.evidence import EditScores
from corll.verdicts.policies import edit_scores
from corll.verdicts.survival import usual_closings

log = logging.getLogger(__name__)


def weigh(
    policy: Policy,
    preferences: Sequence[Preference],
    past: Sequence[Preference],
    *,
    give_way: Callable[[], None] = lambda: None,
) -> list[Mapping[Arm, EditScores]]:
    """Return what edits say of each arm; `policy` has not learned from them.

    The texts of `past` preferences show how its user closes a text. An edit that the context has no
    room for, or of which the weights give no finite numbers, says nothing.
    """
    closings = usual_closings([text_of(one.chosen) for one in past])
    found: list[Mapping[Arm, EditScores]] = []
    for one in preferences:
        if not (isinstance(one.rejected, Sample) and isinstance(one.chosen, Sample)):
            continue
        give_way()
        try:
            scores = edit_scores(
                policy,
                one.prompt,
                one.rejected,
                one.chosen,
                memory=one.memory,
                closings=closings,
            )
        except InputError as error:
            log.info("an edit is not weighed: %s", error)
            continue
        found.append(scores)
    return found


def keep(
    db: Connection,
    user_id: str,
    settings: ServiceSettings,
    found: Sequence[Mapping[Arm, EditScores]],
) -> None:
    """Keep what edits say, and propose the arm that is worth a trial by it."""
    user, now = accounts.find_user(db, user_id), time.time()
    if user is None or not found:
        return
    evidence = coins.evidence_of(db, user_id)
    for scores in found:
        evidence = evidence.after(scores)
    coins.keep_evidence(db, user_id, evidence, now=now)
    if settings.upstream is not None:
        return  # its arms are others than those that edits were weighed by
    coin = coin_of(db, user, settings)
    proposed = evidence.proposal(coin)
    after = coin if proposed is None else coin.propose(proposed)
    if after != coin:
        coins.keep_coin(db, user_id, after, now=now)
