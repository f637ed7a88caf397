"""The edits of one user, in order of time: each is scored first, and learned from then.

So no edit is scored by weights that saw it, and no user's by weights that saw another user. Weights
are learned as the service learns them: N preferences a step, past ones replayed
(`CoactiveLearner`). The drafts are the log's own, of whatever model wrote them, so that learning is
off-policy: the rejected side is no sample of the policy that learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corll.config import CoactiveConfig
from corll.edit_logs.logged import LoggedEdit
from corll.errors import InputError
from corll.evaluation import question
from corll.learner import CoactiveLearner
from corll.memory.choosing import MemorySettings, stand_before
from corll.memory.exchanges import Exchange, is_single
from corll.policy import Policy
from corll.records import Draft, Prompt, Sample
from corll.replay.scores import LEARNED_BY, ReplayArm, ScoredEdit, score_edit
from corll.text import clean_edit
from corll.verdicts.unfit import why_unfit

USUAL_MEMORY = MemorySettings("last", 3, 1536)
"""The service's own."""


@dataclass(frozen=True)
class Replay:
    """A way to replay logs: the arms, how the learned ones learn, and what a memory holds.

    `policy` is the base; its own adapter is not touched. Arms that learn by supervision alone take
    all other settings from `config`, whose learner is that of `coactive` and `both`.
    """

    policy: Policy
    config: CoactiveConfig
    arms: Sequence[ReplayArm]
    memory: MemorySettings = USUAL_MEMORY

    def of_user(
        self, user: str, edits: Sequence[LoggedEdit], *, known: Sequence[ScoredEdit] = ()
    ) -> Iterator[ScoredEdit]:
        """Yield the edits of one user with what they say of each arm.

        `edits` are in order of time. Those that `known` has, the first ones, are learned from again
        and not scored: a replay that was stopped goes on as if it had not been.
        *Raises*: TrainingError, DeviceMemoryError.
        """
        replayed = _UserReplay(self, user)
        try:
            for number, edit in enumerate(edits, start=1):
                before = known[number - 1] if number <= len(known) else None
                yield replayed.take(number, edit, known=before)
        finally:
            replayed.close()


class _UserReplay:
    """The learners of one user, and what that user has sent so far."""

    def __init__(self, replay: Replay, user: str) -> None:
        self.replay, self.user = replay, user
        self.past: list[Exchange] = []
        names = dict.fromkeys(LEARNED_BY[arm] for arm in replay.arms if arm in LEARNED_BY)
        self.learners = {name: self._learner(name) for name in names}

    def _learner(self, name: str) -> CoactiveLearner:
        config = self.replay.config
        if name == "sft":
            config = config.with_settings(learner="sft")
        learner = CoactiveLearner(self.replay.policy.with_adapter(), config)
        learner.recall = self._memory
        return learner

    def take(self, number: int, edit: LoggedEdit, *, known: ScoredEdit | None) -> ScoredEdit:
        """Score an edit unless that is known, then learn from it and remember it."""
        try:
            shown, sent = self._encoded(edit)
            scored = known or self._scored(number, edit, shown, sent)
        except InputError as error:
            outside = ScoredEdit(self.user, number, edit.line, "left out", reason=str(error))
            return known or outside
        if scored.outcome == "left out" or why_unfit(sent.text):
            return scored
        for learner in self.learners.values():
            learner.learn(shown, sent)
        if is_single(edit.prompt):
            self.past.append(Exchange(edit.prompt, sent.text, f"edit-{number}"))
        return scored

    def close(self) -> None:
        """Free the adapters."""
        for learner in self.learners.values():
            learner.policy.unload()

    def _encoded(self, edit: LoggedEdit) -> tuple[Draft, Sample]:
        """Return a draft behind its memory, and what was sent.

        *Raises*: InputError where a model cannot read one of them, or a learner learn from them.
        """
        codec = self.replay.policy.codec
        codec.encode_prompt(edit.prompt)
        draft = sent = codec.encode_response(edit.draft)
        if not edit.is_acceptance:
            sent = codec.encode_edit(draft, clean_edit(edit.sent, edit.draft))
        shown = Draft(edit.prompt, (draft,), memory=tuple(self._memory(edit.prompt)))
        for learner in self.learners.values():
            learner.outcome_of(shown, sent)
        return shown, sent

    def _memory(self, prompt: Prompt) -> Sequence[Exchange]:
        """Return what stands before a prompt; nothing does before a conversation under way."""
        if not is_single(prompt):
            return ()
        count = self.replay.policy.codec.count_turn_tokens
        return stand_before(question(prompt), self.past, self.replay.memory, count)

    def _scored(self, number: int, edit: LoggedEdit, shown: Draft, sent: Sample) -> ScoredEdit:
        if edit.is_acceptance:
            return ScoredEdit(self.user, number, edit.line, "accepted")
        replay = self.replay
        inserted, arms = score_edit(
            replay.policy.within(replay.config.memory_limit_gb),
            {name: learner.policy for name, learner in self.learners.items()},
            replay.arms,
            prompt=edit.prompt,
            draft=shown.sample,
            sent=sent,
            memory=shown.memory,
            beta=replay.config.beta,
        )
        unfit = why_unfit(sent.text)
        return ScoredEdit(self.user, number, edit.line, "edit", inserted, arms, unfit=unfit)
