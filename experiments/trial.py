"""One trial of settings: `corll learn` without a run folder, in one thread, so that two can run.

Usage: python experiments/trial.py NAME [--user letter] [--seed 11] [--set name=value …]

Prints JSON lines: the settings, the held-out drafts before, a mean over every 16 rounds, and the
held-out drafts after.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import fields
from typing import Any

import torch

from corll import CoactiveConfig, CoactiveLearner, Policy, run
from corll.config import DEFAULT_MODEL
from corll.draft import make_drafts
from corll.evaluation import Evaluation, Measures, compare, evaluate, first_samples
from corll.simulation import EDITORS, own_words, writing_prompts

WINDOW, AT_ONCE = 16, 8
MEASURES = [field.name for field in fields(Measures)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--user", default="letter", choices=EDITORS)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in options.set)
    config = CoactiveConfig(seed=options.seed, **settings)
    torch.set_num_threads(1)
    start = time.monotonic()

    def report(**line: Any) -> None:
        seconds = round(time.monotonic() - start)
        print(json.dumps({"trial": options.name, "seconds": seconds, **line}), flush=True)

    report(user=options.user, settings=config.model_dump())
    policy = Policy.load(DEFAULT_MODEL, dtype="bfloat16")
    learner = CoactiveLearner(policy, config)
    editor = EDITORS[options.user](own_words=own_words())
    held_out = writing_prompts("held_out")

    def held_out_drafts() -> Evaluation:
        seeds = [config.seed] * len(held_out)
        return evaluate(make_drafts(policy, held_out, config, seeds=seeds), editor)

    before = held_out_drafts()
    report(phase="before", **means(before), one_sample=means(first_samples(before, editor)))
    window: list[Measures] = []
    for played in run(learner, writing_prompts("train"), editor, drafts_at_once=AT_ONCE):
        window.append(Measures.of(played.edit))
        if len(window) == WINDOW:
            rounds = {m: sum(getattr(w, m) for w in window) / WINDOW for m in MEASURES}
            report(round=played.number, step=learner.steps_taken, **rounds)
            window = []
    learner.flush()
    after = held_out_drafts()
    report(
        phase="after",
        **means(after),
        one_sample=means(first_samples(after, editor)),
        edit_cost_change=compare(before, after, seed=0),
    )


def means(evaluation: Evaluation) -> dict[str, float]:
    return {name: round(float(evaluation.values(name).mean()), 4) for name in MEASURES}


if __name__ == "__main__":
    main()
