"""Plays a cell: learns from the edits in a seeded order, and measures on those held out.

The drafts are the originals that people wrote. So learning is off-policy in every arm: the rejected
side is no sample of the policy that learns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from corll.draft import make_drafts
from corll.edit_logs.logged import LoggedEdit
from corll.evaluation import question
from corll.learner import CoactiveLearner
from corll.memory.choosing import stand_before
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Draft, Prompt, Sample
from corll.replay.scores import ReplayArm, Sides, base_sides, score_edit
from corll.text import clean_edit
from edit_data import EditData
from edit_measures import measures_of
from edit_trial import LEARNING, CellKey, Trial

_LEARNED: ReplayArm = "coactive"
"""The name that `score_edit` has for weights that learned, whatever they learned by."""


def play(
    base: Policy, key: CellKey, trial: Trial, data: EditData, *, known: dict[int, Sides]
) -> Iterator[dict[str, Any]]:
    """Yield the lines of a cell: at each mark one for each edit that is held out.

    `known` keeps what the base says of these, by their place, for other cells with the same data.
    *Raises*: TrainingError, DeviceMemoryError.
    """
    cell = _Cell(base, key, trial, data, known)
    try:
        yield from cell.lines()
    finally:
        cell.close()


class _Cell:
    """One arm and seed: the policy that learns, and the edits that it has seen."""

    def __init__(
        self, base: Policy, key: CellKey, trial: Trial, data: EditData, known: dict[int, Sides]
    ) -> None:
        self.base, self.key, self.trial, self.data, self.known = base, key, trial, data, known
        self.config = trial.config_of(key)
        self.past: list[Exchange] = []
        self.learner: CoactiveLearner | None = None
        if key.arm in LEARNING:
            lora = base.lora.with_settings(lora_seed=key.seed)
            self.learner = CoactiveLearner(base.with_adapter(lora=lora), self.config)
            self.learner.recall = self._memory

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what is measured at each mark."""
        marks = self.trial.marks_of(self.key.arm)
        if marks == [0]:
            yield from self._measured(0, 0.0)
            return
        seconds = 0.0
        for number, edit in enumerate(self._in_order(), start=1):
            start = time.perf_counter()
            self._take(number, edit)
            if number == self.trial.sizes.edits and self.learner is not None:
                self.learner.flush()
            seconds += time.perf_counter() - start
            if number in marks:
                yield from self._measured(number, seconds)

    def close(self) -> None:
        """Free the adapter."""
        if self.learner is not None:
            self.learner.policy.unload()

    def _in_order(self) -> list[LoggedEdit]:
        learn = self.data.split.learn
        order = np.random.default_rng(self.key.seed).permutation(len(learn))
        return [learn[n] for n in order]

    def _take(self, number: int, edit: LoggedEdit) -> None:
        """Learn from an edit, and remember it."""
        if self.learner is not None:
            draft, sent = self._encoded(edit)
            memory = tuple(self._memory(edit.prompt)) if self._teaches_from_memory else ()
            self.learner.learn(Draft(edit.prompt, (draft,), memory=memory), sent)
        self.past.append(Exchange(edit.prompt, edit.sent, f"edit-{number}"))

    @property
    def _teaches_from_memory(self) -> bool:
        return self.learner is not None and self.learner.optimizer.learner.needs_memory

    def _encoded(self, edit: LoggedEdit) -> tuple[Sample, Sample]:
        draft = self.base.codec.encode_response(edit.draft)
        return draft, self.base.codec.encode_edit(draft, clean_edit(edit.sent, edit.draft))

    def _memory(self, prompt: Prompt) -> Sequence[Exchange]:
        """Return the past edits that the memory has for a prompt."""
        count = self.base.codec.count_turn_tokens
        return stand_before(question(prompt), self.past, self.trial.memory, count)

    def _before(self, prompt: Prompt) -> Sequence[Exchange]:
        """Return what stands before a held-out prompt: past edits in the arm memory alone."""
        return self._memory(prompt) if self.key.arm == "memory" else ()

    def _measured(self, edits: int, seconds: float) -> Iterator[dict[str, Any]]:
        held_out = self.data.split.held_out
        drafts = self._drafts(held_out[: self.trial.sizes.drafts])
        steps = 0 if self.learner is None else self.learner.steps_taken
        at = {"edits": edits, "steps": steps, "learn_s": round(seconds, 1)}
        for item, edit in enumerate(held_out):
            line = {**at, "item": item, "row": edit.line, **self._scores(item, edit)}
            if item < len(drafts):
                line |= measures_of(drafts[item], edit, self.data, self.base.codec)
                if self.trial.keeps_texts:
                    line |= {"original": edit.draft, "draft": drafts[item].text}
            yield line

    def _drafts(self, edits: Sequence[LoggedEdit]) -> list[Sample]:
        """Draw a draft for each prompt, by the same seeds in every arm and at every mark."""
        first = self.key.seed * 2**32
        prompts = [edit.prompt for edit in edits]
        drafts = make_drafts(
            self.base if self.learner is None else self.learner.policy,
            prompts,
            self.config,
            seeds=range(first, first + len(edits)),
            memories=[self._before(prompt) for prompt in prompts],
        )
        return [draft.sample for draft in drafts]

    def _scores(self, item: int, edit: LoggedEdit) -> dict[str, Any]:
        """Return the surprisal of what was inserted, the base's too, and the margin of R_π."""
        draft, sent = self._encoded(edit)
        if item not in self.known:
            self.known[item] = base_sides(self.base, prompt=edit.prompt, draft=draft, sent=sent)
        learned: dict[str, Policy] = {}
        if self.learner is not None:
            learned[_LEARNED] = self.learner.policy
        arm: ReplayArm = _LEARNED if learned else "memory"
        inserted, found = score_edit(
            self.base,
            learned,
            ["base"] if self.key.arm == "base" else ["base", arm],
            prompt=edit.prompt,
            draft=draft,
            sent=sent,
            memory=self._before(edit.prompt),
            beta=self.config.beta,
            of_base=self.known[item],
        )
        base, own = found["base"], found.get(arm, found["base"])
        return {
            "inserted": inserted,
            "surprisal": own.surprisal,
            "base_surprisal": base.surprisal,
            "margin": own.margin,
        }
