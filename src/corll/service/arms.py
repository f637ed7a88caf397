"""Which arm drafts for a user: the one that was chosen, or by a coin the one that saves most.

The arms are π_0, π_0 behind the user's past letters, what was learned, and both. Where nobody chose
one, a coin decides on a part of the drafts and learns what their edits cost; `corll.verdicts.arms`
has its rules. One trial goes on at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection

from corll.frames import Framing
from corll.memory.choosing import MemoryChoice
from corll.records import Prompt
from corll.schemas.states import ArmChoice
from corll.service.drafting.serving import Serving
from corll.service.memory import Recall, Recalled
from corll.service.settings import ServiceSettings
from corll.service.store import coins
from corll.service.store.accounts import User
from corll.service.store.coins import TrialRow
from corll.service.store.drafts import DraftRow
from corll.verdicts.arms import Arm, Coin, Toss, arm_with, has_memory, has_weights, within

MOST_TRIED = 150
"""Drafts after which a trial that is not decided ends; who serves goes on."""


class Chosen(NamedTuple):
    """The arm that drafts, and the toss that decided on it; None where no coin did."""

    arm: Arm
    toss: Toss | None = None


def choice_of(user: User, settings: ServiceSettings) -> ArmChoice:
    """Return what the user chose, else what the service is set to."""
    return settings.serving if user.arm is None else user.arm


def coin_of(db: Connection, user: User, settings: ServiceSettings) -> Coin:
    """Return a user's coin; at first what was learned serves, behind past letters where any are.

    Who serves is tried against the same without what was learned.
    """
    return coins.coin_of(db, user.id) or _first(with_letters=settings.memory != "none")


def choose_arm(
    db: Connection,
    user: User,
    settings: ServiceSettings,
    *,
    letters: bool,
    learned: bool,
    may_toss: bool,
    chance: Callable[[], float] = random.random,
) -> Chosen:
    """Choose the arm that drafts, of those that there are.

    `letters`: whether past letters may stand before the request; `learned`: whether a version
    serves; `may_toss`: whether a coin may decide, which it does where both arms of its trial are
    there. `chance` draws a number from [0, 1).
    """
    choice = choice_of(user, settings)
    if choice != "auto":
        return Chosen(within(choice, memory=letters, weights=learned))
    coin = coin_of(db, user, settings)
    tried = [arm for arm in (coin.serving, coin.challenger) if arm is not None]
    are_there = all(within(arm, memory=letters, weights=learned) == arm for arm in tried)
    if not (may_toss and are_there and len(tried) > 1):
        return Chosen(within(coin.serving, memory=letters, weights=learned))
    toss = coin.toss(chance())
    return Chosen(toss.arm, toss)


def who_drafts(
    db: Connection,
    serving: Serving,
    recall: Recall,
    settings: ServiceSettings,
    framing: Framing,
    prompt: Prompt,
    *,
    asked: MemoryChoice | None = None,
    may_toss: bool = False,
) -> tuple[Serving, Recalled]:
    """Return who drafts for a user of what may, by their arm, and what stands before the prompt.

    `asked` is the memory that the request itself asks for: it is there then, whatever the arm, and
    no coin decides.
    """
    recalled = recall.before(db, serving.user, framing, prompt, asked)
    arm, toss = choose_arm(
        db,
        serving.user,
        settings,
        letters=recalled.has_letters,
        learned=serving.version is not None or serving.held_back,
        may_toss=may_toss and asked is None and not serving.blind,
    )
    if asked is not None:
        arm = arm_with(memory=recalled.has_letters, weights=has_weights(arm))
    elif recalled.has_letters and not has_memory(arm):
        recalled = recall.before(db, None, framing, prompt)
    return serving.by(arm, toss), recalled


def settle(db: Connection, draft: DraftRow, cost: float, *, now: float) -> None:
    """Tell the coin that decided on a draft what its edit cost, and keep what that decides."""
    if draft.arm is None or draft.share is None or draft.trial is None:
        return
    coin = coins.coin_of(db, draft.user_id) or _first(with_letters=has_memory(draft.arm))
    toss = Toss(draft.arm, draft.share, draft.trial)
    after = coin.after(toss, cost, coins.prior_of(db))
    if after.trial != coin.trial:
        assert after.challenger is not None
        drafts = coin.test.count + 1
        row = TrialRow(draft.user_id, after.serving, after.challenger, drafts, now)
        coins.add_trial(db, row)
    elif after.test.count >= MOST_TRIED:
        after = after.give_up()
    coins.keep_coin(db, draft.user_id, after, now=now)


def _first(*, with_letters: bool) -> Coin:
    return Coin.between("both", "memory") if with_letters else Coin.between("weights", "base")
