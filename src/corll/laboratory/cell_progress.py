"""The progress of a cell: its learner and latest evaluation, its costs so far, how it resumes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corll.config import CoactiveConfig
from corll.files import durable
from corll.laboratory import file_names
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import Round


@dataclass
class Progress:
    """The progress of a cell. `last` is its latest evaluation."""

    learner: CoactiveLearner
    last: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def resume(cls, folder: Path, policy: Policy, config: CoactiveConfig) -> Progress:
        """Load the saved learner, if there is one, and drop the lines that came after it."""
        folder.mkdir(parents=True, exist_ok=True)
        adapter, journal = folder / file_names.ADAPTER, folder / file_names.EVALUATIONS
        durable.recover_folder(adapter)
        durable.drop_torn_line(journal)
        if not adapter.exists():
            journal.unlink(missing_ok=True)
            return cls(CoactiveLearner(policy, config))
        learner = CoactiveLearner.load(adapter, policy=policy)
        lines = [line for line in evaluations(folder) if line["step"] <= learner.steps_taken]
        durable.write_lines(journal, lines)
        return cls(learner, lines[-1])

    @property
    def preferences(self) -> int:
        """The number of preferences that were learned from."""
        return self.learner.steps_taken * self.learner.config.preferences_per_step

    @property
    def between_drafts(self) -> bool:
        return self.learner.rounds_played == self.learner.drafts_made


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """Return the evaluation lines that a cell has so far."""
    return [line for _, line in durable.read_lines(folder / file_names.EVALUATIONS)]


class RunningTotals:
    """The totals from round to round: costs since the start, steps since the last line."""

    def __init__(self, last: Mapping[str, Any]) -> None:
        self.sampled_tokens = int(last.get("sampled_tokens", 0))
        self.edited_characters = int(last.get("edited_characters", 0))
        self.seconds = float(last.get("seconds", 0.0))
        self.steps: list[Mapping[str, float]] = []

    def add(self, round_: Round) -> None:
        candidates = round_.edit.draft.candidates
        self.sampled_tokens += sum(len(sample.token_ids) for sample in candidates)
        if round_.step_metrics is not None:
            self.steps.append(round_.step_metrics)

    def take_steps(self) -> dict[str, float | None]:
        """Return the means over the steps since the last line, and begin to count anew.

        A draft that is scored below its edit violates the premise h(draft) ≥ h(edit) (paper, B.5).
        """
        names = {
            "premise_violated": "rewards/accuracies",
            "logps_chosen": "logps/chosen",
            "logps_rejected": "logps/rejected",
            "margin": "rewards/margins",
            "loss": "loss",
        }
        taken, self.steps = self.steps, []
        return {
            name: sum(step[key] for step in taken) / len(taken) if taken else None
            for name, key in names.items()
        }
