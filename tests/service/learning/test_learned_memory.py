"""What stood before a draft reaches the learner of a service, and what that learner makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import Connection, event
from teaching import NOW, add_edit, add_user, begun, drafted, states

from corll.frames import Filled, Framing
from corll.gradient import EncodedPair
from corll.learners.pairs import PairLearner
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Preference, Prompt
from corll.service.learning import importing
from corll.service.learning import trainer as trainer_module
from corll.service.learning.checks import Examined
from corll.service.learning.trainer import Trainer
from corll.service.prompts import as_prompt
from corll.service.store import accounts, comparisons, drafts, imports, lineages, preferences
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.drafts import EditRow
from corll.service.store.remembered import clear, set_mark
from corll.step import PreferenceOptimizer
from corll.verdicts.policies import Asked
from tiny_models import weights

WITH = {"learn_with_memory": True}
DISTIL = {"learner": "distil"}
BOTH = {"learner": "distil", "distil_texts": "both", "distil_teacher": "reference"}


def trainer_of(trainer: Trainer, **coactive: Any) -> Trainer:
    """Another one on the same store, which learns by other settings."""
    changed = trainer.settings.coactive.with_settings(**coactive)
    return Trainer(trainer.base, trainer.database, trainer.settings.with_settings(coactive=changed))


def letters(trainer: Trainer, user: User, *texts: str) -> list[str]:
    """What a user sent before and is learned already, by the ids of the edits."""
    sent = [add_edit(trainer, user, text, number=n) for n, text in enumerate(texts)]
    assert trainer.learn(user.id, all_that_waits=True) is not None
    return [edit.id for edit in sent]


def read(trainer: Trainer, *edits: EditRow) -> list[Preference]:
    ids = [str(edit.preference_id) for edit in edits]
    found = trainer.reader.find(ids)
    return [found[one] for one in ids]


def texts_of(preference: Preference) -> list[str]:
    return [exchange.text for exchange in preference.memory]


class TestReading:
    def test_a_preference_has_the_memory_of_its_draft_in_its_order(
        self, trainer: Trainer, user: User
    ) -> None:
        first, second, _ = letters(trainer, user, "One.", "Two.", "Three.")
        behind = add_edit(trainer, user, "Sorry.", memory=[second, first])
        alone = add_edit(trainer, user, "Sorry, too.")
        found, without = read(trainer, behind, alone)
        assert found.memory == (
            Exchange([{"role": "user", "content": "The parcel 1 is late."}], "Two.", second),
            Exchange([{"role": "user", "content": "The parcel 0 is late."}], "One.", first),
        )
        assert without.memory == ()

    def test_an_imported_letter_and_worked_examples_are_found(
        self, trainer: Trainer, user: User
    ) -> None:
        """Examples in the words of the draft's own frame, signed as its user signs."""
        imported = f"{begun(trainer, user, 20).id}.1"
        asked = Filled(frame="reply", message="Hi.", hint="thank them", name="Ann", template=None)
        examples = worked_examples(Framing("reply", "thank them", "Ann"))
        names = [examples[1].id, examples[0].id, imported]
        edit = add_edit(trainer, user, "Sorry.", asked=asked, memory=names)
        (found,) = read(trainer, edit)
        assert found.memory[:2] == (examples[1], examples[0])
        assert texts_of(found)[2:] == ["A secret, number 0."]

    @pytest.mark.parametrize(
        ("how", "left"),
        [
            ("nothing", ["One.", "Two."]),
            ("replaced", ["One."]),
            ("skipped", ["One."]),
            ("pinned", ["One.", "Two."]),
            ("cleared", []),
            ("withdrawn", []),
        ],
    )
    def test_what_is_remembered_no_more_is_missing(
        self, trainer: Trainer, user: User, how: str, left: list[str]
    ) -> None:
        first, second = letters(trainer, user, "One.", "Two.")
        edit = add_edit(trainer, user, "Sorry.", memory=[first, second])

        def change(db: Connection) -> Any:
            if how == "replaced":
                db.exec_driver_sql(f"UPDATE edits SET state = 'replaced' WHERE id = '{second}'")
            elif how in ("skipped", "pinned"):
                set_mark(db, user.id, second, how, actor="a", now=NOW)  # type: ignore[arg-type]
            elif how == "cleared":
                clear(db, user.id, actor="a", now=NOW)
            elif how == "withdrawn":
                accounts.set_consent(db, user.id, store=False, actor="a", now=NOW)

        trainer.database.write(change)
        (found,) = read(trainer, edit)
        assert texts_of(found) == left

    def test_nobodys_letters_reach_another(self, trainer: Trainer, user: User) -> None:
        bob = add_user(trainer.database, "bob")
        (anns,) = letters(trainer, user, "Ann's.")
        (bobs,) = letters(trainer, bob, "Bob's.")
        edits = [add_edit(trainer, one, "Sorry.", memory=[anns, bobs]) for one in (user, bob)]
        assert [texts_of(one) for one in read(trainer, *edits)] == [["Ann's."], ["Bob's."]]

    def test_many_are_read_with_as_few_queries_as_one(self, trainer: Trainer, user: User) -> None:
        sent = letters(trainer, user, "One.", "Two.", "Three.")
        edits = [add_edit(trainer, user, f"Sorry {n}.", memory=sent) for n in range(6)]
        with counted_queries(trainer.database) as of_one:
            assert len(texts_of(read(trainer, edits[0])[0])) == 3
        with counted_queries(trainer.database) as of_six:
            assert all(len(texts_of(one)) == 3 for one in read(trainer, *edits))
        assert len(of_six) == len(of_one) > 0

    def test_a_comparison_has_the_memory_of_the_rejected_draft(
        self, trainer: Trainer, user: User
    ) -> None:
        one, two = letters(trainer, user, "One.", "Two.")
        prompt = [{"role": "user", "content": "The parcel is late."}]
        chosen, rejected = (
            replace(drafted(trainer, user, number=n), prompt=prompt, memory=[letter])
            for n, letter in enumerate((one, two))
        )

        def compare(db: Connection) -> str:
            drafts.add_draft(db, chosen)
            drafts.add_draft(db, rejected)
            return comparisons.record_comparison(
                db,
                chosen=chosen,
                chosen_choice=0,
                rejected=rejected,
                rejected_choice=0,
                will_learn=True,
                reason=None,
                idempotency_key=None,
                now=NOW,
            ).preference_id

        preference_id = trainer.database.write(compare)
        assert texts_of(trainer.reader.find([preference_id])[preference_id]) == ["Two."]


