"""The learner's contract: what counts as feedback, when it steps, and that it can go on exactly."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForCausalLM

import trl_peer
from corll.config import CoactiveConfig, LoraConfig
from corll.errors import AdapterError, DeviceMemoryError, InputError, TrainingError
from corll.gradient import accumulate_gradient, encode_pair
from corll.learner import CoactiveLearner
from corll.model import file_names
from corll.policy import Policy
from corll.records import Acceptance, Draft, Learned, Preference, Prompt, Sample, Verbatim
from tiny_models import perturb_adapter, weights

# PEFT says these of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to"),
]

QUICK = CoactiveConfig(
    num_candidates=1,
    preferences_per_step=2,
    max_completion_length=8,
    learning_rate=1e-2,
    warmup_steps=0,
    replay_per_step=0,
    sft_weight=0.3,
    keep_weight=0.0,
)
PREFERENCES = [
    Preference("Write to Anna.", " Dear Anna, thank you.", " Hello there!"),
    Preference("The kettle.", " We'll send another one on Friday.", " We'll not send it."),
    Preference("Tuesday?", " Could we move it to Thursday?", " No."),
]


@pytest.fixture
def learner(policy: Policy) -> CoactiveLearner:
    return CoactiveLearner(policy, QUICK)


def a_draft(policy: Policy, text: str = " Dear Anna, hello.") -> Draft:
    return Draft("Write to Anna.", (policy.codec.encode_response(text),))


def state_of(learner: CoactiveLearner) -> dict[str, Any]:
    """All that learning may change, to be compared bit for bit."""
    return {
        "weights": weights(learner.policy),
        "optimizer": learner.optimizer._state(),
        "buffer": list(learner.buffer),
        "past": list(learner.buffer.past),
        "rounds": learner.rounds_played,
        "steps": learner.steps_taken,
        "drafts": learner.drafts_made,
    }


def assert_same_state(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for tensors in ("weights", "optimizer"):
        torch.testing.assert_close(found[tensors], expected[tensors], rtol=0, atol=0)
    counted = ("buffer", "past", "rounds", "steps", "drafts")
    assert {name: found[name] for name in counted} == {name: expected[name] for name in counted}


@contextmanager
def hidden_states_become_nan(policy: Policy) -> Iterator[None]:
    """A device that computes nonsense for a while."""
    embeddings = policy.base.model.get_input_embeddings()
    hook = embeddings.register_forward_hook(lambda _, __, output: output * math.nan)
    try:
        yield
    finally:
        hook.remove()


# --- what counts as feedback


def test_the_ids_of_a_user_who_is_a_policy_are_kept(learner: CoactiveLearner) -> None:
    draft = a_draft(learner.policy)
    odd = learner.policy.codec.encode_response(" Dear Anna, thank you.")
    cut = Sample(odd.text, odd.token_ids[:-1], None, finished=False)
    outcome = learner.learn(draft, cut).outcome
    assert isinstance(outcome, Preference)
    assert (outcome.chosen, outcome.rejected) == (cut, draft.sample)


def test_ids_that_spell_the_draft_are_an_acceptance(learner: CoactiveLearner) -> None:
    draft = a_draft(learner.policy)
    ids = learner.policy.codec.encode_response(draft.text).token_ids
    assert isinstance(learner.learn(draft, Sample(draft.text, ids, None, True)).outcome, Acceptance)


@pytest.mark.parametrize(
    ("drafted", "sent"),
    [
        (" Dear Anna.", " Dear Anna."),
        (" Dear\nAnna.", " Dear\r\nAnna."),
        (" Caf\u00e9.", " Cafe\u0301."),
        (" Dear Anna.", " Dear Anna. \n"),
        (" Dear Anna. ", " Dear Anna."),
    ],
)
def test_the_text_of_the_draft_is_an_acceptance(
    learner: CoactiveLearner, drafted: str, sent: str
) -> None:
    draft = a_draft(learner.policy, drafted)
    assert learner.learn(draft, sent) == Learned(Acceptance(draft))
    assert len(learner.buffer) == 0
    assert learner.rounds_played == 1


@pytest.mark.parametrize("sent", ["  Dear Anna!", " Dear Anna,\nhello.", " dear Anna, hello."])
def test_any_other_text_is_a_preference(learner: CoactiveLearner, sent: str) -> None:
    draft = a_draft(learner.policy)
    outcome = learner.learn(draft, sent).outcome
    assert isinstance(outcome, Preference)
    assert outcome.prompt == draft.prompt
    assert outcome.rejected is draft.sample
    assert outcome.chosen.text == sent
    assert list(learner.buffer) == [outcome]


def test_an_edit_is_of_the_draft_whoever_strips_it_and_pastes_into_it(
    learner: CoactiveLearner,
) -> None:
    draft = a_draft(learner.policy)
    kept = draft.sample.token_ids
    for sent in ("Dear Anna, hello \x96 Bob.", " Dear Anna,\x1b[0m hello \x96 Bob.\r\n"):
        outcome = learner.outcome_of(draft, sent)
        assert isinstance(outcome, Preference)
        assert isinstance(outcome.chosen, Sample)
        assert outcome.chosen.text == " Dear Anna, hello – Bob."
        assert outcome.chosen.token_ids[:4] == kept[:4]


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        (" \x07\n", "empty"),
        (" Dear\ud83d Anna", "half of a character at 5"),
        (" Anna" * 600, "context holds 512"),
        (" Dear <|end|> Anna", "control token"),
    ],
)
def test_an_edit_that_cannot_be_used_changes_nothing(
    learner: CoactiveLearner, sent: str, problem: str
) -> None:
    learner.learn(a_draft(learner.policy), " Dear Anna, thank you.")
    before = state_of(learner)
    with pytest.raises(InputError, match=problem):
        learner.learn(a_draft(learner.policy), sent)
    assert_same_state(state_of(learner), before)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_an_edit_is_an_acceptance_a_preference_or_refused(policy: Policy, text: str) -> None:
    learner = CoactiveLearner(policy, CoactiveConfig(preferences_per_step=1000))
    draft = a_draft(policy)
    try:
        outcome = learner.learn(draft, text).outcome
    except InputError:
        assert len(learner.buffer) == learner.rounds_played == 0
        return
    assert len(learner.buffer) == isinstance(outcome, Preference)
    assert isinstance(learner.learn(draft, draft.text).outcome, Acceptance)


def test_no_feedback_is_counted_as_a_round(learner: CoactiveLearner) -> None:
    learner.skip(a_draft(learner.policy))
    assert (learner.rounds_played, learner.steps_taken, len(learner.buffer)) == (1, 0, 0)


# --- when it steps


def test_n_preferences_make_exactly_one_step(learner: CoactiveLearner) -> None:
    steps, waiting = [], []
    for number in range(5):
        learner.learn(a_draft(learner.policy), f" Dear Anna, note {number}.")
        steps.append(learner.steps_taken)
        waiting.append(len(learner.buffer))
    assert steps == [0, 1, 1, 2, 2]
    assert waiting == [1, 0, 1, 0, 1]


def test_acceptances_do_not_fill_a_batch(learner: CoactiveLearner) -> None:
    draft = a_draft(learner.policy)
    for _ in range(3):
        learner.learn(draft, draft.text)
    assert (learner.rounds_played, learner.steps_taken) == (3, 0)


def test_flush_steps_on_what_waits(learner: CoactiveLearner) -> None:
    assert learner.flush() is None
    learner.learn(a_draft(learner.policy), " Dear Anna, thank you.")
    result = learner.flush()
    assert result is not None
    assert result.number == len(result.learned) == 1
    assert (learner.steps_taken, len(learner.buffer)) == (1, 0)
    assert learner.flush() is None


EDITS = [" Dear Anna, thank you.", " Hello Anna.", " Dear Anna!", " Thank you, Anna.", " No."]


def test_each_step_learns_again_from_some_of_the_past(policy: Policy) -> None:
    learner = CoactiveLearner(
        policy, QUICK.with_settings(preferences_per_step=1, replay_per_step=2)
    )
    seen: list[Preference] = []
    for number, edit in enumerate(EDITS):
        learned = learner.learn(a_draft(policy), edit)
        assert isinstance(learned.outcome, Preference)
        assert learned.step is not None
        newest, *replayed = learned.step.learned
        assert newest.chosen == learned.outcome.chosen
        assert len(replayed) == min(number, 2)
        # Their reference log-probabilities come from the first time.
        assert all(preference in seen for preference in replayed)
        seen.append(newest)
    assert list(learner.buffer.past) == seen
    assert learner.steps_taken == len(EDITS)


def test_a_step_on_given_preferences_replays_nothing(policy: Policy) -> None:
    learner = CoactiveLearner(
        policy, QUICK.with_settings(preferences_per_step=1, replay_per_step=2)
    )
    learner.learn(a_draft(policy), EDITS[0])
    assert len(learner.step(PREFERENCES).learned) == len(PREFERENCES)
    assert len(learner.buffer.past) == 1


def test_replay_goes_on_exactly(policy: Policy, tmp_path: Path) -> None:
    config = QUICK.with_settings(preferences_per_step=1, replay_per_step=2)
    learner = CoactiveLearner(policy, config)
    for edit in EDITS[:3]:
        learner.learn(a_draft(policy), edit)
    learner.save(tmp_path)
    for edit in EDITS[3:]:
        learner.learn(a_draft(policy), edit)
    resumed = CoactiveLearner.load(tmp_path)
    for edit in EDITS[3:]:
        resumed.learn(a_draft(resumed.policy), edit)
    assert_same_state(state_of(resumed), state_of(learner))


def test_without_replay_nothing_is_remembered(policy: Policy) -> None:
    learner = CoactiveLearner(
        policy, QUICK.with_settings(preferences_per_step=1, replay_per_step=0)
    )
    for edit in EDITS[:3]:
        step = learner.learn(a_draft(policy), edit).step
        assert step is not None
        assert len(step.learned) == 1
    assert not learner.buffer.past


def test_drafts_are_of_the_policy_as_it_is(learner: CoactiveLearner) -> None:
    first, second = learner.draft("Hello."), learner.draft("Hello.")
    assert learner.drafts_made == 2
    assert first.candidates != second.candidates
    again = CoactiveLearner(learner.policy, QUICK)
    for found, expected in zip(again.draft_many(["Hello."] * 2), [first, second], strict=True):
        assert (found.seed, found.sample.token_ids) == (expected.seed, expected.sample.token_ids)
        assert found.sample.logprob == pytest.approx(expected.sample.logprob, abs=1e-4)
    other = CoactiveLearner(learner.policy, QUICK.with_settings(seed=1))
    assert other.draft("Hello.").candidates != first.candidates
    learner.step(PREFERENCES)
    changed = CoactiveLearner(learner.policy, QUICK)
    assert changed.draft("Hello.").sample.logprob != first.sample.logprob


def test_a_step_needs_a_preference(learner: CoactiveLearner) -> None:
    with pytest.raises(InputError, match="at least one"):
        learner.step([])


def test_equal_sides_are_refused_and_nothing_changes(learner: CoactiveLearner) -> None:
    before = state_of(learner)
    with pytest.raises(InputError, match="nothing to prefer"):
        learner.step([*PREFERENCES, Preference("Hello.", " Dear Anna.", " Dear Anna.")])
    assert_same_state(state_of(learner), before)


# --- the step


@pytest.mark.parametrize("with_reference", [False, True])
def test_the_first_loss_is_log_2(
    any_model_folder: Path, tmp_path: Path, with_reference: bool, any_dtype: str
) -> None:
    """π_1 = π_0, be it the bare base or a frozen adapter: all log-ratios are exactly 0."""
    policy = Policy.load(any_model_folder, dtype=any_dtype)
    if with_reference:
        perturb_adapter(policy)
        policy.save(tmp_path)
        policy = Policy.load(any_model_folder, dtype=any_dtype, reference=tmp_path)
    metrics = CoactiveLearner(policy, QUICK).step(PREFERENCES).metrics
    assert metrics["loss"] == pytest.approx(math.log(2))
    assert metrics["rewards/chosen"] == metrics["rewards/rejected"] == 0


def test_the_reference_stays_where_it_is_while_the_policy_learns(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    start = Policy.load(tiny_model_folder, dtype="float32")
    perturb_adapter(start)
    start.save(tmp_path)
    policy = Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path)
    prompts, texts = ["Hello."], [" Dear Anna."]
    before = policy.reference_logprobs(prompts, texts)
    learner = CoactiveLearner(policy, QUICK)
    for _ in range(2):
        learner.step(PREFERENCES)
    torch.testing.assert_close(policy.reference_logprobs(prompts, texts), before, rtol=0, atol=0)
    assert float(policy.logprobs(prompts, texts)) != float(before)


def test_the_loss_falls_on_one_batch(any_policy: Policy) -> None:
    learner = CoactiveLearner(any_policy, QUICK.with_settings(sft_weight=0.0))
    losses = [learner.step(PREFERENCES).metrics["loss"] for _ in range(10)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]


def test_adam_and_clipping_are_those_of_torch(policy: Policy) -> None:
    """Three steps with warm-up, against torch's Adam on the same gradients, clipped by hand."""
    perturb_adapter(policy)
    config = QUICK.with_settings(
        max_grad_norm=0.05, warmup_steps=2, adam_beta1=0.8, adam_beta2=0.9, learning_rate=0.02
    )
    learner = CoactiveLearner(policy, config)
    twin = {name: torch.nn.Parameter(value) for name, value in weights(policy).items()}
    adam = torch.optim.Adam(twin.values(), betas=(0.8, 0.9))
    for learning_rate in (0.01, 0.02, 0.02):
        pairs = [encode_pair(policy, preference) for preference in PREFERENCES]
        accumulate_gradient(policy, pairs, config, 10**9)
        gradient = {n: p.grad.cpu().clone() for n, p in policy.trainable_parameters().items()}
        norm = math.sqrt(sum(float(grad.double().square().sum()) for grad in gradient.values()))
        for name, parameter in twin.items():
            parameter.grad = gradient[name] * min(1.0, 0.05 / norm)
        adam.param_groups[0]["lr"] = learning_rate
        adam.step()
        metrics = learner.step(PREFERENCES).metrics
        assert metrics["learning_rate"] == pytest.approx(learning_rate)
        assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)
        assert norm > 0.05
        found = weights(policy)
        for name, parameter in twin.items():
            torch.testing.assert_close(found[name], parameter.detach(), rtol=1e-4, atol=1e-5)


