"""The learner's process: what was asked for outlives it, trouble waits, and drafts come first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import pytest
from teaching import NOW, add_edit, add_user, begun, states

from corll.errors import StoreError
from corll.service.learning import importing, pacing
from corll.service.learning import inbox as inbox_module
from corll.service.learning import worker as worker_module
from corll.service.learning.inbox import Inbox
from corll.service.learning.pacing import Pacer, Retries
from corll.service.learning.trainer import Trainer
from corll.service.learning.worker import Worker
from corll.service.store import imports, preferences
from corll.service.store.accounts import User
from patience import PATIENCE_S
from running_service import until


class Clock:
    """Time that passes while one sleeps, and not else."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return NOW

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (worker_module, pacing):
        monkeypatch.setattr(module, "time", clock)
    return clock


def worker_of(trainer: Trainer) -> Worker:
    """A learner that was started just now."""
    inbox: Any = SimpleNamespace(
        stopping=False, news=threading.Event(), keep_asked=lambda: None, send=lambda _: None
    )
    return Worker(trainer, inbox, inbox)


def ask(trainer: Trainer, user: User) -> None:
    trainer.database.write(lambda db: preferences.ask_to_learn(db, user.id, now=NOW))


def asked(trainer: Trainer) -> set[str]:
    with trainer.database.read() as db:
        return preferences.users_who_asked(db)


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, Connection]]:
    """The server's end and the learner's, whose process ends with the server's."""
    ended = threading.Event()

    def end(_: int) -> None:
        ended.set()
        threading.Event().wait()  # for good, as an end

    monkeypatch.setattr(inbox_module, "os", SimpleNamespace(_exit=end))
    ours, theirs = Pipe()
    yield ours, theirs
    ours.close()
    assert ended.wait(PATIENCE_S)


def test_what_is_asked_for_is_written_down_at_once(
    trainer: Trainer, user: User, channel: tuple[Connection, Connection], clock: Clock
) -> None:
    ours, theirs = channel
    add_edit(trainer, user, "Sorry about the parcel.")
    Inbox(theirs, lambda user_id: ask(trainer, user))
    ours.send(("learn", user.id))
    until(lambda: asked(trainer) == {user.id})
    assert worker_of(trainer)._round()  # of a learner that heard nothing of it
    assert states(trainer, user) == ["learned"]


def test_what_could_not_be_written_down_is_tried_again(
    channel: tuple[Connection, Connection],
) -> None:
    ours, theirs = channel
    written: list[str] = []
    working = False

    def keep(user_id: str) -> None:
        if not working:
            raise StoreError("no space; free some")
        written.append(user_id)

    inbox = Inbox(theirs, keep)
    ours.send(("learn", "ann"))
    assert inbox.news.wait(PATIENCE_S)
    with pytest.raises(StoreError):
        inbox.keep_asked()
    working = True
    inbox.keep_asked()
    inbox.keep_asked()
    assert written == ["ann"]


def test_a_request_is_kept_until_nothing_waits(trainer: Trainer, user: User, clock: Clock) -> None:
    for number in range(17):  # one over what a version takes
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    ask(trainer, user)
    worker = worker_of(trainer)
    assert worker._round()
    assert states(trainer, user) == ["learned"] * 16 + ["waiting"]
    assert worker._round()
    assert states(trainer, user) == ["learned"] * 17
    assert not worker._round()
    assert asked(trainer) == set()
    add_edit(trainer, user, "Sorry, it is another.", number=17)
    assert not worker._round()  # fewer than N, and nobody asked


@pytest.mark.parametrize("trouble", [StoreError("the disk is full"), ValueError("a surprise")])
def test_a_user_in_trouble_waits_longer_each_time_and_holds_up_nobody(
    trainer: Trainer,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    trouble: Exception,
) -> None:
    other = add_user(trainer.database, "bob")
    add_edit(trainer, user, "Sorry about the parcel.")
    ask(trainer, user)
    learn, attempts = trainer.learn, []

    def learn_or_fail(user_id: str, **options: Any) -> Any:
        if user_id == user.id:
            attempts.append(clock.now)
            raise trouble
        return learn(user_id, **options)

    monkeypatch.setattr(trainer, "learn", learn_or_fail)
    worker = worker_of(trainer)
    for number in range(2):
        add_edit(trainer, other, "Thanks.", number=number)
    assert worker._round()
    assert states(trainer, other) == ["learned", "learned"]
    for _ in range(40):
        clock.sleep(0.5)
        worker._round()
    assert attempts == [0.0, 2.0, 6.0, 14.0]
    assert asked(trainer) == {user.id}
    monkeypatch.undo()
    worker = worker_of(trainer)
    assert worker._round()
    assert states(trainer, user) == ["learned"]