@contextmanager
def counted_queries(database: Database) -> Iterator[list[str]]:
    asked: list[str] = []

    def note(_: Any, __: Any, statement: str, *more: Any) -> None:
        asked.append(statement)

    event.listen(database._reader, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database._reader, "before_cursor_execute", note)


@contextmanager
def scored_prompts() -> Iterator[list[tuple[int, ...]]]:
    """The prompts' ids of all that steps score meanwhile."""
    seen: list[tuple[int, ...]] = []
    accumulate = PairLearner.accumulate

    def noting(
        self: PairLearner, policy: Policy, items: list[EncodedPair], *args: Any, **more: Any
    ) -> Any:
        seen.extend(item.prompt_ids for item in items)
        return accumulate(self, policy, items, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PairLearner, "accumulate", noting)
        yield seen


@pytest.mark.parametrize("held_back", [False, True])
@pytest.mark.parametrize("learner", ["coactive", "dpo", "sft"])
@pytest.mark.parametrize("remembering", [False, True])
def test_a_step_scores_behind_the_memory_where_it_is_to(
    trainer: Trainer, user: User, remembering: bool, learner: str, held_back: bool
) -> None:
    """What is new and what is replayed alike, and whoever wrote the draft."""
    letter = Exchange([{"role": "user", "content": "The parcel 0 is late."}], "One.")
    (one,) = letters(trainer, user, letter.text)
    steps = trainer_of(trainer, learner=learner, learn_with_memory=remembering, replay_per_step=2)
    encode = trainer.base.codec.encode_prompt
    alone, behind = [], []
    for number in (1, 2):
        edit = add_edit(trainer, user, "Sorry.", number=number, memory=[one], held_back=held_back)
        prompt = [{"role": "user", "content": f"The parcel {number} is late."}]
        alone.append(encode(prompt))
        behind.append(encode(with_memory(prompt, [letter])))
        with scored_prompts() as seen:
            assert steps.learn(user.id, all_that_waits=True) is not None
        expected = behind if remembering else alone
        assert sorted(seen) == sorted([encode(letter.prompt), *expected])
        assert states(trainer, user)[-1] == "learned", edit


