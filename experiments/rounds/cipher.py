"""CIPHER: a user's preference in words, inferred from edits by the model that drafts.

From each edit the model infers a rule, which is kept with its request. Before a new request stand
the rules of the k requests most like it, put into one by the model where they differ. *Source*:
Gao et al. 2024 (arXiv 2404.15269), Algorithm 1. We depart from it in three things: requests are
matched by the library's BM25 and not by an encoder; an edit is asked about however small it is; and
the prompts are worded by us.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from corll.memory.choosing import MemorySettings, choose
from corll.memory.exchanges import Exchange
from corll.text import same_text

NEAREST = 5
"""Rules that stand before a request; the paper's k."""

LONGEST_RULE = 48
"""*Units*: tokens of an answer to `inference_prompt` or `aggregation_prompt`."""

_MARKS = re.compile(r"^(?:[-*•–]|\d{1,2}[.)])\s+|^(?:answer|phrase|rule)\s*:\s*", re.IGNORECASE)

_INFER = """\
A user was shown a draft and sent another text in its place.

Draft:
{draft}

Sent:
{sent}

What do the changes say of how this user wants texts to be written, in style, form and layout? \
Answer with one short phrase and nothing else."""

_AGGREGATE = """\
These phrases say how a user wants texts to be written:

{rules}

Put what they have in common into one short phrase. Answer with the phrase and nothing else."""

_INSTRUCT = "Write in the way that this user prefers: {rule}.\n\n{request}"


class Answer(NamedTuple):
    """What a model answered; `tokens` are those of prompt and answer together."""

    text: str
    tokens: int


class Told(NamedTuple):
    """A rule for a request, the numbers of the exchanges it is from, and the tokens it took."""

    rule: str
    sources: tuple[str, ...]
    tokens: int


class Cipher:
    """The rules that a model inferred from one user's edits; `ask` puts a prompt to it."""

    def __init__(self, ask: Callable[[str], Answer], *, nearest: int = NEAREST) -> None:
        self._ask, self._nearest = ask, nearest
        self._rules: dict[str, str] = {}

    def rule_for(self, request: str, past: Sequence[Exchange]) -> Told:
        """Return the rule for a request; `past` has the exchanges so far, the oldest first.

        It is empty where no rule is known. Where the model puts several rules into nothing, the
        rule of the best match stands.
        """
        known = [one for one in past if self._rules.get(one.id)]
        # Rules stand before the request and letters don't, so letters need no room.
        settings = MemorySettings("nearest", most=self._nearest)
        chosen = choose(known, request, settings, lambda text: 0)
        rules = list(dict.fromkeys(self._rules[one.id] for one in chosen))
        sources = tuple(one.id for one in chosen)
        if len(rules) < 2:
            return Told("".join(rules), sources, 0)
        answer = self._ask(aggregation_prompt(rules))
        return Told(plain_rule(answer.text) or rules[-1], sources, answer.tokens)

    def learn(self, number: str, draft: str, sent: str, told: str) -> tuple[str, int]:
        """Keep the rule of the exchange of this number; return it, and the tokens that it took.

        An accepted draft confirms what was told for it.
        """
        rule, tokens = told, 0
        if not same_text(draft, sent):
            answer = self._ask(inference_prompt(draft, sent))
            rule, tokens = plain_rule(answer.text), answer.tokens
        self._rules[number] = rule
        return rule, tokens


def inference_prompt(draft: str, sent: str) -> str:
    """Return the prompt that asks what an edit says of a user."""
    return _INFER.format(draft=draft.strip() or "(nothing)", sent=sent.strip())


def aggregation_prompt(rules: Sequence[str]) -> str:
    """Return the prompt that asks for one rule in place of several."""
    return _AGGREGATE.format(rules="\n".join(f"- {rule}" for rule in rules))


def instructed(request: str, rule: str) -> str:
    """Return a request with a rule before it, or the request alone where there is no rule."""
    return _INSTRUCT.format(rule=rule, request=request) if rule else request


def plain_rule(answer: str) -> str:
    """Return the first line of an answer without marks, quotes and full stop; it may be empty."""
    lines = (_MARKS.sub("", line.strip()).strip(" \t\"'“”.") for line in answer.splitlines())
    return next((line for line in lines if line), "")
