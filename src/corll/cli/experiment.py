"""`corll experiment …`: the laboratory from the terminal.

run TASK      the cells of a grid, arms × seeds; goes on where an earlier run stopped
tune TASK     chooses the learning rate of each arm on a seed of its own
list          tasks, sizes and arms
status DIR    how far the cells of a grid are
plot DIR      figures of a grid, with their data
report DIR…   one HTML page of several grids
canary TASK   does learning from edits memorise secrets that they contain?
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from corll.cli.parsing import dispatch, parse
from corll.cli.settings import RUNS, OptionalFile, OptionalFolder, OptionalRate, listed
from corll.configuring import Config
from corll.errors import ConfigError, InputError
from corll.laboratory.arms import (
    DEFAULT_ARM,
    DUELING,
    FACTORIAL,
    FIXED_ARMS,
    MEMORY_ENDINGS,
    get_arm,
    has_memory,
)
from corll.laboratory.canary_config import CanaryConfig
from corll.laboratory.file_names import EVALUATIONS
from corll.laboratory.sizes import SIZES, TASK_NAMES, Experiment, get_experiment

_DEFAULT_ARMS = f"{DEFAULT_ARM},{DUELING}"
_SEEDS = "How many seeds, from 0 on; or which: 0-7 or 3,5."


class GridSettings(Config):
    """The settings of every command that runs something."""

    task: Positional[str] = Field(description=f"{listed(TASK_NAMES)}.")
    size: str = Field("tiny", description=f"{listed(SIZES)}.")
    arms: str = Field(_DEFAULT_ARMS, description="Names of arms, with commas; see `list`.")
    output: OptionalFolder = Field(
        None, description="The grid's folder; by default runs/TASK-SIZE. An earlier run goes on."
    )
    data: OptionalFile = Field(
        None, description="A local file of the task's rows, .jsonl or .jsonl.gz."
    )
    expert: OptionalFolder = Field(
        None, description="An adapter to take for the expert, in place of training one."
    )
    workers: int = Field(1, ge=1, description="Processes that share the cells.")
    settings: Annotated[tuple[str, ...], arg(name="set", metavar="NAME=VALUE")] = Field(
        (), description="Other settings of the experiment, such as learner.beta=0.2."
    )

    def experiment(self) -> Experiment:
        """Return the size's experiment, with what was asked for otherwise."""
        changes: dict[str, Any] = {}
        if self.data is not None:
            changes["data"] = str(self.data.absolute())
        return _changed(get_experiment(self.task, self.size), self.settings, changes)

    def folder(self) -> Path:
        return self.output or RUNS / f"{self.task}-{self.size}"

    def arm_names(self) -> list[str]:
        names = [name.strip() for name in self.arms.split(",") if name.strip()]
        if not names:
            raise ConfigError("There is no arm to run; see `corll experiment list`.")
        return [get_arm(name).name for name in dict.fromkeys(names)]


class RunSettings(GridSettings):
    """Run the cells of a grid: each arm with each seed."""

    seeds: str = Field("1", description=_SEEDS)
    learning_rate: OptionalRate = Field(
        None, gt=0, description="One rate for all arms, in place of each arm's own."
    )
    dry_run: bool = Field(
        False, description="Only say what would run, and what it would take; needs no weights."
    )


class TuneSettings(GridSettings):
    """Choose the learning rate of each arm: the largest area under J, on one seed."""

    learning_rates: str = Field("3e-4,1e-3,3e-3", description="The rates to try, with commas.")
    seed: int = Field(100, ge=0, description="Seed of the trials; none of those to be reported.")
    by: Literal["objective", "reward"] = Field(
        "objective", description="J of the sampler, or R* alone, by which whoever goes far wins."
    )


class CanarySettings(GridSettings):
    """Plant secrets in edits, learn from them by DPO, by SFT and by both, and look for them."""

    seeds: str = Field("3", description=_SEEDS)
    canary: CanaryConfig = Field(
        default_factory=CanaryConfig, description="How many secrets, and how often."
    )


class FolderSettings(Config):
    """The folder of a grid."""

    folder: Positional[Path] = Field(description="The grid's folder.")


class PlotSettings(FolderSettings):
    """Draw the figures of a grid, as PNG and SVG, with their data."""

    output: OptionalFolder = Field(
        None, description="Folder of the figures; by default the grid's."
    )


class ReportSettings(Config):
    """Write one self-contained HTML page of several grids."""

    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="DIR…")] = Field(
        description=f"Folders with {EVALUATIONS}, as `plot` leaves them."
    )
    output: Path = Field(Path("report.html"), description="The page.")
    title: str = Field("Learning from edits: experiments", description="Its heading.")


# Modules that need torch or matplotlib are imported where they are used: --help must not wait.


def main(arguments: Sequence[str]) -> None:
    dispatch("experiment", __doc__, _COMMANDS, arguments)


def _run(arguments: Sequence[str]) -> None:
    settings = parse(RunSettings, arguments, command="experiment run")
    seeds = parse_seeds(settings.seeds)
    arms = settings.arm_names()
    if settings.dry_run:
        _print_dry_run(settings.experiment(), arms, len(seeds))
        return
    folder = settings.folder()
    _work(settings, [(arm, seed, settings.learning_rate) for seed in seeds for arm in arms])
    Console().print(f"Done: {folder}. Figures: corll experiment plot {folder}", highlight=False)


