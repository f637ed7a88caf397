"""Simulated users who know the true reward R*: redraws, rewritings, and labels of comparisons.

Each user answers many drafts at once, by ids. What a user knows of its own answers (`answers`) is
for the metrics of an experiment; the learner sees the answers alone.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rapidfuzz.distance import Levenshtein

from corll.config import SamplingConfig
from corll.feedback import is_acceptance
from corll.records import Draft, Edit, Sample
from corll.simulation.axes import FeedbackAxes, choose_edit
from corll.simulation.experts import Expert

_LONGEST_SPAN = 8
_LARGEST_GAP = 700.0
"""e to this is still a float."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that might become an edit. *Units*: `reward` R*, `reference_logprob` nats."""

    sample: Sample
    reward: float
    reference_logprob: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with all that the simulation knows of it.

    `edit_reward` and the fields after it are None where the answer was no preference.
    `best_reward`, of the best candidate, is None for users who only compare. *Units*: rewards are
    R*; `surprisal` of the edit in nats a token, under π_0; `share_changed` the edited characters
    (Levenshtein) over those of the longer text.
    """

    draft_reward: float
    best_reward: float | None = None
    edit_reward: float | None = None
    edited_characters: int = 0
    share_changed: float | None = None
    edit_length: int | None = None
    surprisal: float | None = None
    accepted: bool = False


class ExpertUser(ABC):
    """A user who answers drafts by an expert's reward, and remembers what was known of each."""

    def __init__(self, expert: Expert) -> None:
        self.expert = expert
        self.answers: list[Answer] = []

    def edits(self, drafts: Sequence[Draft]) -> list[Edit]:
        answered = self._answer(drafts)
        self.answers += [answer for _, answer in answered]
        return [edit for edit, _ in answered]

    @abstractmethod
    def _answer(self, drafts: Sequence[Draft]) -> list[tuple[Edit, Answer]]:
        """Answer each draft, and say what is known of the answer."""

    def _scored(
        self, drafts: Sequence[Draft], rows: Sequence[Sequence[Sample]]
    ) -> list[list[Candidate]]:
        """Score samples, those of a draft in one row. *Shapes*: P drafts, P rows."""
        prompts = [draft.prompt for draft, row in zip(drafts, rows, strict=True) for _ in row]
        samples = [sample for row in rows for sample in row]
        rewards, references = (scores.tolist() for scores in self.expert.scores(prompts, samples))
        scored = map(Candidate, samples, rewards, references)
        return [[next(scored) for _ in row] for row in rows]


class ChoosingUser(ExpertUser):
    """A user with `num_samples` candidates or more, who picks one by the axes (4.1, 4.4)."""

    def __init__(
        self,
        expert: Expert,
        axes: FeedbackAxes,
        *,
        num_samples: int,
        sampling: SamplingConfig,
        seed: int = 0,
    ) -> None:
        super().__init__(expert)
        self.axes, self.seed = axes, seed
        self._num_samples, self._sampling = num_samples, sampling

    @abstractmethod
    def candidates(self, drafts: Sequence[Draft]) -> list[list[Candidate]]:
        """Return, for each draft, the draft first, then the texts that might become its edit."""

    def _answer(self, drafts: Sequence[Draft]) -> list[tuple[Edit, Answer]]:
        return [
            _choose(draft, row, self.axes, self.seed)
            for draft, row in zip(drafts, self.candidates(drafts), strict=True)
        ]


class RedrawUser(ChoosingUser):
    """A user who draws candidates from the expert, as the paper's user does."""

    def __init__(
        self, expert: Expert, axes: FeedbackAxes, *, max_new_tokens: int, **drawing: Any
    ) -> None:
        super().__init__(expert, axes, **drawing)
        self._length = max_new_tokens

    def candidates(self, drafts: Sequence[Draft]) -> list[list[Candidate]]:
        rows = self.expert.policy.sample(
            [draft.prompt for draft in drafts],
            self._num_samples,
            self._length,
            [_own_stream(draft) for draft in drafts],
            sampling=self._sampling,
        )
        both = [[draft.sample, *row] for draft, row in zip(drafts, rows, strict=True)]
        return self._scored(drafts, both)


