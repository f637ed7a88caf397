"""A round of Algorithm 1, against the loop that one would put together today.

    python benchmarks/round.py [--quick] [--keep]

A round drafts (k = 4, the best by implicit reward), takes an edit, and bears its share of a step on
8 preferences. The peer is `generate` with PEFT's adapter, two plain passes for the rewards, and a
step of TRL's `DPOTrainer`. Edits are made beforehand and the same for both: a user's time is no
part of it. Responses have 64 tokens. One prompt at a time, as at a desk, and 16 at a time, as in
an experiment.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import trl
from torch import Tensor

from corll import CoactiveLearner, Policy
from dpo_step import StepTimer, Work, halved, load_corll, run_trl
from drafting import draft, generate
from edits import random_edits
from measuring import Case, new_parser, parse, write
from scoring import as_samples, load_peer, plain_rewards

CANDIDATES, NEW_TOKENS = 4, 64
WORK = Work("round", random_edits(64, NEW_TOKENS))


def cases(*, quick: bool) -> Iterator[Case]:
    for at_once, rounds, target in ((1, 1 if quick else 2, "≥ 2×"), (16, 16, "≥ 4×")):
        if quick and at_once > 1:
            continue
        work = halved(WORK) if quick else WORK
        learner, preferences = load_corll(work)
        prompts = [str(p.prompt) for p in preferences for _ in range(2)][:rounds]
        peer = load_peer(learner.policy)
        chunks = [prompts[start : start + at_once] for start in range(0, rounds, at_once)]
        timer = _RoundTimer(
            learner,
            preferences,
            ours=[partial(draft_ours, learner.policy, chunk) for chunk in chunks],
            theirs=[partial(draft_theirs, learner.policy, peer, chunk) for chunk in chunks],
        )
        run_trl(learner.policy, work, timer, steps=2 if quick else 3)
        steps = rounds / work.pairs
        yield Case(
            f"round: {at_once} at a time",
            [(d + steps * s) / rounds for d, s in timer.pairs("ours")],
            [(d + steps * s) / rounds for d, s in timer.pairs("theirs")],
            f"generate + TRL {trl.__version__}",
            target=target,
        )


class _RoundTimer(StepTimer):
    """Drafts before each pair of steps, ours and the peer's."""

    def __init__(self, learner: CoactiveLearner, preferences: Any, *, ours: Any, theirs: Any):
        super().__init__(learner, preferences)
        self._drafting = {"ours": ours, "theirs": theirs}
        self.drafted: dict[str, list[float]] = {"ours": [], "theirs": []}

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        for side, works in self._drafting.items():
            start = time.perf_counter()
            for work in works:
                work()
            self.drafted[side].append(time.perf_counter() - start)
        super().on_step_begin(*args, **kwargs)

    def pairs(self, side: str) -> list[tuple[float, float]]:
        """Seconds of drafting and of a step, without the warm-up."""
        return list(zip(self.drafted[side], getattr(self, side), strict=True))[1:]


def draft_ours(policy: Policy, prompts: list[str]) -> Any:
    """As `corll.draft.make_drafts`, but that no candidate ends early, since the peer's do not."""
    encoded = [policy.codec.encode_prompt(prompt) for prompt in prompts]
    rows = as_samples(policy, draft(policy, encoded, CANDIDATES))
    repeated = [prompt for prompt in prompts for _ in range(CANDIDATES)]
    rewards = policy.implicit_rewards(repeated, rows, beta=0.1)
    return best_of_each(rows, rewards)


def draft_theirs(policy: Policy, peer: Any, prompts: list[str]) -> Any:
    encoded = [policy.codec.encode_prompt(prompt) for prompt in prompts]
    longest = max(map(len, encoded))
    rows = generate(peer, encoded, CANDIDATES)[:, longest:].tolist()
    repeated = [ids for ids in encoded for _ in range(CANDIDATES)]
    rewards = plain_rewards(peer, repeated, rows)
    return best_of_each(rows, rewards)


def best_of_each(rows: list[Any], rewards: Tensor) -> list[Any]:
    """The candidate of the highest reward of each prompt."""
    best = rewards.view(-1, CANDIDATES).argmax(-1).tolist()
    return [rows[n * CANDIDATES + choice] for n, choice in enumerate(best)]


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    write(cases(quick=chosen.quick), "round", keep=chosen.keep)
