"""Simulated users who know R*: what they give, and what is known of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from os.path import commonprefix
from typing import Any

import pytest

from corll.config import CoactiveConfig, SamplingConfig
from corll.draft import make_drafts
from corll.policy import Policy
from corll.records import Draft, Edit
from corll.simulation.axes import FeedbackAxes
from corll.simulation.expert_users import (
    Answer,
    Candidate,
    ChoosingUser,
    DuelingLabeller,
    ExpertUser,
    MatchedUser,
    MixedUser,
    RedrawUser,
    RewriteUser,
)
from corll.simulation.experts import Expert
from tiny_models import perturb_adapter

PROMPTS = ["Write to Anna.", "The kettle.", "Is the hotel near the station?", "Tuesday?"] * 3
SAMPLING = SamplingConfig()
BEST, MINIMAL = FeedbackAxes(strength="best"), FeedbackAxes(strength="minimal")
DROP = FeedbackAxes(strength="minimal", nothing_better="drop")


@pytest.fixture
def expert(policy: Policy) -> Expert:
    perturb_adapter(policy, scale=0.02)  # not so far that each redraw beats each draft
    return Expert(policy, beta=0.1)


@pytest.fixture
def drafts(expert: Expert) -> list[Draft]:
    learner = expert.policy.with_adapter()
    config = CoactiveConfig(num_candidates=4, selection="first", max_completion_length=12)
    return make_drafts(learner, PROMPTS, config, seeds=range(len(PROMPTS)))


def redrawer(expert: Expert, axes: FeedbackAxes, **settings: Any) -> RedrawUser:
    how = {"num_samples": 6, "max_new_tokens": 12, "sampling": SAMPLING, **settings}
    return RedrawUser(expert, axes, **how)


def rewriter(expert: Expert, axes: FeedbackAxes = BEST, **settings: Any) -> RewriteUser:
    return RewriteUser(expert, axes, num_samples=6, sampling=SAMPLING, **settings)


class ChoosesAmongTwo(ChoosingUser):
    """Has the draft's own further candidates: whether it errs is its only random choice."""

    def candidates(self, drafts: Sequence[Draft]) -> list[list[Candidate]]:
        return self._scored(drafts, [draft.candidates[:3] for draft in drafts])


def reward(expert: Expert, draft: Draft, sample: Any) -> float:
    return float(expert.rewards([draft.prompt], [sample])[0])


def ids_of(edit: Edit) -> tuple[int, ...] | None:
    return None if edit.sample is None else edit.sample.token_ids


def check_rewards(expert: Expert, edits: list[Edit], answers: list[Answer]) -> None:
    """What is known of each answer is so: the rewards are those of the texts."""
    for edit, answer in zip(edits, answers, strict=True):
        draft = edit.draft
        assert answer.draft_reward == pytest.approx(reward(expert, draft, draft.sample), abs=1e-5)
        if edit.sample is not None and not answer.accepted:
            assert answer.edit_reward is not None
            found = reward(expert, draft, edit.sample)
            assert answer.edit_reward == pytest.approx(found, abs=1e-5)
            with expert.policy.as_reference():
                surprisal = -expert.policy.logprobs([draft.prompt], [edit.sample])[0]
            per_token = float(surprisal) / len(edit.sample.token_ids)
            assert answer.surprisal == pytest.approx(per_token, abs=1e-4)


def test_the_best_redraw_is_given(expert: Expert, drafts: list[Draft]) -> None:
    user = redrawer(expert, BEST)
    candidates = user.candidates(drafts)
    edits = user.edits(drafts)
    check_rewards(expert, edits, user.answers)
    for edit, (shown, *others) in zip(edits, candidates, strict=True):
        assert shown.sample == edit.draft.sample
        assert edit.sample == max(others, key=lambda c: c.reward).sample


def test_the_least_better_redraw_is_given_or_the_prompt_dropped(
    expert: Expert, drafts: list[Draft]
) -> None:
    user = redrawer(expert, DROP, num_samples=2)
    candidates = user.candidates(drafts)
    dropped = 0
    for edit, (shown, *others) in zip(user.edits(drafts), candidates, strict=True):
        better = [c for c in others if c.reward > shown.reward]
        if not better:
            assert edit.response is None
            dropped += 1
        else:
            assert edit.sample == min(better, key=lambda c: c.reward).sample
    assert 0 < dropped < len(drafts)
    assert [a.edit_reward is None for a in user.answers].count(True) == dropped


