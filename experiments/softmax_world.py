"""Do edits teach faster than comparisons where the paper's objective J is exact?

    python experiments/softmax_world.py --out FILE.jsonl [--only NAME …] [--quick]
    python experiments/softmax_world.py --report FILE.jsonl … [--figure FILE.png]

Plays the arms in softmax worlds (`corll.laboratory.softmax_world`): a line for each condition, arm,
kind of labels and learning rate, with a number a seed. The whole grid takes 80 seconds of one
core; `--quick` plays two seeds of a few conditions in seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from softmax_report import draw, report

from corll.errors import CorllError, InputError
from corll.files.durable import read_lines, write_text
from corll.laboratory.arms import get_arm
from corll.laboratory.softmax_world.measures import measured
from corll.laboratory.softmax_world.playing import History, play
from corll.laboratory.softmax_world.settings import PlaySettings, WorldSettings
from corll.laboratory.softmax_world.world import SoftmaxWorld
from corll.version import __version__

RATES = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
TEMPERATURES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
SEEDS, TUNING = 12, 4
"""Seeds that are reported, and others after them by which each arm's rate is chosen."""

MAIN = (
    "coactive-alpha-0.6",
    "coactive-minimal-drop",
    "coactive-minimal-anyway",
    "coactive-best",
    "dueling",
    "sft-edit",
)
THREE = ("coactive-alpha-0.6", "dueling", "sft-edit")
EQ_7 = 1.0


@dataclass(frozen=True)
class Condition:
    """A condition: a world, the arms that are played in it, and the users' labels.

    `labels` are scales of R* in the Bradley–Terry model, None for labels without noise. With
    `one_world` all seeds play in the first world, as the real contrast's seeds share an expert.
    """

    name: str
    arms: tuple[str, ...] = THREE
    labels: tuple[float | None, ...] = (None,)
    world: dict[str, Any] = field(default_factory=dict)
    play: dict[str, Any] = field(default_factory=dict)
    one_world: bool = False
    temperatures: bool = False


_BETA = WorldSettings().beta
_RARE = {"rarity": 1.0, "tokens": 64, "top_k": 32}
"""Nearer to the real contrast, where KL(π_0‖π*) is a quarter of KL(π*‖π_0)."""

