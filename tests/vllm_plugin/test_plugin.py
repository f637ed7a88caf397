"""corll-vllm: names are looked up and never opened, and no engine reads a folder that may go.

The two hazards of vLLM 0.32 with its own resolver: `model="../adapters/user0@1"` is answered, and
an adapter whose folder is gone ends the engine for everybody.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sqlalchemy import update
from store_samples import add_user, new_version, register

from corll.config import LoraConfig
from corll.policy import Policy
from corll.service.store import lineages, schema
from corll.service.store.accounts import find_user
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.rows import new_id
from corll.service.versions.forgetting import Target, forget, weights_in
from corll_vllm.pinned_versions import PinnedVersions, Settings
from corll_vllm.places import Places, is_version_id

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(None, tmp_path / "data")
    yield opened
    opened.close()


def settings_of(database: Database, **changes: Any) -> Settings:
    data = database.folder
    variables = {"CORLL_DATA_DIR": str(data), "CORLL_VLLM_PINS": str(data.parent / "pins")}
    settings = Settings.of({**variables, "CORLL_VLLM_KEEP_S": "0", **changes})
    assert settings is not None
    return settings


def published(database: Database, policy: Policy, *, user: str = "ada") -> Version:
    """A version that serves, with weights that are not zero."""
    for parameter in policy.trainable_parameters().values():
        parameter.data.fill_(0.5)
    version_id = new_id("ver")
    place, digest = database.versions.publish(version_id, policy.save)

    def write(db: Any) -> Version:
        version = new_version(
            db, add_user(db, user), id=version_id, folder=place, manifest_sha256=digest
        )
        return register(db, version)

    return database.write(write)


@pytest.fixture
def version(database: Database, policy: Policy) -> Version:
    return published(database, policy)


@pytest.mark.parametrize(
    "name",
    [
        "../adapters/user0@1",
        "versions/ver_0123456789abcdefghijABCD",
        "./ver_0123456789abcdefghijABCD",
        "ver_0123456789abcdefghijABCD/../x",
        "ver_0123456789abcdefghijABC\n",
        "ver_0123456789abcdefghijABC%",
        "/etc/passwd",
        "ver_",
        "",
        "s3://bucket/ver_0123456789abcdefghijABCD",
    ],
)
def test_a_path_is_no_name(database: Database, version: Version, name: str) -> None:
    assert not is_version_id(name)
    versions = PinnedVersions(settings_of(database))
    assert versions.folder_of(name) is None
    assert list((database.folder.parent / "pins").iterdir()) == []


def test_a_folder_beside_the_versions_is_found_by_no_name(
    database: Database, version: Version, tmp_path: Path
) -> None:
    """A row that leads out of the folder of versions is refused, too."""
    shutil.copytree(database.versions.at(str(version.folder)), tmp_path / "data" / "other")
    versions = PinnedVersions(settings_of(database))
    for folder in ("../secret", "/etc", "a/../../b"):
        row = update(schema.versions).where(schema.versions.c.id == version.id)
        database.write(lambda db, row=row, folder=folder: db.execute(row.values(folder=folder)))
        assert versions.folder_of(version.id) is None


def test_a_version_is_copied_and_the_copy_outlives_its_folder(
    database: Database, version: Version
) -> None:
    versions = PinnedVersions(settings_of(database))
    folder = versions.folder_of(version.id)
    assert folder is not None
    own = database.versions.at(str(version.folder))
    assert not folder.is_relative_to(database.folder)
    assert (folder / WEIGHTS).read_bytes() == (own / WEIGHTS).read_bytes()
    shutil.rmtree(own)
    assert versions.folder_of(version.id) == folder
    assert (folder / WEIGHTS).exists()


def test_what_is_gone_is_filled_with_zeros_of_the_same_shapes(
    database: Database, version: Version, policy: Policy
) -> None:
    versions = PinnedVersions(settings_of(database))
    folder = versions.folder_of(version.id)
    assert folder is not None
    before = load_file(folder / WEIGHTS)
    assert versions.forget_what_is_gone() == []
    database.write(lambda db: lineages.forget_folder(db, version.id))
    assert versions.forget_what_is_gone() == [version.id]
    after = load_file(folder / WEIGHTS)
    assert {name: one.shape for name, one in after.items()} == {
        name: one.shape for name, one in before.items()
    }
    assert all(float(one.abs().sum()) == 0 for one in after.values())
    assert any(float(one.abs().sum()) > 0 for one in before.values())
    # An engine that still knows the name reads an adapter that changes nothing.
    reference = policy.with_adapter(folder)
    ids = [(1, 2, 3)], [(4, 5)]
    with policy.as_reference():
        base = policy.score(*ids)
    assert torch.equal(reference.score(*ids), base)
    assert versions.folder_of(version.id) is None
    assert versions.forget_what_is_gone() == []


def test_a_pruned_version_is_kept_a_while_and_an_erased_one_is_not(
    database: Database, version: Version, policy: Policy
) -> None:
    other, now = published(database, policy, user="ben"), 0.0
    settings = settings_of(database, CORLL_VLLM_KEEP_S="900")
    versions = PinnedVersions(settings, clock=lambda: now)
    folder = versions.folder_of(version.id)
    assert folder is not None
    assert versions.folder_of(other.id) is not None
    weights = (folder / WEIGHTS).read_bytes()
    database.write(lambda db: lineages.forget_folder(db, version.id))
    target = Target("user", other.user_id, database.write(lambda db: find_user(db, other.user_id)))
    database.write(
        lambda db: forget(db, target, weights_of=weights_in(database), actor="test", now=1.0)
    )
    assert versions.forget_what_is_gone() == [other.id]
    now = 899.0
    assert versions.forget_what_is_gone() == []
    assert (folder / WEIGHTS).read_bytes() == weights
    # Nobody who asks now is given it.
    assert versions.folder_of(version.id) is None
    now = 900.0
    assert versions.forget_what_is_gone() == [version.id]
    assert (folder / WEIGHTS).read_bytes() != weights


def test_a_thread_forgets_by_itself(database: Database, version: Version) -> None:
    versions = PinnedVersions(settings_of(database, CORLL_VLLM_LOOK_S="0.01"))
    folder = versions.folder_of(version.id)
    assert folder is not None
    versions.watch()
    database.write(lambda db: lineages.forget_folder(db, version.id))
    for _ in range(500):
        if (folder / "corll_emptied").exists():
            break
        versions._ended.wait(0.02)
    versions.close()
    assert (folder / "corll_emptied").exists()


@pytest.mark.parametrize("harm", ["half uploaded", "other weights", "other manifest"])
def test_a_folder_that_is_not_what_was_published_drafts_nothing(
    database: Database, version: Version, harm: str
) -> None:
    own = database.versions.at(str(version.folder))
    if harm == "half uploaded":
        (own / WEIGHTS).unlink()
    elif harm == "other weights":
        (own / WEIGHTS).write_bytes((own / WEIGHTS).read_bytes()[:-1] + b"x")
    else:
        (own / "manifest.json").write_text(json.dumps({"files": {}}))
    versions = PinnedVersions(settings_of(database))
    assert versions.folder_of(version.id) is None
    assert list((database.folder.parent / "pins").iterdir()) == []


def test_a_rank_over_the_engine_s_limit_is_no_version(database: Database, policy: Policy) -> None:
    wide = policy.with_adapter(lora=LoraConfig(lora_r=16))
    version = published(database, wide)
    assert (
        PinnedVersions(settings_of(database, CORLL_VLLM_MOST_RANK="8")).folder_of(version.id)
        is None
    )
    assert PinnedVersions(settings_of(database)).folder_of(version.id) is not None


def test_candidates_and_erased_versions_draft_nothing(database: Database, version: Version) -> None:
    def candidate(db: Any) -> Version:
        return register(db, new_version(db, add_user(db, "ben"), id=new_id("ver")), serve=False)

    other = database.write(candidate)
    places = Places(f"sqlite:///{database.folder}/corll.db")
    assert places.find(version.id) is not None
    assert places.find(other.id) is None
    assert places.find(new_id("ver")) is None
    assert places.find(new_id("reference")) is None


@pytest.fixture
def resolver_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The resolver's module, on stand-ins of the three names of vLLM that it uses."""
    registered: dict[str, Any] = {}
    lora, request, resolver = (types.ModuleType(name) for name in ("lora", "request", "resolver"))
    request.LoRARequest = types.SimpleNamespace  # type: ignore[attr-defined]
    resolver.LoRAResolver = object  # type: ignore[attr-defined]
    resolver.LoRAResolverRegistry = types.SimpleNamespace(  # type: ignore[attr-defined]
        get_supported_resolvers=registered.keys, register_resolver=registered.__setitem__
    )
    for name, module in {
        "vllm": types.ModuleType("vllm"),
        "vllm.lora": lora,
        "vllm.lora.request": request,
        "vllm.lora.resolver": resolver,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "corll_vllm.resolver", raising=False)
    import corll_vllm.resolver as made

    yield made
    for one in registered.values():
        one._versions.close()
    sys.modules.pop("corll_vllm.resolver", None)


