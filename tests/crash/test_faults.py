"""An ill disk, a clock that jumps, damaged files: an error that says so, nothing lost, and all goes
on by itself once the cause is gone.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from corll.model.file_names import ADAPTER_WEIGHTS
from corll.service.store import accounts, lineages
from corll.service.store.database import Database
from corll.service.versions.publishing import MANIFEST
from crash import processes
from crash.acts import ANN, BEN, Acts
from crash.faults import Fault, Faults
from crash.ledger import Ledger
from crash.play import move_on, stopped
from crash.service import AnswerError, Service
from patience import PATIENCE_S
from running_service import until

YEAR_S, HOUR_S = 365 * 24 * 3600, 3600


def of(service: Service, ledger: Ledger, user: str = ANN) -> Acts:
    return Acts(service, ledger, user, threading.Lock())


def started(service: Service, **settings: str) -> Service:
    service.start(settings=settings)
    service.wait_until_ready(learner=True)
    return service


def assert_all_goes_on(service: Service, ledger: Ledger) -> None:
    """Nothing was lost or learned twice, whatever waits is done, and the doctor finds nothing."""
    move_on(service, ledger)
    assert stopped(service, ledger) == []


def refused(act: Callable[[], object]) -> AnswerError:
    with pytest.raises(AnswerError) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("full", "free some space on that disk"),
        ("unsynced", "see that its disk works"),
        ("readonly", "see that its disk works"),
    ],
)
def test_a_disk_that_is_ill_is_a_503_and_nothing_is_lost(
    service: Service, ledger: Ledger, ill: Faults, fault: Fault, advice: str
) -> None:
    started(service)
    acting = of(service, ledger)
    acting.teach(edits=1)
    with ill.on(fault):
        for act in (acting.teach, acting.import_texts, acting.delete_edit):
            error = refused(act)
            assert (error.status, "store_unavailable" in str(error)) == (503, True), error
            assert advice in str(error)
        assert service.http.get("/healthz").status_code == 200
    acting.teach(edits=1)
    assert_all_goes_on(service, ledger)


@pytest.mark.parametrize("fault", ["full", "unsynced", "readonly"])
def test_a_version_that_cannot_be_written_is_made_later(
    service: Service, ledger: Ledger, ill: Faults, fault: Fault
) -> None:
    learner = started(service, log_level="warning").learner
    assert learner is not None
    os.kill(learner, signal.SIGSTOP)
    of(service, ledger).teach()
    with ill.on(fault):
        os.kill(learner, signal.SIGCONT)
        # By what it meets first: it takes the user in the database, or writes the version.
        until(lambda: re.search("next attempt in|trying again in", service.said()) is not None)
    assert service.learner == learner
    assert_all_goes_on(service, ledger)


@pytest.mark.parametrize("fault", ["full", "unsynced", "readonly"])
def test_no_server_starts_on_a_disk_that_is_ill(
    service: Service, ledger: Ledger, ill: Faults, fault: Fault
) -> None:
    with ill.on(fault):
        assert service.run("serve") == 2
    assert "corll: " in service.said()
    assert str(service.folder) in service.said()
    assert "Traceback" not in service.said()
    started(service)
    assert_all_goes_on(service, ledger)


@pytest.mark.parametrize("off_by", [-HOUR_S, YEAR_S])
def test_a_clock_that_jumps_changes_no_order_and_loses_nothing(
    service: Service, ledger: Ledger, ill: Faults, off_by: int
) -> None:
    started(service)
    acting = of(service, ledger)
    acting.teach(edits=1)
    with ill.clock_off_by(off_by):
        acting.teach()
        of(service, ledger, BEN).import_texts()
        acting.delete_edit()
        service.kill()
        assert service.orphans() == []
        started(service)
        acting.teach()
    acting.teach()
    move_on(service, ledger)
    listed = service.ask("GET", f"users/{ANN}/drafts?limit=50")["data"]
    known = [draft for draft in reversed(ledger.drafts) if draft in {row["id"] for row in listed}]
    assert [row["id"] for row in listed] == known
    assert stopped(service, ledger) == []


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("name", "damage"), [(ADAPTER_WEIGHTS, flip_a_byte), (ADAPTER_WEIGHTS, cut), (MANIFEST, cut)]
)
def test_damaged_weights_that_serve_are_named_and_serve_again_once_put_back(
    service: Service, ledger: Ledger, name: str, damage: Callable[[Path], None]
) -> None:
    file = serving_folder(service, ANN) / name
    whole = file.read_bytes()
    damage(file)
    started(service)
    error = refused(of(service, ledger).draft)
    assert (error.status, "version_unavailable" in str(error)) == (503, True), error
    assert "corll doctor" in str(error)
    assert service.run("doctor", str(service.folder)) == 2
    of(service, ledger, BEN).teach()
    file.write_bytes(whole)
    of(service, ledger).teach()
    assert_all_goes_on(service, ledger)


def serving_folder(service: Service, user: str) -> Path:
    """Where the weights lie that serve a user."""
    database = Database.open_unchanged(None, service.folder)
    try:
        with database.read() as db:
            (found,) = (one for one in accounts.users_of(db, None) if one.name == user)
            version = lineages.serving_version(db, found.id)
        assert version is not None
        return database.versions.at(str(version.folder))
    finally:
        database.close()


def test_what_a_power_cut_leaves_half_written_is_swept(service: Service, ledger: Ledger) -> None:
    versions = service.folder / "versions"
    for torn in (versions / ".ver_torn.new", versions / "ver_unnamed"):
        torn.mkdir()
        (torn / ADAPTER_WEIGHTS).write_bytes(b"half")
    (weights,) = (service.folder / "base").glob("*.weights")
    cut(weights)
    started(service)
    of(service, ledger).teach()
    service.kill()
    assert service.orphans() == []
    with (service.folder / "corll.db-wal").open("ab") as journal:
        journal.write(os.urandom(5000))  # a frame that was not written to its end
    started(service)
    assert_all_goes_on(service, ledger)


def test_a_learner_ends_with_its_server(service: Service) -> None:
    learner = started(service).learner
    assert learner is not None
    service.kill()
    assert processes.wait_for_end(learner, within=PATIENCE_S)
    assert service.orphans() == []