@pytest.mark.parametrize("learner", ["coactive", "dpo", "sft", "distil"])
def test_a_version_is_looked_at_behind_what_its_edits_were_drafted_behind(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch, learner: str
) -> None:
    """Whatever the learner, of what it learned and of what was learned before."""
    bob = add_user(trainer.database, "bob")
    letter = Exchange([{"role": "user", "content": "The parcel 0 is late."}], "One.")
    (one,) = letters(trainer, user, letter.text)
    (bobs,) = letters(trainer, bob, "Bob's.")
    looking = trainer_of(trainer, learner=learner, replay_per_step=1)
    looking.settings = looking.settings.with_settings(veto_drafts=8)
    seen: list[list[Asked]] = []

    def look(examined: Examined) -> list[str]:
        seen.append(examined.to_look_at)
        return []

    monkeypatch.setattr(trainer_module, "reasons_against", look)
    for number in (1, 2):
        memory = [one, bobs]
        add_edit(trainer, user, "Sorry.", number=number, memory=memory, held_back=number == 1)
        assert looking.learn(user.id, all_that_waits=True) is not None
    said = [[{"role": "user", "content": f"The parcel {n} is late."}] for n in range(3)]
    prompts: list[Prompt] = [as_prompt(prompt, "chat") for prompt in said]
    behind = (replace(letter, id=one),)
    expected = [Asked(prompts[2], behind), Asked(prompts[1], behind), Asked(prompts[0])]
    assert seen[0][:2] == expected[1:]
    assert seen[1][:3] == expected


@pytest.mark.parametrize("changes", [WITH, DISTIL, BOTH], ids=["with", "distil", "both"])
@pytest.mark.parametrize("replayed", [0, 1, 3])
def test_steps_over_several_versions_are_those_of_the_library(
    trainer: Trainer,
    user: User,
    tiny_model_folder: Path,
    changes: dict[str, Any],
    replayed: int,
) -> None:
    """With memories written by hand, and one letter forgotten between its draft and the step."""
    texts = ["One.", "Two.", "Forgotten."]
    bob = add_user(trainer.database, "bob")
    kept, other, gone = letters(trainer, user, *texts)
    trainer.database.write(lambda db: forget_all_that_was_learned(db, user))
    steps = trainer_of(trainer, replay_per_step=replayed, **changes)
    exchanges = {
        name: Exchange([{"role": "user", "content": f"The parcel {n} is late."}], text, name)
        for n, (name, text) in enumerate(zip((kept, other, gone), texts, strict=True))
    }
    memories = [[kept, gone], [other], [gone, kept, other], [other, kept], [kept], [other]]
    pairs = []
    for number, memory in enumerate(memories, start=3):
        text = f"We are sorry, it is number {number}."
        edit = add_edit(trainer, user, text, number=number, memory=memory)
        add_edit(trainer, bob, "No way!", number=number, memory=[kept, other])
        with trainer.database.read() as db:
            draft = drafts.find_draft(db, edit.draft_id)
        assert draft is not None
        (plain,) = read(trainer, edit)
        remaining = tuple(exchanges[name] for name in memory if name != gone)
        pairs.append(Preference(plain.prompt, plain.chosen, plain.rejected, None, remaining))
        if number == 3:
            trainer.database.write(
                lambda db: set_mark(db, user.id, gone, "skipped", actor="a", now=NOW)
            )
        if number in (4, 8):  # one step, then two in one version
            assert steps.learn(user.id) is not None
    with trainer.database.read() as db:
        serving = lineages.serving_version(db, user.id)
    assert serving is not None
    assert serving.steps == 3
    alone = Policy.load(tiny_model_folder, dtype="float32", lora=trainer.settings.lora)
    before = weights(alone)
    play(alone, steps, pairs)
    after = weights(alone)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    with trainer.policies.of_version(serving) as served:
        found = weights(served)
        for name, expected in after.items():
            own = found[name.replace(alone.adapter, served.adapter)]
            torch.testing.assert_close(own, expected, rtol=0, atol=1e-6)