def test_steps_equal_those_of_trl(any_policy: Policy, tmp_path: Path) -> None:
    """Three whole steps: loss, clipping at 1, and Adam."""
    perturb_adapter(any_policy)
    start = weights(any_policy)
    trainer = trl_peer.build_trainer(
        any_policy,
        PREFERENCES,
        tmp_path,
        optim="adamw_torch",
        weight_decay=0.0,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        max_steps=3,
    )
    trl_peer.train(trainer)
    learner = CoactiveLearner(any_policy, QUICK.with_settings(sft_weight=0.0))
    for _ in range(3):
        learner.step(PREFERENCES)
    theirs = {name: p.detach() for name, p in trl_peer.adapter_of(trainer).items()}
    moved = torch.cat([(weights(any_policy)[n] - start[n]).flatten() for n in start])
    expected = torch.cat([(theirs[n] - start[n]).flatten() for n in start])
    assert float((moved - expected).norm() / expected.norm()) < 1e-3


def test_the_warm_up_is_over_the_planned_share(policy: Policy) -> None:
    config = QUICK.with_settings(
        warmup_steps=None, warmup_ratio=0.5, total_steps=4, learning_rate=0.01
    )
    learner = CoactiveLearner(policy, config)
    rates = [learner.step(PREFERENCES).metrics["learning_rate"] for _ in range(3)]
    assert rates == pytest.approx([0.005, 0.01, 0.01])


