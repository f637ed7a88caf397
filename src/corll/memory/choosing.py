"""Which past exchanges stand before a request: the newest, or those that are like it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from corll.errors import InputError
from corll.memory import meaning
from corll.memory.exchanges import Exchange
from corll.memory.words import search_terms

MemoryChoice = Literal["none", "last", "nearest", "similar"]

ENOUGH_LETTERS = 3
"""With so many letters of a user's own, examples stand before a request no more."""


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """Which past exchanges a request is drafted with, how many, and how much they may take.

    *Units*: `budget_tokens` in tokens of the model that drafts. *Raises*: InputError for a choice
    that does not exist or whose model is not installed, and for numbers below 1.
    """

    choice: MemoryChoice = "none"
    most: int = 3
    budget_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.choice not in get_args(MemoryChoice):
            known = ", ".join(get_args(MemoryChoice))
            raise InputError(f"There is no memory {self.choice!r}; choose one of {known}.")
        if self.choice == "similar":
            meaning.check_available()
        for name in ("most", "budget_tokens"):
            if (value := getattr(self, name)) < 1:
                raise InputError(
                    f"The memory's {name} is {value}; it must be 1 or more. "
                    "To draft without memory choose 'none'."
                )


def choose(
    past: Sequence[Exchange],
    request: str,
    settings: MemorySettings,
    count_tokens: Callable[[str], int],
) -> list[Exchange]:
    """Return the exchanges that stand before a request, in the order in which they stand.

    `past` has the exchanges of one user and one kind of request, the oldest first.

    - `last` takes the newest `most`, the oldest of them first. It keeps them while up to
      `most` - 1 are added behind them, then begins anew with the newest `most`: prompts begin alike
      for `most` edits in turn, and a model's keys and values of that beginning stay of use.
    - `nearest` takes the `most` that match the request best by BM25, the best last, next to the
      request. Of equal matches the later is better, so what matches nothing is as the newest.
    - `similar` takes those whose meaning is nearest to the request's (`likeness`), the best last.

    `count_tokens` is asked for each turn of an exchange; it adds what the chat template puts around
    a turn where the budget shall cover that. The best come first into the budget, whole ones only,
    until one does not fit. An exchange that alone is over the budget is passed over, and so is one
    whose text is chosen already. *Raises*: InputError for a text that was continued as it stands.
    """
    if settings.choice == "none" or not past:
        return []
    if settings.choice == "last":
        grown = settings.most + len(past) % settings.most
        return _fitting(reversed(past), grown, settings.budget_tokens, count_tokens)[::-1]
    ranked = _by_match if settings.choice == "nearest" else _by_meaning
    best_first = ranked(past, request)
    return _fitting(best_first, settings.most, settings.budget_tokens, count_tokens)[::-1]


def stand_before(
    request: str,
    past: Sequence[Exchange],
    settings: MemorySettings,
    count_tokens: Callable[[str], int],
    *,
    pinned: Sequence[Exchange] = (),
    examples: Sequence[Exchange] = (),
) -> tuple[Exchange, ...]:
    """Return all that stands before a request: examples, pinned exchanges, those that are chosen.

    Pinned ones stand there always, and leave the chosen ones the rest of the budget. Examples stand
    there until a user has `ENOUGH_LETTERS`. *Raises*: as `choose`.
    """
    pinned_size = sum(count_tokens(turn["content"]) for one in pinned for turn in one.turns)
    left = settings.budget_tokens - pinned_size
    chosen: list[Exchange] = []
    if left > 0:
        chosen = choose(past, request, replace(settings, budget_tokens=left), count_tokens)
    shown = () if len(pinned) + len(past) >= ENOUGH_LETTERS else examples
    return (*shown, *pinned, *chosen)


def _fitting(
    best_first: Iterable[Exchange], most: int, budget: int, count_tokens: Callable[[str], int]
) -> list[Exchange]:
    """Return the first of these exchanges that differ and fit the budget together."""
    chosen: list[Exchange] = []
    texts: set[str] = set()
    left = budget
    for exchange in best_first:
        text = exchange.text.strip()
        if text in texts:
            continue
        size = sum(count_tokens(turn["content"]) for turn in exchange.turns)
        if size > budget:
            continue
        if size > left:
            break
        chosen.append(exchange)
        if len(chosen) == most:
            break
        texts.add(text)
        left -= size
    return chosen


def _by_match(past: Sequence[Exchange], request: str) -> Iterable[Exchange]:
    """Return exchanges by how well they match a request, the best first.

    What was asked and what was sent count as one text. A request often names its matter by a word
    that the former one lacked and the letter that was sent has.
    """
    import bm25s  # it loads scipy where that is installed

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it lets all through, whatever is asked

    wanted = {term: number for number, term in enumerate(sorted(set(search_terms(request))))}
    if not wanted:
        return reversed(past)
    # Scores depend on a text's length and on the request's terms alone, so all others are one term.
    other = len(wanted)
    texts = [[wanted.get(term, other) for term in _terms(exchange)] for exchange in past]
    index = bm25s.BM25(backend="numpy")
    index.index((texts, wanted | {"": other}), show_progress=False)
    scores = index.get_scores_from_ids(list(wanted.values()))
    return _ordered(past, scores.tolist())


def _by_meaning(past: Sequence[Exchange], request: str) -> Iterable[Exchange]:
    """Return exchanges by how near their meaning is to a request's, the nearest first."""
    return _ordered(past, meaning.likeness(request, [_whole(exchange) for exchange in past]))


def _ordered(past: Sequence[Exchange], scores: Sequence[float]) -> Iterable[Exchange]:
    """Return exchanges by their scores, the highest first, and of equal ones the later."""
    order = sorted(range(len(past)), key=lambda place: (-scores[place], -place))
    return (past[place] for place in order)


def _terms(exchange: Exchange) -> list[str]:
    return search_terms(_whole(exchange))


def _whole(exchange: Exchange) -> str:
    """Return what was asked and what was sent as one text."""
    return "\n".join(turn["content"] for turn in exchange.turns)
