"""A service whose versions lie in a shared store: who is known is drafted for without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from teaching import add_edit

from corll.errors import StoreError
from corll.policy import Policy
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, lineages
from corll.service.store.accounts import LOCAL_NAMESPACE
from corll.service.store.database import Database
from running_service import RunningService, running_service, settings_for


@pytest.fixture
def service(tiny_model_folder: Path, tmp_path: Path) -> Iterator[RunningService]:
    url = f"file://{tmp_path}/shared"
    settings = settings_for(tiny_model_folder, tmp_path / "data", learn=False, versions=url)
    with running_service(settings) as running:
        yield running


@pytest.fixture
def learned(service: RunningService, policy: Policy) -> Trainer:
    """Two users with a version each, made on another machine."""
    place = service.settings.data_dir
    there = Database.open(f"sqlite:///{place}/corll.db", place / "there", service.settings.versions)
    trainer = Trainer(policy, there, service.settings)
    for name in ("known", "cold"):
        service.draft(user=name)
        service.put(f"users/{name}/consent", {"learn": True})
        with there.read() as db:
            user = accounts.find_user_by_name(db, LOCAL_NAMESPACE, name)
        assert user is not None
        for number in range(2):
            add_edit(trainer, user, f"Sorry about {number}.", number=number)
        assert trainer.learn(user.id) is not None
    return trainer


def test_who_is_known_is_drafted_for_while_the_store_gives_no_rights(
    service: RunningService, learned: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.draft(user="known")["corll"]["version"] == 1
    store: Any = service.services.database.versions

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    def cut(*_: Any, **__: Any) -> None:
        raise ConnectionError("the line is cut")

    def cold() -> Any:
        body = {"model": "corll", "messages": [{"role": "user", "content": "Hi"}], "user": "cold"}
        return service.http.post("/v1/chat/completions", json=body)

    for broken, message in ((refuse, "give this process the right"), (cut, "cannot be read now")):
        with monkeypatch.context() as patch:
            patch.setattr(store._fs, "get_file", broken)
            assert service.draft(user="known")["corll"]["version"] == 1
            answer = cold()
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "store_unavailable"
            assert message in answer.json()["error"]["message"]
            if broken is cut:
                assert answer.headers["retry-after"] == "5"
            assert len(list(store.at("versions").iterdir())) == 1
    assert cold().json()["corll"]["version"] == 1


def test_a_damaged_version_drafts_nothing_and_the_others_go_on(
    service: RunningService, learned: Trainer
) -> None:
    with learned.database.read() as db:
        user = accounts.find_user_by_name(db, LOCAL_NAMESPACE, "cold")
    assert user is not None
    shared = Path(str(service.settings.versions).removeprefix("file://"))
    with learned.database.read() as db:
        version = lineages.serving_version(db, user.id)
    assert version is not None
    weights = shared / str(version.folder) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    body = {"model": "corll", "messages": [{"role": "user", "content": "Hi"}], "user": "cold"}
    answer = service.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "version_unavailable"
    assert service.draft(user="known")["corll"]["version"] == 1


def test_a_service_does_not_start_on_a_store_without_rights(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    url = f"file://{tmp_path}/file/shared"
    settings = settings_for(tiny_model_folder, tmp_path / "data", learn=False, versions=url)
    with (
        pytest.raises(StoreError, match=r"the version store .* cannot be written now"),
        running_service(settings),
    ):
        pass
