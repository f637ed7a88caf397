"""Which arm drafts for a user: the one that was chosen, or by a coin the one that saves most.

The arms are π_0, π_0 behind the user's past letters, what was learned, and both. Where nobody chose
one, a coin decides on a part of the drafts and learns what their edits cost; `corll.verdicts.arms`
has its rules. One trial goes on at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from corll.frames import Framing
from corll.memory.choosing import MemoryChoice
from corll.records import Prompt
from corll.schemas.states import ArmChoice
from corll.service.drafting.serving import Serving
from corll.service.memory import Recall, Recalled
from corll.service.settings import ServiceSettings
from corll.service.store import coins
from corll.service.store.accounts import User, find_user
from corll.service.store.coins import TrialRow
from corll.service.store.drafts import DraftRow
from corll.verdicts.arms import Chosen, Coin, Toss, arm_with, has_memory, has_weights, within


def choice_of(user: User, settings: ServiceSettings) -> ArmChoice:
    """Return what the user chose, else what the service is set to."""
    return settings.serving if user.arm is None else user.arm


def coin_of(db: Connection, user: User, settings: ServiceSettings) -> Coin:
    """Return a user's coin."""
    return _coin_of(db, user.id, first_coin(user, settings))


def first_coin(user: User, settings: ServiceSettings) -> Coin:
    """Return the coin that a user begins with.

    Before an upstream, what is switched on serves and is tried against the bare upstream: its arms
    are `base`, behind letters (`memory`), reranked by what was learned (`weights`), and `both`.
    """
    if settings.upstream is None:
        return Coin.at_first(letters=settings.memory != "none")
    memory = settings.upstream_memory and user.sends_letters
    whole = arm_with(memory=memory, weights=settings.upstream_candidates > 1)
    # Where nothing is switched on there is nothing to try, and no coin is tossed.
    return Coin.at_first(letters=False) if whole == "base" else Coin.between(whole, "base")


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

    `letters` and `learned` as `Coin.choose` has them; `may_toss`: whether a coin may decide.
    `chance` draws a number from [0, 1).
    """
    choice = choice_of(user, settings)
    if choice != "auto":
        return Chosen(within(choice, memory=letters, weights=learned))
    coin = coin_of(db, user, settings)
    return coin.choose(chance() if may_toss else None, letters=letters, learned=learned)


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
    chance: Callable[[], float] = random.random,
) -> tuple[Serving, Recalled]:
    """Return who drafts for a user of what may, by their arm, and what stands before the prompt.

    `asked` is the memory that the request itself asks for: it is there then, whatever the arm, and
    no coin decides.
    """
    choice = choice_of(serving.user, settings)
    # Letters are not read for an arm that was chosen and has none.
    reads = asked is not None or choice == "auto" or has_memory(choice)
    recalled = recall.before(db, serving.user if reads else None, framing, prompt, asked)
    arm, toss = choose_arm(
        db,
        serving.user,
        settings,
        letters=recalled.has_letters,
        learned=serving.version is not None or serving.held_back,
        may_toss=may_toss and asked is None and not serving.blind,
        chance=chance,
    )
    if asked is not None:
        arm = arm_with(memory=recalled.has_letters, weights=has_weights(arm))
    elif recalled.has_letters and not has_memory(arm):
        recalled = recall.before(db, None, framing, prompt)
    return serving.by(arm, toss), recalled


def who_drafts_unread(
    serving: Serving, recall: Recall, settings: ServiceSettings, framing: Framing
) -> tuple[Serving, Recalled]:
    """Return who drafts while the database is away: without letters, and no coin is tossed.

    What was learned drafts unless another arm was chosen.
    """
    choice = choice_of(serving.user, settings)
    weights = choice == "auto" or has_weights(choice)
    learned = serving.version is not None or serving.held_back
    arm = arm_with(memory=False, weights=weights and learned)
    return serving.by(arm), recall.examples_for(framing)


def settle(
    db: Connection,
    draft: DraftRow,
    cost: float,
    *,
    now: float,
    settings: ServiceSettings | None = None,
) -> None:
    """Tell the coin that decided on a draft what its edit cost, and keep what that decides.

    `settings` say which trial a user of an upstream begins with.
    """
    if draft.arm is None or draft.share is None or draft.trial is None:
        return
    first = Coin.at_first(letters=has_memory(draft.arm))
    if draft.upstream is not None:
        user = find_user(db, draft.user_id)
        if user is None or settings is None or settings.upstream_model != draft.upstream:
            return
        first = first_coin(user, settings)
    coin = _coin_of(db, draft.user_id, first)
    toss = Toss(draft.arm, draft.share, draft.trial)
    if toss.trial != coin.trial:
        return
    after, decision = coin.settled(toss, cost, coins.prior_of(db, draft.upstream))
    if decision is not None:
        trial = TrialRow(draft.user_id, *decision, decided_at=now, upstream=draft.upstream)
        coins.add_trial(db, trial)
    coins.keep_coin(db, draft.user_id, after, now=now)


def _coin_of(db: Connection, user_id: str, first: Coin) -> Coin:
    """Return a user's coin; one that was not used yet is `first`."""
    known = coins.coin_of(db, user_id)
    if known is not None:
        return known
    return replace(first, trial=coins.first_trial(db, user_id))
