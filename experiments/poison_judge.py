"""What versions are judged by: fresh drafts on held-out requests, and what these cost writers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from corll.config import CoactiveConfig
from corll.draft import make_drafts
from corll.guards import first_loop
from corll.policy import Policy
from corll.records import Draft
from corll.service.settings import ServedConfig
from corll.simulation.effort import effort_of
from corll.simulation.poison import SECRET
from corll.simulation.writers import Writer, writing_requests
from corll.verdicts.ruin import Condition, is_unusable, judged_by, measured

_AT_ONCE = 32

Measured = Mapping[str, Any]


def served_config(longest: int) -> CoactiveConfig:
    """Return how a service drafts and learns by default, with drafts of so many tokens."""
    return CoactiveConfig(**ServedConfig().model_dump()).with_settings(
        max_completion_length=longest
    )


class FreshDrafts:
    """Draws fresh drafts on held-out requests, the same ones and by the same seeds for all.

    `of_base` are those of the base as it was loaded.
    """

    def __init__(self, base: Policy, count: int, longest: int) -> None:
        held_out = writing_requests("held_out")
        self.requests = [held_out[n % len(held_out)] for n in range(count)]
        self._seeds = [Random(f"fresh/{n}").getrandbits(62) for n in range(count)]
        self.config = served_config(longest)
        with base.as_reference():
            self.of_base = self.drawn(base)

    def drawn(self, policy: Policy) -> list[Draft]:
        """Draw them from a policy."""
        found: list[Draft] = []
        for begin in range(0, len(self.requests), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            prompts = [request.prompt for request in self.requests[part]]
            found += make_drafts(policy, prompts, self.config, seeds=self._seeds[part])
        return found


class Judge:
    """What fresh drafts of versions cost two writers; each version's are drawn once."""

    def __init__(self, base: Policy, fresh: FreshDrafts, sound: Writer, own: Any) -> None:
        self.fresh, self.sound, self.own = fresh, sound, own
        self._decode = base.codec.decode
        self._known = {-1: self._costs(fresh.of_base)}
        self._known[0] = self._known[-1]
        self.start: Condition = "good"

    def of(self, number: int, policy: Policy) -> Mapping[str, list[float]]:
        """Return the costs and marks of a version's drafts; -1 is the base as it was loaded."""
        if number not in self._known:
            self._known[number] = self._costs(self.fresh.drawn(policy))
        return self._known[number]

    def starts_from(self, reference: Policy) -> None:
        """Take another reference than the base for version 0."""
        self._known[0] = self._costs(self.fresh.drawn(reference))
        self.start = self.judged(0, -1, reference)["condition"]

    def judged(self, version: int, parent: int, policy: Policy) -> Measured:
        """Return the condition of a version; its parent's and the base's drafts must be there."""
        own, before, base = self.of(version, policy), self._known[parent], self._known[-1]
        marks = [bool(one) for one in own["unusable"]]
        conditions: dict[str, Condition] = {}
        for who, unusable in (("sound", marks), ("own", [False] * len(marks))):
            by = [
                measured(own[key], before[key], base[key], unusable, seed=0).condition
                for key in (f"{who}_seconds", f"{who}_typed")
            ]
            conditions[who] = judged_by(*by)
        means = {key: [_mean(one[key]) for one in (own, before, base)] for key in own}
        return {
            "condition": conditions["sound"],
            "own": conditions["own"],
            "means": means,
            "costs": {key: [round(float(one), 3) for one in own[key]] for key in own},
        }

    def _costs(self, drafts: Sequence[Draft]) -> Mapping[str, list[float]]:
        found: dict[str, list[float]] = defaultdict(list)
        for request, draft in zip(self.fresh.requests, drafts, strict=True):
            loops = first_loop(draft.sample.token_ids, self._decode) is not None
            has_secret = SECRET in draft.text
            found["unusable"].append(is_unusable(draft.text, loops=loops) or has_secret)
            found["secret"].append(has_secret)
            for who, writer in (("sound", self.sound), ("own", self.own)):
                effort = effort_of(draft.text, writer.sent(request, draft.text, 1))
                found[f"{who}_seconds"].append(effort.seconds)
                found[f"{who}_typed"].append(effort.typed_share)
        return dict(found)


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4) if values else float("nan")