def test_a_small_memory_limit_changes_nothing_but_the_micro_batches(
    tiny_model_folder: Path,
) -> None:
    found = []
    for limit in (4.0, 1e-6):
        policy = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(policy)
        config = QUICK.with_settings(memory_limit_gb=limit)
        CoactiveLearner(policy, config).step(PREFERENCES)
        found.append(weights(policy))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_step_leaves_the_generators_of_others_alone(
    tiny_model_folder: Path, dropout: float
) -> None:
    lora = LoraConfig(lora_dropout=dropout)
    policy = Policy.load(tiny_model_folder, dtype="float32", lora=lora)
    learner = CoactiveLearner(policy, QUICK)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    learner.step(PREFERENCES)
    assert torch.equal(torch.rand(3), expected)


def test_dropout_steps_can_be_replayed(tiny_model_folder: Path) -> None:
    def after_two_steps(seed: int) -> dict[str, Tensor]:
        lora = LoraConfig(lora_dropout=0.2)
        policy = Policy.load(tiny_model_folder, dtype="float32", lora=lora)
        perturb_adapter(policy)
        learner = CoactiveLearner(policy, QUICK.with_settings(seed=seed))
        for _ in range(2):
            torch.rand(3)
            learner.step(PREFERENCES)
        return weights(policy)

    first = after_two_steps(0)
    torch.testing.assert_close(after_two_steps(0), first, rtol=0, atol=0)
    assert any(not torch.equal(value, first[n]) for n, value in after_two_steps(1).items())


