"""Summarises run folders of `corll learn`: a JSON line a run, and one figure of their curves.

Usage: python experiments/summarise.py RUN [RUN …] --draw NAME [NAME …] --output RESULT

A setting that a line lacks did not exist when its run was made.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from corll.evaluation import Evaluation, Measures, compare
from corll.files.run_folder import RunFolder, read_config

MEASURES = [field.name for field in fields(Measures)]
WINDOW = 16


def summary_of(run: Path) -> dict[str, Any]:
    """Return what a run was told, and its held-out measures: each mean with its interval."""
    config = read_config(run)
    settings = config["settings"]
    coactive = settings["coactive"]
    folder = RunFolder(run)
    records = folder.held_out()
    phases = {
        phase: Evaluation.from_records(line for line in records if line["phase"] == phase)
        for phase in ("before", "after")
    }
    line: dict[str, Any] = {
        "run": run.name,
        "user": settings["user"],
        "seed": coactive["seed"],
        "rounds": settings["rounds"],
        "drafts_at_once": settings["drafts_at_once"],
        "lora_target_modules": settings["lora"]["lora_target_modules"],
        "settings": coactive,
        "model": settings["model"],
        "dtype": config["model"]["dtype"],
        "device": config["model"]["device"],
        "versions": config["versions"],
    }
    for phase, evaluation in phases.items():
        means = evaluation.summary(seed=0)
        line[phase] = {name: [round(x, 4) for x in means[name]] for name in MEASURES}
    change = compare(phases["before"], phases["after"], seed=0)
    line["edit_cost_change"] = None if change is None else [round(x, 4) for x in change]
    line["steps"] = folder.metrics()[-1]["step"]
    return line


def draw(runs: list[Path], path: Path) -> None:
    """Draw edit cost and content kept over the rounds as running means, a line for each run."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for run in runs:
        lines = [line for line in RunFolder(run).metrics() if "edit_cost" in line]
        rounds = np.array([line["round"] for line in lines])[WINDOW - 1 :]
        for panel, name in zip(panels, ("edit_cost", "content_kept"), strict=True):
            values = np.array([line[name] for line in lines])
            mean = np.convolve(values, np.ones(WINDOW) / WINDOW, mode="valid")
            panel.plot(rounds, mean, label=run.name)
    for panel, title in zip(panels, ("edit cost", "content kept, of what was asked"), strict=True):
        panel.set(xlabel=f"rounds (running mean of {WINDOW})", title=title, ylim=(0, None))
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--draw", nargs="*", default=[], help="the runs to draw, by folder name")
    parser.add_argument("--output", required=True, type=Path, help="without an ending")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(summary_of(run)) + "\n" for run in options.runs]
    options.output.with_suffix(".jsonl").write_text("".join(lines))
    if drawn := [run for run in options.runs if run.name in options.draw]:
        draw(drawn, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
