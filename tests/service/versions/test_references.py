"""References over HTTP: listed, uploaded, and started from, by admins alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from corll.cli.adapters import main
from corll.policy import Policy
from running_service import RunningService, running_service, settings_for, until
from tiny_models import perturb_adapter

PROMPT = [{"role": "user", "content": "The parcel is late."}]
PARTS = {
    "adapter_config": "adapter_config.json",
    "adapter_model": "adapter_model.safetensors",
    "corll_base": "corll_base.json",
}


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    data = tmp_path_factory.mktemp("references")
    settings = settings_for(tiny_model_folder, data, learn=False, max_adapter_mb=3)
    with running_service(settings) as running:
        yield running


@pytest.fixture
def adapter(policy: Policy, tmp_path: Path) -> Path:
    """A PEFT folder of the service's own base."""
    perturb_adapter(policy)
    policy.save(tmp_path / "adapter")
    return tmp_path / "adapter"


def upload(
    service: RunningService, folder: Path, *, name: str = "house style", **parts: Any
) -> httpx.Response:
    """The files of a folder, or what stands in their place; None for no such part."""
    files = {part: (folder / file).read_bytes() for part, file in PARTS.items()}
    given = {part: content for part, content in {**files, **parts}.items() if content is not None}
    return service.http.post("/v1/references", data={"name": name}, files=given)


def numbers(service: RunningService) -> list[int]:
    return [row["number"] for row in service.get("references")["data"]]


def test_the_base_is_the_first(service: RunningService) -> None:
    first = service.get("references")["data"][0]
    assert (first["number"], first["kind"]) == (1, "base")
    assert service.get("references/1") == first
    assert service.http.get("/v1/references/99").status_code == 404


