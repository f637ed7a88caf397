"""What the writers are asked for: requests with the full text that their writer has in mind.

A request is a prompt as a user would type it. Hidden from the model are its facts, as patterns that
a sentence must hold, and the body that the writer would have written, so that a draft which says
nothing costs the writing of it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal, get_args

from corll.errors import ConfigError, InputError
from corll.evaluation import question
from corll.records import Prompt

Split = Literal["train", "held_out"]
RequestKind = Literal["reply", "write"]
Wording = Literal["say", "formal", "note"]

REQUEST_KINDS: tuple[RequestKind, ...] = get_args(RequestKind)
"""The kinds of requests: a reply to a message, and a text from nothing."""

_SLOT = re.compile(r"\{([a-z]+)\}")
_TITLES = frozenset("Mr Mrs Ms Dr Aunt Uncle".split())
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()


@dataclass(frozen=True, slots=True)
class NeededFact:
    """A fact that must be said: three wordings of it, and the patterns by which it is found."""

    say: str
    formal: str
    note: str
    find: tuple[re.Pattern[str], ...]

    def is_said(self, sentence: str) -> bool:
        """Say whether a sentence holds all patterns of the fact."""
        plain = sentence.replace("’", "'")
        return all(pattern.search(plain) for pattern in self.find)


@dataclass(frozen=True, slots=True)
class WritingRequest:
    """A prompt, and what its writer wants to say.

    `opening` and `ending` are courtesies of the hidden body that nobody asked for, in the wordings
    `say` and `formal`; None where the body goes without.
    """

    id: str
    situation: str
    kind: RequestKind
    split: Split
    prompt: str
    recipient: str
    facts: tuple[NeededFact, ...]
    opening: tuple[str, str] | None
    ending: tuple[str, str] | None

    @property
    def first_name(self) -> str:
        """The recipient's name among friends: the first one, or the whole where it has a title."""
        first = self.recipient.split()[0]
        return self.recipient if first in _TITLES else first

    @property
    def body(self) -> str:
        """The hidden body, as its writer would say it."""
        return " ".join(self.sentences("say"))

    def sentences(self, wording: Wording) -> list[str]:
        """Return the sentences of the hidden body in a wording; notes are its facts alone."""
        facts = [fact_in(fact, wording) for fact in self.facts]
        if wording == "note":
            return facts
        place = 0 if wording == "say" else 1
        before = [self.opening[place]] if self.opening else []
        after = [self.ending[place]] if self.ending else []
        return [*before, *facts, *after]


def fact_in(fact: NeededFact, wording: Wording) -> str:
    """Return a fact in one of its wordings."""
    return {"say": fact.say, "formal": fact.formal, "note": fact.note}[wording]


def writing_requests(split: Split, kind: RequestKind | None = None) -> list[WritingRequest]:
    """Return the requests of a split: 96 to learn from, or 32 held out, of other situations.

    Situations and kinds take turns. *Raises*: ConfigError for an unknown split or kind.
    """
    if split not in get_args(Split):
        raise ConfigError(
            f"No split {split!r} of the writing requests; take 'train' or 'held_out'."
        )
    if kind is not None and kind not in REQUEST_KINDS:
        raise ConfigError(f"No kind {kind!r} of writing requests; there are {REQUEST_KINDS}.")
    return [
        request
        for request in _requests().values()
        if request.split == split and kind in (None, request.kind)
    ]


def request_of(prompt: Prompt) -> WritingRequest:
    """Return the request of a prompt. *Raises*: InputError where it is none of the set."""
    asked = question(prompt)
    try:
        return _requests()[asked]
    except KeyError:
        raise InputError(
            f"The writers have no text in mind for the prompt {asked[:60]!r}; draft from the "
            "prompts of writing_requests('train') or writing_requests('held_out')."
        ) from None


@cache
def _requests() -> Mapping[str, WritingRequest]:
    """Return all requests by prompt: the first rows of all situations, then the second ones."""
    file = resources.files("corll.simulation.writers").joinpath("situations.toml")
    situations = tomllib.loads(file.read_text(encoding="utf-8"))["situation"]
    by_kind = [[one for one in situations if one["kind"] == kind] for kind in REQUEST_KINDS]
    in_turns = [one for pair in zip(*by_kind, strict=True) for one in pair]
    rows = range(max(len(one["rows"]) for one in situations))
    requests = [_filled(one, row) for row in rows for one in in_turns if row < len(one["rows"])]
    return MappingProxyType({request.prompt: request for request in requests})


def _filled(situation: Mapping[str, Any], row: int) -> WritingRequest:
    values = situation["rows"][row]
    left_out = values.get("without", [])
    facts = tuple(
        NeededFact(
            say=_fill(fact["say"], values),
            formal=_fill(fact["formal"], values),
            note=_fill(fact["note"], values),
            find=tuple(_pattern(pattern, values) for pattern in fact["find"]),
        )
        for number, fact in enumerate(situation["facts"])
        if number not in left_out
    )
    ask = _fill(situation["asks"][row % len(situation["asks"])], values)
    return WritingRequest(
        id=f"{situation['id']}-{row + 1}",
        situation=situation["id"],
        kind=situation["kind"],
        split=situation["split"],
        prompt=_prompt(ask, [fact.note for fact in facts], as_list=row % 2 == 1),
        recipient=values["who"],
        facts=facts,
        opening=_courtesy(situation.get("opening"), values),
        ending=_courtesy(situation.get("ending"), values),
    )


def _prompt(ask: str, notes: Sequence[str], *, as_list: bool) -> str:
    if as_list:
        return "\n".join([ask, *(f"- {note}" for note in notes)])
    said = "; ".join(notes)
    return f"{ask} Say: {said}{'' if said.endswith('?') else '.'}"


def _courtesy(wordings: Sequence[str] | None, values: Mapping[str, str]) -> tuple[str, str] | None:
    if wordings is None:
        return None
    say, formal = wordings
    return _fill(say, values), _fill(formal, values)


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _capital_at_start(text, _SLOT.sub(lambda slot: values[slot[1]], text))


def _capital_at_start(template: str, text: str) -> str:
    """Give a sentence that begins with a slot a capital; notes and names are as they stand."""
    begins_with_slot = template.startswith("{") and template[-1:] in (".", "?")
    return text[:1].upper() + text[1:] if begins_with_slot else text


def _pattern(pattern: str, values: Mapping[str, str]) -> re.Pattern[str]:
    filled = _SLOT.sub(lambda slot: _value_pattern(values[slot[1]]), pattern)
    return re.compile(rf"(?<!\w)(?:{filled})", re.IGNORECASE)


def _value_pattern(value: str) -> str:
    """Match a slot's value as whole words, a small number also as a word."""
    is_small = value.isdigit() and int(value) < len(_NUMBERS)
    word = f"|{_NUMBERS[int(value)]}" if is_small else ""
    return rf"(?:{re.escape(value)}{word})(?!\w)"
