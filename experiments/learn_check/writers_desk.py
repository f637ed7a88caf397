"""A writer's desk: what one simulated writer is asked in one arm, what they sent, what it cost.

The same writer and seed have the same requests in the same order, and drafts by the same seeds, in
every arm: arms are compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from corll.cli.arguments import named
from corll.edits import edit_cost
from corll.errors import InputError
from corll.guards import first_loop
from corll.memory.choosing import MemorySettings, choose
from corll.memory.exchanges import Exchange
from corll.memory.leaks import leaked, own_frame
from corll.policy import Policy
from corll.records import Draft
from corll.simulation.effort import effort_of, seconds_alone
from corll.simulation.writers import (
    COMPOSED_WRITERS,
    WRITER_HALVES,
    WRITERS,
    Split,
    WritingRequest,
    writing_requests,
)
from corll.verdicts.letters import has_body
from corll.verdicts.survival import Closing, usual_closings


def named_writers(names: str) -> list[str]:
    """Return the writers of a half, all of them, or those that are named, parted by commas.

    *Raises*: InputError for a name that is none.
    """
    if names == "all":
        return list(WRITERS)
    if names in WRITER_HALVES:
        return list(WRITER_HALVES[names])
    return named(names, WRITERS, "writer", also=("choose", "judge", "all"))


class WritersDesk:
    """One writer in one arm: what was asked and sent so far.

    `splits` are those of the requests that are learned from.
    *Raises*: InputError where there are fewer requests than edits, or than held-out drafts.
    """

    def __init__(
        self,
        name: str,
        memory: MemorySettings,
        seed: int,
        edits: int,
        held: int,
        *,
        splits: Sequence[Split] = ("train",),
    ) -> None:
        self.name, self.seed, self._memory = name, seed, memory
        self.writer = {**WRITERS, **COMPOSED_WRITERS}[name]()
        self.requests = _shuffled(splits, edits, f"{seed}/{name}")
        self.held_out = _shuffled(("held_out",), held, f"{seed}/{name}/held_out")
        self.past: list[Exchange] = []
        self._own_texts: list[str] = []

    def memory(self, request: WritingRequest, count: Callable[[str], int]) -> list[Exchange]:
        """Return what stands before a request; `count` counts the tokens of a text."""
        return choose(self.past, request.prompt, self._memory, count)

    def draft_seed(self, number: int) -> int:
        """Return the seed of the draft for the request of this number, from 0."""
        return Random(f"{self.seed}/{self.name}/{number}").getrandbits(62)

    def held_out_seed(self, number: int) -> int:
        """Return the seed of the draft for the held-out request of this number, from 0."""
        return Random(f"{self.seed}/{self.name}/held_out/{number}").getrandbits(62)

    def answer(self, number: int, draft: Draft, policy: Policy) -> dict[str, Any]:
        """Let the writer answer a draft, remember what is sent, and return what it cost."""
        request = self.requests[number]
        sent = self.writer.sent(request, draft.text, number + 1)
        self._own_texts.append(self.writer.own_text(request, number + 1))
        line = {"edit": number + 1, **self._costs(request, draft, sent, policy, number + 1)}
        self.past.append(Exchange(request.prompt, sent, str(number + 1)))
        return line

    def judge(self, number: int, draft: Draft, policy: Policy) -> dict[str, Any]:
        """Return what a held-out draft costs the writer after the last edit, with time to spare.

        Nothing is remembered of it.
        """
        request, edit = self.held_out[number], len(self.requests) + 1
        sent = self.writer.wanted(request, draft.text, edit)
        costs = self._costs(request, draft, sent, policy, edit)
        return {"held_out": True, "edit": number + 1, **costs}

    def _costs(
        self, request: WritingRequest, draft: Draft, sent: str, policy: Policy, edit: int
    ) -> dict[str, Any]:
        effort = effort_of(draft.text, sent)
        own = own_frame([one.text for one in self.past])
        # All that was sent before, in every arm: weights may hold a fact that no memory holds.
        leaks = leaked(draft.text, request.prompt, self.past, own)
        ids = draft.sample.token_ids
        behind = policy.codec.behind(draft.prompt, draft.memory)
        return {
            "request": request.id,
            "seconds": round(effort.seconds, 2),
            "alone": round(seconds_alone(self.writer.own_text(request, edit)), 2),
            "edit_cost": round(edit_cost(draft.text, sent), 4),
            "typed_share": round(effort.typed_share, 4),
            "leaks": [[leak.kind, leak.words, leak.exchange_id] for leak in leaks],
            "empty": not has_body(draft.text, self._closings()),
            "looping": first_loop(ids, policy.codec.decode) is not None,
            "finished": draft.sample.finished,
            "memory": [one.id for one in draft.memory],
            "tokens": len(ids),
            "prompt_tokens": len(policy.codec.encode_prompt(behind)),
            "draft": draft.text,
            "sent": sent,
        }

    def _closings(self) -> Sequence[Closing]:
        """Return how the writer's own texts close so far, which is the same in every arm."""
        return usual_closings(self._own_texts)


def _shuffled(splits: Iterable[Split], count: int, seed: str) -> list[WritingRequest]:
    requests = [request for split in splits for request in writing_requests(split)]
    if not 0 <= count <= len(requests):
        names = " and ".join(splits)
        raise InputError(f"There are {len(requests)} {names} requests; {count} were asked for.")
    Random(seed).shuffle(requests)
    return requests[:count]
