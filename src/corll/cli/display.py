"""The display of a run while it runs: a live line at a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

WINDOW = 32
"""The rounds over which the running figures are taken."""


@dataclass
class RunningFigures:
    """The running figures of a run, from the lines of its metrics."""

    rounds: int = 0
    steps: int = 0
    margin: float | None = None
    loss: float | None = None
    costs: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    acceptances: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, metrics: Mapping[str, Any]) -> None:
        self.rounds, self.steps = metrics["round"], metrics["step"]
        if "edit_cost" in metrics:
            self.costs.append(metrics["edit_cost"])
            self.acceptances.append(metrics["accepted"])
        self.margin = metrics.get("rewards/margins", self.margin)
        self.loss = metrics.get("loss", self.loss)

    def __str__(self) -> str:
        cost = "–" if not self.costs else f"{sum(self.costs) / len(self.costs):.2f}"
        accepted = (
            "–" if not self.acceptances else f"{sum(self.acceptances) / len(self.acceptances):.0%}"
        )
        margin = "–" if self.margin is None else f"{self.margin:+.2f}"
        return f"step {self.steps} · edit cost {cost} · accepted {accepted} · margin {margin}"


class Display(Protocol):
    """A display of the rounds of a run. A context manager."""

    def show(self, metrics: Mapping[str, Any]) -> None:
        """Show a line of the metrics, after its round."""
        ...

    def __enter__(self) -> Display: ...

    def __exit__(self, *details: object) -> None: ...


class LiveDisplay:
    """One line that moves: rounds, running figures, time left."""

    def __init__(self, console: Console, *, rounds: int, played: int) -> None:
        self._figures = RunningFigures()
        self._progress = Progress(
            TextColumn("{task.completed}/{task.total} rounds"),
            BarColumn(bar_width=16),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task: TaskID = self._progress.add_task("", total=rounds, completed=played)

    def show(self, metrics: Mapping[str, Any]) -> None:
        self._figures.add(metrics)
        self._progress.update(
            self._task, completed=self._figures.rounds, description=str(self._figures)
        )

    def __enter__(self) -> LiveDisplay:
        self._progress.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.stop()


class PlainDisplay:
    """A line per step, for pipes and log files."""

    def __init__(self, console: Console, *, rounds: int | None) -> None:
        self._console, self._rounds, self._figures = console, rounds, RunningFigures()

    def show(self, metrics: Mapping[str, Any]) -> None:
        self._figures.add(metrics)
        if "loss" in metrics:
            total = "" if self._rounds is None else f"/{self._rounds}"
            figures = self._figures
            line = f"round {figures.rounds}{total} · {figures} · loss {figures.loss:.3f}"
            self._console.print(line, soft_wrap=True)

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *details: object) -> None:
        """Do nothing: no line is open."""


class PersonDisplay:
    """A word after each of your answers: what it cost, and how long until it is learned from."""

    def __init__(self, console: Console, *, preferences_per_step: int, waiting: int) -> None:
        self._console, self._per_step, self._waiting = console, preferences_per_step, waiting

    def show(self, metrics: Mapping[str, Any]) -> None:
        if "edit_cost" not in metrics:
            self._say("skipped")
        elif metrics["accepted"]:
            self._say("accepted")
        else:
            self._waiting += 1
            self._say(f"edit cost {metrics['edit_cost']:.2f}{self._outlook(metrics)}")

    def _outlook(self, metrics: Mapping[str, Any]) -> str:
        if "loss" not in metrics:
            missing = self._per_step - self._waiting
            return f" · {missing} more edit{'s' * (missing > 1)} until the next step"
        self._waiting = 0
        return f" · learned: step {metrics['step']}, loss {metrics['loss']:.3f}"

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}\n", style="dim", highlight=False)

    def __enter__(self) -> PersonDisplay:
        return self

    def __exit__(self, *details: object) -> None:
        """Do nothing: no line is open."""
