"""Distillation: the divergence and its gradient by hand, and a model that learns its memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from batches import ALL_AT_ONCE, recorded_passes, relative_error
from corll.compute import distilling
from corll.compute.passes import Passes
from corll.config import CoactiveConfig, DistilTeacher, DistilTexts, LoraConfig
from corll.errors import ConfigError, InputError
from corll.learner import CoactiveLearner
from corll.learners.distil import Distil
from corll.policy import Policy, Trains
from corll.records import Acceptance, Preference
from corll.step import PreferenceOptimizer
from distillations import (
    PARCEL,
    REMEMBERED,
    TEA,
    distil,
    distilled,
    plain_distillation,
    plain_divergence,
    recorded_rows,
    teacher_of,
    texts_of,
)
from learners import a_draft
from tiny_models import perturb_adapter, weights

GIVEN: list[DistilTexts] = ["draft", "edit", "both"]


@pytest.mark.parametrize("max_tokens", [ALL_AT_ONCE, 150, 1])
@pytest.mark.parametrize("texts", GIVEN)
def test_loss_and_gradient_equal_plain_autograd(
    policy: Policy, texts: DistilTexts, max_tokens: int
) -> None:
    """Whole and in micro-batches; with both texts each row shares prompt and beginning."""
    perturb_adapter(policy)
    expected_loss, expected = plain_distillation(policy, REMEMBERED, texts)
    with recorded_passes(policy) as passes:
        loss, gradient = distilled(policy, REMEMBERED, texts, max_tokens=max_tokens)
    assert max_tokens == ALL_AT_ONCE or len(passes) > 2
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert relative_error(gradient, expected) <= 1e-5


@pytest.mark.parametrize("head_is_linear", [True, False])
@pytest.mark.parametrize("takes_trees", [True, False])
def test_the_gradient_is_the_same_whatever_the_network_allows(
    policy: Policy, takes_trees: bool, head_is_linear: bool
) -> None:
    perturb_adapter(policy)
    policy._network = replace(
        policy._network, takes_trees=takes_trees, head_is_linear=head_is_linear
    )
    expected_loss, expected = plain_distillation(policy, REMEMBERED, "both")
    loss, gradient = distilled(policy, REMEMBERED, "both")
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert relative_error(gradient, expected) <= 1e-5


@pytest.mark.parametrize("backend", ["plain", None])
@pytest.mark.parametrize("logits", [1, 3000])
def test_chunks_of_logits_change_nothing(
    tiny_model_folder: Path, backend: str | None, logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy.load(tiny_model_folder, dtype="float32", backend=backend)
    perturb_adapter(policy)
    expected_loss, expected = plain_distillation(policy, REMEMBERED, "both")
    monkeypatch.setattr(distilling, "LOGITS_PER_CHUNK", logits)
    shapes: list[torch.Size] = []
    logprobs = distilling._logprobs
    monkeypatch.setattr(
        distilling,
        "_logprobs",
        lambda rows, backend: shapes.append(rows.shape) or logprobs(rows, backend),
    )
    loss, gradient = distilled(policy, REMEMBERED, "both")
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert relative_error(gradient, expected) <= 1e-5
    assert shapes
    assert max(rows for rows, _ in shapes) == max(1, logits // (2 * shapes[0][1]))


@pytest.mark.parametrize("teacher", get_args(DistilTeacher))
@pytest.mark.parametrize("trains", ["all", "adapter"])
def test_the_gradient_by_either_teacher(
    tiny_model_folder: Path, trains: Trains, teacher: DistilTeacher
) -> None:
    """Also where the output layer itself learns, which is then the teacher's own."""
    policy = Policy.load(tiny_model_folder, dtype="float32", trains=trains)
    perturb_adapter(policy)
    expected_loss, expected = plain_distillation(policy, REMEMBERED, "both", teacher)
    loss, gradient = distilled(policy, REMEMBERED, "both", teacher=teacher, max_tokens=150)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert relative_error(gradient, expected) <= 1e-5


@pytest.mark.usefixtures("kernel_mode")
def test_bfloat16_is_near_float32(tiny_model_folder: Path) -> None:
    found = []
    for dtype in ("float32", "bfloat16"):
        policy = Policy.load(tiny_model_folder, dtype=dtype)
        perturb_adapter(policy)
        found.append(distilled(policy, REMEMBERED, "both"))
    assert found[1][0] == pytest.approx(found[0][0], rel=0.05)
    assert relative_error(found[1][1], found[0][1]) < 0.1


def test_reverse_kl_by_hand() -> None:
    """Of p = (½, ½) from q = (¼, ¾) it is ½ log 2 + ½ log ⅔; of equal ones 0."""
    student = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log() + torch.tensor([[3.0], [-2.0]])
    teacher = torch.tensor([[0.25, 0.75], [0.9, 0.1]]).log()
    found = distilling.reverse_kl(student, teacher)
    torch.testing.assert_close(found, torch.tensor([0.5 * math.log(4 / 3), 0.0]))


