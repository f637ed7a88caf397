"""A machine's copies: as many as fit, those that were used last, and none half-written."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from corll.service.version_store.cache import FolderCache


@pytest.fixture
def cache(tmp_path: Path) -> FolderCache:
    return FolderCache(tmp_path / "cache", 250, least_s=60)


def kept(cache: FolderCache, name: str, *, ago: float = 0.0) -> Path:
    """A copy of a hundred bytes that was used so many seconds ago."""
    new = cache.new_place()
    (new / "weights").write_bytes(b"." * 100)
    path = cache.keep(new, f"versions/{name}")
    os.utime(path, (time.time() - ago, time.time() - ago))
    return path


def test_the_copies_used_longest_ago_go_first(cache: FolderCache) -> None:
    kept(cache, "a", ago=400)
    kept(cache, "b", ago=300)
    cache.touch("versions/a")
    kept(cache, "c", ago=200)
    assert sorted(cache.names()) == ["versions/a", "versions/c"]
    kept(cache, "d")
    assert sorted(cache.names()) == ["versions/a", "versions/d"]


def test_what_was_used_just_now_stays_beyond_the_size(cache: FolderCache) -> None:
    for name in "abcd":
        kept(cache, name)
    assert len(cache.names()) == 4


def test_of_two_who_copy_at_once_one_is_kept_whole(cache: FolderCache) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: kept(cache, "same"), range(32)))
    assert len(paths) == 1
    assert [path.name for path in cache.folder.iterdir()] == ["versions"]
    assert (paths.pop() / "weights").stat().st_size == 100


def test_what_a_process_left_half_written_goes_after_an_hour(cache: FolderCache) -> None:
    old, new = cache.new_place(), cache.new_place()
    os.utime(old, (0, 0))
    cache.clear_leftovers()
    assert [path.name for path in cache.folder.iterdir()] == [new.name]
