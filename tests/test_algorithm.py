"""Algorithm 1: worked by hand on a learner of three words, then on a tiny language model."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
import torch

import corll.algorithm
from corll.algorithm import run
from corll.config import CoactiveConfig
from corll.errors import ConfigError
from corll.feedback import UserLeftError
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import (
    Acceptance,
    Draft,
    Edit,
    Learned,
    Preference,
    Prompt,
    Round,
    Sample,
    StepResult,
)
from tiny_models import perturb_adapter, weights


class WordLearner:
    """A policy over three words: shows the one with the highest score, the first of equals.

    Every second preference makes a step, which adds 1 to each chosen word and takes 1 from each
    rejected one. `calls` is what was asked of it, in order.
    """

    def __init__(self) -> None:
        self.scores = {"x": 0, "y": 0, "z": 0}
        self.waiting: list[Preference] = []
        self.calls: list[str] = []
        self.rounds_played = self.steps_taken = 0

    def draft_many(self, prompts: Sequence[Prompt]) -> list[Draft]:
        self.calls.append(f"draft {' '.join(map(str, prompts))}")
        word = max(self.scores, key=lambda word: self.scores[word])
        return [Draft(prompt, (Sample(word, (1,), None, True),)) for prompt in prompts]

    def pass_over(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        self.calls.append(f"pass over {' '.join(draft.text for draft in drafts)}")
        return drafts

    def learn(self, draft: Draft, edited_text: str) -> Learned:
        self.calls.append(f"learn {draft.text}→{edited_text}")
        self.rounds_played += 1
        if edited_text == draft.text:
            return Learned(Acceptance(draft))
        preference = Preference(draft.prompt, edited_text, draft.sample)
        self.waiting.append(preference)
        if len(self.waiting) == 2:
            for one in self.waiting:
                self.scores[str(one.chosen)] += 1
                self.scores[one.rejected.text] -= 1
            self.waiting.clear()
            self.steps_taken += 1
            metrics = {"step": float(self.steps_taken)}
            return Learned(preference, StepResult(self.steps_taken, metrics, ()))
        return Learned(preference)

    def skip(self, draft: Draft) -> None:
        self.calls.append(f"skip {draft.text}")
        self.rounds_played += 1


class ScriptedUser:
    """Turns each word into the next; leaves or says nothing where a prompt tells so."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def edit(self, draft: Draft) -> str | None:
        self.calls.append(f"edit {draft.prompt}")
        if draft.prompt == "leave":
            raise UserLeftError
        if draft.prompt == "nothing":
            return None
        return {"x": "y", "y": "z", "z": "z"}[draft.text]


def play(prompts: Any, **arguments: Any) -> tuple[WordLearner, list[Round]]:
    learner: Any = WordLearner()
    return learner, list(run(learner, prompts, ScriptedUser(learner.calls), **arguments))


def told(rounds: Sequence[Round]) -> list[tuple[int, str, str | None]]:
    return [(one.number, one.edit.draft.text, one.edit.text) for one in rounds]


def test_one_draft_at_a_time_worked_by_hand() -> None:
    # scores x y z      shown  sent  waiting
    #        0 0 0   1    x     y    1
    #        0 0 0   2    x     y    2: step, twice (y ≻ x)
    #       -2 2 0   3    y     z    1
    #       -2 2 0   4    y     z    2: step, twice (z ≻ y)
    #       -2 0 2   5    z     z    accepted
    learner, rounds = play("abcde")
    assert told(rounds) == [
        (1, "x", "y"),
        (2, "x", "y"),
        (3, "y", "z"),
        (4, "y", "z"),
        (5, "z", "z"),
    ]
    assert learner.scores == {"x": -2, "y": 0, "z": 2}
    assert [one.step_metrics for one in rounds] == [None, {"step": 1}, None, {"step": 2}, None]
    assert [one.accepted for one in rounds] == [False] * 4 + [True]
    assert rounds[-1].outcome == Acceptance(rounds[-1].edit.draft)
    assert rounds[0].outcome == Preference("a", "y", rounds[0].edit.draft.sample)


def test_three_drafts_at_a_time_worked_by_hand() -> None:
    # Drafts 1 to 3 are all of the first policy, though a step comes after the second edit.
    #        0 0 0   1    x     y    1
    #        0 0 0   2    x     y    2: step, twice (y ≻ x)
    #       -2 2 0   3    x     y    1
    #       -2 2 0   4    y     z    2: step, (y ≻ x) and (z ≻ y)
    #       -3 2 1   5    y     z    1
    #       -3 2 1   6    y     z    2: step, twice (z ≻ y)
    #       -3 0 3   7    z     z    accepted
    learner, rounds = play("abcdefg", drafts_at_once=3)
    assert [text for _, text, _ in told(rounds)] == ["x", "x", "x", "y", "y", "y", "z"]
    assert [one.step_metrics is not None for one in rounds] == [0, 1, 0, 1, 0, 1, 0]
    assert learner.scores == {"x": -3, "y": 0, "z": 3}


