"""A cell from its first draft to its done mark, killed and resumed, in every arm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from corll.errors import RunFolderError
from corll.laboratory.arms import FACTORIAL, FIXED_ARMS, get_arm, has_memory
from corll.laboratory.cell import (
    Cell,
    is_done,
    make_user,
    new_policy,
    prompt_stream,
    run_cell,
)
from corll.laboratory.cell_progress import evaluations
from corll.laboratory.preparation import PreparedExperiment
from corll.policy import Policy
from corll.simulation.expert_users import ChoosingUser
from small_experiments import OWN_KL, prepare_small_experiment


class KilledError(Exception):
    pass


@pytest.fixture
def prepared(tiny_model_folder: Path) -> PreparedExperiment:
    return prepare_small_experiment(tiny_model_folder)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """All but the time that it took."""
    return [{**line, "seconds": None} for line in evaluations(folder)]


@pytest.mark.parametrize("arm", [*FIXED_ARMS, *FACTORIAL, "dueling+memory-nearest"])
def test_each_arm_runs_to_its_end(prepared: PreparedExperiment, arm: str, tmp_path: Path) -> None:
    run_cell(prepared, Cell.named(arm, 0), tmp_path, rates={})
    lines = evaluations(tmp_path)
    assert is_done(tmp_path)
    learns_nothing = get_arm(arm).feedback == "none"
    expected = [0] if learns_nothing else [0, 4, 8]
    assert [line["preferences"] for line in lines] == expected
    assert lines[0]["kl"] == 0.0
    assert lines[0]["share_to_expert"] == 0.0
    assert [line["prompts"] >= line["preferences"] for line in lines] == [True] * len(lines)
    for line in lines:
        assert line["objective"] == pytest.approx(-0.1 * line["kl_to_expert"])
        assert line["objective_less_expert"] == pytest.approx(line["objective"] + 0.1 * OWN_KL)
    if not learns_nothing:
        assert lines[-1]["kl"] != 0.0
        assert lines[-1]["sampled_tokens"] > lines[1]["sampled_tokens"] > 0
        assert lines[1]["gain"] is not None
    assert (tmp_path / "adapter" / "adapter_config.json").exists()
    shown = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [one["prompt"] for one in shown] == list(prepared.data.held_out)
    assert fmean(one["reward"] for one in shown) == pytest.approx(lines[-1]["reward"])
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["arm"], config["seed"]) == (arm, 0)
    assert (tmp_path / "sent.jsonl").exists() == has_memory(arm) == ("memory" in config)


@pytest.mark.parametrize(
    "arm",
    [
        "coactive-minimal-drop",
        "dueling",
        "edit+both+offline",
        "memory-nearest",
        "coactive-minimal-drop+memory-last",
        "distil+memory",
    ],
)
@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_cell_goes_on_to_the_same_end(
    prepared: PreparedExperiment, arm: str, after: int, tmp_path: Path
) -> None:
    cell = Cell.named(arm, 1)
    run_cell(prepared, cell, tmp_path / "whole", rates={})

    seen: list[Mapping[str, Any]] = []

    def kill(line: Mapping[str, Any]) -> None:
        seen.append(line)
        if len(seen) == after:
            raise KilledError

    with pytest.raises(KilledError):
        run_cell(prepared, cell, tmp_path / "killed", rates={}, on_evaluation=kill)
    assert not is_done(tmp_path / "killed")
    run_cell(prepared, cell, tmp_path / "killed", rates={})
    assert lines_of(tmp_path / "killed") == lines_of(tmp_path / "whole")
    kept = ["adapter/adapter_model.safetensors", "samples.jsonl"]
    for name in [*kept, "sent.jsonl"] if has_memory(arm) else kept:
        whole, killed = ((tmp_path / end / name).read_bytes() for end in ("whole", "killed"))
        assert whole == killed


@pytest.mark.parametrize(
    ("arm", "later"),
    [("coactive-alpha-0.6", {"step": 1}), ("memory-last", {"step": 0, "prompts": 4})],
)
def test_a_line_without_its_adapter_is_written_again(
    prepared: PreparedExperiment, arm: str, later: dict[str, int], tmp_path: Path
) -> None:
    """Killed between the line and the adapter, and in the middle of the next line."""
    cell = Cell.named(arm, 1)
    run_cell(prepared, cell, tmp_path / "whole", rates={})
    with pytest.raises(KilledError):
        run_cell(prepared, cell, tmp_path / "torn", rates={}, on_evaluation=_kill)
    journal = tmp_path / "torn" / "evaluations.jsonl"
    line = {**evaluations(tmp_path / "torn")[0], "preferences": 4, **later}
    journal.write_text(journal.read_text() + json.dumps(line) + "\n" + '{"arm": "coact')
    run_cell(prepared, cell, tmp_path / "torn", rates={})
    assert lines_of(tmp_path / "torn") == lines_of(tmp_path / "whole")


def _kill(line: Mapping[str, Any]) -> None:
    raise KilledError


def test_temperature_alone_draws_otherwise(prepared: PreparedExperiment, tmp_path: Path) -> None:
    found = {}
    for arm in ("none", "temperature-1", "temperature-0.2"):
        run_cell(prepared, Cell.named(arm, 0), tmp_path / arm, rates={})
        (found[arm],) = evaluations(tmp_path / arm)
    alike = ("reward", "objective", "kl_sampler", "distinct_2")
    assert [found["none"][name] for name in alike] == [
        found["temperature-1"][name] for name in alike
    ]
    assert found["temperature-0.2"]["kl_sampler"] > found["none"]["kl_sampler"] > 0
    assert found["temperature-0.2"]["kl_full"] == 0.0


def test_without_the_expert_s_own_there_is_no_difference_to_it(
    prepared: PreparedExperiment, tmp_path: Path
) -> None:
    """An expert of before."""
    older = replace(prepared, kl_of_its_sampler=None)
    run_cell(older, Cell.named("none", 0), tmp_path, rates={})
    (line,) = evaluations(tmp_path)
    assert line["objective_less_expert"] is None
    assert line["objective"] < 0


def test_a_done_cell_is_left_alone(prepared: PreparedExperiment, tmp_path: Path) -> None:
    cell = Cell.named("dueling", 0)
    run_cell(prepared, cell, tmp_path, rates={})
    before = (tmp_path / "evaluations.jsonl").read_bytes()
    run_cell(prepared, cell, tmp_path, rates={}, on_evaluation=_kill)
    assert (tmp_path / "evaluations.jsonl").read_bytes() == before


def test_a_cell_of_other_settings_is_refused(prepared: PreparedExperiment, tmp_path: Path) -> None:
    cell = Cell.named("dueling", 0)
    run_cell(prepared, cell, tmp_path, rates={})
    with pytest.raises(RunFolderError, match="other settings"):
        run_cell(prepared, cell, tmp_path, rates={"dueling": 0.5})
    other = prepared.experiment.with_settings(num_expert_samples=4)
    with pytest.raises(RunFolderError, match="other settings"):
        run_cell(replace(prepared, experiment=other), cell, tmp_path, rates={})


def test_seeds_fix_prompts_and_drafts_alike_in_every_arm(
    prepared: PreparedExperiment, tmp_path: Path
) -> None:
    for arm in ("coactive-k-2", "dueling"):
        run_cell(prepared, Cell.named(arm, 3), tmp_path / arm, rates={})
    first, second = (evaluations(tmp_path / arm)[0] for arm in ("coactive-k-2", "dueling"))
    assert first["reward"] == second["reward"]
    run_cell(prepared, Cell.named("dueling", 4), tmp_path / "other", rates={})
    assert evaluations(tmp_path / "other")[0]["reward"] != first["reward"]


def test_the_adapter_starts_by_the_cell_s_seed(prepared: PreparedExperiment) -> None:
    """What LoRA draws is its A; B is 0 at first, so that each starts as π_0."""
    starts = []
    for seed in (0, 0, 1):
        policy = new_policy(prepared, seed)
        weights = policy.trainable_parameters().values()
        starts.append(torch.cat([weight.detach().flatten() for weight in weights]))
        policy.unload()
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_the_user_of_an_arm_errs_by_the_cell_s_seed(prepared: PreparedExperiment) -> None:
    for arm in ("coactive-alpha-0.6", "coactive-edit"):
        for seed in (0, 7):
            user = make_user(get_arm(arm), prepared, seed)
            assert isinstance(user, ChoosingUser)
            assert user.seed == seed


def test_whole_copies_learn_too(tiny_model_folder: Path, tmp_path: Path) -> None:
    prepared = prepare_small_experiment(tiny_model_folder, trains="all", dtype="float32")
    run_cell(prepared, Cell.named("coactive-alpha-0.6", 0), tmp_path, rates={})
    assert evaluations(tmp_path)[-1]["kl"] != 0.0
    assert isinstance(prepared.expert.policy, Policy)


def test_prompts_come_without_end_in_another_order_each_time_round() -> None:
    prompts = list("abcdefgh")
    stream = list(islice(prompt_stream(prompts, 0), 16))
    assert sorted(stream[:8]) == sorted(stream[8:]) == prompts
    assert stream[:8] != stream[8:]
    assert stream == list(islice(prompt_stream(prompts, 0), 16))
    assert stream != list(islice(prompt_stream(prompts, 1), 16))