def _tune(arguments: Sequence[str]) -> None:
    settings = parse(TuneSettings, arguments, command="experiment tune")
    rates = [_number(text) for text in settings.learning_rates.split(",")]
    arms = settings.arm_names()
    _work(settings, [(arm, settings.seed, rate) for rate in rates for arm in arms])
    from corll.laboratory.grid import Grid

    grid = Grid.reopen(settings.folder())
    grid.choose_rates(arms, rates, settings.seed, by=settings.by)
    grid.gather()
    for arm, rate in grid.rates().items():
        print(f"{arm}: {rate:g}")


def _list(arguments: Sequence[str]) -> None:
    from corll.laboratory.tasks import TASKS

    console = Console(highlight=False)
    console.print("[bold]Tasks[/bold]")
    for task in TASKS.values():
        console.print(f"  {task.name:<10}{task.title} ({task.hub_id})")
    console.print("[bold]Sizes[/bold]")
    for size in SIZES:
        models = dict.fromkeys(get_experiment(task, size).model for task in TASKS)
        console.print(f"  {size:<10}{', '.join(models)}")
    console.print("[bold]Arms[/bold] (those with a number take others too)")
    for name in FIXED_ARMS:
        console.print(f"  {name}")
    console.print(f"  {FACTORIAL[0]} … {FACTORIAL[-1]}: the factorial")
    console.print(
        f"  and another with {', '.join(MEMORY_ENDINGS)} behind it: drafts with past texts"
    )


def _status(arguments: Sequence[str]) -> None:
    settings = parse(FolderSettings, arguments, command="experiment status")
    from corll.cli.grid_processes import state_table
    from corll.laboratory.grid import Grid

    grid = Grid.reopen(settings.folder)
    Console().print(state_table(grid.experiment, grid.states()))


def _plot(arguments: Sequence[str]) -> None:
    settings = parse(PlotSettings, arguments, command="experiment plot")
    from corll.laboratory.figures import draw_all, levels_of
    from corll.laboratory.grid import Grid

    grid = Grid.reopen(settings.folder)
    lines, trials = grid.gather()
    if not lines:
        raise InputError(f"{settings.folder} holds no evaluation yet; run its cells first.")
    output = settings.output or settings.folder
    output.mkdir(parents=True, exist_ok=True)
    if output != settings.folder:
        grid.export(output)
    command = " ".join(["corll experiment plot", *arguments])
    levels = levels_of(grid.expert())
    for path in draw_all(lines, output, command=command, expert=levels, trials=trials):
        print(path)


def _report(arguments: Sequence[str]) -> None:
    settings = parse(ReportSettings, arguments, command="experiment report")
    if not settings.folders:
        raise InputError("Name at least one folder of results.")
    from corll.laboratory.report import write_report

    write_report(list(settings.folders), settings.output, title=settings.title)
    print(settings.output)


def _canary(arguments: Sequence[str]) -> None:
    settings = parse(CanarySettings, arguments, command="experiment canary")
    from corll.cli.grid_processes import GridJob, run_canaries

    job = GridJob(settings.experiment(), settings.folder(), settings.expert)
    command = " ".join(["corll experiment canary", *arguments])
    seeds = parse_seeds(settings.seeds)
    for path in run_canaries(job, settings.canary, seeds, command=command):
        print(path)


_COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "run": _run,
    "tune": _tune,
    "list": _list,
    "status": _status,
    "plot": _plot,
    "report": _report,
    "canary": _canary,
}


def _work(settings: GridSettings, cells: Sequence[tuple[str, int, float | None]]) -> None:
    from corll.cli.grid_processes import GridJob, run_grid

    job = GridJob(settings.experiment(), settings.folder(), settings.expert)
    run_grid(job, cells, settings.workers)


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a text: `3` means 0, 1, 2; `0-2` and `0,1,2` say which."""
    try:
        if "," in text:
            return [int(part) for part in text.split(",")]
        if "-" in text:
            first, last = text.split("-")
            seeds = list(range(int(first), int(last) + 1))
        else:
            seeds = list(range(int(text)))
    except ValueError as error:
        raise ConfigError(
            f"--seeds {text}: give a number, as 3, or which, as 0-7 or 3,5."
        ) from error
    if not seeds:
        raise ConfigError(f"--seeds {text} names no seed.")
    return seeds


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no learning rate; give numbers, as 3e-4,1e-3.") from error


def _changed(
    experiment: Experiment, settings: Sequence[str], changes: dict[str, Any]
) -> Experiment:
    """Apply `NAME=VALUE` settings, where a dot leads into a nested configuration."""
    fields = {**experiment.model_dump(mode="json"), **changes}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write NAME=VALUE, such as learner.beta=0.2.")
        *path, last = name.split(".")
        target: Any = fields
        for key in path:
            target = target.get(key)
            if not isinstance(target, dict):
                raise ConfigError(f"--set {setting}: there is no setting {name!r}.")
        target[last] = _value(value)
    return Experiment(**fields)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _print_dry_run(experiment: Experiment, arms: Sequence[str], seeds: int) -> None:
    from corll.laboratory.dry_run import describe, dry_run

    print(json.dumps(experiment.model_dump(mode="json"), indent=1, ensure_ascii=False))
    table = Table("what", "how much")
    remembering = sum(map(has_memory, arms))
    run = dry_run(experiment, arms=len(arms), seeds=seeds, arms_with_memory=remembering)
    for row in describe(run):
        table.add_row(*row)
    Console().print(table)