def test_a_user_starts_from_an_adapter_that_was_uploaded(
    service: RunningService, adapter: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    added = upload(service, adapter).json()
    assert (added["kind"], added["name"]) == ("adapter", "house style")
    again = upload(service, adapter, name="another name").json()
    assert again == added
    here = numbers(service)
    # The same weights, written by another program and without a word on their base.
    other = save(
        {**load_file(adapter / PARTS["adapter_model"])}, metadata={"format": "pt", "by": "another"}
    )
    assert other != (adapter / PARTS["adapter_model"]).read_bytes()
    assert upload(service, adapter, adapter_model=other, corll_base=None).json() == added
    copied = tmp_path / "copied"
    shutil.copytree(adapter, copied)
    (copied / PARTS["corll_base"]).unlink()
    (copied / PARTS["adapter_model"]).write_bytes(other)
    main(["import", str(copied), "--data-dir", str(service.settings.data_dir)])
    assert numbers(service) == here
    service.draft(user="ann")
    service.put("users/ann/consent", {"learn": True})
    answer = service.post("users/ann/adapters/start", {"reference": added["number"]})
    # This service does not learn, so nobody examines what it serves.
    assert (answer["reference"], answer["state"]) == (added, "unexamined")
    about = service.get("users/ann")
    assert about["reference"] == {
        "number": added["number"],
        "kind": "adapter",
        "name": "house style",
        "examined": False,
    }
    assert about["start"] is None
    draft = service.draft(user="ann", seed=5)
    alone = Policy.load(tiny_model_folder, dtype="float32").with_adapter(adapter)
    config = service.settings.coactive
    expected = alone.sample([PROMPT], 1, 12, 5, sampling=config.sampling)[0][0]
    assert draft["choices"][0]["message"]["content"] == expected.text
    assert service.post("users/ann/adapters/start", {"reference": 1})["state"] == "started"
    about = service.get("users/ann")["reference"]
    assert (about["kind"], about["examined"]) == ("base", True)
    lines = service.http.get("/v1/users/ann/export").text.splitlines()
    records = [json.loads(line) for line in lines]
    states = [record["state"] for record in records if record["record"] == "start"]
    assert states == ["unexamined", "started"]


def test_a_learner_examines_an_adapter_before_it_serves(
    adapter: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """A ruined one is not served, with the reasons; a sound one is; nobody else's serving moves."""
    settings = settings_for(tiny_model_folder, tmp_path / "data", veto_drafts=8)
    with running_service(settings) as service:
        for name in ("ann", "bob"):
            service.draft(user=name)
            service.put(f"users/{name}/consent", {"learn": True})
        # Finite weights, of which the numbers overflow.
        huge = weights_of(adapter, tmp_path, lambda weight: weight.sign() * 1e30)
        ruined = upload(service, adapter, name="ruined", adapter_model=huge).json()
        sound = upload(service, adapter).json()
        answer = service.post("users/ann/adapters/start", {"reference": ruined["number"]})
        assert answer["state"] == "examining"
        about = service.get("users/ann")
        assert about["start"]["reference"]["name"] == "ruined"
        assert about["reference"] is None
        until(lambda: service.get("users/ann")["start"]["state"] == "rejected")
        about = service.get("users/ann")
        assert about["start"]["reasons"] == ["its log-probabilities are not finite"]
        assert about["reference"] is None
        assert service.draft(user="ann")["choices"]
        service.post("users/ann/adapters/start", {"reference": sound["number"]})
        until(lambda: service.get("users/ann")["start"] is None)
        about = service.get("users/ann")["reference"]
        assert (about["number"], about["examined"]) == (sound["number"], True)
        other = service.get("users/bob")
        assert (other["reference"], other["start"]) == (None, None)


def weights_of(folder: Path, tmp_path: Path, change: Any) -> bytes:
    """The adapter's weights, each changed."""
    changed = {
        name: change(weight) for name, weight in load_file(folder / PARTS["adapter_model"]).items()
    }
    save_file(changed, tmp_path / "changed.safetensors")
    return (tmp_path / "changed.safetensors").read_bytes()


def as_json(folder: Path, part: str, **changes: Any) -> bytes:
    return json.dumps(json.loads((folder / PARTS[part]).read_text()) | changes).encode()


BROKEN: dict[str, Any] = {
    "no weights": lambda _: {"adapter_model": None},
    "no configuration": lambda _: {"adapter_config": None},
    "another part": lambda _: {"optimizer": b"1"},
    "no JSON": lambda _: {"adapter_config": b"{"},
    "JSON of another kind": lambda _: {"adapter_config": b"[]", "corll_base": b"[]"},
    "JSON that is deep": lambda _: {"adapter_config": b"[" * 100_000, "corll_base": b"[" * 9_000},
    "a large configuration": lambda _: {"adapter_config": b" " * (2**20 + 1)},
    "no safetensors": lambda _: {"adapter_model": b"\xff" * 64},
    "no LoRA": lambda folder: {
        "adapter_config": as_json(folder, "adapter_config", peft_type="IA3")
    },
    "no plain LoRA": lambda folder: {
        "adapter_config": as_json(folder, "adapter_config", use_dora=True)
    },
    "another rank": lambda folder: {"adapter_config": as_json(folder, "adapter_config", r=3)},
    "another base": lambda folder: {
        "corll_base": as_json(folder, "corll_base", base_model={"name": "b", "fingerprint": "f"})
    },
    "other shapes": lambda folder: {
        "adapter_model": weights_of(folder, folder.parent, lambda w: w[:, :-1].contiguous())
    },
    "no finite numbers": lambda folder: {
        "adapter_model": weights_of(folder, folder.parent, lambda w: w * torch.inf)
    },
}


@pytest.mark.parametrize("wrong", BROKEN)
def test_what_is_no_adapter_of_this_base_is_refused(
    service: RunningService, adapter: Path, wrong: str
) -> None:
    before = numbers(service)
    answer = upload(service, adapter, **BROKEN[wrong](adapter))
    assert answer.status_code == 400, answer.text
    assert "/corll-" not in answer.json()["error"]["message"]
    assert numbers(service) == before
    assert service.draft()["choices"]


@pytest.mark.parametrize("name", ["", "a\nb", "n" * 201])
def test_a_name_can_be_read(service: RunningService, adapter: Path, name: str) -> None:
    assert upload(service, adapter, name=name).json()["error"]["param"] == "name"


def test_an_upload_that_is_too_large_is_refused(service: RunningService, adapter: Path) -> None:
    answer = upload(service, adapter, adapter_model=b"0" * (3 * 2**20))
    assert answer.status_code == 413
    body = {"to": 0, "requeue": "x" * (5 * 2**19)}
    assert service.http.post("/v1/users/me/adapters/rollback", json=body).status_code == 413


def test_a_pattern_that_never_ends_is_refused_and_the_service_goes_on(
    service: RunningService, adapter: Path
) -> None:
    before = numbers(service)
    config = json.loads((adapter / "adapter_config.json").read_text())
    hostile = json.dumps(config | {"target_modules": "([a-z_.0-9]+)*x"}).encode()
    answer = upload(service, adapter, adapter_config=hostile)
    assert answer.status_code == 400
    assert "target_modules cannot be tried" in answer.json()["error"]["message"]
    service.draft(user="eve")
    assert numbers(service) == before


def test_names_of_files_are_not_the_clients(service: RunningService, adapter: Path) -> None:
    folder = service.settings.data_dir
    before = {path for path in folder.parent.rglob("*") if path.is_file()}
    files = {
        part: ("../../../stray", (adapter / file).read_bytes()) for part, file in PARTS.items()
    }
    answer = service.http.post("/v1/references", data={"name": "../../stray"}, files=files)
    assert answer.status_code == 200
    new = {path for path in folder.parent.rglob("*") if path.is_file()} - before
    assert {path.relative_to(folder).parts[0] for path in new} <= {"references"}
    assert {path.name for path in new} <= {*PARTS.values(), "manifest.json"}


def test_only_an_admin_manages_references(service: RunningService, adapter: Path) -> None:
    for body in ({"scope": "backend"}, {"scope": "user", "user": "eve"}):
        other = service.with_key(service.post("keys", body)["key"])
        answers = [
            other.http.get("/v1/references"),
            other.http.get("/v1/references/1"),
            other.http.post("/v1/users/me/adapters/start", json={"reference": 1}),
            upload(other, adapter),
        ]
        assert [answer.status_code for answer in answers] == [403] * 4
    assert httpx.post(f"{service.url}/v1/references").status_code == 401


def test_a_start_needs_a_reference_of_this_base(service: RunningService) -> None:
    service.draft(user="ann")
    answer = service.http.post("/v1/users/ann/adapters/start", json={"reference": 99})
    assert answer.status_code == 400
    assert "There are: 1 (" in answer.json()["error"]["message"]
