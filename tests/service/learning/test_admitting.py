"""An adapter that was made elsewhere is examined before it serves: by real folders and rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from teaching import NOW, add_edit, add_user, states

from corll.memory.exchanges import Exchange
from corll.model import file_names
from corll.policy import Policy
from corll.schemas.events import Event, StartEvent
from corll.service.drafting.serving import serving_for
from corll.service.learning import admitting, checks
from corll.service.learning.admitting import examine
from corll.service.learning.trainer import Trainer
from corll.service.learning.worker import Worker
from corll.service.prompts import as_prompt
from corll.service.store import accounts, lineages, starts
from corll.service.store.accounts import User
from corll.service.store.lineages import Reference
from corll.service.store.starts import StartRow
from corll.service.versions.references import begin_unexamined, import_reference, start_from
from corll.verdicts.flaws import Drawn
from corll.verdicts.policies import Asked
from corll.verdicts.refusals import REQUESTS

LETTER = "Hello, the parcel will be here by Friday, and we are sorry."
EMPTY = "Hello, Kind regards, Anna"


@pytest.fixture
def looking(trainer: Trainer) -> Trainer:
    settings = trainer.settings.with_settings(veto_drafts=8)
    return Trainer(trainer.base, trainer.database, settings)


def reference_of(trainer: Trainer, folder: Path, *, std: float = 0.1, **about: str) -> Reference:
    """An uploaded adapter whose weights are random."""
    made = trainer.base.with_adapter()
    for parameter in made.trainable_parameters().values():
        parameter.data.normal_(std=std)
    made.save(folder)
    made.unload()
    if about:
        (folder / file_names.BASE).write_text(json.dumps({"base_model": about}))
    return import_reference(trainer.database, folder, name="house style", actor="a", now=NOW)


def ask(trainer: Trainer, user: User, reference: Reference, **how: Any) -> StartRow:
    return trainer.database.write(
        lambda db: start_from(db, user.id, reference.number, actor="an admin", now=NOW, **how)
    ).row


def served_by(trainer: Trainer, user: User) -> tuple[int | None, str | None]:
    """The number of the version that serves, and what the user's weights start from."""
    with trainer.database.read() as db:
        person = accounts.find_user(db, user.id)
        assert person is not None
        serving = serving_for(db, person)
    number = None if serving.version is None else serving.version.number
    return number, None if serving.reference is None else serving.reference.kind


def taught(trainer: Trainer, user: User, *texts: str) -> None:
    for number, text in enumerate(texts):
        add_edit(trainer, user, text, number=number)
    assert trainer.learn(user.id, all_that_waits=True) is not None


def drafts_are(
    monkeypatch: pytest.MonkeyPatch, *, own: str, base: str = LETTER
) -> list[list[Asked]]:
    """Have the look see these drafts of what is examined and of the base; what it asked."""
    asked: list[list[Asked]] = []
    drafting: list[bool] = []

    def draw(policy: Policy, looks: Sequence[Asked], *, seed: int, **_: Any) -> list[Drawn]:
        if drafting[-1:] != [policy._is_reference]:  # a look may come by halves
            drafting.append(policy._is_reference)
            asked.append([])
        asked[-1] += looks
        return [Drawn(one.prompt, base if policy._is_reference else own) for one in looks]

    monkeypatch.setattr(checks, "drawn", draw)
    return asked


