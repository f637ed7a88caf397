"""Two servers on one PostgreSQL database and one data folder: real processes, the same user."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from corll.errors import ConfigError
from corll.service.doctor.examining import examine
from corll.service.folder_lock import is_served, one_of_servers, only_server
from corll.service.store import accounts, deletions, lineages, preferences, replays
from corll.service.store.accounts import LOCAL_NAMESPACE, User
from corll.service.store.database import Database
from corll.service.store.schema import version_preferences
from patience import PATIENCE_S
from postgres_server import new_database
from running_service import (
    ADMIN_KEY,
    COACTIVE,
    RunningService,
    free_port,
    settings_for,
    start_server,
    until,
)

REFUSED = (400, 404, 409)
"""What somebody hears who is a moment too late: the other server was quicker."""


@dataclass(frozen=True)
class Pair:
    """Two servers, and the database that they share."""

    servers: list[RunningService]
    processes: list[subprocess.Popen[bytes]]
    database: Database

    def user(self, name: str) -> User:
        with self.database.read() as db:
            found = accounts.find_user_by_name(db, LOCAL_NAMESPACE, name)
        assert found is not None
        return found


@contextmanager
def served(model: Path, data_dir: Path, database: str) -> Iterator[Pair]:
    """Both start at the same moment, on whatever is there."""
    settings = settings_for(model, data_dir, database=database)
    given = {**COACTIVE, "max_drift": 50, "veto_drafts": 0, "database": database}
    given |= {"memory": "none", "serving": "both", "weigh_edits": False}
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        processes = [start_server(model, data_dir, port, given) for port in ports]
        for process in processes:
            stack.callback(stop, process)
        servers = []
        for port in ports:
            url = f"http://127.0.0.1:{port}"
            headers = {"authorization": f"Bearer {ADMIN_KEY}"}
            http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S)
            servers.append(RunningService(url, settings, stack.enter_context(http)))
            until(lambda url=url: is_ready(url))
        opened = Database.open(database, data_dir)
        stack.callback(opened.close)
        yield Pair(servers, processes, opened)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    process.wait(PATIENCE_S)


def is_ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz").json()["learner"] == "ready")
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str
) -> Iterator[tuple[Path, str]]:
    with new_database(postgres_url) as url:
        yield tmp_path_factory.mktemp("two") / "data", url


@pytest.fixture(scope="module")
def pair(place: tuple[Path, str], tiny_model_folder: Path) -> Iterator[Pair]:
    with served(tiny_model_folder, *place) as running:
        yield running


def agree(pair: Pair, name: str) -> User:
    for service in pair.servers:
        service.draft(user=name)
    pair.servers[0].put(f"users/{name}/consent", {"learn": True})
    return pair.user(name)


def edited(service: RunningService, name: str, number: int) -> str:
    draft = service.draft(f"Parcel {number} is late.", user=name)
    body = {"draft_id": draft["id"], "text": f"Sorry about number {number}."}
    return str(service.post("edits", body)["id"])


def is_done(pair: Pair, user: User) -> bool:
    """Nothing waits, nothing is learned again, and nobody learns for the user."""
    with pair.database.read() as db:
        return not preferences.count_waiting(db, user.id) and not replays.find_replay(db, user.id)


def learn_all(pair: Pair, user: User) -> None:
    def asked() -> bool:
        for service in pair.servers:
            service.post("learn", {"user": user.name})
        return is_done(pair, user)

    until(asked)


def check(pair: Pair, user: User) -> list[lineages.Version]:
    """The serving ancestry, which was taught each edit once at most; all weights are whole."""
    with pair.database.read() as db:
        serving = lineages.serving_version(db, user.id)
        line = [] if serving is None else lineages.ancestry(db, serving.id)
        taught = Counter(
            row.preference_id
            for row in db.execute(version_preferences.select())
            if row.version_id in {one.id for one in line}
        )
        rows = preferences.preferences_of(db, user.id)
    assert set(taught.values()) <= {1}
    assert {row.id for row in rows if row.state == "learned"} == set(taught)
    assert examine(pair.database, is_served=True) == []
    return line


def test_both_start_at_once_on_an_empty_database(pair: Pair) -> None:
    for service in pair.servers:
        assert [key["label"] for key in service.get("keys")["data"]] == ["the first key"]
    assert is_served(pair.database.folder)
    with pytest.raises(ConfigError, match="Another server uses"), only_server(pair.database.folder):
        pass


def test_both_draft_learn_delete_and_roll_back_for_the_same_user_at_once(pair: Pair) -> None:
    user = agree(pair, "ann")
    other = agree(pair, "ben")
    first, second = pair.servers
    kept: list[str] = []

    def write(service: RunningService, name: str) -> None:
        for number in range(6):
            kept.append(edited(service, name, number))
            if number % 3 == 2:
                service.post("learn", {"user": name})

    def delete(service: RunningService) -> None:
        for _ in range(2):
            until(lambda: kept)
            path = f"/v1/edits/{kept.pop(0)}"
            answer = service.http.delete(path)
            assert answer.status_code in (200, 404), answer.text

    def roll_back(service: RunningService) -> None:
        def any_version() -> bool:
            service.post("learn", {"user": "ann"})
            return bool(service.get("users/ann/adapters")["data"])

        until(any_version)
        for to in (1, 0, 1, 2):
            body = {"to": to, "requeue": to != 2}
            answer = service.http.post("/v1/users/ann/adapters/rollback", json=body)
            assert answer.status_code in (200, *REFUSED), answer.text

    work: list[Callable[[], None]] = [
        lambda: write(first, "ann"),
        lambda: write(second, "ann"),
        lambda: write(second, "ben"),
        lambda: delete(first),
        lambda: delete(second),
        lambda: roll_back(first),
    ]
    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()
    for one in (user, other):
        learn_all(pair, one)
        check(pair, one)
    with pair.database.read() as db:
        found = [row.to_receipt() for row in deletions.deletions_of(db, user.id)]
        numbers = [one.number for one in lineages.versions_of(db, user.id)]
        erased = {one.id for receipt in found for one in receipt.erased}
        serving = lineages.serving_version(db, user.id)
    assert numbers == list(range(1, len(numbers) + 1))
    assert serving is None or serving.id not in erased
    assert [receipt.cleaned for receipt in found] == [True] * len(found)
    for service in pair.servers:
        drafted = service.draft(user="ann")["corll"]["version"]
        assert drafted == (None if serving is None else serving.number)


def test_what_one_server_deletes_the_other_lets_go_of(pair: Pair) -> None:
    first, second = pair.servers
    first.draft(user="mem")
    first.put("users/mem/consent", {"store": False})
    draft = first.draft("A secret.", user="mem")
    assert draft["corll"]["stored"] is False
    first.put("users/mem/consent", {"store": True})
    second.ask("DELETE", "users/mem/texts")
    body = {"draft_id": draft["id"], "text": "A secret, told."}

    def is_gone() -> bool:
        return first.http.post("/v1/comparisons", json=_compared(draft)).status_code == 404

    until(is_gone)
    assert first.http.post("/v1/edits", json=body).status_code == 404


def _compared(draft: dict[str, Any]) -> dict[str, Any]:
    side = {"draft_id": draft["id"], "choice": 0}
    return {"chosen": side, "rejected": side}


def test_where_one_server_is_killed_the_other_takes_its_users_over(
    tiny_model_folder: Path, pair: Pair
) -> None:
    user = agree(pair, "cara")
    first, second = pair.servers
    for number in range(2):
        edited(first, "cara", number)
    until(lambda: first.get("users/cara")["serving"])
    killed = pair.processes[0]
    for number in range(2, 4):
        edited(first, "cara", number)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    for number in range(4, 6):
        edited(second, "cara", number)

    def learned() -> bool:
        second.post("learn", {"user": "cara"})
        return is_done(pair, user)

    until(learned)
    line = check(pair, user)
    with pair.database.read() as db:
        states = [row.state for row in preferences.preferences_of(db, user.id)]
    assert (states, len(line)) == (["learned"] * 6, len(line))


def test_servers_share_a_folder_and_what_needs_it_alone_does_not(tmp_path: Path) -> None:
    with one_of_servers(tmp_path), one_of_servers(tmp_path):
        assert is_served(tmp_path)
        with pytest.raises(ConfigError, match="Another server"), only_server(tmp_path):
            pass
    assert not is_served(tmp_path)
    with (
        only_server(tmp_path),
        pytest.raises(ConfigError, match="Another server"),
        one_of_servers(tmp_path),
    ):
        pass
