"""A ruined parent doesn't go on: who serves, and what is learned, by real folders and rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from teaching import NOW, add_edit, add_user, begun, states

from corll.errors import StaleParentError
from corll.evaluation import question
from corll.model import file_names
from corll.policy import Policy
from corll.schemas.events import Event, VersionEvent
from corll.service.drafting.serving import serving_for
from corll.service.learning import checks
from corll.service.learning.falling_back import FallBack, FallingBack
from corll.service.learning.policies import VersionPolicies
from corll.service.learning.trainer import Trainer
from corll.service.learning.worker import Worker
from corll.service.store import accounts, coins, lineages, preferences
from corll.service.store.accounts import AuditRow, User
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.verdicts.flaws import Drawn
from corll.verdicts.policies import Asked

LETTER = "Hello, the parcel will be here by Friday, and we are sorry."
EMPTY = "Hello, Kind regards, Anna"
NEW = "the version under examination"
PI_0 = "π_0"


class Looks:
    """What the look sees: of these `ruined` versions drafts without a body, of others letters.

    Versions are (user's id, number), NEW or PI_0; `seen` are those that drafted, in order.
    """

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ruined: set[Any] = set()
        self.seen: list[Any] = []
        self.meanwhile: Any = None
        self._database, self._folders = database, dict[str, str]()
        of_folder = VersionPolicies.of_folder

        @contextmanager
        def of_known_folder(
            policies: VersionPolicies, folder: Path | None, reference: Any
        ) -> Iterator[Policy]:
            with of_folder(policies, folder, reference) as policy:
                self._folders[policy.adapter] = "" if folder is None else folder.name
                yield policy

        monkeypatch.setattr(VersionPolicies, "of_folder", of_known_folder)
        monkeypatch.setattr(checks, "drawn", self._drawn)

    def _drawn(self, policy: Policy, asked: Sequence[Asked], *, seed: int, **_: Any) -> list[Drawn]:
        who = PI_0 if policy._is_reference else self._version(self._folders[policy.adapter])
        if who not in self.seen:  # by halves, and again
            self.seen.append(who)
        prompts = [one.prompt for one in asked]
        if self.meanwhile is not None:
            self.meanwhile()
        # What is sound tells what the prompt does too.
        texts = (EMPTY if who in self.ruined else f"{LETTER} {question(one)}" for one in prompts)
        return list(map(Drawn, prompts, texts))

    def _version(self, version_id: str) -> Any:
        with self._database.read() as db:
            found = lineages.find_version(db, version_id)
        return NEW if found is None else (found.user_id, found.number)


@pytest.fixture
def looks(database: Database, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(database, monkeypatch)


@pytest.fixture
def looking(trainer: Trainer) -> Trainer:
    settings = trainer.settings.with_settings(veto_drafts=8)
    return Trainer(trainer.base, trainer.database, settings)


def taught(trainer: Trainer, user: User, versions: int, *, first: int = 0) -> Version | None:
    """Teach so many versions, of two edits each; return the last."""
    made = None
    for number in range(first, first + versions):
        for edit in (2 * number, 2 * number + 1):
            add_edit(trainer, user, f"{LETTER} It is number {edit}.", number=edit)
        made = trainer.learn(user.id)
    return made


def serving(trainer: Trainer, user: User) -> int | None:
    with trainer.database.read() as db:
        version = serving_for(db, user).version
        assert version == lineages.serving_version(db, user.id)
    return None if version is None else version.number


def rollbacks(trainer: Trainer, user: User) -> list[AuditRow]:
    with trainer.database.read() as db:
        found = accounts.read_audit(db, subject=user.id)
    return [entry for entry in found if entry.action == "rollback"]


def test_a_parent_that_passes_goes_on(looking: Trainer, user: User, looks: Looks) -> None:
    taught(looking, user, 2)
    looks.ruined, looks.seen = {NEW, (user.id, 1)}, []
    version = taught(looking, user, 1, first=2)
    assert version is not None
    assert version.state == "rejected"
    assert serving(looking, user) == 2
    assert rollbacks(looking, user) == []
    assert states(looking, user) == ["learned"] * 4 + ["waiting"] * 2
    assert looks.seen == [NEW, (user.id, 2), PI_0]  # nothing further is drawn for the parent


def test_a_ruined_parent_is_gone_back_from_to_its_own_parent(
    looking: Trainer, user: User, looks: Looks
) -> None:
    other = add_user(looking.database, "bob")
    taught(looking, other, 2)
    taught(looking, user, 3)
    looks.ruined, looks.seen = {NEW, (user.id, 3), (user.id, 2), (other.id, 2)}, []
    version = taught(looking, user, 1, first=3)
    assert version is not None
    assert (version.number, version.state) == (4, "rejected")
    assert "16 are ruined" in version.reasons[0]
    assert serving(looking, user) == 1
    assert looks.seen == [NEW, (user.id, 3), PI_0, (user.id, 2), (user.id, 1)]
    [entry] = rollbacks(looking, user)
    assert (entry.actor, entry.details) == ("learner", {"from": 3, "to": 1, "requeue": False})
    # What only ruined versions had learned is set aside; what the rejected one had, waits.
    assert states(looking, user) == ["learned"] * 2 + ["set_aside"] * 4 + ["waiting"] * 2
    with looking.database.read() as db:
        rows = lineages.versions_of(db, user.id)
    assert [row.state for row in rows] == ["serving", "retired", "retired", "rejected"]
    assert serving(looking, other) == 2
    assert rollbacks(looking, other) == []
    assert states(looking, other) == ["learned"] * 4
    assert list(looking.base.adapters._shapes) == ["policy"]


def test_what_the_rejected_version_had_learned_is_tried_once_more_from_what_serves_then(
    looking: Trainer, user: User, looks: Looks
) -> None:
    taught(looking, user, 2)
    looks.ruined = {NEW, (user.id, 2)}
    taught(looking, user, 1, first=2)
    assert serving(looking, user) == 1
    second = looking.learn(user.id)
    assert second is not None
    assert (second.number, second.state, second.steps) == (4, "rejected", 2)
    assert second.metrics["learning_rate"] == looking.settings.coactive.learning_rate / 2
    with looking.database.read() as db:
        assert [one.number for one in lineages.ancestry(db, second.id)] == [4, 1]
    assert serving(looking, user) == 1
    assert states(looking, user) == ["learned"] * 2 + ["set_aside"] * 4
    assert len(rollbacks(looking, user)) == 1


def test_the_weights_of_what_was_gone_back_from_stay_until_the_next_version(
    looking: Trainer, user: User, looks: Looks
) -> None:
    taught(looking, user, 2)
    looks.ruined = {NEW, (user.id, 2)}
    taught(looking, user, 1, first=2)
    looking.database.write(
        lambda db: lineages.rollback(db, user.id, to=2, requeue=False, actor="a", now=NOW)
    )
    with looking.policies.of_user(user.id):
        assert serving(looking, user) == 2
    assert states(looking, user) == ["learned"] * 4 + ["waiting"] * 2


def test_edits_are_weighed_by_the_version_that_was_gone_back_from(
    looking: Trainer, user: User, looks: Looks
) -> None:
    weighing = Trainer(
        looking.base, looking.database, looking.settings.with_settings(weigh_edits=True)
    )
    taught(weighing, user, 2)
    looks.ruined = {NEW, (user.id, 2)}
    with looking.database.read() as db:
        before = coins.evidence_of(db, user.id)
    assert taught(weighing, user, 1, first=2) is not None
    assert serving(weighing, user) == 1
    with looking.database.read() as db:
        assert coins.evidence_of(db, user.id) != before


def test_where_all_are_ruined_the_reference_serves(
    looking: Trainer, user: User, looks: Looks
) -> None:
    taught(looking, user, 2)
    looks.ruined = {NEW, (user.id, 2), (user.id, 1)}
    taught(looking, user, 1, first=2)
    assert serving(looking, user) is None
    [entry] = rollbacks(looking, user)
    assert entry.details == {"from": 2, "to": 0, "requeue": False}
    assert states(looking, user) == ["set_aside"] * 4 + ["waiting"] * 2
    looks.ruined = set()
    version = looking.learn(user.id)
    assert version is not None
    assert (version.number, version.parent_id, version.steps) == (4, None, 1)
    assert serving(looking, user) == 4


def test_a_first_version_that_is_rejected_has_nothing_to_go_back_from(
    looking: Trainer, user: User, looks: Looks
) -> None:
    looks.ruined = {NEW}
    version = taught(looking, user, 1)
    assert version is not None
    assert version.state == "rejected"
    assert looks.seen == [NEW, PI_0]
    assert rollbacks(looking, user) == []


def test_a_version_that_another_check_rejects_rolls_nothing_back(
    looking: Trainer, user: User, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(looking, user, 2)
    looks.ruined, looks.seen = {(user.id, 2)}, []
    monkeypatch.setattr(checks, "CHECKS", (*checks.CHECKS, lambda _: "it drifted"))
    version = taught(looking, user, 1, first=2)
    assert version is not None
    assert version.reasons == ["it drifted"]
    assert serving(looking, user) == 2
    assert rollbacks(looking, user) == []
    assert looks.seen == [NEW]


@pytest.mark.parametrize("trouble", ["pruned", "damaged"])
def test_an_ancestor_that_cannot_be_loaded_is_passed_over(
    looking: Trainer, user: User, looks: Looks, trouble: str
) -> None:
    taught(looking, user, 3)
    with looking.database.read() as db:
        second = lineages.find_version_by_number(db, user.id, 2)
    assert second is not None
    assert second.folder is not None
    if trouble == "pruned":
        looking.database.write(lambda db: lineages.forget_folder(db, second.id))
    else:
        weights = looking.database.versions.at(second.folder) / file_names.ADAPTER_WEIGHTS
        weights.write_bytes(weights.read_bytes()[:-1])
    looks.ruined = {NEW, (user.id, 3)}
    taught(looking, user, 1, first=3)
    assert serving(looking, user) == 1


@pytest.mark.parametrize(("to", "left"), [(0, None), (1, 1)])
def test_a_rollback_by_the_user_meanwhile_stands(
    looking: Trainer, user: User, looks: Looks, to: int, left: int | None
) -> None:
    taught(looking, user, 3)
    looks.ruined = {NEW, (user.id, 3)}

    def roll_back_once() -> None:
        looks.meanwhile = None
        looking.database.write(
            lambda db: lineages.rollback(db, user.id, to=to, requeue=False, actor="a", now=NOW)
        )

    looks.meanwhile = roll_back_once
    assert taught(looking, user, 1, first=3) is None
    assert serving(looking, user) == left
    assert [entry.actor for entry in rollbacks(looking, user)] == ["a"]
    assert states(looking, user)[-2:] == ["waiting", "waiting"]
    with looking.database.read() as db:
        rows = lineages.versions_of(db, user.id)
        assert preferences.taught_in_vain(db, [row.id for row in rows]) == set()
    assert [row.number for row in rows] == [1, 2, 3]
    folders = {path.name for path in looking.database.versions.at("versions").iterdir()}
    assert folders == {row.id for row in rows}
    looks.ruined = set()
    version = looking.learn(user.id)
    assert version is not None
    assert (version.number, version.state) == (4, "serving")


def test_weights_that_were_pruned_meanwhile_are_not_gone_back_to(
    looking: Trainer, user: User, looks: Looks
) -> None:
    taught(looking, user, 2)
    with looking.database.read() as db:
        first, second = lineages.versions_of(db, user.id)
    move = FallBack(second, first)

    def without_weights(db: Any) -> None:
        lineages.forget_folder(db, first.id)
        FallingBack.carry_out(db, move)

    with pytest.raises(StaleParentError, match=r"version 1 .* were pruned"):
        looking.database.write(without_weights)
    with pytest.raises(StaleParentError, match="another one serves"):
        looking.database.write(
            lambda db: FallingBack.carry_out(db, replace(move, ruined=first, to=None))
        )
    assert serving(looking, user) == 2
    looking.database.write(lambda db: FallingBack.carry_out(db, move))
    assert serving(looking, user) == 1


@pytest.mark.parametrize(
    ("ruined", "told"),
    [
        ({1}, []),
        ({2}, [VersionEvent(number=1, state="serving")]),
        ({1, 2}, [VersionEvent(number=2, state="retired")]),
    ],
)
def test_who_serves_is_told(
    looking: Trainer, user: User, looks: Looks, ruined: set[int], told: list[VersionEvent]
) -> None:
    taught(looking, user, 2)
    looks.ruined = {NEW, *((user.id, number) for number in ruined)}
    for number in (4, 5):
        add_edit(looking, user, f"{LETTER} It is number {number}.", number=number)
    events = [VersionEvent(number=3, state="rejected"), *told]
    assert said(looking) == [(user.id, event) for event in events]


def test_who_serves_is_told_where_past_texts_were_learned_from(
    looking: Trainer, user: User, looks: Looks
) -> None:
    taught(looking, user, 2)
    looks.ruined = {NEW, (user.id, 2)}
    begun(looking, user, 2)
    found = [event for _, event in said(looking) if isinstance(event, VersionEvent)]
    assert found == [VersionEvent(number=1, state="serving")]
    assert serving(looking, user) == 1


def said(trainer: Trainer) -> list[tuple[str, Event]]:
    """What a learner says to the server in a round, by users."""
    sent: list[Any] = []
    channel: Any = SimpleNamespace(
        stopping=False, news=threading.Event(), keep_asked=lambda: None, send=sent.append
    )
    assert Worker(trainer, channel, channel)._round()
    assert {kind for kind, _ in sent} == {"event"}
    return [content for _, content in sent]
