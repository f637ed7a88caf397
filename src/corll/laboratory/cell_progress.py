"""The progress of a cell: its learner and latest evaluation, its costs so far, how it resumes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corll.config import CoactiveConfig
from corll.files import durable
from corll.laboratory import file_names
from corll.laboratory.arms import Arm
from corll.laboratory.cell_memory import CellMemory
from corll.learner import CoactiveLearner
from corll.memory.choosing import MemorySettings
from corll.policy import Policy
from corll.records import Draft, Learned, Response, Round


class Untaught(CoactiveLearner):
    """A learner that draws drafts, counts what comes back, and learns nothing from it."""

    def learn(self, draft: Draft, edited: Response) -> Learned:
        """Return what the edit is; *Raises*: InputError for one that could not be learned from."""
        outcome = self.outcome_of(draft, edited)
        self.rounds_played += 1
        return Learned(outcome)


@dataclass
class Progress:
    """The progress of a cell. `last` is its latest evaluation; `memory` is there in some arms."""

    learner: CoactiveLearner
    memory: CellMemory | None = None
    last: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def resume(
        cls,
        folder: Path,
        policy: Policy,
        config: CoactiveConfig,
        *,
        arm: Arm,
        memory: MemorySettings,
    ) -> Progress:
        """Load the saved learner, if there is one, and drop the lines that came after it.

        `memory` is that of the arm.
        """
        folder.mkdir(parents=True, exist_ok=True)
        adapter, journal = folder / file_names.ADAPTER, folder / file_names.EVALUATIONS
        durable.recover_folder(adapter)
        durable.drop_torn_line(journal)
        kind = CoactiveLearner if arm.learns else Untaught
        if adapter.exists():
            learner = kind.load(adapter, policy=policy)
        else:
            journal.unlink(missing_ok=True)
            learner = kind(policy, config)
        lines = [line for line in evaluations(folder) if _is_of(line, learner)]
        if lines:
            durable.write_lines(journal, lines)
        progress = cls(learner, last=lines[-1] if lines else {})
        if memory.choice != "none":
            progress.memory = CellMemory.resume(
                folder / file_names.SENT, memory, policy.codec, rounds=learner.rounds_played
            )
            learner.recall = progress.memory.before
        return progress

    @property
    def preferences(self) -> int:
        """The number of preferences that were learned from.

        Where nothing is learned, it is the number that would have been: N at a time.
        """
        step = self.learner.config.preferences_per_step
        if isinstance(self.learner, Untaught):
            return 0 if self.memory is None else self.memory.preferences // step * step
        return self.learner.steps_taken * step

    @property
    def between_drafts(self) -> bool:
        """Whether all drafts that were drawn together have been answered."""
        return self.learner.rounds_played == self.learner.drafts_made


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """Return the evaluation lines that a cell has so far."""
    return [line for _, line in durable.read_lines(folder / file_names.EVALUATIONS)]


def _is_of(line: Mapping[str, Any], learner: CoactiveLearner) -> bool:
    """Say whether an evaluation is of a learner as it stands, or of an earlier time."""
    return bool(line["step"] <= learner.steps_taken and line["prompts"] <= learner.rounds_played)


class RunningTotals:
    """The totals from round to round: costs since the start, steps since the last line."""

    def __init__(self, last: Mapping[str, Any]) -> None:
        self.sampled_tokens = int(last.get("sampled_tokens", 0))
        self.edited_characters = int(last.get("edited_characters", 0))
        self.seconds = float(last.get("seconds", 0.0))
        self.steps: list[Mapping[str, float]] = []

    def add(self, round_: Round) -> None:
        """Count the costs of a round, and keep the metrics of its step if there was one."""
        candidates = round_.edit.draft.candidates
        self.sampled_tokens += sum(len(sample.token_ids) for sample in candidates)
        if round_.step_metrics is not None:
            self.steps.append(round_.step_metrics)

    def take_steps(self) -> dict[str, float | None]:
        """Return the means over the steps since the last line, and begin to count anew.

        What a learner has no metric for is None. A draft that is scored below its edit violates the
        premise h(draft) ≥ h(edit) (paper, B.5).
        """
        names = {
            "premise_violated": "rewards/accuracies",
            "logps_chosen": "logps/chosen",
            "logps_rejected": "logps/rejected",
            "margin": "rewards/margins",
            "loss": "loss",
        }
        taken, self.steps = self.steps, []
        return {name: _mean(step.get(key) for step in taken) for name, key in names.items()}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