def test_an_answer_hangs_on_nothing_beside_its_draft(expert: Expert, drafts: list[Draft]) -> None:
    axes = BEST.with_settings(mislabel_probability=0.5)
    for make in (redrawer, rewriter):
        together = make(expert, axes).edits(drafts)
        alone = [make(expert, axes).edits([draft])[0] for draft in drafts]
        assert list(map(ids_of, together)) == list(map(ids_of, alone))


def test_mistakes_and_rewritings_follow_the_user_s_seed(
    expert: Expert, drafts: list[Draft]
) -> None:
    """Two users of one seed answer alike; of another seed, other drafts meet a mistake."""
    often_wrong = BEST.with_settings(mislabel_probability=0.5)
    for make, axes in ((redrawer, often_wrong), (rewriter, BEST)):
        answers = [
            [ids_of(edit) for edit in make(expert, axes, seed=seed).edits(drafts)]
            for seed in (1, 1, 2)
        ]
        assert answers[0] == answers[1]
        assert answers[0] != answers[2]


def test_each_draft_and_each_round_has_a_stream_of_its_own(
    expert: Expert, drafts: list[Draft]
) -> None:
    """The same draft under other seeds is rewritten and misjudged otherwise."""
    again = [replace(drafts[0], seed=seed) for seed in range(8)]
    candidates = rewriter(expert).candidates(again)
    assert len({tuple(c.sample.token_ids for c in row) for row in candidates}) == len(again)
    first, second = (
        [c.sample.token_ids for c in candidates[0][1 + 6 * n : 7 + 6 * n]] for n in range(2)
    )
    assert first != second
    often_wrong = BEST.with_settings(mislabel_probability=0.5)
    user = ChoosesAmongTwo(expert, often_wrong, num_samples=2, sampling=SAMPLING)
    rows = user.candidates(drafts)
    improvable = next(
        n for n, row in enumerate(rows) if row[0].reward < max(c.reward for c in row[1:])
    )
    again = [replace(drafts[improvable], seed=seed) for seed in range(8)]
    assert len({ids_of(edit) for edit in user.edits(again)}) == 2


def test_the_expert_draws_by_a_stream_of_its_own(expert: Expert, drafts: list[Draft]) -> None:
    """Where the policy is the expert, its draft must not be the expert's first sample."""
    config = CoactiveConfig(num_candidates=1, max_completion_length=12, temperature=1.0)
    own = make_drafts(expert.policy, PROMPTS, config, seeds=range(len(PROMPTS)))
    rows = redrawer(expert, BEST).candidates(own)
    assert all(row[0].sample.token_ids != row[1].sample.token_ids for row in rows)


def test_a_rewriting_changes_a_span_a_round(expert: Expert, drafts: list[Draft]) -> None:
    user = rewriter(expert, rounds=1)
    for draft, (shown, *others) in zip(drafts, user.candidates(drafts), strict=True):
        ids = draft.sample.token_ids
        assert shown.sample == draft.sample
        assert len(others) == 6
        for other in others:
            new = other.sample.token_ids
            start = len(commonprefix([ids, new]))
            end = len(commonprefix([ids[start:][::-1], new[start:][::-1]]))
            assert len(new) - start - end <= 8
            assert len(ids) - start - end <= 8
            assert len(new) <= len(ids)
            assert other.sample.finished == draft.sample.finished
            assert other.sample.text == expert.policy.codec.decode(new)


def test_a_second_round_goes_on_from_the_best(expert: Expert, drafts: list[Draft]) -> None:
    once = rewriter(expert, rounds=1).edits(drafts)
    user = rewriter(expert, rounds=2)
    twice = user.edits(drafts)
    check_rewards(expert, twice, user.answers)
    gains = [
        reward(expert, draft, second.sample) - reward(expert, draft, first.sample)
        for draft, first, second in zip(drafts, once, twice, strict=True)
    ]
    assert sum(gains) > 0


def test_matched_kinds_answer_the_same_drafts_with_gains_alike(
    expert: Expert, drafts: list[Draft]
) -> None:
    found = {}
    for rewrite in (True, False):
        user = MatchedUser(rewriter(expert), redrawer(expert, BEST), rewrite=rewrite)
        edits = user.edits(drafts)
        check_rewards(expert, edits, user.answers)
        found[rewrite] = (edits, user.answers)
    redraws = redrawer(expert, BEST).candidates(drafts)
    matched = 0
    for n in range(len(drafts)):
        (edit, known), (redraw, other) = ((found[kind][0][n], found[kind][1][n]) for kind in (1, 0))
        assert (edit.response is None) == (redraw.response is None)
        if known.edit_reward is None or other.edit_reward is None:
            continue
        matched += 1
        wanted = known.edit_reward
        better = [c.reward for c in redraws[n] if c.reward > redraws[n][0].reward]
        assert abs(other.edit_reward - wanted) == min(abs(r - wanted) for r in better)
    assert matched > 0


