"""A grid of cells in one folder, worked on by one process or several.

    experiment.json        the resolved experiment, the same for all its cells
    learning_rates.json    the learning rate of each arm that was tuned
    cells/ARM/seed-N/      a cell (`cell.py`)
    cells/ARM/rate-R/…     the same at a learning rate that was given, of tuning or of one for all
    evaluations.jsonl      the lines of the cells at their arm's own rate, gathered for figures
    rates.jsonl            the lines of those at a rate that was given

A cell is locked while a process works on it; others take another, and wait for it at the end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from corll.errors import InputError, RunFolderError
from corll.files import durable
from corll.laboratory import file_names
from corll.laboratory.cell import Cell, is_done, run_cell
from corll.laboratory.cell_progress import evaluations
from corll.laboratory.preparation import PreparedExperiment
from corll.laboratory.sizes import Experiment
from corll.laboratory.statistics import area_under_curve

_POLL_SECONDS = 2.0
_EXPORTED = (
    file_names.EVALUATIONS,
    file_names.EXPERIMENT,
    file_names.LEARNING_RATES,
    file_names.TRIALS,
    file_names.EXPERT,
)


@dataclass(frozen=True)
class CellState:
    """The state of a cell: `preferences` of its latest evaluation, `seconds` that it has worked."""

    cell: Cell
    preferences: int
    seconds: float
    reward: float | None
    done: bool


@dataclass(frozen=True)
class Grid:
    """A grid: the cells of an experiment in a folder."""

    folder: Path
    experiment: Experiment

    @classmethod
    def open(cls, folder: Path, experiment: Experiment) -> Grid:
        """Open a new grid, or one that is there with the same experiment.

        *Raises*: RunFolderError where the folder cannot be written or holds another experiment.
        """
        grid = cls(folder, experiment)
        path = folder / file_names.EXPERIMENT
        if path.exists():
            if cls.reopen(folder).experiment != experiment:
                raise RunFolderError(
                    f"{folder} holds an experiment with other settings (see its {path.name}). "
                    "Choose another --output."
                )
            return grid
        try:
            folder.mkdir(parents=True, exist_ok=True)
            settings = experiment.model_dump(mode="json")
            durable.write_text(path, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            raise RunFolderError(f"{folder} cannot be written: {error.strerror}.") from error
        return grid

    @classmethod
    def reopen(cls, folder: Path) -> Grid:
        """Open the grid of a folder. *Raises*: RunFolderError where there is none."""
        path = folder / file_names.EXPERIMENT
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunFolderError(
                f"{folder} holds no experiment: there is no {path.name} in it."
            ) from error
        except ValueError as error:
            raise RunFolderError(f"{path} cannot be read: {error}.") from error
        return cls(folder, Experiment(**settings))

    def rates(self) -> dict[str, float]:
        """Return the learning rates that were chosen, by arm."""
        path = self.folder / file_names.LEARNING_RATES
        if not path.exists():
            return {}
        rates: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return rates

    def expert(self) -> dict[str, Any]:
        """Return what is known of the expert; nothing before it is made."""
        path = self.folder / file_names.EXPERT
        known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return known

    def choose_rates(
        self, arms: Sequence[str], rates: Sequence[float], seed: int, *, by: str = "objective"
    ) -> None:
        """Keep for each arm the rate of the largest area under a metric on one seed's cells.

        By `objective`, which is J. By `reward`, which is R*, the arm wins that goes farthest.
        *Raises*: InputError for cells of before the metric was measured.
        """
        chosen = self.rates()
        for arm in arms:
            areas = {rate: self._area(Cell.named(arm, seed, rate), by) for rate in rates}
            chosen[arm] = max(areas, key=lambda rate: areas[rate])
        durable.write_text(
            self.folder / file_names.LEARNING_RATES, json.dumps(chosen, indent=1) + "\n"
        )

    def _area(self, cell: Cell, metric: str) -> float:
        lines = evaluations(self.folder / cell.folder)
        if any(line.get(metric) is None for line in lines):
            raise InputError(
                f"{cell.folder} was evaluated before {metric!r} was measured. Tune by another "
                "metric, or in another --output."
            )
        seen = [line["preferences"] for line in lines]
        return area_under_curve(seen, [line[metric] for line in lines], grid=seen)

    def states(self) -> list[CellState]:
        """Return the states of the cells that are there, those for tuning too."""
        return [self.state(cell) for cell in self._cells()]

    def state(self, cell: Cell) -> CellState:
        folder = self.folder / cell.folder
        last = (evaluations(folder) or [{}])[-1]
        return CellState(
            cell,
            last.get("preferences", 0),
            last.get("seconds", 0.0),
            last.get("reward"),
            is_done(folder),
        )

    def gather(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Gather the lines of all cells at their arm's own rate, and of those at a given rate.

        The first are written to `evaluations.jsonl`, the second to `rates.jsonl`.
        """
        own, given = self._lines(given=False), self._lines(given=True)
        durable.write_lines(self.folder / file_names.EVALUATIONS, own)
        if given:
            durable.write_lines(self.folder / file_names.TRIALS, given)
        return own, given

    def export(self, folder: Path) -> None:
        """Copy what figures and report need; paths of files are shortened to names."""
        for name in _EXPORTED:
            if (self.folder / name).exists():
                text = (self.folder / name).read_text(encoding="utf-8")
                if self.experiment.data is not None:
                    text = text.replace(self.experiment.data, Path(self.experiment.data).name)
                durable.write_text(folder / name, text)

    def run(
        self,
        prepared: PreparedExperiment,
        cells: Sequence[Cell],
        on_evaluation: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """Run cells to their end, in order, but for those that another process works on."""
        waiting = list(cells)
        while waiting:
            postponed = []
            for cell in waiting:
                folder = self.folder / cell.folder
                with _try_lock(folder) as ours:
                    if ours:
                        run_cell(
                            prepared, cell, folder, rates=self.rates(), on_evaluation=on_evaluation
                        )
                    else:
                        postponed.append(cell)
            waiting = [c for c in postponed if not is_done(self.folder / c.folder)]
            if waiting:
                time.sleep(_POLL_SECONDS)

    def _lines(self, *, given: bool) -> list[dict[str, Any]]:
        """Return the lines of the cells at a rate that was given, or at their arm's own."""
        cells = [cell for cell in self._cells() if (cell.learning_rate is not None) == given]
        return [line for cell in cells for line in evaluations(self.folder / cell.folder)]

    def _cells(self) -> Iterator[Cell]:
        cells = self.folder / "cells"
        for path in sorted(
            [*cells.glob("*/seed-*/config.json"), *cells.glob("*/*/seed-*/config.json")]
        ):
            parts = path.relative_to(cells).parts[:-1]
            rate = float(parts[1].removeprefix("rate-")) if len(parts) == 3 else None
            yield Cell.named(parts[0], int(parts[-1].removeprefix("seed-")), rate)


@contextmanager
def _try_lock(folder: Path) -> Iterator[bool]:
    """Try to lock a cell; yield whether it is ours now, for as long as the context lasts."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written: {error.strerror}.") from error
    try:
        yield True
    finally:
        lock.release()
