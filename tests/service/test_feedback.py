"""The rules of feedback, called as a program calls them: a database and a drafter, no HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection
from store_samples import (
    NOW,
    add_user,
    back,
    draft_of,
    kept_draft,
    new_version,
    publish,
    register,
)

from corll.errors import IdempotencyError, InputError
from corll.memory.masking import ONLY_MASKED
from corll.policy import Policy
from corll.service import feedback
from corll.service.drafting.engine import Engine
from corll.service.feedback import (
    ConsentRequiredError,
    EditAnswer,
    FieldError,
    LearningProgress,
    Side,
    TaughtVersion,
)
from corll.service.store.accounts import User, set_consent
from corll.service.store.drafts import DraftRow, edits_of, find_edit
from corll.service.store.lineages import requeue_set_aside
from corll.service.store.preferences import preferences_of, users_who_asked


@pytest.fixture
def drafter(policy: Policy) -> Iterator[Engine]:
    engine = Engine(policy)
    yield engine
    engine.close()


def edited(
    db: Connection, drafter: Engine, draft: DraftRow, user: User, text: str, *, choice: int = 0
) -> EditAnswer:
    judged = feedback.judge_edit(drafter, draft, user, text, choice=choice)
    return feedback.record_edit(db, judged, now=NOW)


def now_of(db: Connection, answer: EditAnswer) -> LearningProgress:
    """How far an edit has come since it was answered."""
    row = find_edit(db, answer.edit.id)
    assert row is not None
    return feedback.edit_as_it_stands(db, row).progress


def consents(db: Connection, user: User, **switches: bool) -> User:
    return set_consent(db, user.id, **switches, actor="a", now=NOW)  # type: ignore[arg-type]


def test_no_web_framework_is_needed() -> None:
    code = "import sys, corll.service.feedback; print({'fastapi', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr


def test_an_edit_waits_to_be_learned_from(db: Connection, ada: User, drafter: Engine) -> None:
    answer = edited(db, drafter, kept_draft(db, ada), ada, "Hi there")
    assert answer.is_new
    assert (answer.edit.text, answer.edit.state) == ("Hi there", "recorded")
    assert answer.edit.edit_cost == pytest.approx(4 / 8)
    assert answer.progress == LearningProgress("recorded", will_learn=True, reason=None)
    assert [row.state for row in preferences_of(db, ada.id)] == ["waiting"]


class TestALearnerThatNeedsAMemory:
    @pytest.fixture
    def drafter(self, policy: Policy) -> Iterator[Engine]:
        engine = Engine(policy, needs_memory=True)
        yield engine
        engine.close()

    def test_an_edit_of_a_draft_without_one_is_set_aside_at_once(
        self, db: Connection, ada: User, drafter: Engine
    ) -> None:
        bob = add_user(db, "bob")
        answer = edited(db, drafter, kept_draft(db, ada), ada, "Hi there")
        behind = edited(db, drafter, kept_draft(db, bob, memory=["edit_1"]), bob, "Hi there")
        assert (answer.progress.state, answer.progress.will_learn) == ("set_aside", False)
        assert "behind past letters or worked examples alone" in str(answer.progress.reason)
        assert now_of(db, answer) == answer.progress
        assert behind.progress == LearningProgress("recorded", will_learn=True, reason=None)
        assert [row.state for row in preferences_of(db, ada.id)] == ["set_aside"]
        assert [row.state for row in preferences_of(db, bob.id)] == ["waiting"]

    def test_it_waits_after_a_requeue_as_what_the_learner_set_aside(
        self, db: Connection, ada: User, drafter: Engine
    ) -> None:
        answer = edited(db, drafter, kept_draft(db, ada), ada, "Hi there")
        assert requeue_set_aside(db, ada.id, actor="a", now=NOW) == 1
        assert now_of(db, answer) == LearningProgress("recorded", will_learn=True, reason=None)

    def test_another_reason_comes_first(self, db: Connection, ada: User, drafter: Engine) -> None:
        draft = kept_draft(db, ada)
        accepted = edited(db, drafter, draft, ada, "Hello there")
        assert (accepted.edit.state, preferences_of(db, ada.id)) == ("accepted", [])
        unwilling = consents(db, ada, learn=False)
        answer = edited(db, drafter, draft, unwilling, "Hi there")
        assert "has not agreed to be learned from" in str(answer.progress.reason)
        assert [row.state for row in preferences_of(db, ada.id)] == ["withheld"]

    def test_a_comparison_is_told_so_by_its_rejected_draft(
        self, db: Connection, ada: User, drafter: Engine
    ) -> None:
        plain, behind = kept_draft(db, ada), kept_draft(db, ada, memory=["edit_1"])
        for chosen, rejected, state in ((behind, plain, "set_aside"), (plain, behind, "recorded")):
            sides = Side(chosen, 0), Side(rejected, 1)
            judged = feedback.judge_comparison(drafter, *sides, ada)
            answer = feedback.record_comparison(db, judged, now=NOW)
            assert answer.progress.state == state
            assert answer.progress.will_learn == (state == "recorded")


def test_the_choice_that_was_edited_is_the_rejected_one(
    db: Connection, ada: User, drafter: Engine
) -> None:
    draft = kept_draft(db, ada)
    edited(db, drafter, draft, ada, "Dear Madam", choice=1)
    (preference,) = preferences_of(db, ada.id)
    assert preference.rejected["text"] == "Dear Sir"
    assert edited(db, drafter, draft, ada, "Dear Sir", choice=1).edit.state == "accepted"


def test_a_text_equal_to_its_draft_accepts_it(db: Connection, ada: User, drafter: Engine) -> None:
    answer = edited(db, drafter, kept_draft(db, ada), ada, "Hello there\r\n")
    assert (answer.edit.state, answer.edit.edit_cost) == ("accepted", 0.0)
    assert answer.progress.state == "accepted"
    assert answer.progress.will_learn is False
    assert "accepted as it is" in (answer.progress.reason or "")
    assert preferences_of(db, ada.id) == []


@pytest.mark.parametrize("kind", ["chat", "text"])
def test_an_edit_behind_a_prompt_that_fills_the_context_is_kept_and_not_learned_from(
    db: Connection, ada: User, drafter: Engine, policy: Policy, kind: str
) -> None:
    words = "very " * (policy.codec.context_length or 0)
    prompt = words if kind == "text" else [{"role": "user", "content": words}]
    answer = edited(db, drafter, kept_draft(db, ada, kind=kind, prompt=prompt), ada, "Hi there")
    assert answer.edit.text == "Hi there"
    assert answer.progress.will_learn is False
    assert "tokens" in (answer.progress.reason or "")


@pytest.mark.parametrize("choice", [2, 7, -1])
def test_a_choice_that_is_not_there_is_refused_by_name(
    db: Connection, ada: User, drafter: Engine, choice: int
) -> None:
    draft = kept_draft(db, ada)
    with pytest.raises(FieldError, match="2 choices") as found:
        feedback.judge_edit(drafter, draft, ada, "x", choice=choice)
    assert found.value.field == "choice"
    for chosen, rejected, field in ((choice, 0, "chosen.choice"), (0, choice, "rejected.choice")):
        with pytest.raises(FieldError, match="2 choices") as found:
            feedback.judge_comparison(drafter, Side(draft, chosen), Side(draft, rejected), ada)
        assert found.value.field == field


def test_without_consent_to_store_nothing_is_taken(
    db: Connection, ada: User, drafter: Engine
) -> None:
    draft, unwilling = draft_of(ada), consents(db, ada, store=False)
    with pytest.raises(ConsentRequiredError, match="not stored, so edits"):
        feedback.judge_edit(drafter, draft, unwilling, "Hi")
    with pytest.raises(ConsentRequiredError, match="not stored, so comparisons"):
        feedback.judge_comparison(drafter, Side(draft, 0), Side(draft, 1), unwilling)


def test_without_consent_to_learn_an_edit_is_kept_and_says_why(
    db: Connection, ada: User, drafter: Engine
) -> None:
    unwilling = consents(db, ada, learn=False)
    draft = kept_draft(db, ada)
    answer = edited(db, drafter, draft, unwilling, "Hi there")
    assert answer.progress.state == "recorded"
    assert answer.progress.will_learn is False
    assert "not agreed" in (answer.progress.reason or "")
    # That of an acceptance is not hidden by it.
    same = edited(db, drafter, kept_draft(db, ada), unwilling, "Hello there")
    assert (same.progress.state, same.progress.will_learn) == ("accepted", False)
    assert "accepted as it is" in (same.progress.reason or "")


def test_what_came_before_consent_says_what_lets_it_be_learned_from(
    db: Connection, ada: User, drafter: Engine
) -> None:
    """By the edit, by its comparison of that time, and by one whose consent was withdrawn."""
    early = edited(db, drafter, kept_draft(db, ada), consents(db, ada, learn=False), "Hi there")
    assert "include_past" in (early.progress.reason or "")
    agreed = consents(db, ada, learn=True)
    reason = now_of(db, early).reason or ""
    assert "include_past" in reason
    assert "not agreed" not in reason
    late = edited(db, drafter, kept_draft(db, ada), agreed, "Ho there")
    consents(db, ada, learn=False)
    assert "withdrew consent" in (now_of(db, late).reason or "")
    consents(db, ada, learn=True)
    assert now_of(db, late).reason == reason
    consents(db, ada, learn=True, include_past=True)
    for one in (early, late):
        assert now_of(db, one) == LearningProgress("recorded", will_learn=True, reason=None)


def test_consent_is_no_reason_where_it_would_not_help(
    db: Connection, ada: User, drafter: Engine
) -> None:
    unwilling = consents(db, ada, learn=False)
    answer = edited(db, drafter, kept_draft(db, ada), unwilling, "word " * 3000)
    assert "tokens" in (answer.progress.reason or "")


def test_what_waits_after_all_has_no_reason_any_more(
    db: Connection, ada: User, drafter: Engine
) -> None:
    answer = edited(db, drafter, kept_draft(db, ada), consents(db, ada, learn=False), "Hi there")
    assert "not agreed" in (answer.progress.reason or "")
    consents(db, ada, learn=True, include_past=True)
    assert now_of(db, answer) == LearningProgress("recorded", will_learn=True, reason=None)
    consents(db, ada, learn=False)
    assert "withdrew consent" in (now_of(db, answer).reason or "")


def test_of_a_cancelled_draft_nothing_is_learned(
    db: Connection, ada: User, drafter: Engine
) -> None:
    answer = edited(db, drafter, kept_draft(db, ada, status="cancelled"), ada, "Hi there")
    assert answer.progress.will_learn is False
    assert "cancelled" in (answer.progress.reason or "")


def test_what_does_not_fit_the_context_is_kept_and_says_so(
    db: Connection, ada: User, drafter: Engine
) -> None:
    answer = edited(db, drafter, kept_draft(db, ada), ada, "word " * 900)
    assert answer.progress.will_learn is False
    assert "context" in (answer.progress.reason or "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("xkq vjwpt bzl qowmnr tkd fjghq zpl wrt", "no words"),
        ("It is late. " * 20, "over and over"),
    ],
)
def test_of_a_text_that_teaches_harm_nothing_is_learned(
    db: Connection, ada: User, drafter: Engine, text: str, why: str
) -> None:
    answer = edited(db, drafter, kept_draft(db, ada), ada, text)
    assert (answer.edit.text.strip(), answer.edit.state) == (text.strip(), "recorded")
    assert not answer.progress.will_learn
    assert why in str(answer.progress.reason)
    assert [row.state for row in preferences_of(db, ada.id)] == ["withheld"]
    other = add_user(db, "bob")
    assert edited(db, drafter, kept_draft(db, other), other, "It is late.").progress.will_learn


def test_how_far_an_edit_has_come(db: Connection, ada: User, drafter: Engine) -> None:
    bob = add_user(db, "bob")
    answer = edited(db, drafter, kept_draft(db, ada), ada, "Hi there")
    theirs = edited(db, drafter, kept_draft(db, bob), bob, "Hi there")
    assert answer.edit.preference_id is not None
    version = publish(db, ada, answer.edit.preference_id)
    taught = TaughtVersion(version.number, "serving")
    assert now_of(db, answer) == LearningProgress("serving", True, None, taught)
    assert now_of(db, theirs) == LearningProgress("recorded", True, None)
    consents(db, ada, learn=False)
    assert now_of(db, answer).state == "learned"
    consents(db, ada, learn=True)
    assert now_of(db, answer).state == "serving"
    back(db, ada, 0)
    progress = now_of(db, answer)
    assert (progress.state, progress.will_learn, progress.version) == ("set_aside", False, None)
    assert "rolled back" in (progress.reason or "")
    assert now_of(db, theirs) == LearningProgress("recorded", True, None)


def test_an_edit_of_a_rejected_version_says_why(db: Connection, ada: User, drafter: Engine) -> None:
    answer = edited(db, drafter, kept_draft(db, ada), ada, "Hi there")
    assert answer.edit.preference_id is not None
    for state in ("recorded", "set_aside"):
        version = new_version(db, ada, state="rejected", reasons=["it babbles"])
        register(db, version, answer.edit.preference_id, serve=False)
        assert now_of(db, answer).state == state
    progress = now_of(db, answer)
    assert (progress.state, progress.will_learn) == ("set_aside", False)
    assert "it babbles" in (progress.reason or "")


def test_a_later_edit_takes_the_place_of_one(db: Connection, ada: User, drafter: Engine) -> None:
    draft = kept_draft(db, ada)
    first = edited(db, drafter, draft, ada, "Hi there")
    second = edited(db, drafter, draft, ada, "Hi Tom")
    progress = now_of(db, first)
    assert (progress.state, progress.will_learn) == ("replaced", False)
    assert "later edit" in (progress.reason or "")
    assert now_of(db, second).will_learn is True


def test_of_a_masked_number_alone_nothing_is_learned(
    db: Connection, ada: User, drafter: Engine
) -> None:
    """By the user's own choice, or the service's for those who did not choose."""
    candidates = [{"text": "It is 48291.", "token_ids": [1], "logprob": -1.0, "finished": True}]
    draft = kept_draft(db, ada, candidates=candidates, shown=[0])
    unmasked = set_consent(db, ada.id, mask="none", actor="a", now=NOW)
    judged = [
        feedback.judge_edit(drafter, draft, user, "It is 73055.", mask=default).reason
        for user in (ada, unmasked)
        for default in ("none", "numbers")
    ]
    assert judged == [None, ONLY_MASKED, None, None]
    masked = set_consent(db, ada.id, mask="numbers", actor="a", now=NOW)
    answer = edited(db, drafter, draft, masked, "It is 73055.")
    assert (answer.progress.will_learn, answer.progress.reason) == (False, ONLY_MASKED)
    assert answer.masked == ()
    other = edited(db, drafter, draft, masked, "It is 73055, sorry.")
    assert (other.progress.will_learn, other.masked) == (True, ("73055",))


def test_the_same_edit_twice_is_one(db: Connection, ada: User, drafter: Engine) -> None:
    draft = kept_draft(db, ada)
    judged = feedback.judge_edit(drafter, draft, ada, "Hi there")
    first = feedback.record_edit(db, judged, idempotency_key="k", now=NOW)
    again = feedback.record_edit(db, judged, idempotency_key="k", now=NOW + 1)
    assert (again.edit, again.is_new) == (first.edit, False)
    assert len(edits_of(db, ada.id, limit=9)) == 1
    other = feedback.judge_edit(drafter, draft, ada, "Hi Tom")
    with pytest.raises(IdempotencyError, match="'k'"):
        feedback.record_edit(db, other, idempotency_key="k", now=NOW)


def test_of_two_equal_texts_neither_is_better(db: Connection, ada: User, drafter: Engine) -> None:
    same = [
        {"text": t, "token_ids": [1], "logprob": -1.0, "finished": True} for t in ("Hi", "Hi\n")
    ]
    draft = kept_draft(db, ada, candidates=same)
    with pytest.raises(FieldError, match="neither is better") as found:
        feedback.judge_comparison(drafter, Side(draft, 0), Side(draft, 1), ada)
    assert found.value.field == "rejected"


def test_a_comparison_waits_unless_a_side_forbids_it(
    db: Connection, ada: User, drafter: Engine
) -> None:
    draft = kept_draft(db, ada)
    judged = feedback.judge_comparison(drafter, Side(draft, 0), Side(draft, 1), ada)
    answer = feedback.record_comparison(db, judged, now=NOW)
    assert answer.progress == LearningProgress("recorded", will_learn=True, reason=None)
    assert (answer.comparison.chosen_choice, answer.comparison.rejected_choice) == (0, 1)
    assert feedback.record_comparison(db, judged, now=NOW) == answer
    cancelled = kept_draft(db, ada, status="cancelled")
    for sides in ((Side(draft, 0), Side(cancelled, 1)), (Side(cancelled, 0), Side(draft, 1))):
        answer = feedback.record_comparison(
            db, feedback.judge_comparison(drafter, *sides, ada), now=NOW
        )
        assert answer.progress.will_learn is False
        assert "cancelled" in (answer.progress.reason or "")


def test_drafts_of_two_users_are_not_compared(db: Connection, ada: User, drafter: Engine) -> None:
    sides = Side(kept_draft(db, ada), 0), Side(kept_draft(db, add_user(db, "bob")), 1)
    with pytest.raises(InputError, match="not of one user"):
        feedback.record_comparison(db, feedback.judge_comparison(drafter, *sides, ada), now=NOW)


def test_a_step_is_asked_for_where_something_waits(
    db: Connection, ada: User, drafter: Engine
) -> None:
    bob = add_user(db, "bob")
    assert feedback.ask_to_learn(db, ada, now=NOW) == 0
    assert users_who_asked(db) == set()
    for user in (ada, bob):
        edited(db, drafter, kept_draft(db, user), user, "Hi there")
    assert feedback.ask_to_learn(db, ada, now=NOW) == 1
    assert users_who_asked(db) == {ada.id}
    with pytest.raises(ConsentRequiredError, match="not agreed"):
        feedback.ask_to_learn(db, consents(db, bob, learn=False), now=NOW)
    assert users_who_asked(db) == {ada.id}