def test_the_labeller_names_the_better_of_two(expert: Expert, drafts: list[Draft]) -> None:
    user = DuelingLabeller(expert)
    edits = user.edits(drafts)
    check_rewards(expert, edits, user.answers)
    for edit, draft in zip(edits, drafts, strict=True):
        rewards = [reward(expert, draft, sample) for sample in draft.candidates[:2]]
        assert edit.draft.choice == rewards.index(min(rewards))
        assert edit.sample == draft.candidates[rewards.index(max(rewards))]
    assert all(answer.best_reward is None for answer in user.answers)
    assert all(answer.edited_characters == 0 for answer in user.answers)


def test_the_labeller_takes_best_and_worst_of_all(expert: Expert, drafts: list[Draft]) -> None:
    edits = DuelingLabeller(expert, best_worst=True).edits(drafts)
    for edit, draft in zip(edits, drafts, strict=True):
        rewards = [reward(expert, draft, sample) for sample in draft.candidates]
        assert edit.draft.choice == rewards.index(min(rewards))
        assert edit.sample == draft.candidates[rewards.index(max(rewards))]


def test_labels_are_drawn_by_the_difference(expert: Expert, drafts: list[Draft]) -> None:
    """y_1 ≻ y_2 with probability σ(R*(y_1) − R*(y_2)): here R*'s scale makes it log 3 at each."""
    many = [replace(draft, seed=n) for n in range(50) for draft in drafts]

    class LogThree(DuelingLabeller):
        def _scored(self, drafts: Any, rows: Any) -> Any:
            scored = super()._scored(drafts, rows)
            gaps = (0.0, math.log(3))
            return [
                [replace(c, reward=r) for c, r in zip(row, gaps, strict=True)] for row in scored
            ]

    user = LogThree(expert, bradley_terry=True, seed=4)
    edits = user.edits(many)
    chosen = [edit.sample == edit.draft.candidates[1] for edit in edits]
    assert sum(chosen) / len(many) == pytest.approx(0.75, abs=0.06)
    assert [edit.draft.choice for edit in edits] == [0 if second else 1 for second in chosen]
    gains = [a.edit_reward - a.draft_reward for a in user.answers if a.edit_reward is not None]
    assert [gain > 0 for gain in gains] == chosen
    assert ids_of(LogThree(expert, bradley_terry=True, seed=4).edits(many)[3]) == ids_of(edits[3])
    other = LogThree(expert, bradley_terry=True, seed=5).edits(many)
    assert [ids_of(edit) for edit in other] != [ids_of(edit) for edit in edits]


def test_a_tie_teaches_nothing(expert: Expert, drafts: list[Draft]) -> None:
    twice = [replace(draft, candidates=draft.candidates[:1] * 2) for draft in drafts]
    user = DuelingLabeller(expert)
    assert [edit.response for edit in user.edits(twice)] == [None] * len(drafts)
    assert all(answer.edit_reward is None for answer in user.answers)


def test_edits_and_comparisons_take_turns(expert: Expert, drafts: list[Draft]) -> None:
    user = MixedUser(redrawer(expert, BEST), DuelingLabeller(expert))
    edits = user.edits(drafts)
    expected: tuple[ExpertUser, ExpertUser] = (redrawer(expert, BEST), DuelingLabeller(expert))
    for number, (edit, draft) in enumerate(zip(edits, drafts, strict=True)):
        alone = expected[number % 2].edits([draft])[0]
        assert ids_of(edit) == ids_of(alone)
        assert edit.draft.choice == alone.draft.choice
    assert len(user.answers) == len(drafts)


def test_the_draft_s_own_text_is_an_acceptance(expert: Expert, drafts: list[Draft]) -> None:
    class Same(RedrawUser):
        def candidates(self, drafts: Any) -> Any:
            return self._scored(drafts, [[d.sample, d.sample] for d in drafts])

    user = Same(expert, BEST, num_samples=1, max_new_tokens=12, sampling=SAMPLING)
    assert [edit.text for edit in user.edits(drafts)] == [draft.text for draft in drafts]
    assert all(answer.accepted and answer.edit_reward is None for answer in user.answers)
