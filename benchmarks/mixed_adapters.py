"""Many users' adapters in one pass, against one user after another on the same work.

    python benchmarks/mixed_adapters.py [--quick] [--keep]

Drafts: so many users, each with an adapter and a prompt of about 64 tokens, 64 further tokens each.
Both sides are corll, in one process, interleaved. `--quick`: four users. Steps that are taken
together: `steps_together.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from corll import Policy
from corll.compute.decoding import Branch
from edits import some_pairs
from measuring import Case, interleaved, new_parser, new_policy, parse, taught, write

USERS_DRAFTING = (2, 4, 8, 16)
TOKENS = 64
PEER = "one user after another"


def cases(*, quick: bool) -> Iterator[Case]:
    base = new_policy("bfloat16")
    counts = (4,) if quick else USERS_DRAFTING
    users = [taught(base.with_adapter(), seed) for seed in range(max(counts))]
    for count in counts:
        yield _drafts(base, users[:count], runs=1 if quick else 3)


def _drafts(base: Policy, users: Sequence[Policy], *, runs: int) -> Case:
    edits = [some_pairs(base, 1, seed=number)[0] for number in range(len(users))]
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


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    write(cases(quick=chosen.quick), "mixed_adapters", keep=chosen.keep)
