"""A small experiment on a random model: all parts are real, only everything is little."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from corll.laboratory.preparation import PreparedExperiment
from corll.laboratory.sizes import Experiment, get_experiment
from corll.laboratory.tasks.task import TaskData
from corll.policy import Policy
from corll.simulation.experts import Expert
from tiny_models import CORPUS, perturb_adapter

OWN_KL = 0.5
"""What the expert's own sampler is said to pay."""


def small_experiment(model: Path, **settings: Any) -> Experiment:
    """Two steps of four preferences, three evaluations."""
    fields = get_experiment("imdb", "tiny").model_dump()
    fields["learner"] |= {
        "preferences_per_step": 4,
        "max_completion_length": 6,
        "max_prompt_length": 16,
        "num_candidates": 2,
    }
    fields["expert"] |= {"refuse": False}
    return Experiment(
        **{
            **fields,
            "model": str(model),
            "lengths": {"prompt": 16, "response": 6},
            "preferences": 8,
            "evaluate_every": 4,
            "held_out": 4,
            "evaluation_candidates": 2,
            "num_expert_samples": 3,
            **settings,
        }
    )


def prepare_small_experiment(model: Path, **settings: Any) -> PreparedExperiment:
    """The experiment with an expert that is the base, moved at random."""
    experiment = small_experiment(model, **settings)
    policy = Policy.load(
        model,
        dtype="float32",
        chat_template=False,
        trains=experiment.trains,
        lora=experiment.expert_lora if experiment.trains == "adapter" else None,
    )
    perturb_adapter(policy, scale=0.05 if experiment.trains == "adapter" else 0.01)
    words = CORPUS.split()
    generator = random.Random(0)
    prompts = [" ".join(generator.sample(words, 3)) for _ in range(30)]
    data = TaskData(tuple(prompts[:26]), tuple(prompts[26:]), (), (), "words of the corpus")
    expert = Expert(policy)
    return PreparedExperiment(experiment, data, expert, expert_reward=0.2, kl_of_its_sampler=OWN_KL)
