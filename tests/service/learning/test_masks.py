"""Masked texts: what is learned tells nothing of what stood there, and prefers no placeholder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import ON_SQLITE
from teaching import NOW, add_edit, add_user, states

from corll.errors import InputError
from corll.memory.masking import ONLY_MASKED, Mask
from corll.model import file_names
from corll.policy import Policy
from corll.records import Preference, Sample
from corll.service.feedback import edit_as_it_stands
from corll.service.learning.masks import masked_preference
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, lineages, preferences
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.drafts import EditRow
from running_service import settings_for


def choosing(database: Database, user: User, mask: Mask) -> User:
    return database.write(
        lambda db: accounts.set_consent(db, user.id, mask=mask, actor="a", now=NOW)
    )


def weights_of(trainer: Trainer, user: User) -> bytes:
    with trainer.database.read() as db:
        version = lineages.serving_version(db, user.id)
    assert version is not None
    assert version.folder is not None
    return (trainer.database.versions.at(version.folder) / file_names.ADAPTER_WEIGHTS).read_bytes()


def learned_of(trainer: Trainer, user: User, number: str) -> bytes:
    """Weights that learned two letters with a number in them, and a request with it."""
    asked = [{"role": "user", "content": f"Tell them that {number} is late."}]
    add_edit(trainer, user, f"Hello, {number} is late. Anna", number=0, prompt=asked)
    add_edit(trainer, user, f"Sorry. It has the number {number}.", number=1)
    assert trainer.learn(user.id) is not None
    return weights_of(trainer, user)


def shown(trainer: Trainer, edit: EditRow, default: Mask = "none") -> list[str]:
    with trainer.database.read() as db:
        return list(edit_as_it_stands(db, edit, mask=default).masked)


def side(policy: Policy, sample: Any, places: tuple[int, ...]) -> str:
    """The text of the tokens in these places."""
    assert isinstance(sample, Sample)
    return policy.codec.decode([sample.token_ids[n] for n in places])


def test_weights_are_the_same_to_the_bit_whatever_the_number(trainer: Trainer, user: User) -> None:
    """On SQLite and PostgreSQL; without a mask they are others, so the number can be in them."""
    users = [user, *(add_user(trainer.database, name) for name in ("ben", "cleo", "dora"))]
    masks: list[Mask] = ["numbers", "numbers", "none", "none"]
    numbers = ["48291", "730552", "48291", "730552"]
    found = []
    for one, mask, number in zip(users, masks, numbers, strict=True):
        choosing(trainer.database, one, mask)
        found.append(learned_of(trainer, one, number))
    assert found[0] == found[1]
    assert len({found[0], found[2], found[3]}) == 3


@ON_SQLITE
def test_what_the_user_sent_is_kept_as_it_is(trainer: Trainer, user: User) -> None:
    choosing(trainer.database, user, "both")
    edit = add_edit(trainer, user, "It is 48291. Ask a@firm.example.", number=0)
    add_edit(trainer, user, "Sorry.", number=1)
    trainer.learn(user.id)
    with trainer.database.read() as db:
        [first, _] = preferences.preferences_of(db, user.id)
    assert first.id == edit.preference_id
    assert first.chosen == {"text": "It is 48291. Ask a@firm.example."}
    assert first.state == "learned"


@ON_SQLITE
def test_each_user_has_what_they_chose_and_else_what_the_service_says(
    policy: Policy, database: Database, user: User, tiny_model_folder: Path, tmp_path: Path
) -> None:
    masking = Trainer(
        policy, database, settings_for(tiny_model_folder, tmp_path / "data", mask="numbers")
    )
    ben = choosing(database, add_user(database, "ben"), "none")
    texts = []
    for one in (user, ben):
        edit = add_edit(masking, one, "It is 48291. a@firm.example", number=0)
        [read] = masking.reader.find([str(edit.preference_id)]).values()
        texts.append(policy.codec.encode_response(read.chosen).text)
    assert texts == ["It is 0000. a@firm.example", "It is 48291. a@firm.example"]


@ON_SQLITE
def test_an_edit_of_a_masked_number_alone_is_set_aside(trainer: Trainer, user: User) -> None:
    choosing(trainer.database, user, "numbers")
    draft = {"text": "It is 48291.", "token_ids": [], "logprob": None, "finished": True}
    ids = trainer.base.codec.encode_response("It is 48291.").token_ids
    candidates = [{**draft, "token_ids": list(ids)}]
    for number, text in enumerate(["It is 73055.", "It is lost."]):
        add_edit(trainer, user, text, number=number, candidates=candidates)
    trainer.learn(user.id)
    assert states(trainer, user) == ["set_aside", "learned"]
    with trainer.database.read() as db:
        assert preferences.preferences_of(db, user.id)[0].reason == ONLY_MASKED


@ON_SQLITE
def test_an_edit_tells_what_was_masked_when_it_was_learned(trainer: Trainer, user: User) -> None:
    """Of one that waits it is what the user has chosen now."""
    first = add_edit(trainer, user, "It is 48291.", number=0)
    assert shown(trainer, first) == []
    assert shown(trainer, first, "numbers") == ["48291"]
    choosing(trainer.database, user, "numbers")
    assert shown(trainer, first) == ["48291"]
    add_edit(trainer, user, "Sorry.", number=1)
    assert trainer.learn(user.id) is not None
    choosing(trainer.database, user, "none")
    later = [add_edit(trainer, user, f"It is 7305{n}.", number=n + 2) for n in range(2)]
    assert trainer.learn(user.id) is not None
    choosing(trainer.database, user, "both")
    assert shown(trainer, first) == ["48291"]
    assert [shown(trainer, one) for one in later] == [[], []]


@ON_SQLITE
def test_a_mask_holds_where_the_learner_reads_the_memory(
    policy: Policy, database: Database, user: User, tiny_model_folder: Path, tmp_path: Path
) -> None:
    changes = {"learn_with_memory": True}
    trainer = Trainer(
        policy, database, settings_for(tiny_model_folder, tmp_path / "data", coactive=changes)
    )
    choosing(database, user, "numbers")
    letter = add_edit(trainer, user, "Before it was 48291.", number=0)
    edit = add_edit(trainer, user, "Sorry.", number=1, memory=[letter.id])
    [read] = trainer.reader.find([str(edit.preference_id)]).values()
    assert [one.text for one in read.memory] == ["Before it was 0000."]


@ON_SQLITE
def test_distil_leaves_masked_texts_alone(
    policy: Policy, database: Database, user: User, tiny_model_folder: Path, tmp_path: Path
) -> None:
    distil = {"learner": "distil", "distil_texts": "edit"}
    trainer = Trainer(
        policy,
        database,
        settings_for(tiny_model_folder, tmp_path / "data", coactive=distil, memory="last"),
    )
    choosing(database, user, "numbers")
    for number in range(2):
        add_edit(trainer, user, "It is 48291.", number=number)
    assert trainer.learn(user.id) is None
    with database.read() as db:
        reasons = {row.reason for row in preferences.preferences_of(db, user.id)}
    assert all("cannot leave masked tokens out" in str(reason) for reason in reasons)


class TestPreferences:
    """One preference, on each architecture."""

    def test_the_masked_tokens_are_those_of_the_placeholders(self, any_policy: Policy) -> None:
        codec = any_policy.codec
        rejected = codec.encode_response("The code is 48291, see you on Friday.")
        chosen = codec.encode_edit(rejected, "The code is 73055, or a@firm.example. See you.")
        found = masked_preference(codec, Preference("Is it 48291?", chosen, rejected), "both")
        of_chosen, of_rejected = found.masked_tokens
        assert found.prompt == "Is it 0000?"
        assert codec.decode(found.chosen.token_ids) == (  # type: ignore[union-attr]
            "The code is 0000, or name@mail.example. See you."
        )
        assert side(any_policy, found.rejected, of_rejected).strip() == "0000"
        shown = side(any_policy, found.chosen, of_chosen)
        assert shown.replace(" ", "") == "0000name@mail.example"

    def test_without_a_masked_part_it_keeps_its_ids(self, any_policy: Policy) -> None:
        [[rejected]] = any_policy.sample(["Hello"], 1, 8, 0)
        chosen = any_policy.codec.encode_edit(rejected, "Sorry.")
        preference = Preference("Hello", chosen, rejected)
        assert masked_preference(any_policy.codec, preference, "none") is preference
        assert masked_preference(any_policy.codec, preference, "both") == preference

    @pytest.mark.parametrize("finished", [True, False])
    def test_a_draft_that_was_cut_at_a_number_stays_cut(
        self, any_policy: Policy, finished: bool
    ) -> None:
        codec = any_policy.codec
        whole = codec.encode_response("Dear Anna, it is 48291")
        ids = whole.token_ids if finished else whole.token_ids[:-1]
        rejected = Sample(whole.text, ids, -3.0, finished)
        chosen = codec.encode_edit(rejected, "Dear Anna, it is 73055. Bye")
        found = masked_preference(codec, Preference("x", chosen, rejected), "numbers")
        assert isinstance(found.rejected, Sample)
        assert found.rejected.finished == finished
        assert (found.rejected.token_ids[-1] in codec.end_ids) == finished
        assert isinstance(found.chosen, Sample)
        assert found.chosen.token_ids[-1] in codec.end_ids

    def test_the_same_but_for_what_is_masked_is_refused(self, policy: Policy) -> None:
        preference = Preference("x", "It is 48291.", "It is 73055.")
        with pytest.raises(InputError, match="Only what is masked differs"):
            masked_preference(policy.codec, preference, "numbers")
        masked_preference(policy.codec, preference, "addresses")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.integers(1000, 10**7), st.text("ab é\n.", max_size=12), st.text("ab é\n.", max_size=12))
def test_no_digit_of_a_number_is_left_in_what_is_learned(
    policy: Policy, number: int, before: str, after: str
) -> None:
    rejected = policy.codec.encode_response("Hello there.")
    text = f"{before} code {number} {after}x"
    preference = Preference(text, policy.codec.encode_edit(rejected, text), rejected)
    found = masked_preference(policy.codec, preference, "numbers")
    assert isinstance(found.chosen, Sample)
    for said in (found.chosen.text, policy.codec.decode(found.chosen.token_ids), found.prompt):
        assert str(number) not in str(said)
    assert "0000" in side(policy, found.chosen, found.masked_tokens[0])
