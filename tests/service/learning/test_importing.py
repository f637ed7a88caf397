"""Imports as the learner goes through them, on a tiny model and a real database."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from teaching import NOW, add_edit, add_user, begun

from corll.frames import Framing
from corll.policy import Policy
from corll.service.learning import importing
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, imports, lineages, preferences, pruning, schema
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.drafts import drafts_of, edits_of
from corll.service.store.imports import ImportRow, NewItem
from corll.service.versions.forgetting import delete_now
from running_service import settings_for
from tiny_models import END


def gone_on(trainer: Trainer, row: ImportRow) -> ImportRow | None:
    """How the import is after a further chunk."""
    importing.go_on(trainer, row)
    with trainer.database.read() as db:
        return imports.find_import(db, row.id)


def stored(trainer: Trainer, user: User) -> int:
    """How many drafts and edits there are."""
    with trainer.database.read() as db:
        return sum(len(rows(db, user.id, limit=99)) for rows in (drafts_of, edits_of))


def withdraw(trainer: Trainer, user: User, **consent: Any) -> None:
    trainer.database.write(
        lambda db: accounts.set_consent(db, user.id, actor="a", now=NOW, **consent)
    )


@pytest.mark.parametrize("consent", ["store", "learn"])
def test_an_import_ends_between_chunks_where_consent_is_withdrawn(
    trainer: Trainer, consent: str
) -> None:
    user = add_user(trainer.database, "ann")
    row = begun(trainer, user, 11)
    row = gone_on(trainer, row) or row
    assert (row.state, stored(trainer, user)) == ("waiting", 16)
    withdraw(trainer, user, **{consent: False})
    with trainer.database.read() as db:
        before = len(lineages.versions_of(db, user.id))
    row = gone_on(trainer, row) or row
    assert (row.state, "consent was withdrawn" in str(row.error)) == ("failed", True)
    assert row.finished_at is not None
    assert stored(trainer, user) == 16
    with trainer.database.read() as db:
        assert len(lineages.versions_of(db, user.id)) == before


@pytest.mark.parametrize("when", ["drafting", "measuring"])
@pytest.mark.parametrize("how", ["store", "learn", "deleted"])
def test_an_import_ends_within_a_chunk_where_it_is_no_longer_wanted(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, how: str, when: str
) -> None:
    user = add_user(trainer.database, "ann")
    row = begun(trainer, user, 2 if when == "drafting" else 12)
    make_drafts = importing.make_drafts

    def meanwhile(*args: Any, **options: Any) -> Any:
        if how == "deleted":
            delete_now(trainer.database, "import", row.id, actor="a")
        else:
            withdraw(trainer, user, **{how: False})
        return make_drafts(*args, **options)

    monkeypatch.setattr(importing, "make_drafts", meanwhile)
    now = gone_on(trainer, row)
    if how == "deleted":
        assert now is None
        with trainer.database.read() as db:
            assert "secret" not in str(db.execute(select(schema.imports)).all())
    else:
        assert now is not None
        assert (now.state, now.result) == ("failed", None)
    assert stored(trainer, user) == 0
    with trainer.database.read() as db:
        assert imports.next_import(db) is None
        assert lineages.versions_of(db, user.id) == []


def test_an_import_gives_way_to_drafts_before_each_pass(trainer: Trainer) -> None:
    user = add_user(trainer.database, "ann")
    row = begun(trainer, user, 50)  # ten of these are held out
    asked = []
    trainer.give_way = lambda: asked.append("before a pass")
    items = []
    with trainer.database.read() as db:
        items = [item for item in imports.items_of(db, row.id) if item.held_out]
    importing._measured(trainer, user.id, items)
    assert len(asked) == 4  # two chunks, each drafted for and scored
    asked.clear()
    importing._take(trainer, row, items[:2])
    assert len(asked) == 1


def test_prompts_that_are_too_long_are_skipped_and_the_rest_is_learned(
    policy: Policy, database: Database, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Those that leave less room than the longest draft takes are not too long."""
    short = "The parcel is late."
    limit = len(policy.codec.encode_prompt([{"role": "user", "content": short}]))
    coactive = {"max_prompt_length": limit, "max_completion_length": 512}
    settings = settings_for(tiny_model_folder, tmp_path / "data", coactive=coactive)
    trainer = Trainer(policy, database, settings)
    user = add_user(database, "ann")
    held_out = min(imports.held_out_numbers(12))
    long = {held_out, min({1, 2} - {held_out})}
    items = [
        NewItem(
            [{"role": "user", "content": short * (8 if number in long else 1)}],
            None,
            f"No. {number}",
        )
        for number in range(1, 13)
    ]
    row = database.write(
        lambda db: imports.add_import(db, user_id=user.id, items=items, actor="a", now=NOW)
    )
    while row.state in ("waiting", "running"):
        importing.go_on(trainer, row)
        with database.read() as db:
            found = imports.find_import(db, row.id)
        assert found is not None
        row = found
    with database.read() as db:
        skipped = {
            item.number: item.reason
            for item in imports.items_of(db, row.id)
            if item.state == "skipped"
        }
    assert row.state == "done"
    assert set(skipped) == long
    assert all("max_prompt_length" in str(reason) for reason in skipped.values())
    assert row.result is not None
    assert row.result["held_out"] == len(imports.held_out_numbers(12)) - 1


