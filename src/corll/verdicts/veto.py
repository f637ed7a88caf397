"""A veto on ruined versions, by a few drafts on recent prompts: gross ruin and nothing else.

Eight drafts don't show that a version is twice as costly as its parent; they do show that it loops,
says nothing, has another language, or lost what it was asked for. All of these are counted against
drafts of the parent for the same prompts, and none is what the user's own texts are like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal, TypeAlias

from corll.errors import InputError
from corll.evaluation import question
from corll.memory.exchanges import Exchange
from corll.memory.facts import facts_of
from corll.memory.words import words_of
from corll.records import Prompt
from corll.verdicts.languages import language_of, languages_of
from corll.verdicts.letters import has_body
from corll.verdicts.survival import Closing, usual_closings

Flaw: TypeAlias = Literal["loop", "empty", "language"]
_IN_WORDS: Mapping[Flaw, str] = {
    "loop": "going round in a loop",
    "empty": "without a body",
    "language": "in another language than the user's texts",
}

FALSE_ALARMS = 0.01
"""A version that is as its parent is rejected in this share of cases at most."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A draft that was drawn to look at; whether it `loops` is for the guards to say."""

    prompt: Prompt
    text: str
    loops: bool = False


@dataclass(frozen=True, slots=True)
class Habits:
    """What a user's own texts are like, which in a draft is then no fault."""

    closings: tuple[Closing, ...] = ()
    languages: frozenset[str] = frozenset()
    has_bodies: bool = True
    tells_facts: bool = True

    @classmethod
    def of(cls, sent: Sequence[Exchange]) -> Habits:
        """Return the habits that a user's sent texts show.

        Whoever mostly sends "ok" gets that; whoever mostly drops what the prompt tells may have
        drafts without it.
        """
        texts = [exchange.text for exchange in sent]
        closings = usual_closings(texts)
        bodies = sum(has_body(text, closings) for text in texts)
        told = [
            _tells(exchange.prompt, exchange.text) for exchange in sent if _tells(exchange.prompt)
        ]
        return cls(
            closings,
            languages_of(texts),
            has_bodies=2 * bodies >= len(texts),
            tells_facts=2 * sum(told) >= len(told),
        )


def veto(version: Sequence[Drawn], others: Sequence[Sequence[Drawn]], habits: Habits) -> str | None:
    """Return the reason against a version that is ruined; None where there is none.

    `others` are the drafts of what it must not be worse than: its parent, and the base, so that
    versions that slide one by one don't pass. A version is rejected where more of its drafts loop,
    are empty or foreign than one with the better one's rate of them would have in `FALSE_ALARMS` of
    cases: of eight three, where that has none. What a prompt tells is lost by chance too, so it
    counts where so many drafts lost it, and so few of the other's, as a fair coin falls in
    `FALSE_ALARMS` of cases: of eight seven, where the other lost it in none.
    *Shapes*: n drafts each, of the same prompts in the same order.
    *Raises*: InputError where the prompts differ, or there are none.
    """
    prompts = [one.prompt for one in version]
    same = all([one.prompt for one in other] == prompts for other in others)
    if not (version and others and same):
        raise InputError("A version and its parent must draft for the same prompts, one at least.")
    return _flawed(version, others, habits) or _forgetful(version, others, habits)


def may_be_ruined(version: Sequence[Drawn], habits: Habits) -> bool:
    """Say whether drafts could be vetoed, whatever the others' are: most need no comparison."""
    flawed = sum(bool(_flaws(one, habits)) for one in version)
    silent = sum(_tells(one.prompt) and not _tells(one.prompt, one.text) for one in version)
    is_silent = habits.tells_facts and _is_no_chance(silent, 0)
    return flawed >= least_alarming(0, len(version)) or is_silent


def _flawed(
    version: Sequence[Drawn], others: Sequence[Sequence[Drawn]], habits: Habits
) -> str | None:
    """Return the reason by what is wrong with drafts in themselves."""
    found = [flaws for one in version if (flaws := _flaws(one, habits))]
    before = min(sum(bool(_flaws(one, habits)) for one in other) for other in others)
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
    """Return the reason by what of their prompts drafts no longer tell."""
    if not habits.tells_facts:
        return None
    own = [_tells(one.prompt, one.text) for one in version]
    for other in others:
        pairs = list(zip(own, (_tells(one.prompt, one.text) for one in other), strict=True))
        lost, gained = pairs.count((False, True)), pairs.count((True, False))
        if _is_no_chance(lost, gained):
            return (
                f"of {len(version)} drafts on recent prompts {lost} say nothing of what the prompt "
                f"tells where one without what it learned does, and {gained} the other way round"
            )
    return None


def least_alarming(before: int, drafts: int) -> int:
    """Return how many faulty drafts of so many are too many, where the parent has `before`.

    They are more than chance gives at the parent's rate, which is taken as (before + ½) / (n + 1)
    (Krichevsky and Trofimov 1981), since none of eight does not show that there are none. It may be
    more than there are drafts.
    """
    rate = (before + 0.5) / (drafts + 1)
    tail = 0.0
    for count in range(drafts, -1, -1):
        tail += comb(drafts, count) * rate**count * (1 - rate) ** (drafts - count)
        if tail > FALSE_ALARMS:
            return count + 1
    return 0


def _is_no_chance(lost: int, gained: int) -> bool:
    """Say whether so many of both are lost as a fair coin rarely gives (the sign test)."""
    both = lost + gained
    tail = sum(comb(both, count) for count in range(lost, both + 1)) / 2.0**both
    return tail <= FALSE_ALARMS


def _flaws(draft: Drawn, habits: Habits) -> set[Flaw]:
    """Return what is wrong with a draft in itself."""
    language = language_of(draft.text)
    is_foreign = bool(habits.languages) and language not in (None, *habits.languages)
    found: dict[Flaw, bool] = {
        "loop": draft.loops,
        "empty": habits.has_bodies and not has_body(draft.text, habits.closings),
        "language": is_foreign,
    }
    return {flaw for flaw, is_there in found.items() if is_there}


def _tells(prompt: Prompt, text: str | None = None) -> bool:
    """Say whether a text tells a fact of its prompt, in any spelling; a prompt tells its own."""
    asked = _statements(question(prompt))
    return bool(asked) if text is None else not asked.isdisjoint(_statements(text))


def _statements(text: str) -> set[tuple[str, str | int]]:
    return {stated for fact in facts_of(text, words_of(text)) for stated in fact.states}
