"""The processes that run the cells of a grid, and a table of the cells that is kept up to date."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from corll.errors import RunFolderError
from corll.files import durable
from corll.laboratory import file_names
from corll.laboratory.arms import LOSSES
from corll.laboratory.canary import run_canary
from corll.laboratory.canary_config import CanaryConfig
from corll.laboratory.cell import Cell
from corll.laboratory.figures.canary import draw_canary
from corll.laboratory.grid import CellState, Grid
from corll.laboratory.preparation import PreparedExperiment
from corll.laboratory.sizes import Experiment

_REFRESH_SECONDS = 2.0

CellName = tuple[str, int, float | None]
"""Arm, seed, and the learning rate where that is tried: plain data, for other processes."""


class GridJob(NamedTuple):
    """The parts that all cells of a grid have in common."""

    experiment: Experiment
    folder: Path
    expert: Path | None


def run_grid(job: GridJob, cells: Sequence[CellName], workers: int) -> None:
    """Make what the cells share, then run them.

    *Raises*: RunFolderError where a worker ended early.
    """
    console = Console(stderr=True, highlight=False)
    Grid.open(job.folder, job.experiment)
    if workers == 1:
        _run(job, cells, console)
        return
    _prepare(job, console)
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_run, args=(job, cells, None)) for _ in range(workers)]
    try:
        for process in processes:
            process.start()
        _watch(job, cells, console, processes)
    finally:
        for process in processes:
            process.terminate()
            process.join()
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    if any(process.exitcode for process in processes):
        raise RunFolderError(
            "A worker ended early; what it said is above. Run the same command again to go on."
        )


def run_canaries(
    job: GridJob, config: CanaryConfig, seeds: Sequence[int], *, command: str
) -> list[Path]:
    """Run the canary experiment by each loss; write `canary.jsonl` and its figure."""
    console = Console(stderr=True, highlight=False)
    Grid.open(job.folder, job.experiment)
    prepared = _prepare(job, console)
    lines: list[dict[str, Any]] = []
    for seed in seeds:
        for loss in LOSSES:
            console.print(f"learning from edits with secrets by {loss}, seed {seed}", style="dim")
            lines += map(asdict, run_canary(prepared, loss, seed, config))
    durable.write_lines(job.folder / file_names.CANARY, lines)
    return [job.folder / file_names.CANARY, *draw_canary(lines, job.folder, command=command)]


def state_table(experiment: Experiment, states: Sequence[CellState]) -> Table:
    """Tabulate the arms: cells done, how far the others are, the mean reward, and the time left."""
    table = Table("arm", "cells", "preferences", "reward", "minutes a cell", "left")
    pace = _seconds_a_preference(states)
    for arm in dict.fromkeys(_row_name(state.cell) for state in states):
        own = [state for state in states if _row_name(state.cell) == arm]
        rewards = [state.reward for state in own if state.reward is not None]
        times = [state.seconds for state in own if state.done]
        left = sum(_preferences_left(experiment, state) for state in own)
        table.add_row(
            arm,
            f"{sum(state.done for state in own)}/{len(own)}",
            f"{sum(state.preferences for state in own) / len(own):.0f}",
            f"{sum(rewards) / len(rewards):+.3f}" if rewards else "–",
            f"{sum(times) / len(times) / 60:.1f}" if times else "–",
            _duration(left * pace) if left and pace else ("–" if left else ""),
        )
    return table


def _run(job: GridJob, cells: Sequence[CellName], console: Console | None) -> None:
    """Run the cells in this process; without a console, quietly."""
    named = [Cell.named(*name) for name in cells]
    prepared = _prepare(job, console)
    grid = Grid(job.folder, job.experiment)
    if console is None:
        grid.run(prepared, named)
        return
    with Live(console=console, refresh_per_second=1) as live:

        def show(_: Any = None) -> None:
            live.update(state_table(job.experiment, [grid.state(cell) for cell in named]))

        show()
        grid.run(prepared, named, on_evaluation=show)
        show()


def _prepare(job: GridJob, console: Console | None) -> PreparedExperiment:
    def report(text: str) -> None:
        if console is not None:
            console.print(text, style="dim")

    return PreparedExperiment.prepare(job.experiment, job.folder, expert=job.expert, report=report)


def _watch(
    job: GridJob, cells: Sequence[CellName], console: Console, processes: Sequence[Any]
) -> None:
    grid = Grid(job.folder, job.experiment)
    named = [Cell.named(*name) for name in cells]
    with Live(console=console, refresh_per_second=1) as live:
        while True:
            live.update(state_table(job.experiment, [grid.state(cell) for cell in named]))
            if not any(process.is_alive() for process in processes):
                return
            time.sleep(_REFRESH_SECONDS)


def _row_name(cell: Cell) -> str:
    rate = "" if cell.learning_rate is None else f", rate {cell.learning_rate:g}"
    return cell.arm.name + rate


def _preferences_left(experiment: Experiment, state: CellState) -> int:
    return 0 if state.done else max(experiment.preferences - state.preferences, 0)


def _seconds_a_preference(states: Sequence[CellState]) -> float:
    learned = sum(state.preferences for state in states)
    return sum(state.seconds for state in states) / learned if learned else 0.0


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
