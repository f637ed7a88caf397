"""The learner's contract: what counts as feedback, and when it steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corll.config import CoactiveConfig
from corll.errors import InputError
from corll.learner import CoactiveLearner
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Acceptance, Learned, Preference, Sample
from learners import PREFERENCES, QUICK, a_draft, assert_same_state, state_of

# PEFT says these of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to"),
]
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


def test_drafts_are_drawn_behind_what_is_recalled(policy: Policy) -> None:
    tea = [Exchange("Tea?", "Gladly.")]
    config = CoactiveConfig(num_candidates=1, max_completion_length=8)
    learner = CoactiveLearner(policy, config)
    plain = learner.draft("Coming?")
    recalling = CoactiveLearner(policy, config)
    recalling.recall = lambda prompt: tea if prompt == "Coming?" else ()
    drafted, other = recalling.draft_many(["Coming?", "Going?"])
    assert drafted.prompt == "Coming?"
    assert drafted.sample.token_ids != plain.sample.token_ids
    (expected,) = policy.sample(
        [with_memory("Coming?", tea)], 1, 8, drafted.seed, sampling=config.sampling
    )
    assert drafted.sample.token_ids == expected[0].token_ids
    (expected,) = policy.sample(["Going?"], 1, 8, other.seed, sampling=config.sampling)
    assert other.sample.token_ids == expected[0].token_ids
