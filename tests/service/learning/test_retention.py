"""Old weights are removed, and what serves is kept, whoever rolls back meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from store_samples import ON_SQLITE
from teaching import NOW, add_edit

from corll.policy import Policy
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, lineages
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.versions.forgetting import DryRunError, find_target, forget, weights_in
from corll.service.versions.retention import remove_pruned
from running_service import settings_for


def test_retention_removes_old_weights_and_keeps_what_serves(trainer: Trainer, user: User) -> None:
    for number in range(12):
        add_edit(trainer, user, f"Sorry, it is number {number}.", number=number)
        if number % 2:
            assert trainer.learn(user.id) is not None
    with trainer.database.read() as db:
        versions = lineages.versions_of(db, user.id)
    assert [version.folder is not None for version in versions] == [False, False] + [True] * 4
    kept = {path.name for path in trainer.database.versions.at("versions").iterdir()}
    assert kept == {version.id for version in versions[2:]}
    assert remove_pruned(trainer.database, user.id) == []
    with trainer.database.read() as db:
        pruned = [row for row in accounts.read_audit(db, subject=user.id) if row.action == "prune"]
    assert [row.actor for row in pruned] == ["learner", "learner"]
    assert [row.details["versions"] for row in pruned] == [[2], [1]]


def test_a_text_of_the_newest_versions_costs_what_was_sent_since_and_an_older_one_everything(
    trainer: Trainer, user: User
) -> None:
    """Where no optimiser was kept before a version, its steps can't be gone on from."""
    versions, edits = 6, []
    for number in range(2 * versions):
        edits.append(add_edit(trainer, user, f"Sorry, it is number {number}.", number=number))
        if number % 2:
            assert trainer.learn(user.id) is not None
    replayed = []
    for edit in edits[::2]:
        with pytest.raises(DryRunError) as caught:
            trainer.database.write(lambda db, edit=edit: rehearsed(trainer, db, edit.id))
        replayed.append(caught.value.receipt.replay.edits)
    assert replayed == [11, 11, 11, 5, 3, 1]


@ON_SQLITE
@pytest.mark.parametrize("slack", [0.5, 2.0])
def test_with_a_slack_a_deletion_replays_its_share_of_what_came_after_and_no_more(
    policy: Policy,
    database: Database,
    user: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    slack: float,
) -> None:
    """Each text of a lineage, the oldest and the newest too."""
    one = {"preferences_per_step": 1}
    settings = settings_for(
        tiny_model_folder, tmp_path / "data", coactive=one, replay_slack=slack, max_drift=1e6
    )
    trainer, edits = Trainer(policy, database, settings), []
    for number in range(14):
        edits.append(add_edit(trainer, user, f"Sorry, it is number {number}.", number=number))
        assert trainer.learn(user.id) is not None
    costs = []
    for after, edit in enumerate(reversed(edits)):
        with pytest.raises(DryRunError) as caught:
            trainer.database.write(lambda db, edit=edit: rehearsed(trainer, db, edit.id))
        costs.append(caught.value.receipt.replay.edits)
        # What is said leaves out the text itself, a step of its own here.
        assert after <= costs[-1] <= after * (1 + slack)
    with database.read() as db:
        kept = [row.number for row in lineages.versions_of(db, user.id) if row.is_whole]
    assert len(kept) < len(edits)
    assert costs != list(range(len(edits)))


def rehearsed(trainer: Trainer, db: Connection, edit_id: str) -> None:
    """Ask what the deletion of an edit would cost. *Raises*: DryRunError, which says it."""
    target = find_target(db, "edit", edit_id)
    assert target is not None
    weights_of = weights_in(trainer.database)
    forget(db, target, weights_of=weights_of, actor="a", now=NOW, dry_run=True)


def test_a_rollback_while_weights_are_pruned_keeps_the_folder_it_serves(
    trainer: Trainer, user: User
) -> None:
    for number in range(8):
        add_edit(trainer, user, f"Sorry, it is number {number}.", number=number)
        if number % 2:
            assert trainer.learn(user.id) is not None
    database = trainer.database

    def back_to(number: int) -> None:
        database.write(
            lambda db: lineages.rollback(db, user.id, to=number, requeue=False, actor="a", now=NOW)
        )

    back_to(3)

    class RolledBackMeanwhile:
        """What is read of this database is out of date as soon as it is written to."""

        read = database.read

        def write(self, work: Any) -> Any:
            back_to(4)
            return database.write(work)

    assert remove_pruned(RolledBackMeanwhile(), user.id) == []  # type: ignore[arg-type]
    with database.read() as db:
        serving = lineages.serving_version(db, user.id)
    assert serving is not None
    assert serving.folder is not None
    assert (serving.number, trainer.database.versions.at(serving.folder).is_dir()) == (4, True)
