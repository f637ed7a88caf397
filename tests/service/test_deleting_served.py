"""Deleting from a service that runs and learns, by request and command, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corll.cli import main
from corll.cli.forget import main as forget
from corll.errors import ConfigError, InputError
from corll.schemas.deletions import Receipt
from corll.service.settings import ServiceSettings
from corll.service.store.database import Database
from corll.service.versions.verifying import verify_receipt
from running_service import ADMIN_KEY, RunningService, running_service, settings_for, until


@pytest.fixture
def settings(tiny_model_folder: Path, tmp_path: Path, database_url: str | None) -> ServiceSettings:
    data = tmp_path / "data"
    return settings_for(
        tiny_model_folder, data, database=database_url, coactive={"preferences_per_step": 1}
    )


@pytest.fixture
def learning(settings: ServiceSettings) -> Iterator[RunningService]:
    """A service that learns, and each edit by itself."""
    with running_service(settings) as running:
        yield running


def person(service: RunningService, name: str) -> RunningService:
    """A user with a key of their own, who lets texts be kept and learned from."""
    key = service.post("keys", {"scope": "user", "user": name})["key"]
    service.put(f"users/{name}/consent", {"store": True, "learn": True})
    return service.with_key(key)


def edited(user: RunningService, number: int, *, learned: bool = True) -> tuple[str, str]:
    """The ids of a draft and of its edit, once a version has learned it."""
    before = user.get("users/me")["serving"]
    draft = user.draft(f"Parcel {number} is late.")["id"]
    edit = user.post("edits", {"draft_id": draft, "text": f"Private, number {number}."})["id"]
    if learned:
        until(lambda: user.get("users/me")["serving"] != before)
    return draft, edit


def settled(user: RunningService, deletion: str) -> dict[str, Any]:
    """The receipt once what was left is learned again."""

    def done() -> Any:
        receipt = user.get(f"deletions/{deletion}")
        return receipt if receipt["replay"]["state"] != "waiting" else None

    found: dict[str, Any] = until(done)
    return found


def holds(settings: ServiceSettings, receipt: dict[str, Any]) -> bool:
    database = Database.open(settings.database, settings.data_dir)
    try:
        found = verify_receipt(database, Receipt.model_validate(receipt))
    finally:
        database.close()
    return {one.state for one in found} == {"holds"}


def test_every_kind_of_thing_is_deleted_while_it_learns_and_drafts(
    settings: ServiceSettings, learning: RunningService
) -> None:
    ann, ben = person(learning, "ann"), person(learning, "ben")
    edited(ben, 9)
    of_ben = ben.get("users/me/adapters"), ben.http.get("/v1/users/me/export").text
    made = [edited(ann, number) for number in range(3)]
    planned = ann.ask("DELETE", f"edits/{made[1][1]}?dry_run=true")["receipt"]
    assert (planned["replay"]["edits"], planned["replay"]["seconds"] > 0) == (1, True)
    receipt = ann.ask("DELETE", f"edits/{made[1][1]}")["receipt"]
    assert receipt["stands_in"]["number"] == 1
    told = settled(ann, receipt["id"])
    assert (told["replay"]["state"], told["first_without"]["number"]) == ("done", 4)
    assert holds(settings, told)
    assert ann.draft()["corll"]["version"] == 4
    gone = ann.ask("DELETE", f"drafts/{made[2][0]}")["receipt"]
    assert gone["stands_in"]["number"] == 1
    assert holds(settings, settled(ann, gone["id"]))
    job = ann.post("imports", {"items": [{"prompt": "Hi", "sent": "A private hello."}]})["id"]
    until(lambda: ann.get(f"imports/{job}")["state"] in ("done", "failed"))
    assert ann.ask("DELETE", f"imports/{job}")["receipt"]["counts"]["imported_texts"] == 1
    for kind in ("model", "texts"):
        receipt = ann.ask("DELETE", f"users/me/{kind}")["receipt"]
        assert ann.get("users/me")["serving"] is None
        assert holds(settings, settled(ann, receipt["id"]))
    assert "rivate, number" not in ann.http.get("/v1/users/me/export").text
    receipt = ann.ask("DELETE", "users/me")["receipt"]
    assert ann.http.get("/v1/users/me").status_code == 401
    assert holds(settings, learning.get(f"deletions/{receipt['id']}"))
    after = ben.get("users/me/adapters"), ben.http.get("/v1/users/me/export").text
    assert after == of_ben


def test_the_command_asks_the_service_that_runs(
    settings: ServiceSettings,
    learning: RunningService,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ann, ben = person(learning, "ann"), person(learning, "ben")
    (_, first), (_, second) = edited(ann, 0), edited(ann, 1)
    _, other = edited(ben, 2)
    monkeypatch.setenv("CORLL_API_KEY", ADMIN_KEY)
    there = ["--base-url", learning.url]
    forget(["edit", second, "--dry-run", *there])
    said = capsys.readouterr()
    assert (said.out, "Versions that saw it, and are erased: 2." in said.err) == ("", True)
    assert ann.http.get(f"/v1/edits/{second}").status_code == 200
    with pytest.raises(ConfigError, match="--yes"):
        forget(["edit", second, *there])
    capsys.readouterr()
    forget(["edit", second, "--yes", *there])
    receipt = Receipt.model_validate_json(capsys.readouterr().out)
    assert (receipt.cleaned, receipt.stands_in is not None) == (True, True)
    statuses = [ann.http.get(f"/v1/edits/{one}").status_code for one in (first, second)]
    assert statuses == [200, 404]
    forget(["model", "--user", "ann", "--yes", *there])
    assert ann.get("users/me")["serving"] is None
    assert ben.get("users/me")["serving"] == 1
    with pytest.raises(InputError, match="no such edit"):
        forget(["edit", second, "--yes", *there])
    key = learning.post("keys", {"scope": "user", "user": "ann"})["key"]
    monkeypatch.setenv("CORLL_API_KEY", key)
    with pytest.raises(InputError, match="no such edit"):
        forget(["edit", other, "--yes", *there])
    monkeypatch.setenv("CORLL_API_KEY", "nonsense")
    with pytest.raises(InputError, match="The service says"):
        forget(["edit", first, "--yes", *there])
    with pytest.raises(ConfigError, match="No service answers"):
        forget(["edit", first, "--yes", "--base-url", "http://127.0.0.1:1"])
    assert ann.http.get(f"/v1/edits/{first}").status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_command_asks_for_nobody_else_than_who_is_named(
    learning: RunningService,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two people of one name, and two of one name space."""
    of_shop = learning.with_key(
        learning.post("keys", {"scope": "backend", "namespace": "shop"})["key"]
    )
    local, shop = [one.post("users", {"name": "carla"})["id"] for one in (learning, of_shop)]
    ann, _ = person(learning, "ann"), person(learning, "ben")
    draft, edit = edited(ann, 0, learned=False)
    monkeypatch.setenv("CORLL_API_KEY", ADMIN_KEY)
    there = ["--yes", "--base-url", learning.url]
    carla = ["user", "--user", "carla"]
    with pytest.raises(ConfigError, match="leave --namespace out"):
        forget([*carla, "--namespace", "shop", *there])
    for thing in (["edit", edit], ["draft", draft]):
        with pytest.raises(InputError, match="is not of user 'ben'"):
            forget([*thing, "--user", "ben", *there])
        with pytest.raises(InputError, match="no such user"):
            forget([*thing, "--user", "nobody", *there])
    assert {local, shop} <= {one["id"] for one in learning.get("users")["data"]}
    forget([*carla, "--dry-run", "--base-url", learning.url])
    told = f"To be deleted: user 'carla' ({local}, the key's name space)."
    assert told in capsys.readouterr().err
    forget(["user", "--user", shop, *there])
    assert f"To be deleted: user 'carla' ({shop})." in capsys.readouterr().err
    left = {one["id"] for one in learning.get("users")["data"]}
    assert (local in left, shop in left) == (True, False)
    forget(["edit", edit, "--user", "ann", *there])
    assert f"To be deleted: edit {edit} of user 'ann' (" in capsys.readouterr().err
    assert ann.http.get(f"/v1/edits/{edit}").status_code == 404


