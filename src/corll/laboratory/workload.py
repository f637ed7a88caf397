"""The workload of an experiment: all of it that costs something, as numbers (`dry_run`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from corll.errors import ConfigError
from corll.laboratory.shapes import ModelShape, get_shape
from corll.laboratory.sizes import Experiment


@dataclass(frozen=True)
class ExpertWork:
    """The making of the expert, once for all cells: at most `steps`, with measurements in between.

    `written` texts are sampled from `writer` for its pairs, where the task has none of its own.
    """

    steps: int
    preferences_per_step: int
    measurements: int
    measured_prompts: int
    written: int = 0
    writer: ModelShape | None = None


@dataclass(frozen=True)
class Workload:
    """The numbers of an experiment. *Units*: `prompt`, `response` in tokens.

    `shared_rows` says whether draft and edit share a row, with the prompt computed once; with
    dropout they cannot. `num_candidates` is k, `num_expert_samples` l, `preferences_per_step` N.
    `memory` is the tokens before each prompt in the arms that have one, at most; a preference is
    learned with them where `learns_with_memory`.
    """

    model: ModelShape
    prompt: int
    response: int
    num_candidates: int
    num_expert_samples: int
    preferences_per_step: int
    preferences: int
    evaluations: int
    held_out: int
    evaluation_candidates: int = 1
    trains: Literal["adapter", "all"] = "adapter"
    lora_r: int = 8
    shared_rows: bool = True
    expert: ExpertWork | None = None
    memory: int = 0
    learns_with_memory: bool = False

    def __post_init__(self) -> None:
        if self.trains == "all" and self.model.bytes_per_parameter != 4:
            raise ConfigError("Whole copies learn in float32: give 4 bytes_per_parameter.")

    @classmethod
    def of_experiment(cls, experiment: Experiment) -> Workload:
        """Take the workload of a task at a size.

        *Raises*: ConfigError for an unknown model, and for an expert of another base.
        """
        if experiment.expert_base is not None:
            raise ConfigError("An expert of another base is not counted: leave expert_base out.")
        learner, config = experiment.learner, experiment.expert
        whole = experiment.trains == "all"
        dtype = experiment.dtype or ("float32" if whole else "bfloat16")
        own_pairs = experiment.task != "imdb"
        writer = experiment.expert_model or experiment.model
        return cls(
            model=get_shape(experiment.model, dtype),
            prompt=experiment.lengths.prompt,
            response=experiment.lengths.response,
            num_candidates=learner.num_candidates,
            num_expert_samples=experiment.num_expert_samples,
            preferences_per_step=learner.preferences_per_step,
            preferences=experiment.preferences,
            evaluations=1 + experiment.preferences // experiment.evaluate_every,
            held_out=experiment.held_out,
            evaluation_candidates=experiment.evaluation_candidates,
            trains=experiment.trains,
            lora_r=experiment.lora.lora_r,
            shared_rows=whole or not experiment.lora.lora_dropout,
            expert=ExpertWork(
                steps=config.max_steps,
                preferences_per_step=config.preferences_per_step,
                measurements=config.max_steps // config.measure_every,
                measured_prompts=config.measured_prompts,
                written=0 if own_pairs else experiment.expert_pairs * experiment.samples_per_pair,
                writer=None if own_pairs else get_shape(writer, dtype),
            ),
            memory=_memory_tokens(experiment),
            learns_with_memory=learner.learn_with_memory,
        )

    @property
    def learned(self) -> int:
        """The number of parameters that a policy learns."""
        whole = self.trains == "all"
        return self.model.parameters if whole else self.model.adapter_parameters(self.lora_r)

    @property
    def pair_tokens(self) -> int:
        """The number of tokens in the rows of one preference."""
        rows = 1 if self.shared_rows else 2
        memory = self.memory if self.learns_with_memory else 0
        return rows * (memory + self.prompt) + 2 * self.response


def _memory_tokens(experiment: Experiment) -> int:
    """Return how many tokens stand before a prompt, at most: by number, by budget, by context."""
    memory, lengths = experiment.memory, experiment.lengths
    longest = (2 * memory.most - 1) * (lengths.prompt + lengths.response + 2)
    context = get_shape(experiment.model).context
    room = longest if context is None else context - lengths.prompt - lengths.response
    return max(0, min(memory.budget_tokens, longest, room))