def test_the_teacher_shares_rows_where_the_student_does(policy: Policy) -> None:
    learner = Distil(distil("both"))
    with recorded_rows(policy) as packed:
        items = learner.encode(policy, REMEMBERED, seed=0)
    assert {len(rows) for rows in packed} == {1}
    assert all(len(item.teacher) == len(item.student) == 1 for item in items)
    policy._network = replace(policy._network, takes_trees=False)
    items = learner.encode(policy, REMEMBERED, seed=0)
    assert all(len(item.teacher) == len(item.student) == 2 for item in items)


def test_a_step_makes_a_pass_with_the_memory_and_one_without(policy: Policy) -> None:
    optimizer = PreferenceOptimizer(policy, distil("both"))
    with recorded_passes(policy) as passes:
        result = optimizer.step(REMEMBERED)
    assert len(passes) == 2
    assert passes[0] > passes[1]
    assert result.learned == tuple(REMEMBERED)
    assert result.metrics["loss"] == result.metrics["loss/total"] > 0


@pytest.mark.parametrize("texts", get_args(DistilTexts))
def test_the_model_and_itself_with_the_memory_come_to_agree(
    policy: Policy, texts: DistilTexts
) -> None:
    optimizer = PreferenceOptimizer(policy, distil(texts).with_settings(learning_rate=1e-3))
    losses = [optimizer.step(REMEMBERED).metrics["loss"] for _ in range(30)]
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])


@pytest.mark.parametrize("texts", get_args(DistilTexts))
def test_a_model_moves_towards_its_own_behaviour_with_the_memory(
    policy: Policy, texts: DistilTexts
) -> None:
    """Along fixed texts, from what it said with the memory before anything was learned."""
    places = [(one, text) for one in REMEMBERED for text in texts_of(one, "both")]
    teachers = [teacher_of(policy, one, text) for one, text in places]

    def distance() -> float:
        with torch.no_grad():
            found = [
                plain_divergence(policy, one, text, teacher)
                for (one, text), teacher in zip(places, teachers, strict=True)
            ]
        return float(torch.stack(found).mean())

    config = distil(texts, "reference").with_settings(learning_rate=1e-3)
    optimizer = PreferenceOptimizer(policy, config)
    distances = [distance()]
    for _ in range(3):
        for _ in range(8):
            optimizer.step(REMEMBERED)
        distances.append(distance())
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.7 * distances[0]


class TestDrawnTexts:
    """On-policy: the student draws them, without the memory, anew in each step."""

    def drawn(self, policy: Policy, seed: int) -> list[tuple[int, ...]]:
        items = Distil(distil("sampled")).encode(policy, REMEMBERED, seed=seed)
        for item in items:
            (student,), (teacher,) = item.student, item.teacher
            assert (
                student.token_ids[student.prompt_length :]
                == (teacher.token_ids[teacher.prompt_length :])
            )
        return [item.student[0].token_ids for item in items]

    def test_they_are_those_of_the_policy_for_the_prompt_alone(self, policy: Policy) -> None:
        perturb_adapter(policy)
        config = distil("sampled")
        prompts = [one.prompt for one in REMEMBERED]
        rows = policy.sample(prompts, 1, 12, seed=[7, 8, 9, 10], sampling=config.sampling)
        expected = [
            (*policy.codec.encode_prompt(prompt), *row[0].token_ids)
            for prompt, row in zip(prompts, rows, strict=True)
        ]
        assert self.drawn(policy, 7) == expected
        assert self.drawn(policy, 8) != expected

    def test_other_work_goes_first_while_they_are_drawn(self, policy: Policy) -> None:
        """Ahead of each batch that fits the memory, and of each 16 tokens; of no given text."""
        config = distil("sampled").with_settings(max_completion_length=40)
        endless = replace(policy.codec, end_ids=(-1,))
        turns: list[int] = []

        def encode(**changes: Any) -> list[Any]:
            turns.clear()
            learner = Distil(config.with_settings(**changes))
            return learner.encode(policy, REMEMBERED, seed=7, before=lambda: turns.append(1))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(policy, "codec", endless)
            expected = self.rows_of(encode())
            assert len(turns) == 3  # ahead of the prompts, and after 16 and 32 tokens
            patch.setattr(policy, "branches_at_once", lambda _: 2)
            assert self.rows_of(encode()) == expected
            assert len(turns) == 6
        encode(distil_texts="both")
        assert turns == []

    @staticmethod
    def rows_of(items: Sequence[Any]) -> list[tuple[int, ...]]:
        return [item.student[0].token_ids for item in items]

    def test_each_step_draws_its_own_and_the_same_again(self, tiny_model_folder: Path) -> None:
        losses = []
        for _ in range(2):
            policy = Policy.load(tiny_model_folder, dtype="float32")
            frozen = distil("sampled").with_settings(learning_rate=1e-12)
            optimizer = PreferenceOptimizer(policy, frozen)
            losses.append([optimizer.step(REMEMBERED).metrics["loss"] for _ in range(3)])
        assert losses[0] == losses[1]
        assert len(set(losses[0])) == 3