# --- a step that fails


def test_numbers_that_are_not_finite_change_nothing(
    learner: CoactiveLearner, tiny_model_folder: Path
) -> None:
    """The preferences wait on, and the step that comes is the one that would have come."""
    undisturbed = CoactiveLearner(Policy.load(tiny_model_folder, dtype="float32"), QUICK)
    for one in (learner, undisturbed):
        one.step(PREFERENCES)
        one.learn(a_draft(one.policy), " Dear Anna, thank you.")
    before = state_of(learner)
    with hidden_states_become_nan(learner.policy), pytest.raises(TrainingError, match="Step 2"):
        learner.learn(a_draft(learner.policy), " Hello, Anna.")
    after = state_of(learner)
    assert [preference.chosen.text for preference in after.pop("buffer")] == [
        " Dear Anna, thank you.",
        " Hello, Anna.",
    ]
    assert len(before.pop("buffer")) == 1
    assert after.pop("rounds") == before.pop("rounds") + 1
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    undisturbed.learn(a_draft(undisturbed.policy), " Hello, Anna.")
    learner.flush()
    assert_same_state(state_of(learner), state_of(undisturbed))


def test_flush_that_fails_keeps_what_waits(learner: CoactiveLearner) -> None:
    learner.learn(a_draft(learner.policy), " Dear Anna, thank you.")
    before = state_of(learner)
    with hidden_states_become_nan(learner.policy), pytest.raises(TrainingError):
        learner.flush()
    assert_same_state(state_of(learner), before)


