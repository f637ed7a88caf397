"""A cell of an experiment: one arm with one seed, from the first draft to the done mark.

    config.json         the resolved settings
    evaluations.jsonl   a line an evaluation
    samples.jsonl       the policy's responses to the held-out prompts, at the latest evaluation
    sent.jsonl          in an arm with a memory, what was sent (`cell_memory.py`)
    adapter/            the learner at the latest evaluation: a PEFT folder, and what resuming needs
    done.json           written last

Everything random is keyed by the cell's seed and the number of the draft. An evaluation is made
when no draft is under way, so a cell that was killed goes on from its latest evaluation, to the
same end.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from corll.algorithm import run
from corll.config import CoactiveConfig
from corll.errors import ConfigError, RunFolderError
from corll.files import durable
from corll.laboratory import file_names
from corll.laboratory.arms import Arm, get_arm
from corll.laboratory.cell_metrics import evaluate_policy, share_to_expert, summarise_answers
from corll.laboratory.cell_progress import Progress, RunningTotals
from corll.laboratory.preparation import PreparedExperiment
from corll.laboratory.sizes import Experiment
from corll.policy import Policy
from corll.simulation.expert_config import GATES
from corll.simulation.expert_users import (
    DuelingLabeller,
    ExpertUser,
    MatchedUser,
    MixedUser,
    RedrawUser,
    RewriteUser,
)

_HELD_OUT_SEEDS = 2**31
"""An offset within the seeds of a cell, far above those of its drafts."""


@dataclass(frozen=True)
class Cell:
    """An arm and a seed. The seed fixes prompts, initialisation and sampling alike in every arm."""

    arm: Arm
    seed: int
    learning_rate: float | None = None

    @property
    def folder(self) -> Path:
        """The cell's folder, inside the folder of its grid."""
        rate = () if self.learning_rate is None else (f"rate-{self.learning_rate:g}",)
        return Path("cells", self.arm.name, *rate, f"seed-{self.seed}")

    @classmethod
    def named(cls, arm: str, seed: int, learning_rate: float | None = None) -> Cell:
        return cls(get_arm(arm), seed, learning_rate)

    def learner_config(self, experiment: Experiment, rates: Mapping[str, float]) -> CoactiveConfig:
        """Return the experiment's configuration as the arm and its chosen rate change it."""
        chosen = self.learning_rate or rates.get(self.arm.name)
        settings: dict[str, Any] = {**self.arm.learner, "seed": self.seed}
        if chosen is not None:
            settings["learning_rate"] = chosen
        if self.arm.feedback == "best_worst":
            settings["num_candidates"] = _coactive_samples(experiment)
        if self.arm.feedback == "mixed" and experiment.learner.num_candidates < 2:
            settings |= {"num_candidates": 2, "selection": "first"}
        return experiment.learner.with_settings(**settings)


