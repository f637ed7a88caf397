"""No draft is told as a version's that an emptied copy of it drew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from asking import PROMPTS, Listener, request
from store_samples import add_user, new_version, register
from vllm_double import VllmDouble, vllm_double

from corll.errors import StoreUnavailableError
from corll.policy import Policy
from corll.service.api.error_answers import translated
from corll.service.drafting.requests import Delta, VersionFolder, VersionGoneError
from corll.service.drafting.vllm import VllmEngine
from corll.service.drafting.vllm_calls import Replicas
from corll.service.drafting.vllm_versions import RoutedVersions
from corll.service.store import lineages
from corll.service.store.database import Database
from corll.service.store.pruning import still_drafting
from corll.service.store.rows import new_id
from corll_vllm.pinned_versions import PinnedVersions, Settings
from patience import PATIENCE_S


@dataclass
class Place:
    """An engine elsewhere with a copy of a version, and a gateway that asks it."""

    database: Database
    versions: PinnedVersions
    double: VllmDouble
    engine: VllmEngine
    version: VersionFolder
    still_draft: Callable[[Any], Any]

    def ask(self, **changes: Any) -> Listener:
        """Ask for a draft, and wait until the engine has it in its queue."""
        listener = Listener()
        self.engine.submit(replace(request(PROMPTS[0], version=self.version), **changes), listener)
        until = time.monotonic() + PATIENCE_S
        while not self.double.asked and time.monotonic() < until:
            time.sleep(0.01)
        return listener

    def prune(self) -> None:
        """Prune the version, and let the engine read its copy again, as after dropping it."""
        self.database.write(lambda db: lineages.forget_folder(db, self.version.id))
        assert self.versions.forget_what_is_gone() == [self.version.id]
        self.double.versions[self.version.id] = self.double.base.with_adapter(self.copy)

    @property
    def copy(self) -> Path:
        return self.database.folder.parent / "pins" / self.version.id


@pytest.fixture
def place(tmp_path: Path, tiny_model_folder: Path, policy: Policy) -> Iterator[Place]:
    database = Database.open(None, tmp_path / "data")
    for number, parameter in enumerate(policy.trainable_parameters().values()):
        parameter.data.fill_(0.02 * (1 + number % 3))
    version_id = new_id("ver")
    folder, digest = database.versions.publish(version_id, policy.save)

    def write(db: Any) -> None:
        about = {"id": version_id, "folder": folder, "manifest_sha256": digest}
        register(db, new_version(db, add_user(db, "ada"), **about))

    database.write(write)
    environment = {
        "CORLL_DATA_DIR": str(database.folder),
        "CORLL_VLLM_PINS": str(tmp_path / "pins"),
        "CORLL_VLLM_KEEP_S": "0",
    }
    settings = Settings.of(environment)
    assert settings is not None
    versions = PinnedVersions(settings)

    def still_draft(ids: Any) -> set[str]:
        with database.read() as db:
            return still_drafting(db, ids)

    with vllm_double(Policy.load(tiny_model_folder, dtype="float32")) as double:
        copy = versions.folder_of(version_id)
        assert copy is not None
        double.versions[version_id] = double.base.with_adapter(copy)
        base = Policy.load(tiny_model_folder, dtype="float32")
        engine = VllmEngine(
            base, [double.url], timeout=PATIENCE_S, still_draft=lambda ids: made.still_draft(ids)
        )
        at = VersionFolder(version_id, database.versions.at(folder))
        made = Place(database, versions, double, engine, at, still_draft)
        yield made
        engine.close()
    database.close()


@pytest.mark.parametrize("tells", [True, False], ids=["seen", "unseen"])
def test_a_request_that_was_queued_while_its_version_was_pruned_is_not_answered_by_the_base(
    place: Place, tells: bool
) -> None:
    place.double.may_answer.clear()
    listener = place.ask(tells=tells)
    place.prune()
    place.double.may_answer.set()
    assert isinstance(listener.failed, VersionGoneError)
    assert not any(isinstance(event, Delta) for event in listener.events)


def test_a_version_that_is_pruned_while_it_drafts_ends_its_draft(place: Place) -> None:
    place.double.holds_after = 4
    place.double.may_go_on.clear()
    listener = place.ask()
    assert listener.has_told.wait(PATIENCE_S)
    place.prune()
    place.double.may_go_on.set()
    assert isinstance(listener.failed, VersionGoneError)


def test_an_engine_that_forgot_a_pruned_version_is_no_failure_of_the_engine(place: Place) -> None:
    place.prune()
    place.double.versions.clear()
    assert isinstance(place.ask().failed, VersionGoneError)


def test_what_was_given_up_is_kept_as_no_version_s_either(place: Place) -> None:
    place.double.holds_after = 4
    place.double.may_go_on.clear()
    listener = Listener()
    job = place.engine.submit(request(PROMPTS[0], version=place.version), listener)
    assert listener.has_told.wait(PATIENCE_S)
    place.prune()
    job.cancel()
    assert isinstance(listener.failed, VersionGoneError)


def test_drafts_go_on_while_the_database_is_away(place: Place) -> None:
    def away(_: Any) -> set[str]:
        raise StoreUnavailableError("the database is away")

    place.still_draft = away
    assert place.ask().drawn.candidates


def test_replicas_forget_what_was_pruned_once_no_draft_is_under_way_with_it(place: Place) -> None:
    named = place.version.id

    async def forget(in_use: set[str | None]) -> None:
        replicas = Replicas([place.double.url], PATIENCE_S)
        versions = RoutedVersions(replicas, place.still_draft)
        versions.route(named)
        versions.route(None)
        await versions.forget_pruned(in_use)
        await replicas.close()

    asyncio.run(forget(set()))
    assert place.double.unloaded == []
    place.prune()
    asyncio.run(forget({named, None}))
    assert place.double.unloaded == []
    asyncio.run(forget({None}))
    assert place.double.unloaded == [named]


def test_who_asked_for_a_version_that_went_is_told_to_ask_again() -> None:
    answer = translated(VersionGoneError("gone"))
    assert (answer.status, answer.code) == (503, "version_unavailable")
    assert answer.headers == {"retry-after": "1"}