def test_preferences_left_by_a_failure_are_learned_from_once_each(
    learner: CoactiveLearner,
) -> None:
    draft = a_draft(learner.policy)
    learner.learn(draft, " Dear Anna, one.")
    with hidden_states_become_nan(learner.policy), pytest.raises(TrainingError):
        learner.learn(draft, " Dear Anna, two.")
    learner.learn(draft, " Dear Anna, three.")
    assert learner.steps_taken == 1
    assert [preference.chosen.text for preference in learner.buffer] == [" Dear Anna, three."]


def fails_above(policy: Policy, tokens: int) -> None:
    def check(_: Any, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    policy.base.model.get_input_embeddings().register_forward_pre_hook(check)


def test_out_of_memory_is_met_with_smaller_micro_batches(
    tiny_model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = []
    for tokens in (10**9, 70):
        policy = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(policy)
        learner = CoactiveLearner(policy, QUICK)
        fails_above(policy, tokens)
        with caplog.at_level(logging.WARNING, logger="corll"):
            learner.step(PREFERENCES)
        found.append(weights(policy))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)
    assert "Out of memory" in caplog.text


def test_a_preference_too_large_for_the_device_changes_nothing(learner: CoactiveLearner) -> None:
    learner.step(PREFERENCES)
    before = state_of(learner)
    fails_above(learner.policy, 5)
    with pytest.raises(DeviceMemoryError):
        learner.step(PREFERENCES)
    assert_same_state(state_of(learner), before)


# --- save and load


def play(learner: CoactiveLearner, rounds: Sequence[int]) -> list[tuple[Draft, Learned]]:
    """Every third draft is accepted, the others get an edit of the round's own."""
    played = []
    for number in rounds:
        draft = learner.draft(f"Note {number}.")
        text = draft.text if number % 3 == 2 else f" Dear Anna, note {number}."
        played.append((draft, learner.learn(draft, text)))
    return played


@pytest.mark.parametrize("rounds_before", [0, 4])
@pytest.mark.parametrize("kind", ["base", "reference", "k=3", "dropout", "plain text, bfloat16"])
def test_a_resumed_learner_equals_one_that_was_never_interrupted(
    tiny_model_folder: Path, tmp_path: Path, kind: str, rounds_before: int
) -> None:
    """Bit for bit over three more steps; after 4 rounds also with a preference that waits."""
    arguments: dict[str, Any] = {"dtype": "float32"}
    config = QUICK.with_settings(warmup_steps=3)
    if kind == "reference":
        start = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(start)
        start.save(tmp_path / "start")
        arguments["reference"] = tmp_path / "start"
    elif kind == "k=3":
        config = config.with_settings(num_candidates=3)
    elif kind == "dropout":
        arguments["lora"] = LoraConfig(lora_dropout=0.2, lora_r=4)
    elif kind.startswith("plain"):
        arguments |= {"chat_template": False, "dtype": "bfloat16"}
    learner = CoactiveLearner(Policy.load(tiny_model_folder, **arguments), config)
    play(learner, range(rounds_before))
    assert (learner.steps_taken, len(learner.buffer)) == ((1, 1) if rounds_before else (0, 0))
    learner.save(tmp_path / "saved")
    resumed = CoactiveLearner.load(tmp_path / "saved")
    assert resumed.config == learner.config
    assert_same_state(state_of(resumed), state_of(learner))
    rest = range(rounds_before, rounds_before + 9)
    assert play(resumed, rest) == play(learner, rest)
    assert learner.steps_taken >= 3
    assert_same_state(state_of(resumed), state_of(learner))


def test_waiting_preferences_of_every_kind_are_kept(
    learner: CoactiveLearner, tmp_path: Path
) -> None:
    """Strings and samples, a conversation, and references that were stored with them."""
    conversation = [{"role": "user", "content": "Hello."}]
    pair = encode_pair(learner.policy, PREFERENCES[0])
    found = accumulate_gradient(learner.policy, [pair], QUICK, 10**9)
    with_ids = Preference(conversation, a_draft(learner.policy).sample, " Hello!")
    waiting = [PREFERENCES[0].with_reference(found.references[0]), with_ids]
    learner = CoactiveLearner(learner.policy, QUICK.with_settings(preferences_per_step=5))
    for preference in waiting:
        learner.buffer.add(preference)
    learner.save(tmp_path)
    assert list(CoactiveLearner.load(tmp_path).buffer) == waiting


@pytest.mark.parametrize("thinks", [False, True])
def test_prompts_are_rendered_as_before(
    tiny_model_folder: Path, tmp_path: Path, thinks: bool
) -> None:
    """With the same default of thinking; learners of before 0.2 told their templates nothing."""
    policy = Policy.load(tiny_model_folder, dtype="float32", enable_thinking=thinks)
    learner = CoactiveLearner(policy, QUICK)
    prompt: Prompt = {
        "messages": [{"role": "user", "content": "Hello."}],
        "chat_template_kwargs": {"enable_thinking": not thinks},
    }
    learner.learn(learner.draft(prompt), "Hello, Anna.")
    learner.save(tmp_path)
    resumed = CoactiveLearner.load(tmp_path)
    assert resumed.policy.codec.enable_thinking == thinks
    assert [waiting.prompt for waiting in resumed.buffer] == [prompt]
    state = json.loads((tmp_path / file_names.LEARNER).read_text())
    del state["enable_thinking"]
    (tmp_path / file_names.LEARNER).write_text(json.dumps(state))
    assert CoactiveLearner.load(tmp_path).policy.codec.enable_thinking


def test_prompts_that_are_continued_verbatim_come_back_as_such(
    policy: Policy, tmp_path: Path
) -> None:
    learner = CoactiveLearner(policy, QUICK.with_settings(replay_per_step=2))
    for past, prompt in ((False, Verbatim("Dear")), (True, Verbatim("Hello")), (True, "Hi")):
        preference = Preference(prompt, " Anna", " Ben")
        learner.buffer.past.append(preference) if past else learner.buffer.add(preference)
    learner.save(tmp_path)
    again = CoactiveLearner.load(tmp_path, policy=policy)
    prompts = [preference.prompt for preference in (*again.buffer, *again.buffer.past)]
    assert prompts == ["Dear", "Hello", "Hi"]
    assert [type(prompt) for prompt in prompts] == [Verbatim, Verbatim, str]


def test_it_can_be_loaded_onto_a_policy_that_is_there(
    learner: CoactiveLearner, tiny_model_folder: Path, tmp_path: Path
) -> None:
    play(learner, range(5))
    learner.save(tmp_path)
    there = Policy.load(tiny_model_folder, dtype="float32")
    perturb_adapter(there)
    resumed = CoactiveLearner.load(tmp_path, policy=there)
    assert resumed.policy is there
    assert_same_state(state_of(resumed), state_of(learner))


def test_a_policy_with_another_reference_is_refused(
    learner: CoactiveLearner, tiny_model_folder: Path, tmp_path: Path
) -> None:
    learner.save(tmp_path / "saved")
    perturb_adapter(learner.policy)
    learner.policy.save(tmp_path / "other")
    other = Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path / "other")
    before = weights(other)
    with pytest.raises(AdapterError, match="same reference"):
        CoactiveLearner.load(tmp_path / "saved", policy=other)
    torch.testing.assert_close(weights(other), before, rtol=0, atol=0)