def test_each_chunk_is_drafted_before_its_edits_are_asked_for() -> None:
    learner, _ = play("abc", drafts_at_once=2)
    assert learner.calls == [
        "draft a b",
        "edit a",
        "learn x→y",
        "edit b",
        "learn x→y",
        "draft c",
        "edit c",
        "learn y→z",
    ]


def test_no_feedback_is_skipped_and_counted() -> None:
    learner, rounds = play(["nothing", "a"])
    assert learner.calls == [
        "draft nothing",
        "edit nothing",
        "skip x",
        "draft a",
        "edit a",
        "learn x→y",
    ]
    assert [one.number for one in rounds] == [1, 2]
    assert rounds[0].outcome is None
    assert rounds[0].edit.text is None
    assert not rounds[0].accepted


class WordChooser:
    """Answers all drafts of a chunk at once, with ids; says nothing to those of `nothing`."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def edits(self, drafts: Sequence[Draft]) -> list[Edit]:
        self.calls.append(f"edit {' '.join(str(draft.prompt) for draft in drafts)}")
        better = Sample("z", (3,), None, True)
        return [
            Edit(draft, None) if draft.prompt == "nothing" else Edit.of_sample(draft, better)
            for draft in drafts
        ]


def test_a_batch_user_answers_a_chunk_at_once_and_its_ids_are_learned_from() -> None:
    learner: Any = WordLearner()
    taught: list[Any] = []
    learn = learner.learn
    learner.learn = lambda draft, edit: taught.append(edit) or learn(draft, edit.text)
    rounds = list(run(learner, ["a", "nothing", "b"], WordChooser(learner.calls), drafts_at_once=2))
    assert [call for call in learner.calls if call[:4] == "edit"] == ["edit a nothing", "edit b"]
    assert taught == [Sample("z", (3,), None, True)] * 2
    assert told(rounds) == [(1, "x", "z"), (2, "x", None), (3, "x", "z")]


def test_a_batch_user_is_not_asked_again_for_what_they_answered() -> None:
    learner: Any = WordLearner()
    past = [Edit(Draft("a", (Sample("x", (1,), None, True),)), "y")]
    learner.learn = lambda draft, edit: learner.calls.append("learn") or Learned(Acceptance(draft))
    list(run(learner, ["a", "b"], WordChooser(learner.calls), drafts_at_once=2, past=past))
    assert learner.calls == ["draft a b", "learn", "edit b", "learn"]


def test_a_batch_user_who_answered_all_of_a_chunk_is_asked_nothing() -> None:
    learner: Any = WordLearner()
    past = [Edit(Draft(name, (Sample("x", (1,), None, True),)), "y") for name in "ab"]
    rounds = run(learner, "abc", WordChooser(learner.calls), drafts_at_once=2, past=past)
    learner.learn = lambda draft, edit: Learned(Acceptance(draft))
    list(rounds)
    assert learner.calls == ["pass over x x", "draft c", "edit c"]


@pytest.mark.parametrize("drafts_at_once", [1, 4])
def test_a_user_who_leaves_ends_it(drafts_at_once: int) -> None:
    learner, rounds = play(["a", "leave", "b"], drafts_at_once=drafts_at_once)
    assert [one.edit.draft.prompt for one in rounds] == ["a"]
    assert learner.rounds_played == 1
    assert "edit b" not in learner.calls


def test_endless_prompts_are_taken_chunk_by_chunk() -> None:
    taken: list[int] = []

    def prompts() -> Iterator[str]:
        for number in count():
            taken.append(number)
            yield str(number)

    learner: Any = WordLearner()
    rounds = run(learner, prompts(), ScriptedUser(learner.calls), drafts_at_once=3)
    assert taken == []
    seen = []
    for _ in range(4):
        next(rounds)
        seen.append(len(taken))
    assert seen == [3, 3, 3, 6]


def test_nothing_happens_before_a_round_is_asked_for() -> None:
    learner: Any = WordLearner()
    rounds = run(learner, "abc", ScriptedUser(learner.calls))
    assert learner.calls == []
    next(rounds)
    assert learner.calls == ["draft a", "edit a", "learn x→y"]


def test_no_prompts_give_no_rounds() -> None:
    assert play([])[1] == []


def test_drafts_at_once_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        play("abc", drafts_at_once=0)


@pytest.mark.parametrize("drafts_at_once", [1, 2])
def test_past_edits_are_learned_from_without_asking(drafts_at_once: int) -> None:
    _, whole = play(["a", "nothing", "b", "c", "d"], drafts_at_once=drafts_at_once)
    past = [one.edit for one in whole[:3]]
    learner, rounds = play(
        ["a", "nothing", "b", "c", "d"], drafts_at_once=drafts_at_once, past=past
    )
    assert [call for call in learner.calls if call.startswith("edit")] == ["edit c", "edit d"]
    assert rounds == whole


def test_a_past_edit_is_of_its_own_draft() -> None:
    """Not of the one drawn now, should that differ."""
    past = [Edit(Draft("a", (Sample("z", (7,), None, True),)), "x")]
    learner, rounds = play("a", past=past)
    assert learner.calls == ["pass over z", "learn z→x"]
    assert rounds[0].edit is past[0]


# --- on a tiny language model

CONFIG = CoactiveConfig(
    num_candidates=2, preferences_per_step=2, max_completion_length=6, learning_rate=1e-2
)


class Writer:
    """Accepts every third draft, says nothing to every fifth, and answers the others."""

    def __init__(self, *, start: int = 1) -> None:
        self.number = start - 1
        self.asked: list[Prompt] = []

    def edit(self, draft: Draft) -> str | None:
        self.number += 1
        self.asked.append(draft.prompt)
        if self.number % 5 == 0:
            return None
        return draft.text if self.number % 3 == 0 else f" Dear Anna, note {self.number}."


def prompts() -> Iterator[str]:
    return (f"Note {number}." for number in count(1))


@pytest.fixture
def fresh(tiny_model_folder: Path) -> Any:
    def learner() -> CoactiveLearner:
        policy = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(policy)
        return CoactiveLearner(policy, CONFIG)

    return learner


def test_the_tiny_model_plays_algorithm_1(fresh: Any) -> None:
    learner = fresh()
    rounds = list(islice(run(learner, prompts(), Writer()), 8))
    kinds = ["preference", "preference", "accepted", "preference", "none", "accepted", "preference"]
    assert [kind_of(one) for one in rounds] == [*kinds, "preference"]
    assert [one.step_metrics is not None for one in rounds] == [0, 1, 0, 0, 0, 0, 1, 0]
    assert (learner.rounds_played, learner.steps_taken, len(learner.buffer)) == (8, 2, 1)
    assert learner.drafts_made == 8


def kind_of(one: Round) -> str:
    if one.outcome is None:
        return "none"
    return "accepted" if one.accepted else "preference"


def test_each_draft_is_of_the_policy_that_the_steps_before_it_left(fresh: Any) -> None:
    """The same loop, written out."""
    written, played = fresh(), fresh()
    rounds = list(islice(run(played, prompts(), Writer(), drafts_at_once=2), 6))
    writer, source, drafts = Writer(), prompts(), []
    for _ in range(3):
        for draft in written.draft_many([next(source), next(source)]):
            drafts.append(draft)
            text = writer.edit(draft)
            if text is not None:
                written.learn(draft, text)
    assert [one.edit.draft for one in rounds] == drafts
    torch.testing.assert_close(weights(played.policy), weights(written.policy), rtol=0, atol=0)


@pytest.mark.parametrize("drafts_at_once", [1, 3])
def test_past_edits_give_the_same_adapter(fresh: Any, tmp_path: Path, drafts_at_once: int) -> None:
    """Saved after a chunk and interrupted later: what was answered in between is replayed."""
    whole = fresh()
    saved, rounds = tmp_path / "learner", []
    for one in islice(run(whole, prompts(), Writer(), drafts_at_once=drafts_at_once), 9):
        rounds.append(one)
        if one.number == 3:
            whole.save(saved)
    resumed = CoactiveLearner.load(saved)
    rest, writer = islice(prompts(), 3, None), Writer(start=6)
    past = [one.edit for one in rounds[3:5]]
    again = run(resumed, rest, writer, drafts_at_once=drafts_at_once, past=past)
    assert list(islice(again, 6)) == rounds[3:]
    assert writer.asked == [f"Note {number}." for number in range(6, 10)]
    torch.testing.assert_close(weights(resumed.policy), weights(whole.policy), rtol=0, atol=0)


def test_the_module_reads_and_writes_nothing() -> None:
    tree = ast.parse(inspect.getsource(corll.algorithm))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not used & {"open", "print", "input", "Path", "log"}
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {str(name).split(".")[0] for name in imported} == {
        "__future__",
        "collections",
        "itertools",
        "typing",
        "corll",
    }
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
