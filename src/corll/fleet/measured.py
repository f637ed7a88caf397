"""The small end: a recorded run of a few learners, played again with its own service times.

The file is JSON: `learners`; `edits`, pairs of the second at which an edit came and its user's
name; `claims`, pairs of how many edits a learner took and the seconds until its version's row;
`serve_s`, from the row to a draft by it. `edits_a_step`, `most_steps` and `flush_after_hours` are
those of the service's defaults unless they are given. The run ends at the second `ends_s`, an hour
after the last edit unless it is given. With `edit_to_serving_s`, what was measured
of each edit, both are compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from corll.configuring import Config
from corll.errors import InputError
from corll.fleet.arrivals import Events
from corll.fleet.assumptions import SECONDS_AN_HOUR
from corll.fleet.closed_forms import Floats
from corll.fleet.learners import Fleet
from corll.untrusted import MOST_TEXT_BYTES, read_bounded

_TIMES = 20
"""A run is played so often, each with service times that are drawn anew."""


class MeasuredRun(Config):
    """A run that was measured on one machine."""

    learners: int = Field(ge=1, le=1000, description="Learners that worked.")
    edits: tuple[tuple[float, str], ...] = Field(min_length=1, description="When, and whose.")
    claims: tuple[tuple[int, float], ...] = Field(
        min_length=1, description="Edits of a claim, and its seconds."
    )
    serve_s: float = Field(0.0, ge=0, description="From a version's row to a draft by it.")
    edits_a_step: int = Field(2, ge=1, description="Edits that make a step due.")
    most_steps: int = Field(16, ge=1, description="Steps of one version.")
    flush_after_hours: float = Field(24.0, gt=0, description="Age at which fewer are enough.")
    ends_s: float | None = Field(None, description="When the run ended.")
    edit_to_serving_s: tuple[float, ...] = Field((), description="What was measured, each edit.")

    @model_validator(mode="after")
    def _possible(self) -> MeasuredRun:
        if any(count < 1 or seconds < 0 for count, seconds in self.claims):
            raise ValueError("a claim has one edit at least, and no negative seconds")
        return self


@dataclass(frozen=True, slots=True)
class SmallEnd:
    """Quantiles of the time from edit to serving. *Units*: seconds."""

    simulated_median: float
    simulated_p95: float
    measured_median: float | None = None
    measured_p95: float | None = None

    @property
    def off(self) -> float | None:
        """By which share the simulated p95 is off the measured one."""
        return None if not self.measured_p95 else self.simulated_p95 / self.measured_p95 - 1


def read_measured(path: Path) -> MeasuredRun:
    """Read a recorded run. *Raises*: InputError; ConfigError for what it must not say."""
    try:
        content = json.loads(read_bounded(path, MOST_TEXT_BYTES))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read as a measured run ({why}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no measured run; docs/scale.md has the form.")
    return MeasuredRun(**content)


def play_measured(run: MeasuredRun, *, seed: int) -> SmallEnd:
    """Play a run's edits with its service times, and compare it with what was measured."""
    rng = np.random.default_rng(seed)
    times = [_edit_to_serving(run, rng) for _ in range(_TIMES)]
    median, p95 = (float(np.median([np.quantile(one, q) for one in times])) for q in (0.5, 0.95))
    if not run.edit_to_serving_s:
        return SmallEnd(median, p95)
    measured = np.quantile(run.edit_to_serving_s, [0.5, 0.95])
    return SmallEnd(median, p95, float(measured[0]), float(measured[1]))


def _edit_to_serving(run: MeasuredRun, rng: np.random.Generator) -> Floats:
    edits = sorted(run.edits)
    names = {name: number for number, name in enumerate(dict.fromkeys(n for _, n in edits))}
    events = Events(
        np.array([time for time, _ in edits]), np.array([names[name] for _, name in edits])
    )
    counts = np.array([count for count, _ in run.claims])
    seconds = np.array([seconds for _, seconds in run.claims])

    def drawn(count: int) -> float:
        away = np.abs(counts - count)
        return float(rng.choice(seconds[away == away.min()]))

    fleet = Fleet(
        run.learners,
        drawn,
        edits_a_step=run.edits_a_step,
        most_steps=run.most_steps,
        flush_s=run.flush_after_hours * SECONDS_AN_HOUR,
        serve_s=run.serve_s,
    )
    ends = events.times[-1] + SECONDS_AN_HOUR if run.ends_s is None else run.ends_s
    return fleet.play(events, until=float(ends)).edit_to_serving
