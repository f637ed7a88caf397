"""Rare strings of a user's own texts: numbers, mail addresses and names that few of these hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corll.memory.exchanges import texts_of
from corll.memory.facts import facts_of
from corll.memory.leaks import OwnFrame, own_frame
from corll.memory.masking import is_long_number
from corll.memory.names import bare, is_german, names_of
from corll.memory.words import words_of
from corll.records import Prompt
from corll.service.audit.shapes import SecretKind


@dataclass(frozen=True)
class TaughtText:
    """A text that was learned from, and what it answered. `id` is that of its edit or import."""

    id: str
    prompt: Prompt
    text: str


@dataclass(frozen=True)
class OwnString:
    """A rare string: the latest text that holds it, and how many do.

    `before` is what stands before it in that text.
    """

    kind: SecretKind
    words: str
    of: TaughtText
    before: str
    texts: int


def rare_strings(taught: Sequence[TaughtText]) -> list[OwnString]:
    """Return the rare strings of texts, those of the latest text first.

    What stands in more than half of the texts is left out, since the model is to learn it, as are
    strings that their request has: whoever asks that way knows them.
    """
    own = own_frame([one.text for one in taught])
    found: dict[tuple[SecretKind, str], OwnString] = {}
    counts: dict[tuple[SecretKind, str], set[int]] = {}
    for number, one in reversed(list(enumerate(taught))):
        asked = "\n".join(texts_of(one.prompt)).casefold()
        for kind, start, end in sorted(_strings_of(one.text, own), key=lambda at: at[1]):
            words = one.text[start:end]
            if words.casefold() in asked:
                continue
            counts.setdefault((kind, words), set()).add(number)
            found.setdefault((kind, words), OwnString(kind, words, one, one.text[:start], 1))
    return [
        OwnString(one.kind, one.words, one.of, one.before, len(counts[key]))
        for key, one in found.items()
    ]


def _strings_of(text: str, own: OwnFrame) -> Iterator[tuple[SecretKind, int, int]]:
    words = words_of(text)
    taken: set[int] = set()
    for fact in facts_of(text, words):
        taken.update(range(fact.start, fact.end))
        if fact.states & own.statements:
            continue
        if fact.kind == "mail":
            yield "mail", fact.start, fact.end
        elif is_long_number(fact, text):
            yield "number", fact.start, fact.end
    names = names_of(text, words, german=is_german(words)) - own.words
    last: tuple[int, int] | None = None
    for word in words:
        shown = text[word.start : word.end]
        if bare(word.key) not in names or not shown[0].isupper() or word.start in taken:
            continue
        end = word.start + len(shown.removesuffix("'s").removesuffix("’s"))
        if last is not None and text[last[1] : word.start] == " ":
            last = last[0], end
            continue
        if last is not None:
            yield "name", *last
        last = word.start, end
    if last is not None:
        yield "name", *last
