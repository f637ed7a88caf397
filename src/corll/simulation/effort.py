"""What a draft costs its user: seconds to read it and to make of it what is sent."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from corll.edits import edit_cost, word_diff
from corll.errors import ConfigError
from corll.text import normalize

_CHARACTERS_PER_WORD = 5
"""So many characters, spaces included, are a word of typing, as typing tests count."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The speeds at which a person reads, types and deletes.

    Reading is 225 words a minute: adults read English silently at about 240 (Brysbaert's review of
    190 studies, 2019), and a text that has to be checked not faster. Typing is 40 words a minute:
    volunteers copy at 52 (Dhakal and others, 2018, 168,000 of them), and who composes is slower. A
    deletion is 3.4 seconds by the keystroke-level model of Card, Moran and Newell (1980): hand to
    the mouse 0.4, point 1.1, press 0.1, point to the end 1.1, release 0.1, hand back 0.4, key 0.2.
    *Raises*: ConfigError where a rate is not positive, or a deletion takes less than no time.
    """

    read_words_per_minute: float = 225.0
    typed_words_per_minute: float = 40.0
    seconds_per_deletion: float = 3.4

    def __post_init__(self) -> None:
        for name in ("read_words_per_minute", "typed_words_per_minute"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} must be a positive number, not {getattr(self, name)}.")
        if not (isfinite(self.seconds_per_deletion) and self.seconds_per_deletion >= 0):
            raise ConfigError(
                f"seconds_per_deletion must be 0 or more, not {self.seconds_per_deletion}."
            )

    @property
    def seconds_per_word_read(self) -> float:
        """The time to read a word."""
        return 60.0 / self.read_words_per_minute

    @property
    def seconds_per_character(self) -> float:
        """The time to type a character."""
        return 60.0 / (self.typed_words_per_minute * _CHARACTERS_PER_WORD)


DEFAULT_RATES = Rates()


@dataclass(frozen=True, slots=True)
class Effort:
    """The effort by which a draft became what was sent.

    *Units*: `seconds`; `edit_cost` is character operations per character that is sent.
    """

    words_read: int
    characters_typed: int
    runs_deleted: int
    characters_sent: int
    seconds: float
    edit_cost: float

    @property
    def typed_share(self) -> float:
        """The typed characters over the characters sent, in [0, 1]; deletions are not in it."""
        return self.characters_typed / max(self.characters_sent, 1)


def effort_of(draft: str, sent: str, rates: Rates = DEFAULT_RATES) -> Effort:
    """Measure what it takes to make of a draft what is sent.

    The whole draft is read, and then what differs is deleted run by run and typed. Where it is
    quicker to delete a stretch that could be kept and type it again, a person does so: two runs
    with a word between them are one. An acceptance costs its reading, and so does white space
    around a text, nothing.
    """
    draft, sent = normalize(draft).strip(), normalize(sent).strip()
    typed, deleted = _quickest(draft, sent, rates)
    words = len(draft.split())
    seconds = (
        words * rates.seconds_per_word_read
        + typed * rates.seconds_per_character
        + deleted * rates.seconds_per_deletion
    )
    return Effort(words, typed, deleted, len(sent), seconds, edit_cost(draft, sent))


def seconds_to_send(draft: str, sent: str, rates: Rates = DEFAULT_RATES) -> float:
    """Return the seconds from a draft's being shown to its being sent; see `effort_of`."""
    return effort_of(draft, sent, rates).seconds


def seconds_alone(text: str, rates: Rates = DEFAULT_RATES) -> float:
    """Return the seconds in which a person types a text without a draft: the line to beat."""
    return len(normalize(text).strip()) * rates.seconds_per_character


@dataclass(frozen=True, slots=True)
class _Plan:
    """Characters typed and runs deleted so far."""

    typed: int
    deleted: int

    def cost(self, rates: Rates) -> float:
        return self.typed * rates.seconds_per_character + self.deleted * rates.seconds_per_deletion

    def plus(self, *, typed: int = 0, deleted: int = 0) -> _Plan:
        return _Plan(self.typed + typed, self.deleted + deleted)


def _quickest(draft: str, sent: str, rates: Rates) -> tuple[int, int]:
    """Return characters typed and runs deleted of the quickest way to go.

    `apart` is the quickest plan that ends outside a deleted run, and `inside` the one that ends
    inside: there what is kept would be typed again, and what is deleted costs nothing more.
    """

    def quicker(first: _Plan | None, second: _Plan | None) -> _Plan | None:
        plans = [plan for plan in (first, second) if plan is not None]
        return min(plans, key=lambda plan: plan.cost(rates), default=None)

    apart: _Plan | None = _Plan(0, 0)
    inside: _Plan | None = None
    for kind, text in word_diff(draft, sent):
        if kind == "insert":
            apart = apart.plus(typed=len(text)) if apart else None
            inside = inside.plus(typed=len(text)) if inside else None
        elif kind == "delete":
            opened = apart.plus(deleted=1) if apart else None
            apart, inside = None, quicker(inside, opened)
        else:
            again = inside.plus(typed=len(text)) if inside else None
            apart, inside = quicker(apart, inside), again
    best = apart or inside
    assert best is not None
    return best.typed, best.deleted
