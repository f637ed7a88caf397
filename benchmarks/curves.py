"""How the cost grows: with k, the prompt, the response, and what follows the first difference.

    python benchmarks/curves.py [--keep]

Drafts against `transformers.generate`, steps of `PAIRS` preferences against TRL's `DPOTrainer`, as
in `drafting.py` and `dpo_step.py`, all else at 64 tokens. With `--keep` the curves are drawn into
`results/curves.png`. There is no quick mode: a curve of fewer points would be none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from transformers import AutoModelForCausalLM

from corll import Policy, Preference
from dpo_step import Work, interleaved_steps
from drafting import draft, generate, make_prompts
from edits import make_pair
from measuring import RESULTS, Case, interleaved, new_parser, parse, taught_policy, write

PAIRS = 4
LENGTH = 64
CANDIDATES = "candidates of one prompt"
PROMPT = "tokens of the prompt"
RESPONSE = "tokens of a response"
SHARE = "share after the first difference"


def cases() -> Iterator[Case]:
    """The points of all curves, one curve after another."""
    yield from _drafts()
    for length in (16, 64, 128, 256):
        yield _step(PROMPT, length, length, LENGTH, 0.5)
    for length in (16, 64, 128):
        yield _step(RESPONSE, length, LENGTH, length, 0.5)
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        yield _step(SHARE, share, LENGTH, LENGTH, share)


def _drafts() -> Iterator[Case]:
    policy = taught_policy("bfloat16")
    peer = AutoModelForCausalLM.from_pretrained(policy.folder, dtype=policy.dtype)
    peer.to(policy.device).eval()
    prompts = make_prompts(policy, 1)
    for k in (1, 2, 4, 8, 16):
        ours, theirs = interleaved(
            partial(draft, policy, prompts, k), partial(generate, peer, prompts, k), pairs=2
        )
        yield _point(CANDIDATES, k, Case("", ours, theirs, "generate"))


def _step(curve: str, x: float, prompt: int, response: int, share: float) -> Case:
    work = Work(curve, _edits(prompt, response, share), pairs=PAIRS)
    return _point(curve, x, interleaved_steps(work, pairs=1, with_floor=False))


def _point(curve: str, x: float, case: Case) -> Case:
    case.name = f"curve: {curve}: {x:g}"
    case.more = {"curve": curve, "x": x}
    return case


def _edits(
    prompt: int, response: int, share: float
) -> Callable[[Policy, random.Random], list[Preference]]:
    """Pairs that differ in the last `share` of the response."""

    def make(policy: Policy, generator: random.Random) -> list[Preference]:
        first = round((1 - share) * response)
        return [make_pair(policy, generator, prompt, response, first, 0) for _ in range(PAIRS)]

    return make


def draw(points: list[Case]) -> None:
    """A panel for each curve."""
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), layout="constrained")
    for axis, curve in zip(axes, (CANDIDATES, PROMPT, RESPONSE, SHARE), strict=True):
        own = [point.line() for point in points if point.more["curve"] == curve]
        xs = [line["x"] for line in own]
        axis.plot(xs, [line["peer"] for line in own], "o-", color="0.5", label=own[0]["peer_name"])
        axis.plot(xs, [line["ours"] for line in own], "o-", color="C0", label="corll")
        work = "64 tokens each" if curve == CANDIDATES else f"a step of {PAIRS} pairs"
        axis.set(xlabel=curve, ylabel=f"seconds, {work}", ylim=(0, None), xlim=(0, None))
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "curves.png", dpi=120)


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    if not chosen.quick:
        found = list(cases())
        write(found, "curves", keep=chosen.keep)
        if chosen.keep:
            draw(found)