class RewriteUser(ChoosingUser):
    """A user who changes the draft where that raises R*, as people do: a few words at a time.

    Each of `rounds` proposes `num_samples` texts, and the next goes on from the best. A proposal
    replaces one span of at most eight tokens by what the expert would have written there, or by
    nothing. The candidates are all the texts that were proposed.
    """

    def __init__(
        self, expert: Expert, axes: FeedbackAxes, *, rounds: int = 2, **drawing: Any
    ) -> None:
        super().__init__(expert, axes, **drawing)
        self._rounds = rounds

    def candidates(self, drafts: Sequence[Draft]) -> list[list[Candidate]]:
        found = self._scored(drafts, [[draft.sample] for draft in drafts])
        for number in range(self._rounds):
            starts = [max(row, key=_reward).sample for row in found]
            proposed = self._proposals(drafts, starts, number)
            for row, more in zip(found, self._scored(drafts, proposed), strict=True):
                row += more
        return found

    def _proposals(
        self, drafts: Sequence[Draft], starts: Sequence[Sample], number: int
    ) -> list[list[Sample]]:
        """Propose rewritings. *Shapes*: P drafts, P first texts → P rows of `num_samples`."""
        policy = self.expert.policy
        spans = []
        for draft, start in zip(drafts, starts, strict=True):
            generator = random.Random(f"{self.seed}/{draft.seed}/{number}")
            prompt = policy.codec.encode_prompt(draft.prompt)
            spans += [_Span.draw(prompt, start, generator) for _ in range(self._num_samples)]
        written = policy.continuations(
            [(*span.prompt, *span.before) for span in spans],
            1,
            _LONGEST_SPAN,
            [span.seed for span in spans],
            sampling=self._sampling,
        )
        ends = set(policy.codec.end_ids)
        samples = []
        for span, (branch,) in zip(spans, written, strict=True):
            new = [i for i in branch.token_ids if i not in ends][: span.removed]
            ids = (*span.before, *new, *span.after)
            samples.append(Sample(policy.codec.decode(ids), ids, None, span.finished))
        rows = iter(samples)
        return [[next(rows) for _ in range(self._num_samples)] for _ in drafts]


@dataclass(frozen=True, slots=True)
class _Span:
    """A place in a text: the ids before it and after it, and how many it removes."""

    prompt: tuple[int, ...]
    before: tuple[int, ...]
    removed: int
    after: tuple[int, ...]
    finished: bool
    seed: int

    @classmethod
    def draw(cls, prompt: tuple[int, ...], text: Sample, generator: random.Random) -> _Span:
        written = len(text.token_ids) - text.finished
        start = generator.randrange(max(written, 1))
        removed = min(generator.randint(1, _LONGEST_SPAN), written - start)
        ids = text.token_ids
        return cls(
            prompt,
            ids[:start],
            removed,
            ids[start + removed :],
            text.finished,
            generator.getrandbits(62),
        )


class MatchedUser(ExpertUser):
    """A user who gives rewritings or redraws that raise R* by as much, to compare the kinds.

    For each draft the user finds the best rewriting, and among the expert's redraws the one whose
    gain is nearest to it; `rewrite` says which of the two is given. Drafts for which either finds
    nothing better are dropped, so that both kinds answer the same drafts.
    """

    def __init__(self, rewriter: RewriteUser, redrawer: RedrawUser, *, rewrite: bool) -> None:
        super().__init__(rewriter.expert)
        self._rewriter, self._redrawer, self._rewrite = rewriter, redrawer, rewrite

    def _answer(self, drafts: Sequence[Draft]) -> list[tuple[Edit, Answer]]:
        answered = []
        both = zip(
            self._rewriter.candidates(drafts), self._redrawer.candidates(drafts), strict=True
        )
        for draft, (rewrites, redraws) in zip(drafts, both, strict=True):
            rewritten = max(rewrites, key=_reward)
            better = [c for c in redraws if c.reward > redraws[0].reward]
            best = max((*rewrites, *redraws), key=_reward).reward
            if not better or rewritten.reward <= rewrites[0].reward:
                answered.append(_answer_with(draft, rewrites[0], None, best))
                continue
            nearest = min(better, key=lambda c: abs(c.reward - rewritten.reward))
            given = rewritten if self._rewrite else nearest
            answered.append(_answer_with(draft, rewrites[0], given, best))
        return answered