def test_an_import_that_cannot_be_stored_waits_and_lets_others_go_on(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    first, second = begun(trainer, user, 2), begun(trainer, user, 2)
    tried: list[str] = []

    def go_on(_: Trainer, row: imports.ImportRow) -> None:
        tried.append(row.id)
        if row.id == first.id:
            raise StoreError("the disk is full")
        trainer.database.write(lambda db: imports.update_import(db, row.id, state="done"))

    monkeypatch.setattr(importing, "go_on", go_on)
    worker = worker_of(trainer)
    for _ in range(5):
        worker._round()
    assert tried == [first.id, second.id]
    clock.sleep(2)
    worker._round()
    assert tried == [first.id, second.id, first.id]
    with trainer.database.read() as db:
        still = imports.find_import(db, first.id)
    assert still is not None
    assert (still.state, still.error) == ("waiting", None)


def test_a_store_that_cannot_be_read_is_tried_more_and_more_seldom(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_of(trainer)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        worker._inbox.stopping = len(waited) == 3

    def broken() -> Any:
        raise StoreError("unable to open database file")

    monkeypatch.setattr(worker, "_wait", wait)
    monkeypatch.setattr(trainer.database, "read", broken)
    worker.run()
    assert waited == [2.0, 4.0, 8.0]


def test_retries_grow_to_ten_minutes_and_begin_anew_once_it_worked(clock: Clock) -> None:
    retries = Retries()
    assert [retries.failed("a") for _ in range(11)] == [*(2.0**n for n in range(1, 10)), 600, 600]
    assert set(retries.pending()) == {"a"}
    clock.sleep(600)
    assert set(retries.pending()) == set()
    retries.worked("a")
    assert retries.failed("a") == 2.0


@pytest.fixture
def drafting() -> SimpleNamespace:
    return SimpleNamespace(value=0)


def pacer_of(drafting: SimpleNamespace, *, stopping: bool = False) -> Pacer:
    return Pacer(drafting, SimpleNamespace(stopping=stopping))  # type: ignore[arg-type]


def test_learning_goes_on_at_once_where_nobody_drafts(
    clock: Clock, drafting: SimpleNamespace
) -> None:
    pacer_of(drafting).give_way()
    assert clock.now == 0


def test_learning_waits_for_a_draft_and_not_longer(clock: Clock, drafting: SimpleNamespace) -> None:
    drafting.value = 1

    def drafted() -> None:
        drafting.value = int(clock.now < 1)

    clock.on_sleep = drafted
    pacer_of(drafting).give_way()
    assert clock.now == pytest.approx(1, abs=0.02)


def test_learning_never_starves(clock: Clock, drafting: SimpleNamespace) -> None:
    drafting.value = 1
    pacer_of(drafting).give_way()
    assert clock.now == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize("busy", [0, 1])
def test_learning_ends_where_the_service_stops(
    clock: Clock, drafting: SimpleNamespace, busy: int
) -> None:
    drafting.value = busy
    with pytest.raises(SystemExit):
        pacer_of(drafting, stopping=True).give_way()
    assert clock.now == 0


def test_learning_ends_where_the_service_stops_while_it_waits(
    clock: Clock, drafting: SimpleNamespace
) -> None:
    drafting.value = 1
    inbox = SimpleNamespace(stopping=False)

    def stop() -> None:
        inbox.stopping = clock.now > 0.5

    clock.on_sleep = stop
    with pytest.raises(SystemExit):
        Pacer(drafting, inbox).give_way()  # type: ignore[arg-type]
    assert clock.now < 0.6
