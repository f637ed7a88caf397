"""A catalogue of tiny models, whose wheels are made by the test and lie in a folder."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from corll.catalog import entries
from corll.catalog.entries import CatalogModel, Hub, Wheels
from corll.catalog.shapes import Shape

SHAPE = Shape(layers=1, hidden=32, inner=64, heads=4, kv_heads=4, vocab=400, head_dim=8, tied=False)


def write_wheel(folder: Path, package: str, content: bytes, *, member: str = "") -> Path:
    """Write a wheel that pip takes, with one file in it: by default PACKAGE/data/part.bin."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        member or f"{package}/data/part.bin": content,
        f"{package}-1.0.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode()
        ),
        f"{package}-1.0.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = f"{package}-1.0.dist-info/RECORD"
    lines = [f"{name},{_digest(data)},{len(data)}" for name, data in files.items()]
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(record, "\n".join([*lines, f"{record},,"]) + "\n")
    return path


def model_of(
    name: str, content: bytes, *, parts: int = 3, shape: Shape = SHAPE, for_gpus: bool = False
) -> CatalogModel:
    """A model whose file is `content`, in so many wheels called NAME_part1 and so on."""
    package = name.replace("-", "_")
    source = Wheels(
        requirement=f"{package}_part{{number}}==1.0",
        member=f"{package}_part{{number}}/data/part.bin",
        parts=parts,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return CatalogModel(name, "a model", "for tests", "MIT", shape, source, for_gpus)


def write_wheels_of(model: CatalogModel, content: bytes, folder: Path) -> list[Path]:
    """Write the wheels of a model; the last part is the shortest, and may be empty."""
    assert isinstance(model.source, Wheels)
    length = -(-len(content) // model.source.parts)
    package = model.name.replace("-", "_")
    return [
        write_wheel(folder, f"{package}_part{number + 1}", content[number * length :][:length])
        for number in range(model.source.parts)
    ]


def of_the_hub(name: str, repository: str) -> CatalogModel:
    """A model of the hub."""
    return replace(model_of(name, b""), source=Hub(repository))


def use_catalog(patch: pytest.MonkeyPatch, models: Sequence[CatalogModel], wheels: Path) -> None:
    """Take these models for the catalogue, and this folder for the only registry that pip knows."""
    patch.setattr(entries, "CATALOG", tuple(models))
    wheels.mkdir(parents=True, exist_ok=True)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(wheels))
    patch.setenv("PIP_CONFIG_FILE", "/dev/null")


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"