class DuelingLabeller(ExpertUser):
    """A user who says without noise which of two samples of the policy is better (paper, 4.2).

    They are the first two candidates, or, with `best_worst`, the best and the worst of all. Ties
    are dropped. With `bradley_terry` the label is drawn: y_1 ≻ y_2 with probability
    σ(R*(y_1) − R*(y_2)) (paper, eq. 7), by a random stream of each draft.
    """

    def __init__(
        self,
        expert: Expert,
        *,
        best_worst: bool = False,
        bradley_terry: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(expert)
        self.best_worst, self.bradley_terry, self.seed = best_worst, bradley_terry, seed

    def _answer(self, drafts: Sequence[Draft]) -> list[tuple[Edit, Answer]]:
        shown = [d.candidates if self.best_worst else d.candidates[:2] for d in drafts]
        answered = []
        for draft, row in zip(drafts, self._scored(drafts, shown), strict=True):
            worse, better = min(row, key=_reward), max(row, key=_reward)
            if self._errs(draft, better.reward - worse.reward):
                worse, better = better, worse
            ordered = replace(draft, choice=row.index(worse))
            if better.reward == worse.reward:
                answered.append((Edit(ordered, None), Answer(worse.reward)))
                continue
            known = Answer(
                draft_reward=worse.reward,
                edit_reward=better.reward,
                edit_length=len(better.sample.token_ids),
                surprisal=-better.reference_logprob / len(better.sample.token_ids),
            )
            answered.append((Edit.of_sample(ordered, better.sample), known))
        return answered

    def _errs(self, draft: Draft, gap: float) -> bool:
        """Draw whether the label is against R*, where the better sample is so much better."""
        drawn = random.Random(f"{self.seed}/{draft.seed}").random()
        return self.bradley_terry and drawn < 1 / (1 + math.exp(min(gap, _LARGEST_GAP)))


class MixedUser(ExpertUser):
    """A user who edits every other draft, and compares two samples for the rest (future work)."""

    def __init__(self, editor: ExpertUser, labeller: DuelingLabeller) -> None:
        super().__init__(editor.expert)
        self._users = (editor, labeller)

    def _answer(self, drafts: Sequence[Draft]) -> list[tuple[Edit, Answer]]:
        answers: dict[int, tuple[Edit, Answer]] = {}
        for turn, user in enumerate(self._users):
            numbers = [n for n, draft in enumerate(drafts) if draft.seed % 2 == turn]
            if numbers:
                answers |= zip(numbers, user._answer([drafts[n] for n in numbers]), strict=True)
        return [answers[n] for n in range(len(drafts))]


def _choose(
    draft: Draft, candidates: Sequence[Candidate], axes: FeedbackAxes, seed: int
) -> tuple[Edit, Answer]:
    """Choose one of the candidates, of which the first is the draft, by the axes."""
    shown, *others = candidates
    generator = random.Random(f"{seed}/{draft.seed}")
    choice = choose_edit([c.reward for c in others], shown.reward, axes, generator)
    best = max(others, key=_reward).reward
    return _answer_with(draft, shown, None if choice is None else others[choice], best)


def _answer_with(
    draft: Draft, shown: Candidate, given: Candidate | None, best: float
) -> tuple[Edit, Answer]:
    if given is None:
        return Edit(draft, None), Answer(shown.reward, best)
    edit = Edit.of_sample(draft, given.sample)
    if is_acceptance(draft, given.sample.text):
        return edit, Answer(shown.reward, best, accepted=True)
    length = len(given.sample.token_ids)
    changed = Levenshtein.distance(draft.text, given.sample.text)
    return edit, Answer(
        draft_reward=shown.reward,
        best_reward=best,
        edit_reward=given.reward,
        edited_characters=changed,
        share_changed=changed / max(len(draft.text), len(given.sample.text), 1),
        edit_length=length,
        surprisal=-given.reference_logprob / length,
    )


def _own_stream(draft: Draft) -> int:
    """Return a seed that no draft has, so that expert and policy sample independently."""
    return ~draft.seed


def _reward(candidate: Candidate) -> float:
    return candidate.reward