def test_line_ends_and_pasted_control_characters_of_an_import_teach_nothing(
    trainer: Trainer, user: User
) -> None:
    prompt = [{"role": "user", "content": "Where is it?"}]
    items = [
        NewItem(prompt, "It is late.\r\nBob \x96 shop\r\n", "It is late.\nBob – shop"),
        NewItem(prompt, "It is late.\r\nBob", "It\x92s late.\r\nBob\x00"),
    ]
    row = trainer.database.write(
        lambda db: imports.add_import(db, user_id=user.id, items=items, actor="a", now=NOW)
    )
    gone_on(trainer, row)
    with trainer.database.read() as db:
        same, other = imports.items_of(db, row.id)
        (preference,) = preferences.preferences_of(db, user.id)
    assert (same.state, other.state) == ("skipped", "used")
    assert "the draft itself" in str(same.reason)
    assert preference.chosen == {"text": "It’s late.\nBob"}
    assert preference.rejected["text"] == "It is late.\nBob"


def test_a_text_that_the_model_cannot_be_taught_is_skipped_with_its_reason_and_the_others_are_not(
    trainer: Trainer, user: User
) -> None:
    held_out = min(imports.held_out_numbers(12))
    prompt = [{"role": "user", "content": "Where is it?"}]
    long = "very " * (trainer.base.codec.context_length or 0)
    told = {
        1: (prompt, None, f"It is late.{END}"),
        3: (prompt, f"It is late.{END}", "It is here."),
        held_out: (prompt, None, f"Here.{END}"),
        4: (prompt, None, long),
        6: (prompt, "It is late.", long),
        7: (prompt, None, "xkq vjwpt bzl qowmnr tkd fjghq zpl wrt mvn"),
    }
    items = [NewItem(*told.get(n, (prompt, None, f"It comes, number {n}."))) for n in range(1, 13)]
    row = trainer.database.write(
        lambda db: imports.add_import(db, user_id=user.id, items=items, actor="a", now=NOW)
    )
    while row.state in ("waiting", "running"):
        row = gone_on(trainer, row) or row
    assert row.state == "done"
    assert row.result is not None
    assert row.result["held_out"] == len(imports.held_out_numbers(12)) - 1
    with trainer.database.read() as db:
        skipped = {item.number: item for item in imports.items_of(db, row.id) if item.reason}
        count, listed = imports.skipped_items(db, row.id, limit=2)
    assert skipped.keys() == told.keys()
    for number, what in ((1, "text that was sent"), (3, "draft"), (held_out, "text that was sent")):
        assert f"{what} contains {END!r}" in str(skipped[number].reason)
    assert "tokens" in str(skipped[4].reason)
    assert "tokens" in str(skipped[6].reason)
    assert "no words" in str(skipped[7].reason)
    assert (count, [item.number for item in listed]) == (6, sorted(told)[:2])


def test_an_import_keeps_what_it_drafted_and_measures_what_was_held_out(
    trainer: Trainer, user: User
) -> None:
    row = begun(trainer, user, 12)
    while row.state in ("waiting", "running"):
        row = gone_on(trainer, row) or row
    assert row.state == "done"
    assert row.result is not None
    found = row.result
    before, after = found["surprisal_before"]["mean"], found["surprisal_after"]["mean"]
    assert 0 < after < before
    assert found["surprisal_change"]["mean"] == pytest.approx(after - before)
    assert found["change"]["low"] <= found["change"]["mean"] <= found["change"]["high"]
    with trainer.database.read() as db:
        items = {item.prompt[0]["content"]: item for item in imports.items_of(db, row.id)}
        kept = [draft for draft in drafts_of(db, user.id, limit=99) if draft.source == "import"]
    assert len(kept) == sum(item.state == "used" for item in items.values())
    for draft in kept:
        assert draft.id.startswith("chatcmpl-")
        assert (draft.status, draft.held_back) == ("complete", False)
        assert draft.sampling == trainer.settings.coactive.sampling.model_dump()
        assert draft.seed == items[draft.prompt[0]["content"]].number  # type: ignore[index]


def ended(trainer: Trainer, row: ImportRow) -> ImportRow:
    while row.state in ("waiting", "running"):
        row = gone_on(trainer, row) or row
    return row


def serving_number(trainer: Trainer, user: User) -> int | None:
    with trainer.database.read() as db:
        version = lineages.serving_version(db, user.id)
    return None if version is None else version.number