def test_vllm_is_given_the_copy_or_nothing(
    database: Database, version: Version, resolver_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = PinnedVersions(settings_of(database))
    resolver = resolver_module.CorllResolver(versions)
    made = asyncio.run(resolver.resolve_lora("/models/base", version.id))
    assert (made.lora_name, made.lora_path) == (version.id, str(versions.folder_of(version.id)))
    assert made.lora_int_id > 0
    assert asyncio.run(resolver.resolve_lora("/models/base", "../adapters/user0@1")) is None

    def away(_: str) -> Path:
        raise OSError("the database is away")

    monkeypatch.setattr(versions, "folder_of", away)
    assert asyncio.run(resolver.resolve_lora("/models/base", version.id)) is None


def test_the_plugin_registers_once_where_a_database_is_named(
    database: Database, resolver_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from corll_vllm import register as register_plugin

    for name in ("CORLL_DATABASE", "CORLL_DATA_DIR", "CORLL_VERSIONS"):
        monkeypatch.delenv(name, raising=False)
    register_plugin()
    registry = resolver_module.LoRAResolverRegistry
    assert list(registry.get_supported_resolvers()) == []
    monkeypatch.setenv("CORLL_DATA_DIR", str(database.folder))
    monkeypatch.setenv("CORLL_VLLM_PINS", str(database.folder.parent / "pins"))
    register_plugin()
    register_plugin()
    assert list(registry.get_supported_resolvers()) == ["corll"]
