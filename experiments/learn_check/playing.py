"""Plays cells of the check: drafts, the writer's answers, and what is learned from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from check_arms import Check
from check_lines import CellKey
from corll.auto.machine import device_name
from corll.auto.resolve import resolve
from corll.cli.dialogue import terminal_dialogue
from corll.draft import make_drafts
from corll.memory.choosing import choose
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Draft, Prompt
from corll.service.learning.checks import OfReferences
from corll.version import __version__
from served import Service
from taught import Pupil
from writers_desk import WritersDesk


def loaded(model: str, check: Check) -> Policy:
    """Return the policy of a model, by name, as cells are played with it."""
    return Policy.load(
        resolve(model, terminal_dialogue()),
        int8_drafts=None,
        memory_limit_gb=check.config.memory_limit_gb,
    )


def machine_of(policy: Policy) -> dict[str, str]:
    """Return the machine, the numbers and the version of corll by which cells are played."""
    return {
        "machine": device_name(policy.device),
        "dtype": str(policy.dtype).removeprefix("torch."),
        "corll": __version__,
    }


def play_together(
    base: Policy, keys: Sequence[CellKey], check: Check
) -> Iterator[tuple[CellKey, dict[str, Any]]]:
    """Play cells in which nothing is learned, a round of all of them at a time."""
    config = check.config.with_settings(drafts_from="reference")
    desks = [desk_of(key, check) for key in keys]
    count = base.codec.count_tokens
    for number in range(check.edits):
        start = time.perf_counter()
        requests = [desk.requests[number] for desk in desks]
        drafts = make_drafts(
            base,
            [request.prompt for request in requests],
            config,
            seeds=[desk.draft_seed(number) for desk in desks],
            memories=[d.memory(r, count) for d, r in zip(desks, requests, strict=True)],
        )
        each = (time.perf_counter() - start) / len(desks)
        for key, desk, draft in zip(keys, desks, drafts, strict=True):
            line = desk.answer(number, draft, base)
            yield key, {**line, "draft_s": round(each, 2), "version": 0}
    for key, desk in zip(keys, desks, strict=True):
        for line in _held_out(base, desk, replace(check, config=config)):
            yield key, {**line, "version": 0}


def play_learning(
    base: Policy,
    key: CellKey,
    check: Check,
    of_references: OfReferences,
) -> Iterator[tuple[CellKey, dict[str, Any]]]:
    """Play a cell in which each edit is learned from, in order, before the next draft."""
    desk, count = desk_of(key, check), base.codec.count_tokens
    config = check.config.with_settings(seed=key.seed)
    teaching = replace(check, config=config)

    def recalled(prompt: Any) -> Sequence[Exchange]:
        return choose(desk.past, prompt, check.memory, count)

    recall = recalled if check.teaches_from_memory else None
    with Pupil(
        base, config, check.lora, veto=check.veto, of_references=of_references, recall=recall
    ) as pupil:
        for number, request in enumerate(desk.requests):
            start = time.perf_counter()
            (draft,) = make_drafts(
                pupil.policy,
                [request.prompt],
                config,
                seeds=[desk.draft_seed(number)],
                memories=[desk.memory(request, count)],
            )
            drafted, version = time.perf_counter() - start, pupil.serving
            taught_from = _with_memory(draft, recall)
            line = desk.answer(number, draft, pupil.policy)
            taught = pupil.take(taught_from, line["sent"])
            about = {"draft_s": round(drafted, 2), "version": version}
            yield key, {**line, **about, **taught.to_dict()}
        for line in _held_out(pupil.policy, desk, teaching):
            yield key, {**line, "version": pupil.serving}


def play_served(
    base: Policy, key: CellKey, check: Check
) -> Iterator[tuple[CellKey, dict[str, Any]]]:
    """Play a cell as the service serves a writer: its coin chooses who drafts."""
    desk = desk_of(key, check)
    teaching = replace(check, config=check.config.with_settings(seed=key.seed))
    with Service(base, teaching, f"{key.seed}/{key.writer}") as service:
        for number, request in enumerate(desk.requests):
            start = time.perf_counter()
            prompt: Prompt = [{"role": "user", "content": request.prompt}]
            served = service.draft(prompt, number=number, seed=desk.draft_seed(number))
            about = {
                "draft_s": round(time.perf_counter() - start, 2),
                "version": served.version,
                "drafted_by": served.serving.arm,
                "tossed": served.serving.toss is not None,
                "thrown_away": served.drawn.thrown_away,
            }
            line = desk.answer(number, served.draft, base)
            taught = service.take(served, line["sent"])
            yield key, {**line, **about, **taught.to_dict(), **service.standing()}
        for number, request in enumerate(desk.held_out):
            prompt = [{"role": "user", "content": request.prompt}]
            seed = desk.held_out_seed(number)
            served = service.draft(prompt, number=number, seed=seed, tosses=False)
            line = desk.judge(number, served.draft, base)
            yield key, {**line, "version": served.version, "drafted_by": served.serving.arm}


def desk_of(key: CellKey, check: Check) -> WritersDesk:
    """Return the desk of a cell's writer, on which nothing lies yet."""
    memory = check.memory_of(key.arm)
    return WritersDesk(
        key.writer, memory, key.seed, check.edits, check.held_out, splits=check.splits
    )


def _held_out(policy: Policy, desk: WritersDesk, check: Check) -> Iterator[dict[str, Any]]:
    """Draft for the held-out requests by what serves after the last edit."""
    if not desk.held_out:
        return
    count = policy.codec.count_tokens
    drafts = make_drafts(
        policy,
        [request.prompt for request in desk.held_out],
        check.config,
        seeds=[desk.held_out_seed(number) for number in range(len(desk.held_out))],
        memories=[desk.memory(request, count) for request in desk.held_out],
    )
    for number, draft in enumerate(drafts):
        yield desk.judge(number, draft, policy)


def _with_memory(draft: Draft, recall: Callable[[Any], Sequence[Exchange]] | None) -> Draft:
    """Return a draft with what could have stood before its prompt, where its learner needs that."""
    if recall is None or draft.memory:
        return draft
    return replace(draft, memory=tuple(recall(draft.prompt)))