def run_cell(
    prepared: PreparedExperiment,
    cell: Cell,
    folder: Path,
    *,
    rates: Mapping[str, float],
    on_evaluation: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> None:
    """Run a cell to its end, from wherever an earlier run left it.

    *Raises*: RunFolderError where the folder cannot be written, or holds a cell of other settings.
    """
    experiment = prepared.experiment
    config = cell.learner_config(experiment, rates)
    _check_config(folder, experiment, cell, config)
    if is_done(folder):
        return
    policy = new_policy(prepared, cell.seed)
    try:
        memory = cell.arm.memory_settings(experiment.memory.settings)
        progress = Progress.resume(folder, policy, config, arm=cell.arm, memory=memory)
        _play(prepared, cell, progress, folder, on_evaluation)
    except OSError as error:
        raise RunFolderError(
            f"The cell {folder} could not be written: {error.strerror or error}. Make room and run "
            "the same command again; it goes on from the latest evaluation."
        ) from error
    finally:
        policy.unload()
    durable.write_text(
        folder / file_names.DONE, json.dumps({"seconds": progress.last["seconds"]}) + "\n"
    )


def is_done(folder: Path) -> bool:
    return (folder / file_names.DONE).exists()


def new_policy(prepared: PreparedExperiment, seed: int) -> Policy:
    """Make a policy that starts as π_0, on the expert's base unless that is another."""
    experiment = prepared.experiment
    adapted = experiment.trains == "adapter"
    lora = experiment.lora.with_settings(lora_seed=seed) if adapted else None
    return (prepared.base or prepared.expert.policy).with_adapter(lora=lora)


def make_user(arm: Arm, prepared: PreparedExperiment, seed: int) -> ExpertUser:
    """Make the simulated user of an arm."""
    experiment, expert = prepared.experiment, prepared.expert
    axes = arm.feedback_axes(experiment.feedback)
    drawing: dict[str, Any] = {
        "num_samples": experiment.num_expert_samples,
        "sampling": experiment.learner.sampling,
        "seed": seed,
    }
    redraws = RedrawUser(expert, axes, max_new_tokens=experiment.lengths.response, **drawing)
    match arm.feedback:
        case "edit":
            return RewriteUser(expert, axes, **drawing)
        case "matched_edit" | "matched_redraw":
            rewrites = RewriteUser(expert, axes, **drawing)
            return MatchedUser(rewrites, redraws, rewrite=arm.feedback == "matched_edit")
        case "duel" | "best_worst":
            return DuelingLabeller(expert, best_worst=arm.feedback == "best_worst")
        case "drawn_duel":
            return DuelingLabeller(expert, bradley_terry=True, seed=seed)
        case "mixed":
            return MixedUser(redraws, DuelingLabeller(expert))
    return redraws


def _play(
    prepared: PreparedExperiment,
    cell: Cell,
    progress: Progress,
    folder: Path,
    on_evaluation: Callable[[Mapping[str, Any]], None],
) -> None:
    experiment, learner = prepared.experiment, progress.learner
    user = make_user(cell.arm, prepared, cell.seed)
    totals = RunningTotals(progress.last)

    def evaluate() -> None:
        line, samples = _evaluate(prepared, cell, progress, user, totals)
        durable.write_lines(folder / file_names.SAMPLES, samples)
        durable.append_line(folder / file_names.EVALUATIONS, line)
        durable.write_folder(folder / file_names.ADAPTER, learner.save)
        progress.last = line
        on_evaluation(line)

    if not progress.last:
        evaluate()
    if cell.arm.feedback == "none":
        return
    prompts = prompt_stream(prepared.data.prompts, cell.seed)
    rounds = run(
        learner,
        islice(prompts, learner.drafts_made, None),
        user,
        drafts_at_once=learner.config.preferences_per_step,
    )
    for round_ in rounds:
        totals.add(round_)
        if progress.memory is not None:
            progress.memory.add(round_)
            _check_it_is_used(progress, most=2 * experiment.evaluate_every)
        due = progress.last["preferences"] + experiment.evaluate_every
        if progress.between_drafts and progress.preferences >= due:
            evaluate()
            if progress.preferences >= experiment.preferences:
                return


def _check_it_is_used(progress: Progress, *, most: int) -> None:
    """Check that a learner that needs a memory gets one. *Raises*: ConfigError, lest it go on."""
    learner, memory = progress.learner, progress.memory
    if memory is None or not learner.optimizer.learner.needs_memory:
        return
    if memory.rounds_without > most:
        raise ConfigError(
            f"No text stood before the prompts of the last {memory.rounds_without} rounds, and the "
            f"learner {learner.config.learner!r} learns from nothing else. A text and its prompt "
            f"must fit into memory.budget_tokens ({memory.settings.budget_tokens}) and, beside "
            "prompt and response, into the model's context "
            f"({learner.policy.codec.context_length} tokens): allow more, shorten lengths and "
            "learner.max_completion_length, or leave this arm out."
        )


def prompt_stream(prompts: Sequence[str], seed: int) -> Iterator[str]:
    """Yield the prompts without end, in another order each time round."""
    epoch = 0
    while True:
        yield from random.Random(f"{seed}/{epoch}").sample(prompts, len(prompts))
        epoch += 1


def _evaluate(
    prepared: PreparedExperiment,
    cell: Cell,
    progress: Progress,
    user: ExpertUser,
    totals: RunningTotals,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measure the policy; return the evaluation line, and the responses that it is about."""
    experiment, learner, memory = prepared.experiment, progress.learner, progress.memory
    held_out = prepared.data.held_out
    measured, samples = evaluate_policy(
        learner.policy,
        prepared.expert,
        held_out,
        num_candidates=experiment.evaluation_candidates,
        max_new_tokens=experiment.lengths.response,
        sampling=learner.config.sampling,
        beta=experiment.learner.beta,
        seed=cell.seed * 2**32 + _HELD_OUT_SEEDS,
        memories=None if memory is None else [memory.before(prompt) for prompt in held_out],
    )
    texts = [f"{sample['prompt']}{sample['response']}" for sample in samples]
    answers, user.answers = user.answers, []
    totals.edited_characters += sum(answer.edited_characters for answer in answers)
    start, own = progress.last.get("start_reward", measured["reward"]), prepared.expert_objective
    line = {
        "task": experiment.task,
        "size": experiment.size,
        "arm": cell.arm.name,
        "seed": cell.seed,
        "learning_rate": learner.config.learning_rate,
        "preferences": progress.preferences,
        "prompts": learner.rounds_played,
        "step": learner.steps_taken,
        **measured,
        "objective_less_expert": None if own is None else measured["objective"] - own,
        **prepared.log_positive(texts),
        "start_reward": start,
        "share_to_expert": share_to_expert(
            measured["reward"], start=start, goal=prepared.expert_reward
        ),
        **summarise_answers(answers),
        **totals.take_steps(),
        "sampled_tokens": totals.sampled_tokens,
        "edited_characters": totals.edited_characters,
        "seconds": round(totals.seconds + time.monotonic() - progress.started, 2),
    }
    return line, samples


def _coactive_samples(experiment: Experiment) -> int:
    """Return how many samples a round of the default arm draws, of the policy and of the expert."""
    return experiment.learner.num_candidates + experiment.num_expert_samples


def _check_config(folder: Path, experiment: Experiment, cell: Cell, config: CoactiveConfig) -> None:
    """Write the resolved settings of a new cell; those of an earlier run must be the same."""
    resolved = {
        "arm": cell.arm.name,
        "seed": cell.seed,
        "feedback": cell.arm.feedback_axes(experiment.feedback).model_dump(mode="json"),
        "learner": config.model_dump(mode="json"),
        "experiment": experiment.model_dump(
            mode="json", exclude={"memory": True, "expert": set(GATES)}
        ),
    }
    if cell.arm.memory is not None:
        resolved["memory"] = asdict(cell.arm.memory_settings(experiment.memory.settings))
    path = folder / file_names.CONFIG
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != resolved:
            raise RunFolderError(
                f"{folder} holds this cell with other settings (see its {path.name}). Choose "
                "another --output, or remove it."
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        durable.write_text(path, json.dumps(resolved, indent=1) + "\n")
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written: {error.strerror}.") from error