def without_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets surprisals of held-out texts stay as they were."""
    original = importing._measured

    def measured(*arguments: Any) -> Any:
        edits, surprisals = original(*arguments)
        return edits, [1.0] * len(surprisals)

    monkeypatch.setattr(importing, "_measured", measured)


def test_what_makes_held_out_texts_likelier_serves(trainer: Trainer, user: User) -> None:
    row = ended(trainer, begun(trainer, user, 12))
    assert row.result is not None
    assert row.result["surprisal_change"]["high"] < 0
    assert (row.result["taken_back"], row.result["version"]) == (
        False,
        serving_number(trainer, user),
    )
    assert row.result["version"] is not None


@pytest.mark.parametrize("taught_before", [False, True])
def test_without_a_gain_what_served_before_serves_again(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch, taught_before: bool
) -> None:
    other = add_user(trainer.database, "other")
    for one in (user, other) if taught_before else (other,):
        for number in range(2):
            add_edit(trainer, one, f"Sorry, number {number}.", number=number)
        trainer.learn(one.id)
    former = serving_number(trainer, user)
    without_gain(monkeypatch)
    row = ended(trainer, begun(trainer, user, 12))
    assert row.result is not None
    assert (row.result["taken_back"], row.result["version"]) == (True, former)
    assert serving_number(trainer, user) == former
    assert serving_number(trainer, other) == 1
    with trainer.database.read() as db:
        rows = preferences.preferences_of(db, user.id)
        (entry, *_) = accounts.read_audit(db, subject=user.id)
    of_import = {one.state for one in rows if one.import_id == row.id}
    assert of_import == {"set_aside"}
    assert {one.state for one in rows if one.import_id is None} <= {"learned"}
    assert (entry.actor, entry.action) == ("learner", "rollback")


def test_what_was_learned_from_live_edits_meanwhile_is_not_taken_back(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_gain(monkeypatch)
    row = gone_on(trainer, begun(trainer, user, 12))
    for number in range(2):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    trainer.learn(user.id)
    assert row is not None
    row = ended(trainer, row)
    assert row.result is not None
    assert row.result["taken_back"] is False
    assert serving_number(trainer, user) == row.result["version"]


def test_what_served_before_an_import_is_kept_while_that_runs(trainer: Trainer, user: User) -> None:
    for number in range(2):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    first = trainer.learn(user.id)
    assert first is not None
    row = gone_on(trainer, begun(trainer, user, 24))
    assert row is not None
    with trainer.database.read() as db:
        folders, _ = pruning.prunable(db, user.id, keep_before=0, keep_every=0)
        assert first.id not in {version.id for version in folders}
    ended(trainer, row)
    with trainer.database.read() as db:
        folders, _ = pruning.prunable(db, user.id, keep_before=0, keep_every=0)
    assert first.id in {version.id for version in folders}


def test_a_draft_of_the_past_was_drawn_by_nobody_and_was_asked_for_as_the_import_says(
    trainer: Trainer, user: User
) -> None:
    framing, turns = Framing("reply", "no"), [{"role": "user", "content": "Where is it?"}]
    prompt, filled = framing.around_last(turns), framing.filled(turns)
    asked = NewItem(prompt, "It is late.", "It is here.", filled)
    row = trainer.database.write(
        lambda db: imports.add_import(db, user_id=user.id, items=[asked], actor="a", now=NOW)
    )
    gone_on(trainer, row)
    with trainer.database.read() as db:
        (draft,) = drafts_of(db, user.id, limit=9)
    assert (draft.sampling, draft.version_id) == ({}, None)
    assert (draft.prompt, draft.asked) == (prompt, filled)
    assert filled is not None
    assert draft.choice(0)["text"] == "It is late."


def test_what_is_stored_of_an_import_says_how_its_prompts_were_rendered(
    database: Database, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Whatever the default becomes, their preferences are learned from the prompts drafted for."""
    asking = shutil.copytree(tiny_model_folder, tmp_path / "asking")
    (asking / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}\n{% endfor %}"
        "{% if not enable_thinking %}Shortly:{% endif %}"
    )
    policy = Policy.load(asking, dtype="float32")
    trainer = Trainer(policy, database, settings_for(asking, tmp_path / "data"))
    user = add_user(database, "ann")
    gone_on(trainer, begun(trainer, user, 2))
    with database.read() as db:
        prompts = [draft.prompt for draft in drafts_of(db, user.id, limit=9)]
        rows = preferences.preferences_of(db, user.id)
    told = {"enable_thinking": False}
    talks = [[{"role": "user", "content": f"Parcel {n} is late."}] for n in (1, 0)]
    assert prompts == [{"messages": talk, "chat_template_kwargs": told} for talk in talks]
    assert [preference.prompt for preference in rows] == prompts[::-1]