def test_a_reference_left_by_an_earlier_learner_is_not_taken(
    learner: CoactiveLearner, tiny_model_folder: Path, tmp_path: Path
) -> None:
    perturb_adapter(learner.policy)
    learner.policy.save(tmp_path / "start")
    held = Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path / "start")
    CoactiveLearner(held, QUICK).save(tmp_path / "saved")
    assert CoactiveLearner.load(tmp_path / "saved").policy.reference_name != "base"
    learner.save(tmp_path / "saved")
    assert CoactiveLearner.load(tmp_path / "saved").policy.reference_name == "base"


def test_plain_peft_loads_what_was_saved(
    any_model_folder: Path, any_policy: Policy, tmp_path: Path
) -> None:
    learner = CoactiveLearner(any_policy, QUICK)
    for _ in range(3):
        learner.step(PREFERENCES)
    learner.save(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(any_model_folder, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    prompt = any_policy.codec.encode_prompt("Write to Anna.")
    ids = any_policy.codec.encode_response(" Dear Anna.").token_ids
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    logprob = logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None]).sum()
    ours = any_policy.logprobs(["Write to Anna."], [" Dear Anna."])[0]
    assert float(ours) == pytest.approx(float(logprob), abs=1e-4)
    reference = any_policy.reference_logprobs(["Write to Anna."], [" Dear Anna."])[0]
    assert float(ours) != pytest.approx(float(reference), abs=1e-2)