def forget_all_that_was_learned(db: Connection, user: User) -> None:
    """The letters stay, and are learned from no more."""
    lineages.rollback(db, user.id, to=0, requeue=False, actor="a", now=NOW)


def play(policy: Policy, steps: Trainer, pairs: list[Preference]) -> None:
    """As the library does: three steps of two, each with some of the past."""
    from corll.learner import CoactiveLearner

    learner = CoactiveLearner(policy, steps.settings.coactive)
    for first in (0, 2, 4):
        learner.learn_batch(pairs[first : first + 2])


class TestDistil:
    def test_what_has_no_memory_is_set_aside_with_the_reason_and_the_rest_learned(
        self, trainer: Trainer, user: User
    ) -> None:
        (one,) = letters(trainer, user, "One.")
        add_edit(trainer, user, "Sorry.", number=1)
        add_edit(trainer, user, "Sorry.", number=2, memory=[one])
        version = trainer_of(trainer, **DISTIL).learn(user.id)
        assert version is not None
        assert version.state == "serving"
        assert states(trainer, user) == ["learned", "set_aside", "learned"]
        with trainer.database.read() as db:
            reason = preferences.preferences_of(db, user.id)[1].reason
        assert "has none: draft with a memory, or choose another learner" in str(reason)

    def test_what_was_learned_without_a_memory_is_not_replayed(
        self, trainer: Trainer, user: User
    ) -> None:
        (one,) = letters(trainer, user, "One.")
        add_edit(trainer, user, "Sorry.", number=1, memory=[one])
        steps = trainer_of(trainer, replay_per_step=3, **BOTH)
        assert steps.learn(user.id, all_that_waits=True) is not None
        assert states(trainer, user) == ["learned", "learned"]

    def test_a_letter_forgotten_before_the_step_leaves_nothing_to_distil(
        self, trainer: Trainer, user: User
    ) -> None:
        (one,) = letters(trainer, user, "One.")
        add_edit(trainer, user, "Sorry.", number=1, memory=[one])
        trainer.database.write(lambda db: clear(db, user.id, actor="a", now=NOW))
        assert trainer_of(trainer, **DISTIL).learn(user.id, all_that_waits=True) is None
        assert states(trainer, user) == ["learned", "set_aside"]

    def test_the_student_comes_nearer_to_what_it_says_with_its_letters(
        self, trainer: Trainer, user: User
    ) -> None:
        sent = letters(trainer, user, "Dear Ms Lopez, thank you. Kind regards, Anna")
        for number in range(1, 9):
            add_edit(trainer, user, f"Sorry, number {number}.", number=number, memory=sent)
        with trainer.database.read() as db:
            rows = preferences.waiting_preferences(db, user.id, limit=8)
        pairs = [one for one in trainer.reader.to_preferences(rows) if isinstance(one, Preference)]
        steps = trainer_of(trainer, learning_rate=1e-2, **BOTH)
        with trainer.policies.of_user(user.id) as policy:
            before = divergence(policy, steps, pairs)
        assert steps.learn(user.id) is not None
        with trainer.policies.of_user(user.id) as policy:
            assert divergence(policy, steps, pairs) < before


def divergence(policy: Policy, steps: Trainer, pairs: list[Preference]) -> float:
    """The loss of `distil` over these, in nats a token, by a step that is thrown away."""
    optimizer = PreferenceOptimizer(policy, steps.settings.coactive)
    return optimizer.step(pairs).metrics["loss"]


@pytest.mark.parametrize(
    ("changes", "expected"), [(WITH, "learned"), (DISTIL, "set_aside")], ids=["with", "distil"]
)
def test_imported_texts_were_drafted_for_without_a_memory(
    trainer: Trainer, user: User, changes: dict[str, Any], expected: str
) -> None:
    row = begun(trainer, user, 3)
    steps = trainer_of(trainer, **changes)
    for _ in range(4):
        with trainer.database.read() as db:
            row = imports.find_import(db, row.id) or row
        if row.state != "done":
            importing.go_on(steps, row)
    with trainer.database.read() as db:
        row = imports.find_import(db, row.id) or row
    assert row.state == "done"
    assert set(states(trainer, user)) == {expected}
