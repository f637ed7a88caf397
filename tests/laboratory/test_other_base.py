"""An expert of another base than the policies that learn from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corll.errors import ConfigError
from corll.laboratory.cell import Cell, new_policy, run_cell
from corll.laboratory.dry_run import dry_run
from corll.laboratory.preparation import PreparedExperiment
from corll.laboratory.sizes import Experiment
from corll.policy import Policy
from small_experiments import small_experiment
from tiny_models import build_llama, build_tokenizer, perturb_adapter

REVIEWS = "".join(
    json.dumps(
        {
            "text": f"No. {n}: a warm and lovely film about a kettle, as number {n}.",
            "positive": n % 2,
        }
    )
    + "\n"
    for n in range(60)
)


def saved(folder: Path, tokenizer: Any, *, hidden_size: int = 48) -> Path:
    build_llama(len(tokenizer), seed=7, hidden_size=hidden_size).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prepared(experiment: Experiment, tmp_path: Path) -> PreparedExperiment:
    """With an expert that is its base, moved at random."""
    assert experiment.expert_base is not None
    moved = Policy.load(experiment.expert_base, dtype="float32", chat_template=False)
    perturb_adapter(moved)
    moved.save(tmp_path / "expert")
    return PreparedExperiment.prepare(
        experiment, tmp_path / "grid", expert=tmp_path / "expert", report=lambda _: None
    )


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "reviews.jsonl"
    path.write_text(REVIEWS)
    return {"data": str(path), "dtype": "float32"}


def test_policies_learn_on_the_model_and_the_reward_is_of_the_experts_base(
    tiny_model_folder: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    other = saved(tmp_path / "other", build_tokenizer(chat=True))
    experiment = small_experiment(tiny_model_folder, expert_base=str(other), **settings)
    found = prepared(experiment, tmp_path)
    policy = new_policy(found, 0)
    samples = [row[0] for row in policy.sample(["A film", "Anna"], 1, 6)]
    plain = Policy.load(tiny_model_folder, dtype="float32", chat_template=False)
    assert policy.logprobs(["A film", "Anna"], samples).tolist() == pytest.approx(
        plain.reference_logprobs(["A film", "Anna"], samples).tolist(), abs=1e-4
    )
    assert found.expert.policy.base.model.config.hidden_size == 48
    assert found.expert_objective is None

    run_cell(found, Cell.named("coactive-alpha-0.6", 0), tmp_path / "cell", rates={})
    lines, shown = (
        [json.loads(line) for line in (tmp_path / "cell" / name).read_text().splitlines()]
        for name in ("evaluations.jsonl", "samples.jsonl")
    )
    assert lines[-1]["reward"] == pytest.approx(sum(s["reward"] for s in shown) / len(shown))
    assert lines[0]["kl_full"] == pytest.approx(0, abs=1e-5) != lines[-1]["kl_full"]
    # By −β·KL(π̃‖π*) it would be another number, since π* is not made of the policy's π_0.
    assert lines[-1]["objective"] != pytest.approx(-0.1 * lines[-1]["kl_to_expert"], abs=1e-3)
    assert lines[-1]["objective_less_expert"] is None


def test_another_tokenizer_is_refused(
    tiny_model_folder: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    other = saved(tmp_path / "other", build_tokenizer(chat=True, vocab_size=350))
    experiment = small_experiment(tiny_model_folder, expert_base=str(other), **settings)
    with pytest.raises(ConfigError, match=r"has another tokenizer than model .*one family"):
        prepared(experiment, tmp_path)


def test_the_dry_run_says_that_it_counts_none(tiny_model_folder: Path) -> None:
    experiment = small_experiment(tiny_model_folder, expert_base="other")
    with pytest.raises(ConfigError, match="leave expert_base out"):
        dry_run(experiment)