def place(settings: ServiceSettings) -> list[str]:
    database = [] if settings.database is None else ["--database", settings.database]
    return ["--data-dir", str(settings.data_dir), *database]


@pytest.mark.parametrize(
    ("database_url", "other_url"),
    [("sqlite", "postgresql"), ("postgresql", "postgresql"), ("postgresql", "sqlite")],
    indirect=True,
)
def test_a_backup_serves_on_without_what_was_deleted_since(
    settings: ServiceSettings,
    other_url: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In another kind of database too; what was learned since the deleted text is learned again."""
    with running_service(settings) as service:
        ann, ben = person(service, "ann"), person(service, "ben")
        made = [edited(ann, number) for number in range(3)]
        edited(ben, 9)
        backup = str(tmp_path / "backup")
        assert main(["backup", "--to", backup, *place(settings)]) == 0
        receipt = ann.ask("DELETE", f"edits/{made[1][1]}")["receipt"]
        keys = [one.http.headers["authorization"].split()[1] for one in (ann, ben)]
    there = settings.with_settings(data_dir=tmp_path / "there", database=other_url)
    monkeypatch.delenv("CORLL_DATABASE", raising=False)
    known = ["--deletions", settings.database or str(settings.data_dir)]
    assert main(["restore", backup, *place(there), *known]) == 0
    assert f"knows: {receipt['id']}." in capsys.readouterr().out
    with running_service(there) as service:
        ann, ben = [service.with_key(key) for key in keys]
        assert ann.http.get(f"/v1/edits/{made[1][1]}").status_code == 404
        deletions = {one["id"] for one in ann.get("users/me/deletions")["data"]}
        [again] = deletions - {receipt["id"]}
        assert len(deletions) == 2
        told = settled(ann, again)
        assert told["replay"]["state"] == "done"
        assert holds(there, told)
        assert ann.draft()["corll"]["version"] == told["first_without"]["number"]
        assert ben.get("users/me")["serving"] == 1
        edited(ben, 10)


def test_what_a_service_learned_again_is_computed_anew_by_the_command(
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In another process than the learner's, with the same weights to the bit."""
    settings = settings_for(tiny_model_folder, tmp_path, coactive={"preferences_per_step": 1})
    with running_service(settings) as service:
        ann = person(service, "ann")
        made = [edited(ann, number) for number in range(3)]
        receipt = ann.ask("DELETE", f"edits/{made[1][1]}")["receipt"]["id"]
        assert settled(ann, receipt)["replay"]["state"] == "done"
    monkeypatch.delenv("CORLL_DATABASE", raising=False)
    monkeypatch.setenv("CORLL_DTYPE", "float32")
    here = ["--data-dir", str(tmp_path)]
    assert main(["verify-deletion", receipt, *here]) == 0
    said = capsys.readouterr().out
    assert "1 steps from version 1, taken anew without what was deleted, give version 4" in said
    assert "to the bit" in said
    assert main(["verify-deletion", receipt, "--records-only", *here]) == 0
    assert "to the bit" not in capsys.readouterr().out