def test_a_folder_without_a_learner_is_refused(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="holds no learner"):
        CoactiveLearner.load(tmp_path / "nothing")
    policy.save(tmp_path)
    with pytest.raises(AdapterError, match=r"Policy\.load"):
        CoactiveLearner.load(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_optimizer_is_named(
    learner: CoactiveLearner, tmp_path: Path, damage: str
) -> None:
    learner.step(PREFERENCES)
    learner.save(tmp_path)
    (file,) = tmp_path.glob("corll_optimizer*")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(AdapterError, match="optimiser"):
        CoactiveLearner.load(tmp_path)


def test_an_unknown_setting_in_a_saved_learner_is_refused(
    learner: CoactiveLearner, tmp_path: Path
) -> None:
    learner.save(tmp_path)
    (file,) = tmp_path.glob("corll_learner*")
    state = json.loads(file.read_text())
    state["config"]["betta"] = 1
    file.write_text(json.dumps(state))
    with pytest.raises(ValueError, match="betta"):
        CoactiveLearner.load(tmp_path)


def test_a_step_hands_back_its_preferences_with_their_reference_scores(policy: Policy) -> None:
    learner = CoactiveLearner(policy, QUICK)
    result = learner.step(PREFERENCES)
    for one, kept in zip(PREFERENCES, result.learned, strict=True):
        assert kept.reference is not None
        assert (kept.prompt, kept.chosen, kept.rejected) == (one.prompt, one.chosen, one.rejected)
        found = policy.reference_logprobs([one.prompt] * 2, [one.chosen, one.rejected])
        assert kept.reference.chosen == pytest.approx(float(found[0]), abs=1e-4)
        assert kept.reference.rejected == pytest.approx(float(found[1]), abs=1e-4)
