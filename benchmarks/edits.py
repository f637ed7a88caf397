"""Edits to be learned from: of random words, in the shapes that are timed, and people's own."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from corll import Policy, Preference

PAIRS = 8
"""Edits a step."""
PEOPLE_TOKENS = 120
"""Reviews that people edited are cut here."""


def random_edits(
    prompt_length: int, response_length: int
) -> Callable[[Policy, random.Random], list[Preference]]:
    """Texts of whole words, so that both sides tokenise alike; the first difference is uniform."""

    def make(policy: Policy, generator: random.Random) -> list[Preference]:
        firsts = [generator.randrange(response_length) for _ in range(PAIRS)]
        return [
            make_pair(policy, generator, prompt_length, response_length, first, 0)
            for first in firsts
        ]

    return make


def some_pairs(policy: Policy, count: int, *, seed: int) -> list[Preference]:
    """So many of `random_edits` of 64 / 64 tokens."""
    return random_edits(64, 64)(policy, random.Random(seed))[:count]


def continuation_edits(policy: Policy, generator: random.Random) -> list[Preference]:
    """A draft of 48 tokens of which the edit says 16 more at the end."""
    words = single_token_words(policy.tokenizer)
    preferences = []
    for _ in range(PAIRS):
        prompt, draft = random_text(generator, words, 64), random_text(generator, words, 47)
        more = random_text(generator, words, 16)
        preferences.append(Preference(prompt, chosen=draft + more, rejected=draft))
    return preferences


def greeting_edits(policy: Policy, generator: random.Random) -> list[Preference]:
    """Only the first four tokens of 64 are changed."""
    return [make_pair(policy, generator, 64, 64, 0, 60) for _ in range(PAIRS)]


def make_pair(
    policy: Policy, generator: random.Random, prompt: int, response: int, first: int, last: int
) -> Preference:
    """Responses that share their first `first` and their last `last` tokens, the end token too."""
    words = single_token_words(policy.tokenizer)
    context = random_text(generator, words, prompt)
    shared = random_text(generator, words, first)
    ending = random_text(generator, words, max(last - 1, 0))
    changed = response - 1 - first - max(last - 1, 0)
    chosen, rejected = (shared + random_text(generator, words, changed) + ending for _ in range(2))
    return Preference(context, chosen=chosen, rejected=rejected)


def peoples_edits(path: Path) -> Callable[[Policy, random.Random], list[Preference]]:
    """Reviews whose sentiment people flipped by small changes, cut to `PEOPLE_TOKENS`."""

    def make(policy: Policy, generator: random.Random) -> list[Preference]:
        with gzip.open(path, "rt") as file:
            rows = [json.loads(line) for line in file]
        sides = (
            [_cut(policy, row[name]) for name in ("edited", "original")]
            for row in generator.sample(rows, len(rows))
        )
        differing = (pair for pair in sides if pair[0] != pair[1])
        return [
            Preference("A film review:", chosen=edited, rejected=original)
            for edited, original in islice(differing, PAIRS)
        ]

    return make


def _cut(policy: Policy, text: str) -> str:
    ids = policy.tokenizer(" " + text, add_special_tokens=False)["input_ids"]
    cut: str = policy.tokenizer.decode(ids[:PEOPLE_TOKENS])
    return cut


def random_text(generator: random.Random, words: Sequence[str], count: int) -> str:
    """A text of `count` tokens."""
    return "".join(" " + word for word in generator.choices(words, k=count))


def single_token_words(tokenizer: Any) -> list[str]:
    """Words that are one token each after a space."""
    words = [
        token[1:]
        for token in tokenizer.get_vocab()
        if token[0] == "Ġ" and token[1:].isascii() and token[1:].isalpha() and len(token) > 3
    ]
    return sorted(words)[::7]
