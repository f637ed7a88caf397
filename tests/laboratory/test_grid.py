"""A grid in its folder: several runners, states, gathering, and the choice of learning rates."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from corll.errors import InputError, RunFolderError
from corll.laboratory import grid as grid_module
from corll.laboratory.cell import Cell
from corll.laboratory.grid import Grid
from corll.laboratory.preparation import PreparedExperiment
from small_experiments import prepare_small_experiment


@pytest.fixture
def prepared(tiny_model_folder: Path) -> PreparedExperiment:
    return prepare_small_experiment(tiny_model_folder)


@pytest.fixture
def grid(prepared: PreparedExperiment, tmp_path: Path) -> Grid:
    return Grid.open(tmp_path / "grid", prepared.experiment)


CELLS = [Cell.named(arm, seed) for seed in (0, 1) for arm in ("coactive-best", "dueling")]


def test_cells_lie_by_arm_and_seed(grid: Grid, prepared: PreparedExperiment) -> None:
    seen = []
    grid.run(prepared, CELLS, on_evaluation=lambda line: seen.append((line["arm"], line["seed"])))
    assert seen == [(c.arm.name, c.seed) for c in CELLS for _ in range(3)]
    assert (grid.folder / "cells" / "dueling" / "seed-1" / "done.json").exists()
    states = grid.states()
    assert [(s.cell.arm.name, s.cell.seed, s.preferences, s.done) for s in states] == [
        ("coactive-best", 0, 8, True),
        ("coactive-best", 1, 8, True),
        ("dueling", 0, 8, True),
        ("dueling", 1, 8, True),
    ]


def test_a_whole_copys_own_config_is_no_cell(tiny_model_folder: Path, tmp_path: Path) -> None:
    whole = prepare_small_experiment(tiny_model_folder, trains="all")
    grid = Grid.open(tmp_path / "grid", whole.experiment)
    grid.run(whole, [Cell.named("dueling", 0), Cell.named("none", 0, 1e-4)])
    assert (grid.folder / "cells/dueling/seed-0/adapter/config.json").exists()
    assert {state.cell.arm.name for state in grid.states()} == {"dueling", "none"}
    assert {line["arm"] for line in grid.gather()[0]} == {"dueling"}


def test_gathered_lines_are_those_of_all_cells_but_trials(
    grid: Grid, prepared: PreparedExperiment
) -> None:
    grid.run(prepared, [*CELLS, Cell.named("dueling", 100, 0.5)])
    lines, _ = grid.gather()
    assert len(lines) == 12
    assert {line["seed"] for line in lines} == {0, 1}
    text = (grid.folder / "evaluations.jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == lines
    trials = (grid.folder / "rates.jsonl").read_text()
    assert {json.loads(line)["seed"] for line in trials.splitlines()} == {100}
    assert {json.loads(line)["learning_rate"] for line in trials.splitlines()} == {0.5}
    grid.export(grid.folder.parent)
    assert (grid.folder.parent / "evaluations.jsonl").read_text() == text
    assert (grid.folder.parent / "rates.jsonl").read_text() == trials
    assert (grid.folder.parent / "experiment.json").exists()


def test_two_runners_share_the_cells(
    grid: Grid, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid_module, "_POLL_SECONDS", 0.05)
    done: dict[int, list[tuple[str, int]]] = {0: [], 1: []}

    def work(number: int, prepared: PreparedExperiment) -> None:
        grid.run(
            prepared,
            CELLS,
            on_evaluation=lambda line: done[number].append((line["arm"], line["seed"])),
        )

    runners = [
        threading.Thread(target=work, args=(n, prepare_small_experiment(tiny_model_folder)))
        for n in done
    ]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert sorted(done[0] + done[1]) == sorted((c.arm.name, c.seed) for c in CELLS for _ in "abc")
    assert not set(done[0]) & set(done[1])


def test_a_runner_waits_for_a_cell_that_another_works_on(
    grid: Grid, prepared: PreparedExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """…and takes it over where the other died."""
    folder = grid.folder / CELLS[0].folder
    folder.mkdir(parents=True)
    other = FileLock(folder / ".lock")
    other.acquire()
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        other.release()

    monkeypatch.setattr(grid_module.time, "sleep", sleep)
    order: list[str] = []
    grid.run(prepared, CELLS[:2], on_evaluation=lambda line: order.append(line["arm"]))
    assert len(waited) == 1
    assert order == ["dueling"] * 3 + ["coactive-best"] * 3


def test_the_rate_with_the_largest_area_is_kept(grid: Grid, prepared: PreparedExperiment) -> None:
    curves = {1e-3: [0.0, 1.0, 1.0], 1e-2: [0.0, 0.0, 1.5], 1e-1: [0.0, 2.0, -1.0]}
    for rate, values in curves.items():
        folder = grid.folder / Cell.named("dueling", 100, rate).folder
        folder.mkdir(parents=True)
        lines = [
            {"preferences": 4 * n, "reward": rate * n, "objective": value, "seconds": 1.0}
            for n, value in enumerate(values)
        ]
        (folder / "evaluations.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    # Areas over 8 preferences: (0.5 + 1)/2, 0.75/2, (1 + 0.5)/2: the first of equals.
    grid.choose_rates(["dueling"], list(curves), 100)
    assert grid.rates() == {"dueling": 1e-3}
    # By R* alone whoever goes farthest wins.
    grid.choose_rates(["dueling"], list(curves), 100, by="reward")
    assert grid.rates() == {"dueling": 1e-1}
    with pytest.raises(InputError, match="before 'kl_to_expert' was measured"):
        grid.choose_rates(["dueling"], list(curves), 100, by="kl_to_expert")
    assert grid.rates() == {"dueling": 1e-1}


def test_another_experiment_does_not_get_into_the_folder(
    grid: Grid, prepared: PreparedExperiment
) -> None:
    assert Grid.open(grid.folder, prepared.experiment).experiment == prepared.experiment
    other = prepared.experiment.with_settings(held_out=5)
    with pytest.raises(RunFolderError, match="other settings"):
        Grid.open(grid.folder, other)


def test_a_folder_without_an_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no experiment"):
        Grid.reopen(tmp_path)
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(RunFolderError, match="cannot be read"):
        Grid.reopen(tmp_path)
