"""Algorithm 1 of the paper: CoRLL, coactive learning of a language model from implicit feedback.

    1: Input: initial policy π_1, reference policy π_0, number of rounds T
    3: for t in 1 … T:
    4:     receive prompt x_t
    5:     sample y¹ … y^k ~ π_t(·|x_t);  y_t = argmax R_π_t(x_t, y) over them
    6:     observe the improved text ȳ_t
    7:     D_{t+1} = D_t ∪ {(x_t, y_t, ȳ_t, +1)}
    8:     π_{t+1} = DPO(D_{t+1}, π_t, π_0), one Adam step whenever N preferences are in

Line 8 of the paper trains on D_t, which lacks the newest pair (and is empty at first); here it is
D_{t+1}. Each preference fills one batch; with `replay_per_step` some of the past join it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

from corll.errors import ConfigError
from corll.feedback import BatchUser, User, UserLeftError
from corll.records import Draft, Edit, Prompt, Round

if TYPE_CHECKING:
    from corll.learner import CoactiveLearner


def run(
    learner: CoactiveLearner,
    prompts: Iterable[Prompt],
    user: User | BatchUser,
    *,
    drafts_at_once: int = 1,
    past: Sequence[Edit] = (),
) -> Iterator[Round]:
    """Play a round for each prompt, until the prompts end or the user leaves.

    Drafts are drawn for `drafts_at_once` prompts together, so some may come from a policy that is a
    step older (paper, footnote 1). `past` are edits already given to the first of these prompts,
    after the learner's state was saved: they are learned from again, without asking the user. A
    `BatchUser` answers all drafts that were drawn together at once.
    *Raises*: ConfigError where `drafts_at_once` is not at least 1.
    """
    if drafts_at_once < 1:
        raise ConfigError(f"drafts_at_once must be at least 1, not {drafts_at_once}.")
    answered = deque(past)
    source = iter(prompts)
    while chunk := list(islice(source, drafts_at_once)):  # line 4
        known = [answered.popleft() for _ in chunk[: len(answered)]]
        if len(known) == len(chunk):
            drafts = learner.pass_over([edit.draft for edit in known])
        else:
            drafts = learner.draft_many(chunk)  # line 5
        try:
            for edit in chain(known, _answers(user, drafts[len(known) :])):  # line 6
                yield _learn(learner, edit)  # lines 7 and 8
        except UserLeftError:
            return


def _answers(user: User | BatchUser, drafts: Sequence[Draft]) -> Iterator[Edit]:
    if isinstance(user, BatchUser):
        yield from user.edits(drafts) if drafts else ()
    else:
        for draft in drafts:
            yield Edit(draft, user.edit(draft))


def _learn(learner: CoactiveLearner, edit: Edit) -> Round:
    if edit.response is None:
        learner.skip(edit.draft)
        return Round(learner.rounds_played, edit, None)
    learned = learner.learn(edit.draft, edit.response)
    metrics = None if learned.step is None else learned.step.metrics
    return Round(learner.rounds_played, edit, learned.outcome, metrics)
