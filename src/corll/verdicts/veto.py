"""A veto on ruined versions, by a few drafts on recent prompts: gross ruin and nothing else.

Eight drafts don't show that a version is twice as costly as its parent; they do show that it loops,
says nothing, has another language, or lost what it was asked for (`flaws`). All of these are
counted against drafts of the parent for the same prompts. What they say is asked again of as many
more: of versions that are flawed as often as their parent, in one draft of ten, eight reject 3 in
100, sixteen 1; a version of which half is ruined is rejected as often as before (simulated).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import comb

from corll.errors import InputError
from corll.verdicts.flaws import Drawn, Flaw, Habits, flaws_of, keeps_to, secrets_in, tells

_IN_WORDS: Mapping[Flaw, str] = {
    "loop": "going round in a loop",
    "empty": "without a body",
    "language": "in another language than the user's texts",
    "gibberish": "of letters that make no words",
    "insult": "with an insult",
}

FALSE_ALARMS = 0.01
"""A version that is as its parent is rejected in this share of cases at most."""


def veto(version: Sequence[Drawn], others: Sequence[Sequence[Drawn]], habits: Habits) -> str | None:
    """Return the reason against a version that is ruined; None where there is none.

    `others` are the drafts of what it must not be worse than: its parent, and the base, so that
    versions that slide one by one don't pass. A version is rejected where more of its drafts loop,
    are empty or otherwise flawed than one with the better one's rate of them would have in
    `FALSE_ALARMS` of cases: of eight three, where that has none. What a prompt tells or is about is
    lost by chance too, so it counts where so many drafts lost it, and so few of the other's, as a
    fair coin falls in `FALSE_ALARMS` of cases: of eight seven, where the other lost it in none. A
    long number of a few past texts comes by no chance at all, so a single draft with one counts.
    *Shapes*: n drafts each, of the same prompts in the same order.
    *Raises*: InputError where the prompts differ, or there are none.
    """
    prompts = [one.prompt for one in version]
    same = all([one.prompt for one in other] == prompts for other in others)
    if not (version and others and same):
        raise InputError("A version and its parent must draft for the same prompts, one at least.")
    return (
        _flawed(version, others, habits)
        or _forgetful(version, others, habits)
        or _telling(version, habits)
    )


def half_is_enough(first: Sequence[Drawn], count: int, habits: Habits) -> bool:
    """Say whether the first half of `count` drafts makes it needless to draw the others.

    It does where none of them is flawed, so many say what their prompt tells that not too many of
    all can lose it, and the user's texts hold no long number that a single draft may tell. Where
    half of all drafts are flawed, none of the first four is in 6 % of cases, and the eight would
    have been vetoed in a third of these.
    """
    may_lose = count - len(first)
    silent = [lost + may_lose for lost in _silent(first, habits)]
    return not (
        habits.secrets or flawed_in(first, habits) or any(_is_no_chance(lost, 0) for lost in silent)
    )


def may_be_ruined(version: Sequence[Drawn], habits: Habits) -> bool:
    """Say whether drafts could be vetoed, whatever the others' are: most need no comparison."""
    is_silent = any(_is_no_chance(lost, 0) for lost in _silent(version, habits))
    is_flawed = flawed_in(version, habits) >= least_alarming(0, len(version))
    return is_flawed or is_silent or _telling(version, habits) is not None


def flawed_in(drafts: Sequence[Drawn], habits: Habits) -> int:
    """Return how many drafts have something wrong in themselves."""
    return sum(bool(flaws_of(one, habits)) for one in drafts)


def _flawed(
    version: Sequence[Drawn], others: Sequence[Sequence[Drawn]], habits: Habits
) -> str | None:
    """Return the reason by what is wrong with drafts in themselves."""
    found = [flaws for one in version if (flaws := flaws_of(one, habits))]
    before = min(flawed_in(other, habits) for other in others)
    if len(found) < least_alarming(before, len(version)):
        return None
    counts = Counter(flaw for flaws in found for flaw in flaws)
    kinds = ", ".join(f"{counts[one]} {words}" for one, words in _IN_WORDS.items() if counts[one])
    return (
        f"of {len(version)} drafts on recent prompts {len(found)} are ruined ({kinds}), and "
        f"{before} without what it learned"
    )


def _forgetful(
    version: Sequence[Drawn], others: Sequence[Sequence[Drawn]], habits: Habits
) -> str | None:
    """Return the reason by what of their prompts drafts do not say."""
    for says, what in _said(habits):
        own = [says(one.prompt, one.text) for one in version]
        for other in others:
            pairs = list(zip(own, (says(one.prompt, one.text) for one in other), strict=True))
            lost, gained = pairs.count((False, True)), pairs.count((True, False))
            if _is_no_chance(lost, gained):
                return (
                    f"of {len(version)} drafts on recent prompts {lost} say nothing of what the "
                    f"prompt {what} where one without what it learned does, and {gained} the other "
                    "way round"
                )
    return None


def _silent(drafts: Sequence[Drawn], habits: Habits) -> list[int]:
    """Return how many drafts leave out what their prompt says, of each thing that is to be said."""
    return [
        sum(says(one.prompt) and not says(one.prompt, one.text) for one in drafts)
        for says, _ in _said(habits)
    ]


def _said(habits: Habits) -> list[tuple[Callable[..., bool], str]]:
    """Return what a draft has to say of its prompt, as far as the user's texts do."""
    found: list[tuple[Callable[..., bool], str]] = []
    if habits.tells_facts:
        found.append((tells, "tells"))
    if habits.keeps_to_prompt:
        found.append((keeps_to, "is about"))
    return found


def _telling(version: Sequence[Drawn], habits: Habits) -> str | None:
    """Return the reason by a long number of past texts that no prompt asks for."""
    telling = sum(bool(secrets_in(one, habits)) for one in version)
    if not telling:
        return None
    return (
        f"of {len(version)} drafts on recent prompts {telling} hold a long number that stands in "
        "few of the user's texts and not in the prompt"
    )


def least_alarming(before: int, drafts: int, false_alarms: float = FALSE_ALARMS) -> int:
    """Return how many faulty drafts of so many are too many, where the parent has `before`.

    They are more than chance gives at the parent's rate, which is taken as (before + ½) / (n + 1)
    (Krichevsky and Trofimov 1981), since none of eight does not show that there are none. It may be
    more than there are drafts.
    """
    rate = (before + 0.5) / (drafts + 1)
    tail = 0.0
    for count in range(drafts, -1, -1):
        tail += comb(drafts, count) * rate**count * (1 - rate) ** (drafts - count)
        if tail > false_alarms:
            return count + 1
    return 0


def _is_no_chance(lost: int, gained: int) -> bool:
    """Say whether so many of both are lost as a fair coin rarely gives (the sign test)."""
    both = lost + gained
    tail = sum(comb(both, count) for count in range(lost, both + 1)) / 2.0**both
    return tail <= FALSE_ALARMS