CONDITIONS = (
    Condition("base", MAIN, (None, EQ_7, 1 / _BETA), temperatures=True),
    Condition("ε", ("coactive-epsilon-0.1", "coactive-epsilon-0.3")),
    Condition("k", ("coactive-k-1", "coactive-k-5", "coactive-k-9")),
    *(Condition(f"{d} dimensions", world={"dimensions": d}) for d in (8, 128, 512)),
    *(Condition(f"{v} tokens", world={"tokens": v, "top_k": v // 2}) for v in (8, 128)),
    Condition("expert at 1.6 nats", world={"expert_kl": 1.6}),
    Condition("fluent expert", world={"fluency": 0.5}, temperatures=True),
    Condition(
        "k = 9, l = 25",
        ("coactive-alpha-0.6", "coactive-minimal-anyway", "dueling"),
        play={"num_candidates": 9, "num_expert_samples": 25},
    ),
    Condition("512 preferences", labels=(None, EQ_7), play={"preferences": 512}),
    Condition("one world", labels=(None, EQ_7), one_world=True),
    Condition("rare good texts", labels=(None, EQ_7), world=_RARE, temperatures=True),
    Condition("rare good texts, one world", labels=(None, EQ_7), world=_RARE, one_world=True),
)
_QUICK = ("base", "one world")


def lines(conditions: Sequence[Condition], *, quick: bool) -> Iterator[dict[str, Any]]:
    """Play conditions, and yield a line for each arm, labels and rate."""
    seeds = range(3 if quick else SEEDS + TUNING)
    rates = RATES[2:5] if quick else RATES
    kept = len(seeds) - (1 if quick else TUNING)
    for condition in conditions:
        shrunk = {"prompts": 4} if quick else {}
        settings = WorldSettings(**{**condition.world, **shrunk})
        world = SoftmaxWorld.generate(settings, seeds[:1] if condition.one_world else seeds)
        world = world.repeated(len(seeds)) if condition.one_world else world
        expert = world.standing(world.expert_sampler)
        about = {
            "condition": condition.name,
            "world": settings.model_dump(),
            "expert_kl": _rounded(expert.kl[:kept, 0]),
            "least_expert_kl": _rounded(world.least_expert_kl[:kept]),
        }
        if condition.temperatures:
            yield from _temperature_lines(world, about, kept)
        for labels in condition.labels:
            playing = PlaySettings(**{**condition.play, "bradley_terry": labels})
            for arm in condition.arms:
                history = play(world, get_arm(arm), np.array(rates), playing, seeds=seeds)
                told = {**about, "arm": arm, "play": playing.model_dump()}
                half = float(expert.kl[:kept].mean()) / 2
                for e, rate in enumerate(rates):
                    yield {**told, "rate": rate, **_numbers(history, e, kept, half)}


def _numbers(history: History, e: int, kept: int, half: float) -> dict[str, Any]:
    """Return what a play at one rate came to: a number a seed, and mean curves over the seeds."""
    found = {name: part[:, e] for name, part in measured(history, at_kl=half)._asdict().items()}
    pairs = {name: part[:, :kept, e] for name, part in history.pairs._asdict().items()}
    own = history.objective(history.sampler)[:, :kept, e]
    return {
        "tuning_area": float(f"{found['area'][kept:].mean():.5g}"),
        **{name: _rounded(part[:kept]) for name, part in found.items()},
        **{name: float(f"{np.nanmean(part):.4g}") for name, part in pairs.items()},
        "spread": _rounded(history.last_spread[:kept, e]),
        "preferences": history.preferences.tolist(),
        "objective_at": _rounded(own.mean(1)),
        "objective_error_at": _rounded(own.std(1, ddof=1) / math.sqrt(kept)),
        "reward_at_points": _rounded(history.sampler.reward[:, :kept, e].mean(1)),
        "kl_at_points": _rounded(history.sampler.kl[:, :kept, e].mean(1)),
    }


def _temperature_lines(
    world: SoftmaxWorld, about: dict[str, Any], kept: int
) -> Iterator[dict[str, Any]]:
    """Yield what π_0 at lower temperatures comes to, without learning."""
    cooled = world.at_temperatures(np.array(TEMPERATURES))
    standing, whole = world.standing(world.sampler(cooled)), world.standing(np.exp(cooled))
    for e, temperature in enumerate(TEMPERATURES):
        yield {
            **about,
            "arm": "temperature",
            "temperature": temperature,
            "last": _rounded(-world.beta * standing.expert_kl[:kept, e]),
            "whole_last": _rounded(-world.beta * whole.expert_kl[:kept, e]),
            "reward": _rounded(standing.reward[:kept, e]),
            "kl": _rounded(standing.kl[:kept, e]),
            "tuning_area": float(f"{-world.beta * standing.expert_kl[kept:, e].mean():.5g}"),
        }


def _rounded(values: Any) -> list[float | None]:
    """Return numbers to five digits, None for those that are not finite."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="where the lines go; what is there is replaced")
    parser.add_argument(
        "--only", nargs="+", choices=[c.name for c in CONDITIONS], metavar="NAME", help="conditions"
    )
    parser.add_argument("--quick", action="store_true", help="two seeds of a few conditions")
    parser.add_argument("--report", type=Path, nargs="+", help="lines that tables are printed of")
    parser.add_argument("--figure", type=Path, help="where a figure of --report's lines goes")
    options = parser.parse_args(arguments)
    if (options.out is None) == (options.report is None):
        parser.error("say either --out FILE.jsonl or --report FILE.jsonl")
    if options.figure is not None and options.report is None:
        parser.error("--figure draws the lines of --report FILE.jsonl")
    if options.out is not None:
        names = options.only or (_QUICK if options.quick else [c.name for c in CONDITIONS])
        chosen = [condition for condition in CONDITIONS if condition.name in names]
        played = [{**line, "version": __version__} for line in lines(chosen, quick=options.quick)]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in played)
        write_text(options.out, text)
        return
    found = [line for path in options.report for _, line in read_lines(path)]
    if not found:
        raise InputError(f"There are no lines in {' or '.join(map(str, options.report))}.")
    print(report(found))
    if options.figure is not None:
        draw(found, options.figure, command=f"python {' '.join(sys.argv)}")


if __name__ == "__main__":
    try:
        main()
    except (CorllError, OSError) as error:
        sys.exit(str(error))
