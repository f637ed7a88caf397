"""After a deletion the lineage is learned again without the text, to the bit as if it never was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from store_samples import ON_SQLITE
from teaching import (
    NOW,
    add_edit,
    add_user,
    bytes_of,
    deleted,
    opened,
    replayed,
    serving,
    states,
)

from corll.policy import Policy
from corll.schemas.deletions import Receipt
from corll.service.learning import replaying
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, deletions, lineages
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.drafts import EditRow
from running_service import settings_for

pytestmark = ON_SQLITE


def trainer_with(
    policy: Policy, database: Database, model: Path, folder: Path, **coactive: Any
) -> Trainer:
    return Trainer(policy, database, settings_for(model, folder / "data", coactive=coactive))


def taught(trainer: Trainer, user: User, numbers: list[int]) -> list[EditRow]:
    """Edits of drafts that depend on their numbers alone; each is learned from once N wait."""
    made = []
    for number in numbers:
        made.append(add_edit(trainer, user, f"Sorry, it is number {number}.", number=number))
        trainer.learn(user.id)
    return made


def receipt_of(trainer: Trainer, receipt: Receipt) -> Receipt:
    with trainer.database.read() as db:
        row = deletions.find_deletion(db, receipt.id)
    assert row is not None
    return row.to_receipt()


@pytest.mark.parametrize(
    ("size", "replay", "numbers", "without"),
    [(1, 0, [0, 1, 2, 3], 1), (2, 2, [0, 1, 2, 3, 4, 5, 6], 2), (1, 1, [0, 1, 2], 0)],
)
def test_weights_are_those_of_a_lineage_without_the_text(
    policy: Policy,
    database: Database,
    user: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    size: int,
    replay: int,
    numbers: list[int],
    without: int,
) -> None:
    """To the bit: batches, moments, schedule, what is replayed, and π_0 computed again."""
    coactive = {"preferences_per_step": size, "replay_per_step": replay}
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, **coactive)
    ben = add_user(database, "ben")
    edits = taught(trainer, user, numbers)
    taught(trainer, ben, [number for number in numbers if number != without])
    with_it, of_ben = serving(trainer, user), serving(trainer, ben)
    receipt = deleted(trainer, edits[without])
    assert receipt.replay.state == "waiting"
    replayed(trainer, user)
    trainer.learn(user.id)  # what is left over of the last batch
    again = serving(trainer, user)
    assert bytes_of(trainer, again) == bytes_of(trainer, of_ben)
    assert again is not None
    assert with_it is not None
    assert again.id != with_it.id
    assert serving(trainer, ben) == of_ben
    assert states(trainer, user) == states(trainer, ben)


def test_a_deleted_text_steps_back_at_once_and_the_rest_is_learned_again(
    policy: Policy, database: Database, user: User, tiny_model_folder: Path, tmp_path: Path
) -> None:
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, preferences_per_step=1)
    ben = add_user(database, "ben")
    edits = taught(trainer, user, [0, 1, 2])
    taught(trainer, ben, [0, 1])
    of_ben = serving(trainer, ben)
    with database.read() as db:
        first, *dead = lineages.versions_of(db, user.id)
    receipt = deleted(trainer, edits[1])
    stands_in = serving(trainer, user)
    assert stands_in is not None
    assert stands_in.id == first.id
    assert [one.number for one in receipt.erased] == [2, 3]
    assert (receipt.replay.edits, receipt.cleaned, receipt.first_without) == (1, True, None)
    assert receipt.replay.seconds is not None
    assert receipt.replay.seconds > 0
    assert not any((database.folder / str(one.folder)).exists() for one in dead)
    assert states(trainer, user) == ["learned", "waiting"]
    [version] = replayed(trainer, user)
    assert (version.number, version.state, version.parent_id) == (4, "serving", first.id)
    told = receipt_of(trainer, receipt)
    assert told.replay.state == "done"
    assert told.first_without is not None
    assert told.first_without.number == 4
    assert not deletions.unsealed(told)
    assert states(trainer, user) == ["learned", "learned"]
    assert serving(trainer, ben) == of_ben
    with database.read() as db:
        entries = [row.action for row in accounts.read_audit(db, subject=user.id)]
    assert entries[:2] == ["replayed", "edit deleted"]


def test_a_replay_goes_on_from_its_last_candidate(
    policy: Policy,
    database: Database,
    user: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that is killed between two of its steps loses no candidate, and serves none."""
    monkeypatch.setattr(replaying, "_BATCHES_AT_ONCE", 1)
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, preferences_per_step=1)
    edits = taught(trainer, user, [0, 1, 2])
    deleted(trainer, edits[0])
    assert serving(trainer, user) is None
    row = opened(trainer, user)
    assert row is not None
    assert replaying.go_on(trainer, row) is None
    assert serving(trainer, user) is None
    after = opened(trainer, user)
    assert after is not None
    another = trainer_with(policy, database, tiny_model_folder, tmp_path, preferences_per_step=1)
    assert replaying.go_on(trainer, row) is None  # of before: what it learned is thrown away
    assert opened(trainer, user) == after
    [version] = replayed(another, user)
    assert version.parent_id == after.latest_id
    assert len(replayed(another, user)) == 0
    assert states(trainer, user) == ["learned", "learned"]


def test_a_second_deletion_takes_back_what_the_first_replay_learned(
    policy: Policy,
    database: Database,
    user: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replaying, "_BATCHES_AT_ONCE", 1)
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, preferences_per_step=1)
    edits = taught(trainer, user, [0, 1, 2, 3])
    first = deleted(trainer, edits[0])
    for _ in range(2):
        row = opened(trainer, user)
        assert row is not None
        replaying.go_on(trainer, row)  # learns 1, then 2
    second = deleted(trainer, edits[2])
    assert len(second.erased) == 1
    row = opened(trainer, user)
    assert row is not None
    assert sorted(row.deletions) == sorted([first.id, second.id])
    assert len(row.preferences) == 1  # 3; 1 was learned without either
    [version] = replayed(trainer, user)
    assert version.state == "serving"
    assert [receipt_of(trainer, one).replay.state for one in (first, second)] == ["done", "done"]


def test_a_replay_that_fails_its_examination_leaves_what_stood_in(
    policy: Policy,
    database: Database,
    user: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, preferences_per_step=1)
    edits = taught(trainer, user, [0, 1, 2])
    receipt = deleted(trainer, edits[1])
    stands_in = serving(trainer, user)
    monkeypatch.setattr(trainer, "examine", lambda *_: (["it loops"], None))
    [version] = replayed(trainer, user)
    assert (version.state, version.reasons) == ("rejected", ["it loops"])
    assert serving(trainer, user) == stands_in
    told = receipt_of(trainer, receipt)
    assert (told.replay.state, told.first_without) == ("rejected", told.stands_in)
    assert states(trainer, user) == ["learned", "waiting"]


def test_a_replay_ends_where_its_user_rolls_back(
    policy: Policy, database: Database, user: User, tiny_model_folder: Path, tmp_path: Path
) -> None:
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, preferences_per_step=1)
    edits = taught(trainer, user, [0, 1, 2])
    receipt = deleted(trainer, edits[1])
    database.write(
        lambda db: lineages.rollback(db, user.id, to=0, requeue=False, actor="a", now=NOW)
    )
    assert replayed(trainer, user) == []
    assert serving(trainer, user) is None
    assert receipt_of(trainer, receipt).replay.state == "withdrawn"
