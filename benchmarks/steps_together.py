"""Steps of many users in shared passes, against one user after another on the same work.

    python benchmarks/steps_together.py [--quick] [--keep] [--users 32] [--pairs 1 8] [--runs 3]

So many users on one base, each with an adapter away from zero and so many pairs of 64 / 64 tokens,
take an Adam step each, with π_0 computed anew. Both sides are corll in float32, in one process,
interleaved. Before that both compute the gradients of the same adapters, which must agree to 1e-4
of the largest number in them, or the benchmark fails. `--quick`: four users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from corll import CoactiveConfig, Policy, Preference
from corll.gradient import Lesson, accumulate_gradient, accumulate_gradients, encode_pair
from corll.losses import Objective
from corll.step import PreferenceOptimizer, step_together
from edits import some_pairs
from measuring import Case, interleaved, new_parser, new_policy, parse, taught, write

DTYPE = "float32"
USERS = 32
TARGETS = {1: "≥ 1.8×", 8: "≥ 1.2×"}
"""By how many pairs a user brings."""
TOLERANCE = 1e-4
CONFIG = CoactiveConfig(warmup_steps=0)


def cases(users: int, pairs: Sequence[int], *, runs: int) -> Iterator[Case]:
    base = new_policy(DTYPE)
    policies = [taught(base.with_adapter(), seed) for seed in range(users)]
    for count in pairs:
        yield _steps(policies, count, runs=runs)


def _steps(users: Sequence[Policy], pairs: int, *, runs: int) -> Case:
    optimizers = [PreferenceOptimizer(user, CONFIG) for user in users]
    batches = [some_pairs(users[0], pairs, seed=number) for number in range(len(users))]
    differ = _differ(optimizers, batches)
    if differ > TOLERANCE:
        raise SystemExit(f"gradients differ by {differ:.2e} of their largest number: not measured")

    def together() -> None:
        step_together(list(zip(optimizers, batches, strict=True)))

    def one_by_one() -> None:
        for optimizer, batch in zip(optimizers, batches, strict=True):
            optimizer.step(batch)

    ours, peer = interleaved(together, one_by_one, pairs=runs, is_warm=True)
    each = "a pair each" if pairs == 1 else f"{pairs} pairs each"
    return Case(
        f"steps together: {len(users)} users, {each}",
        ours,
        peer,
        "one user after another",
        target=TARGETS.get(pairs, ""),
        dtype=DTYPE,
        more={"gradients_differ": differ, "times": ours, "peer_times": peer},
    )


def _differ(
    optimizers: Sequence[PreferenceOptimizer], batches: Sequence[Sequence[Preference]]
) -> float:
    """By how much the gradients of both ways differ at most, of the largest number of a policy's.

    Each objective is that of the optimisers' config, and all tokens are worked at as a step does.
    """
    objective, tokens = Objective.of(CONFIG), min(one.max_tokens for one in optimizers)
    lessons = []
    for optimizer, batch in zip(optimizers, batches, strict=True):
        policy = optimizer.policy
        lessons.append(Lesson(policy, [encode_pair(policy, one) for one in batch], objective))
    accumulate_gradients(lessons, tokens)
    together = [_taken(lesson.policy) for lesson in lessons]
    found = []
    for lesson, ours in zip(lessons, together, strict=True):
        accumulate_gradient(lesson.policy, lesson.pairs, objective, tokens)
        alone = _taken(lesson.policy)
        found.append(float((ours - alone).abs().max() / alone.abs().max()))
    return max(found)


def _taken(policy: Policy) -> Tensor:
    """A policy's gradient as one row of numbers; it has none afterwards."""
    parameters = policy.trainable_parameters().values()
    grads = [parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]
    for parameter in parameters:
        parameter.grad = None
    return torch.cat(grads)


if __name__ == "__main__":
    parser = new_parser(__doc__)
    parser.add_argument("--users", type=int, default=USERS, help="how many learn")
    parser.add_argument("--pairs", type=int, nargs="+", default=list(TARGETS), help="a user's")
    parser.add_argument("--runs", type=int, default=3, help="interleaved pairs of runs")
    chosen = parse(parser)
    given = (4, [1], 1) if chosen.quick else (chosen.users, chosen.pairs, chosen.runs)
    found = cases(given[0], given[1], runs=given[2])
    write(found, "steps_together", keep=chosen.keep, latest=False)
