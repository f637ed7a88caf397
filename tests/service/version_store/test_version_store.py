"""Every version store keeps folders whole, and says so where one is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shared_stores import KINDS, new_place

from corll.errors import AdapterError, ConfigError, StoreError, StoreUnavailableError
from corll.model.file_names import ADAPTER_WEIGHTS, OPTIMIZER
from corll.service.version_store import remote
from corll.service.version_store.cache import FolderCache
from corll.service.version_store.data_folder import DataFolder
from corll.service.version_store.folders import Published, VersionStore
from corll.service.version_store.opening import CACHE, check_url, open_store
from corll.service.versions import publishing


@pytest.fixture(params=KINDS)
def url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    yield from new_place(request.param, tmp_path, monkeypatch)


@pytest.fixture
def here(url: str, tmp_path: Path) -> VersionStore:
    """The store as one machine sees it."""
    return open_store(url, tmp_path / "here")


@pytest.fixture
def there(url: str, tmp_path: Path) -> VersionStore:
    """The same store as another machine sees it."""
    return open_store(url, tmp_path / "there")


@pytest.fixture(params=["data folder", *KINDS])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[VersionStore]:
    if request.param == "data folder":
        yield open_store(None, tmp_path / "data")
        return
    for url in new_place(request.param, tmp_path, monkeypatch):
        yield open_store(url, tmp_path / "data")


def save(to: Path) -> None:
    (to / ADAPTER_WEIGHTS).write_bytes(b"weights")
    (to / OPTIMIZER).write_bytes(b"moments")
    (to / "reference").mkdir()
    (to / "reference" / "adapter_config.json").write_text("{}")


def published(store: VersionStore) -> Published:
    return store.publish("ver_1", save)


def raw(store: VersionStore) -> Any:
    """What speaks to the store, and where its root is."""
    assert isinstance(store, remote.RemoteStore)
    return store._fs, store._root


def test_a_folder_comes_back_as_it_was_published(store: VersionStore) -> None:
    name, digest = published(store)
    folder = store.fetch(name, optimizer=True)
    publishing.verify(folder, digest)
    assert store.at(name) == folder
    assert store.holds(name)
    assert store.holds("versions/ver_1")
    assert not store.holds("versions/ver_")
    assert store.names("versions") == [name]
    assert json.loads(store.read(name, "manifest.json"))["files"][OPTIMIZER]["bytes"] == 7
    with store.copied(name) as copy:
        publishing.verify(copy, digest)


def test_the_data_folder_has_the_files_of_always(tmp_path: Path) -> None:
    store = DataFolder(tmp_path)
    assert published(store).name == "versions/ver_1"
    assert sorted(path.name for path in (tmp_path / "versions" / "ver_1").iterdir()) == [
        ADAPTER_WEIGHTS,
        OPTIMIZER,
        "manifest.json",
        "reference",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["versions"]


def test_a_removed_folder_is_gone(store: VersionStore) -> None:
    name, _ = published(store)
    assert store.remove(name)
    assert store.remove(name)
    assert not store.holds(name)
    assert not store.at(name).exists()
    assert store.names("versions") == []
    with pytest.raises(FileNotFoundError):
        store.read(name, "manifest.json")


def test_an_optimizer_may_go_alone(store: VersionStore) -> None:
    name, digest = published(store)
    assert store.has_file(name, OPTIMIZER)
    store.remove_file(name, OPTIMIZER)
    assert not store.has_file(name, OPTIMIZER)
    publishing.verify(store.fetch(name), digest, without=(OPTIMIZER,))


def test_a_folder_that_cannot_be_written_leaves_nothing(store: VersionStore) -> None:
    def fails(to: Path) -> None:
        (to / ADAPTER_WEIGHTS).write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.publish("ver_1", fails)
    assert store.names("versions") == []


def test_a_folder_is_put_as_it_is(store: VersionStore, tmp_path: Path) -> None:
    name, digest = published(store)
    with store.copied(name) as copy:
        (copy / OPTIMIZER).unlink()
        store.put("versions/put", copy)
    publishing.verify(store.fetch("versions/put"), digest, without=(OPTIMIZER,))


def test_texts_lie_beside_the_folders(store: VersionStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.read_text("deletions.jsonl")
    published(store)
    for content in ("one\n", "one\ntwo\n"):
        store.write_text("deletions.jsonl", content)
        assert store.read_text("deletions.jsonl") == content


def test_another_machine_fetches_what_it_drafts_by_and_no_more(
    here: VersionStore, there: VersionStore
) -> None:
    name, digest = published(here)
    assert name == f"versions/ver_1.{digest[:24]}"
    folder = there.fetch(name)
    assert not (folder / OPTIMIZER).exists()
    publishing.verify(folder, digest, without=(OPTIMIZER,))
    publishing.verify(there.fetch(name, optimizer=True), digest)


def test_a_copy_that_was_changed_is_fetched_again(here: VersionStore, there: VersionStore) -> None:
    name, digest = published(here)
    (there.fetch(name) / ADAPTER_WEIGHTS).write_bytes(b"weighty")
    publishing.verify(there.fetch(name), digest, without=(OPTIMIZER,))


def test_a_file_that_differs_is_refused(here: VersionStore, there: VersionStore) -> None:
    name, _ = published(here)
    fs, root = raw(here)
    fs.pipe_file(f"{root}/{name}/{ADAPTER_WEIGHTS}", b"weighty")
    with pytest.raises(AdapterError, match="was changed since it was published"):
        there.fetch(name)
    assert not there.at(name).exists()
    fs.pipe_file(f"{root}/{name}/manifest.json", b'{"files": {}}')
    with pytest.raises(AdapterError, match="not the one that was published"):
        there.fetch(name)
    # What this machine has whole goes on.
    here.fetch(name)


def test_a_half_uploaded_folder_is_refused(here: VersionStore, there: VersionStore) -> None:
    name, _ = published(here)
    fs, root = raw(here)
    fs.rm_file(f"{root}/{name}/manifest.json")
    with pytest.raises(AdapterError, match=r"never finished: it has no manifest\.json"):
        there.fetch(name)
    assert there.names("versions") == [name]
    assert there.holds(name)
    with pytest.raises(AdapterError, match="never finished"):
        there.fetch("versions/ver_2.aaaa")


def test_an_upload_that_ends_halfway_registers_nothing(
    here: VersionStore, there: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, _ = raw(here)
    put, sent = fs.put_file, []

    def put_one(source: str, target: str, **more: Any) -> None:
        if sent:
            raise ConnectionError("the line is cut")
        sent.append(target)
        put(source, target, **more)

    monkeypatch.setattr(fs, "put_file", put_one)
    with pytest.raises(StoreUnavailableError, match="the line is cut"):
        published(here)
    assert there.names("versions") == []
    assert not list((here.at("versions")).glob("*"))


def test_what_a_store_spoils_is_not_registered(
    here: VersionStore, there: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, _ = raw(here)

    def spoil(source: str, target: str, **more: Any) -> None:
        fs.pipe_file(target, b"something else")

    monkeypatch.setattr(fs, "put_file", spoil)
    with pytest.raises(StoreError, match="otherwise than it was written"):
        published(here)
    assert there.names("versions") == []


def test_a_store_without_rights_says_which_are_needed(
    here: VersionStore, there: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = published(here)
    fs, _ = raw(here)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    for method in ("put_file", "pipe_file", "get_file", "rm_file", "rm"):
        monkeypatch.setattr(fs, method, refuse)
    with pytest.raises(StoreError, match="give this process the right to list, read, write"):
        here.check()
    with pytest.raises(StoreError, match="may not be written"):
        here.publish("ver_2", save)
    assert not here.remove(name)  # it is tried again later
    assert not here.at(name).exists()
    with pytest.raises(StoreError, match="may not be read"):
        here.fetch(name)


def test_a_sound_store_passes_and_nothing_of_the_probe_is_left(here: VersionStore) -> None:
    here.check()
    fs, root = raw(here)
    assert fs.find(root) == []


def test_what_was_erased_elsewhere_goes_from_here_and_does_not_come_back(
    here: VersionStore, there: VersionStore
) -> None:
    name, _ = published(here)
    there.fetch(name)
    there.evict(["versions/ver_1"])
    assert not there.at(name).exists()
    with pytest.raises(AdapterError, match="is erased"):
        there.fetch(name)
    assert not there.at(name).exists()


def test_copies_that_no_row_names_go_unless_they_are_new(
    url: str, here: VersionStore, tmp_path: Path
) -> None:
    name, _ = published(here)
    here.keep_only([])
    assert here.at(name).exists()
    cache = FolderCache(tmp_path / "here" / CACHE, 10**9, least_s=0)
    old = remote.RemoteStore(url, cache)
    old.keep_only([name])
    assert here.at(name).exists()
    old.keep_only([])
    assert not here.at(name).exists()


def test_an_unreachable_bucket_is_a_store_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in new_place("s3", tmp_path, monkeypatch):
        store = open_store(url, tmp_path / "here")
        name, _ = published(store)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setitem(
            remote._OPTIONS["s3"], "config_kwargs", {"retries": {"max_attempts": 1}}
        )
        away = open_store(url, tmp_path / "there")
        with pytest.raises(StoreUnavailableError, match="cannot be read now"):
            away.fetch(name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("/srv/corll", "is no URL of a version store"),
        ("http://example.org/x", "is no URL of a version store"),
        ("file://srv/corll", "is no absolute path"),
        ("s3://", "names no place"),
        ("s3://key:secret@bucket/x", "AWS_ENDPOINT_URL"),
        ("file:///srv/../etc", "more than a place"),
    ],
)
def test_a_url_that_names_no_store_is_refused(given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_url(given)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(remote.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match="pip install 'corll"):
        open_store("s3://bucket/x", tmp_path)
