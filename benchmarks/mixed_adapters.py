"""Many users' adapters in one pass, against one user after another on the same work.

    python benchmarks/mixed_adapters.py [--quick] [--keep]

Drafts: so many users, each with an adapter and a prompt of about 64 tokens, 64 further tokens each.
Steps: so many users, each with so many pairs of 64 / 64 tokens, an Adam step each, π_0 computed
anew. Both sides are corll, in one process, interleaved. `--quick`: four users.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch

from corll import CoactiveConfig, Policy, Preference
from corll.compute.decoding import Branch
from corll.step import PreferenceOptimizer, step_together
from edits import random_edits
from measuring import Case, interleaved, new_parser, new_policy, parse, write

USERS_DRAFTING = (2, 4, 8, 16)
TOKENS = 64
USERS_LEARNING = 32
PAIRS = ((1, "≥ 1.8×"), (8, "≥ 1.2×"))
PEER = "one user after another"


def cases(*, quick: bool) -> Iterator[Case]:
    base = new_policy("bfloat16")
    learning = 4 if quick else USERS_LEARNING
    users = [_taught(base, seed) for seed in range(max(learning, *USERS_DRAFTING))]
    for count in (4,) if quick else USERS_DRAFTING:
        yield _drafts(base, users[:count], runs=1 if quick else 3)
    for pairs, target in PAIRS[: 1 if quick else None]:
        yield _steps(users[:learning], pairs, target, runs=1 if quick else 3)


def _taught(base: Policy, seed: int) -> Policy:
    """A further policy whose adapter is away from zero."""
    policy = base.with_adapter()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.trainable_parameters().values():
            noise = torch.randn(parameter.shape, generator=generator) * 0.005
            parameter.copy_(noise.to(parameter.device))
    return policy


def _drafts(base: Policy, users: Sequence[Policy], *, runs: int) -> Case:
    edits = [_pairs(base, 1, seed=number)[0] for number in range(len(users))]
    prompts = [base.codec.encode_prompt(edit.prompt) for edit in edits]

    def together() -> list[Branch]:
        decoding = base.begin(prompts, 1, TOKENS, range(len(users)), drawers=users)
        while base.advance(decoding):
            pass
        return decoding.branches()

    def one_by_one() -> list[Branch]:
        found = []
        for number, (user, prompt) in enumerate(zip(users, prompts, strict=True)):
            decoding = user.begin([prompt], 1, TOKENS, [number])
            while user.advance(decoding):
                pass
            found += decoding.branches()
        return found

    both = zip(together(), one_by_one(), strict=True)
    alike = sum(one.token_ids == other.token_ids for one, other in both) / len(users)
    ours, peer = interleaved(together, one_by_one, pairs=runs)
    name = f"mixed_adapters: {TOKENS}-token drafts of {len(users)} users"
    return Case(name, ours, peer, PEER, more={"drafts_alike": alike})


def _steps(users: Sequence[Policy], pairs: int, target: str, *, runs: int) -> Case:
    config = CoactiveConfig(warmup_steps=0)
    optimizers = [PreferenceOptimizer(user, config) for user in users]
    batches = [_pairs(users[0], pairs, seed=number) for number in range(len(users))]

    def together() -> None:
        step_together(list(zip(optimizers, batches, strict=True)))

    def one_by_one() -> None:
        for optimizer, batch in zip(optimizers, batches, strict=True):
            optimizer.step(batch)

    ours, peer = interleaved(together, one_by_one, pairs=runs)
    each = "a pair each" if pairs == 1 else f"{pairs} pairs each"
    name = f"mixed_adapters: steps of {len(users)} users, {each}"
    return Case(name, ours, peer, PEER, target=target)


def _pairs(policy: Policy, count: int, *, seed: int) -> list[Preference]:
    return random_edits(64, 64)(policy, random.Random(seed))[:count]


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    write(cases(quick=chosen.quick), "mixed_adapters", keep=chosen.keep)
