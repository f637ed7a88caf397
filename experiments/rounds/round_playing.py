"""Plays cells of the rounds, by the players of the check, and CIPHER's by its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from check_arms import Check
from check_lines import CellKey
from cipher import LONGEST_RULE, Answer, Cipher, instructed
from corll.draft import make_drafts
from corll.policy import Policy
from corll.service.learning.checks import OfReferences
from playing import desk_of, play_learning, play_served, play_together
from round_arms import ARMS

Played = Iterator[tuple[CellKey, dict[str, Any]]]


def play_rounds(policy: Policy, keys: Sequence[CellKey], check: Check) -> Played:
    """Play cells one after another; yield a line a round."""
    of_references = OfReferences()
    for key in keys:
        arm = ARMS[key.arm]
        settings, played = arm.check_of(check), key._replace(arm=arm.played_as)
        if key.arm == "cipher":
            lines = play_cipher(policy, played, settings)
        elif played.arm == "auto":
            lines = play_served(policy, played, settings)
        elif played.arm in ("weights", "both"):
            lines = play_learning(policy, played, settings, of_references)
        else:
            lines = play_together(policy, [played], settings)
        for _, line in lines:
            yield key, line


def play_cipher(base: Policy, key: CellKey, check: Check) -> Played:
    """Play a cell in which π_0 is told what it inferred from the edits before.

    `rule_tokens` and `rule_s` are what the words cost: the aggregation before a draft, and the
    inference after its edit.
    """
    desk = desk_of(key, check)
    config = check.config.with_settings(drafts_from="reference")
    cipher = Cipher(lambda prompt: ask(base, prompt, check))
    for number, request in enumerate(desk.requests):
        start = time.perf_counter()
        told = cipher.rule_for(request.prompt, desk.past)
        asked = time.perf_counter()
        (draft,) = make_drafts(
            base,
            [instructed(request.prompt, told.rule)],
            config,
            seeds=[desk.draft_seed(number)],
        )
        drafted = time.perf_counter()
        line = desk.answer(number, draft, base)
        learning = time.perf_counter()
        rule, tokens = cipher.learn(str(number + 1), draft.text, line["sent"], told.rule)
        about = {
            "draft_s": round(drafted - asked, 2),
            "version": 0,
            "told": told.rule,
            "told_from": list(told.sources),
            "rule": rule,
            "rule_tokens": told.tokens + tokens,
            "rule_s": round(asked - start + time.perf_counter() - learning, 2),
        }
        yield key, {**line, **about}


def ask(base: Policy, prompt: str, check: Check) -> Answer:
    """Return the likeliest answer of π_0, token by token, of at most `LONGEST_RULE` tokens."""
    config = check.config.with_settings(
        drafts_from="reference", num_candidates=1, top_k=1, max_completion_length=LONGEST_RULE
    )
    (draft,) = make_drafts(base, [prompt], config, seeds=[0])
    tokens = len(base.codec.encode_prompt(prompt)) + len(draft.sample.token_ids)
    return Answer(draft.text, tokens)


def parameters_of(policy: Policy) -> int:
    """Return how many weights a policy's model has, those of its adapters included."""
    return sum(weight.numel() for weight in policy.base.model.parameters())