def test_what_serves_goes_on_until_the_adapter_passed(
    looking: Trainer, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = add_user(looking.database, "bob")
    drafts_are(monkeypatch, own=LETTER)
    for one in (user, other):
        taught(looking, one, "Sorry, 0.", "Sorry, 1.")
    reference = reference_of(looking, tmp_path)
    asked = ask(looking, user, reference)
    assert asked.state == "examining"
    assert served_by(looking, user) == (1, "base")
    assert states(looking, user) == ["learned", "learned"]
    assert examine(looking, asked).state == "started"
    assert served_by(looking, user) == (None, "adapter")
    assert states(looking, user) == ["waiting", "waiting"]
    assert served_by(looking, other) == (1, "base")
    assert states(looking, other) == ["learned", "learned"]
    with looking.database.read() as db:
        assert starts.was_examined(db, user.id, reference.id)
        entries = accounts.read_audit(db, subject=user.id)
    assert [(entry.action, entry.details) for entry in entries[:2]] == [
        ("lineage started", {"reference": 2}),
        ("start asked", {"reference": 2}),
    ]
    assert {entry.actor for entry in entries[:2]} == {"an admin"}
    assert list(looking.base.adapters._shapes) == ["policy"]


def test_a_ruined_adapter_never_serves_and_the_reasons_are_kept(
    looking: Trainer, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts_are(monkeypatch, own=LETTER)
    taught(looking, user, "Sorry, 0.", "Sorry, 1.")
    asked = ask(looking, user, reference_of(looking, tmp_path))
    drafts_are(monkeypatch, own=EMPTY)
    settled = examine(looking, asked)
    assert settled.state == "rejected"
    assert "16 are ruined (16 without a body)" in settled.reasons[0]
    assert served_by(looking, user) == (1, "base")
    assert states(looking, user) == ["learned", "learned"]
    with looking.database.read() as db:
        assert starts.latest_start(db, user.id) == settled
        entry = accounts.read_audit(db, subject=user.id, limit=1)[0]
    assert (entry.actor, entry.action) == ("learner", "start rejected")
    assert entry.details == {"reference": 2, "reasons": settled.reasons}


def test_what_the_base_drafts_as_badly_is_no_ruin(
    looking: Trainer, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(looking, user, reference_of(looking, tmp_path))
    drafts_are(monkeypatch, own=EMPTY, base=EMPTY)
    assert examine(looking, asked).state == "started"


def test_it_is_looked_at_by_what_its_user_asked_and_behind_what_stood_there(
    looking: Trainer, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was learned and of what waits; nobody else's."""
    bob = add_user(looking.database, "bob")
    add_edit(looking, bob, "Bob's.", number=9)
    with monkeypatch.context() as patch:
        drafts_are(patch, own=LETTER)
        letter = add_edit(looking, user, "One.", number=0)
        assert looking.learn(user.id, all_that_waits=True) is not None
    add_edit(looking, user, "Two.", number=1, memory=[letter.id])
    asked = drafts_are(monkeypatch, own=EMPTY)
    examine(looking, ask(looking, user, reference_of(looking, tmp_path)))
    said = [[{"role": "user", "content": f"The parcel {n} is late."}] for n in range(2)]
    memory = (Exchange(said[0], "One.", letter.id),)
    looks = asked[0]
    assert looks[:2] == [
        Asked(as_prompt(said[1], "chat"), memory),
        Asked(as_prompt(said[0], "chat")),
    ]
    assert [one.prompt for one in looks[2:]] == list(checks._OTHER_PROMPTS[:6])


@pytest.mark.parametrize("agreed", [True, False])
def test_without_prompts_that_may_be_read_it_is_looked_at_by_ours(
    looking: Trainer, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agreed: bool
) -> None:
    if not agreed:
        add_edit(looking, user, "Private.")
        looking.database.write(
            lambda db: accounts.set_consent(db, user.id, learn=False, actor="a", now=NOW)
        )
    asked = drafts_are(monkeypatch, own=EMPTY)
    settled = examine(looking, ask(looking, user, reference_of(looking, tmp_path)))
    assert settled.state == "rejected"
    ours = [Asked(prompt) for prompt in checks._OTHER_PROMPTS]
    assert asked == [[*ours, ours[0]]] * 4  # of both, and of both again


def test_numbers_that_are_not_finite_are_found(
    trainer: Trainer, user: User, tmp_path: Path
) -> None:
    settled = examine(trainer, ask(trainer, user, reference_of(trainer, tmp_path, std=1e30)))
    assert settled.reasons == ["its log-probabilities are not finite"]
    assert served_by(trainer, user) == (None, None)


def test_how_far_it_is_from_the_base_is_its_makers_business(
    trainer: Trainer, user: User, tmp_path: Path
) -> None:
    near = Trainer(trainer.base, trainer.database, trainer.settings.with_settings(max_drift=0.01))
    settled = examine(near, ask(near, user, reference_of(near, tmp_path, std=3.0)))
    assert settled.state == "started"


@pytest.mark.parametrize(("fallen", "state"), [(2.0, "started"), (2.01, "rejected")])
def test_it_must_refuse_as_the_base_does(
    trainer: Trainer,
    user: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fallen: float,
    state: str,
) -> None:
    def odds(scored: Policy) -> list[float]:
        return [9.0 if scored._is_reference else 9.0 - fallen] * len(REQUESTS)

    monkeypatch.setattr(checks, "refusal_log_odds", odds)
    assert examine(trainer, ask(trainer, user, reference_of(trainer, tmp_path))).state == state


@pytest.mark.parametrize("trouble", ["another base", "no files"])
def test_what_cannot_be_loaded_is_rejected_with_the_reason(
    trainer: Trainer, user: User, tmp_path: Path, trouble: str
) -> None:
    elsewhere = {"name": "b", "fingerprint": "f"} if trouble == "another base" else {}
    reference = reference_of(trainer, tmp_path, **elsewhere)
    asked = ask(trainer, user, reference)
    if trouble == "no files":
        assert reference.folder is not None
        folder = trainer.database.versions.at(reference.folder)
        (folder / file_names.ADAPTER_WEIGHTS).unlink()
    settled = examine(trainer, asked)
    assert settled.state == "rejected"
    said = "is of the base b" if elsewhere else file_names.ADAPTER_WEIGHTS
    assert said in settled.reasons[0]


def test_a_start_that_was_withdrawn_meanwhile_stays_so(
    trainer: Trainer, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = reference_of(trainer, tmp_path / "one")
    asked = ask(trainer, user, reference)

    def ask_for_another(*_: Any) -> list[str]:
        ask(trainer, user, reference)
        return []

    monkeypatch.setattr(admitting, "reasons_against", ask_for_another)
    assert examine(trainer, asked).state == "withdrawn"
    assert served_by(trainer, user) == (None, None)
    with trainer.database.read() as db:
        assert [row.state for row in starts.waiting_starts(db)] == ["examining"]


def test_the_base_begins_at_once_and_withdraws_what_waits(
    trainer: Trainer, user: User, tmp_path: Path
) -> None:
    taught(trainer, user, "Sorry, 0.", "Sorry, 1.")
    waits = ask(trainer, user, reference_of(trainer, tmp_path))
    with trainer.database.read() as db:
        base = lineages.all_references(db)[0]
    assert ask(trainer, user, base).state == "started"
    assert served_by(trainer, user) == (None, "base")
    with trainer.database.read() as db:
        assert starts.find_start(db, waits.number) is not None
        assert [row.state for row in starts.starts_of(db, user.id)] == ["withdrawn", "started"]


class TestWithoutALearner:
    def test_an_adapter_begins_at_once_and_is_said_to_be_unexamined(
        self, trainer: Trainer, user: User, tmp_path: Path
    ) -> None:
        reference = reference_of(trainer, tmp_path)
        assert ask(trainer, user, reference, examined=False).state == "unexamined"
        assert served_by(trainer, user) == (None, "adapter")
        with trainer.database.read() as db:
            assert not starts.was_examined(db, user.id, reference.id)
            entry = accounts.read_audit(db, subject=user.id, limit=1)[0]
        assert entry.details == {"reference": reference.number, "examined": False}

    def test_what_waits_begins_when_the_service_does(
        self, trainer: Trainer, user: User, tmp_path: Path
    ) -> None:
        bob = add_user(trainer.database, "bob")
        elsewhere = reference_of(trainer, tmp_path / "b", name="b", fingerprint="f")
        for one, reference in ((user, reference_of(trainer, tmp_path / "a")), (bob, elsewhere)):
            ask(trainer, one, reference)
        own = trainer.base.base.fingerprint
        settled = trainer.database.write(lambda db: begin_unexamined(db, own, now=NOW))
        assert [(row.user_id, row.state) for row in settled] == [
            (user.id, "unexamined"),
            (bob.id, "rejected"),
        ]
        assert served_by(trainer, user) == (None, "adapter")
        assert served_by(trainer, bob) == (None, None)


def rounds(trainer: Trainer, worker: Worker | None = None) -> tuple[bool, list[tuple[str, Event]]]:
    """What a learner does in a round, and says to the server; by default one that just began."""
    sent: list[Any] = []
    channel: Any = SimpleNamespace(
        stopping=False, news=threading.Event(), keep_asked=lambda: None, send=sent.append
    )
    busy = (worker or Worker(trainer, channel, channel))._round()
    return busy, [content for _, content in sent]


def test_a_learner_that_failed_or_died_leaves_it_to_the_next_one(
    trainer: Trainer, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(trainer, user, reference_of(trainer, tmp_path))

    def fail(*_: Any) -> list[str]:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(admitting, "reasons_against", fail)
        assert rounds(trainer) == (False, [])
    assert served_by(trainer, user) == (None, None)
    event = StartEvent(reference=1, name="house style", state="started")
    assert rounds(trainer) == (True, [(user.id, event)])
    assert served_by(trainer, user) == (None, "adapter")
    assert rounds(trainer) == (False, [])


def test_one_that_fails_keeps_no_other_waiting(
    trainer: Trainer, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = add_user(trainer.database, "bob")
    reference = reference_of(trainer, tmp_path)
    first, second = (ask(trainer, one, reference) for one in (user, bob))
    settle = admitting.examine

    def fail_at_the_first(of: Trainer, asked: StartRow) -> StartRow:
        if asked == first:
            raise MemoryError
        return settle(of, asked)

    monkeypatch.setattr(admitting, "examine", fail_at_the_first)
    channel: Any = SimpleNamespace(stopping=False, send=lambda _: None)
    worker = Worker(trainer, channel, channel)
    assert [worker._round() for _ in range(2)] == [True, False]
    with trainer.database.read() as db:
        assert starts.waiting_starts(db) == [first]
        settled = starts.find_start(db, second.number)
    assert settled is not None
    assert settled.state == "started"