class TestWhatItNeeds:
    def test_a_preference_without_a_memory_is_refused(self, policy: Policy) -> None:
        optimizer = PreferenceOptimizer(policy, distil())
        before = weights(policy)
        with pytest.raises(
            InputError, match="has none: draft with a memory, or choose another learner"
        ):
            optimizer.step([REMEMBERED[0], replace(REMEMBERED[1], memory=())])
        torch.testing.assert_close(weights(policy), before, rtol=0, atol=0)
        assert optimizer.steps_taken == 0

    def test_an_edit_that_is_its_draft_is_learned_from(self, policy: Policy) -> None:
        same = Preference("Write to Anna.", " Dear Anna.", " Dear Anna.", memory=(TEA,))
        assert PreferenceOptimizer(policy, distil()).step([same]).metrics["loss"] > 0

    @pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
    def test_a_memory_without_room_is_refused(self, policy: Policy, spare: int, fits: bool) -> None:
        """The latest exchange has room, or one token too little."""
        one = replace(REMEMBERED[0], memory=(PARCEL, TEA))
        learner = Distil(distil("edit"))
        alone = learner.encode(policy, [replace(one, memory=(TEA,))], seed=0)[0]
        policy.codec = replace(policy.codec, context_length=len(alone.teacher[0]) + spare)
        if fits:
            assert learner.encode(policy, [one], seed=0)[0].teacher == alone.teacher
        else:
            with pytest.raises(InputError, match="no room for any exchange"):
                learner.encode(policy, [one], seed=0)

    @pytest.mark.parametrize("texts", get_args(DistilTexts))
    def test_what_cannot_be_learned_is_said_before_it_is_kept(
        self, policy: Policy, texts: DistilTexts
    ) -> None:
        policy.codec = replace(policy.codec, context_length=40)
        learner = CoactiveLearner(policy, distil(texts))
        draft = replace(a_draft(policy), memory=(TEA,))
        with pytest.raises(InputError):
            learner.learn(draft, " Dear Anna, thank you.")
        assert len(learner.buffer) == learner.rounds_played == 0

    def test_a_learner_that_recalls_nothing_is_told(self, policy: Policy) -> None:
        learner = CoactiveLearner(policy, distil())
        with pytest.raises(ConfigError, match="set the learner's recall"):
            learner.learn(a_draft(policy), " Dear Anna, thank you.")

    def test_memory_on_both_sides_is_a_contradiction(self) -> None:
        with pytest.raises(ConfigError, match="contradicts"):
            CoactiveConfig(learner="distil", learn_with_memory=True)


def test_a_loop_learns_once_it_remembers(policy: Policy, tmp_path: Path) -> None:
    """The first edit has no memory, and is counted alone; a saved learner knows its memories."""
    config = distil("sampled").with_settings(preferences_per_step=2, max_completion_length=8)
    learner = CoactiveLearner(policy, config)
    sent: list[Preference] = []
    learner.recall = lambda _: (TEA,) if sent else ()
    steps = []
    for number in range(4):
        draft = learner.draft(f"Note {number}.")
        learned = learner.learn(draft, f" Dear Anna, note {number}.")
        assert isinstance(learned.outcome, Preference)
        sent.append(learned.outcome)
        steps.append(learned.step is not None)
        if number == 1:
            learner.save(tmp_path)
    assert [one.memory for one in sent] == [(), (TEA,), (TEA,), (TEA,)]
    assert steps == [False, False, True, False]
    assert isinstance(learner.learn(draft, draft.text).outcome, Acceptance)
    again = CoactiveLearner.load(tmp_path, policy=policy.with_adapter())
    assert again.config == config
    assert [one.memory for one in again.buffer] == [(TEA,)]


def test_dropout_is_the_students_alone(tiny_model_folder: Path) -> None:
    lora = LoraConfig(lora_dropout=0.3)
    policy = Policy.load(tiny_model_folder, dtype="float32", lora=lora)
    perturb_adapter(policy)
    items = Distil(distil()).encode(policy, REMEMBERED, seed=0)
    assert {len(item.teacher) for item in items} == {2}  # masks would differ within a shared row
    losses, taught = [], []
    prediction_states = Passes.prediction_states
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Passes,
            "prediction_states",
            lambda self: taught.append(prediction_states(self)) or taught[-1],
        )
        for seed in (1, 2):
            torch.manual_seed(seed)
            losses.append(distilled(policy, REMEMBERED, "both")[0])
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)
    torch.testing.assert_close(taught[0], taught[1], rtol=0, atol=0)


def test_out_of_memory_halves_the_micro_batches(policy: Policy) -> None:
    perturb_adapter(policy)
    expected_loss, _ = plain_distillation(policy, REMEMBERED, "both")
    optimizer = PreferenceOptimizer(policy, distil())

    def fail(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].numel() > 180:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    policy.base.model.get_input_embeddings().register_forward_pre_hook(fail)
    with recorded_passes(policy) as passes:
        assert optimizer.step(REMEMBERED).metrics["loss"] == pytest.approx(expected_loss, rel=1e-5)
    assert len(passes) > 2
