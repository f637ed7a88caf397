"""Algorithm 2 where everything can be enumerated: `python experiments/linear_world.py`.

Writes `results/linear/rounds.jsonl` (a line an arm, seed and number of candidates) and the figure
beside it. Seconds on any machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from corll.laboratory.linear_world import (
    History,
    LinearWorld,
    LogisticLearner,
    PairwiseLearner,
    Perceptron,
    play_coactive,
    play_dueling,
)
from corll.simulation.axes import FeedbackAxes

RESULTS = Path(__file__).parent / "results" / "linear"
ROUNDS, PROMPTS, DIMENSIONS, ALPHA = 1000, 500, 10, 0.6
SEEDS = range(8)
CANDIDATES = (4, 16, 64, 256, 1024)
ALPHA_EDITS = FeedbackAxes(strength="alpha", alpha=ALPHA)
MINIMAL_EDITS = FeedbackAxes(strength="minimal")

COACTIVE: dict[str, tuple[Callable[[int], PairwiseLearner], FeedbackAxes, dict[str, int]]] = {
    "coactive, α = 0.6": (Perceptron, ALPHA_EDITS, {}),
    "coactive, α = 0.6, logistic": (LogisticLearner, ALPHA_EDITS, {}),
    "coactive, argmax of 3 samples": (Perceptron, ALPHA_EDITS, {"num_candidates": 3}),
    "coactive, least better of all": (Perceptron, MINIMAL_EDITS, {}),
    "coactive, least better of 5": (Perceptron, MINIMAL_EDITS, {"num_expert_samples": 5}),
}
ARMS = (*COACTIVE, "dueling")
_METADATA: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}}
"""So that the same numbers draw the same file."""
COLOURS = dict(
    zip(ARMS, ("#5e2b97", "#a0439b", "#c9568a", "#e8804f", "#f5b04a", "#2b6cb0"), strict=True)
)


def play(arm: str, world: LinearWorld, seed: int) -> History:
    """Play an arm with a new learner."""
    if arm == "dueling":
        return play_dueling(world, LogisticLearner(DIMENSIONS), rounds=ROUNDS, seed=seed)
    learner, axes, samples = COACTIVE[arm]
    return play_coactive(world, learner(DIMENSIONS), axes, rounds=ROUNDS, seed=seed, **samples)


def lines() -> Iterator[dict[str, Any]]:
    """Yield the mean regret of all rounds, its α̂, and the curves at the marks of a log scale."""
    marks = np.unique(np.geomspace(1, ROUNDS, 25).astype(int))
    for candidates in CANDIDATES:
        for seed in SEEDS:
            world = LinearWorld.generate(
                num_prompts=PROMPTS, num_candidates=candidates, dimensions=DIMENSIONS, seed=seed
            )
            for arm in ARMS:
                history = play(arm, world, seed)
                alpha, left_out = history.estimated_alpha()
                at = marks - 1
                yield {
                    "arm": arm,
                    "seed": seed,
                    "candidates": candidates,
                    "mean_regret": history.mean_regret[-1],
                    "last_regret": history.regret[-ROUNDS // 10 :].mean(),
                    "estimated_alpha": alpha,
                    "left_out": left_out,
                    "premise_held": history.premise.mean(),
                    "rounds": marks.tolist(),
                    "regret_at": history.mean_regret[at].tolist(),
                    "identity_at": history.identity(ALPHA)[at].tolist(),
                    "bound_at": history.bound(world, ALPHA)[at].tolist(),
                }


def draw(found: list[dict[str, Any]]) -> None:
    """Draw regret and its bounds, and regret and α̂ against the number of candidates."""
    figure, (bounds, growth, alphas) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    first = [f for f in found if f["arm"] == "coactive, α = 0.6" and f["candidates"] == 64]
    for name, label, style in (
        ("bound_at", "bound (Theorem 1)", ":"),
        ("identity_at", "identity", "--"),
        ("regret_at", "exact regret", "-"),
    ):
        curves = np.array([f[name] for f in first])
        bounds.plot(first[0]["rounds"], curves.mean(0), style, color="#5e2b97", label=label)
    bounds.set(xscale="log", yscale="log", xlabel="rounds", ylabel="mean regret up to here")
    bounds.set_title("coactive, perceptron, exact argmax, 64 candidates", fontsize=10)
    for arm, colour in COLOURS.items():
        for axis, name in ((growth, "mean_regret"), (alphas, "estimated_alpha")):
            if arm == "dueling" and axis is alphas:
                continue
            values = np.array(
                [
                    [f[name] for f in found if f["arm"] == arm and f["candidates"] == count]
                    for count in CANDIDATES
                ]
            )
            mean, error = values.mean(1), values.std(1, ddof=1) / np.sqrt(len(SEEDS))
            axis.plot(CANDIDATES, mean, "o-", color=colour, label=arm, markersize=4)
            axis.fill_between(CANDIDATES, mean - error, mean + error, color=colour, alpha=0.2)
    growth.set(
        xscale="log", xlabel="candidates", ylabel=f"mean regret of {ROUNDS} rounds", ylim=(0, None)
    )
    alphas.set(xscale="log", xlabel="candidates", ylabel="α̂", ylim=(0, 1.05))
    for axis in (bounds, growth):
        axis.legend(frameon=False, fontsize=8)
    for axis in (bounds, growth, alphas):
        axis.spines[["top", "right"]].set_visible(False)
    for kind in ("png", "svg"):
        figure.savefig(RESULTS / f"regret.{kind}", dpi=120, metadata=_METADATA[kind])
    about = {"command": "python experiments/linear_world.py", "data": "rounds.jsonl"}
    (RESULTS / "regret.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    RESULTS.mkdir(parents=True, exist_ok=True)
    results = list(lines())
    with (RESULTS / "rounds.jsonl").open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in results)
    draw(results)
    for arm in ARMS:
        means = [
            np.mean([f["mean_regret"] for f in results if (f["arm"], f["candidates"]) == (arm, c)])
            for c in CANDIDATES
        ]
        print(f"{arm:<32}", *(f"{mean:.3f}" for mean in means))
