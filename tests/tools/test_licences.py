"""What we ship is under licences that allow it."""

from __future__ import annotations

import json
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from licences import ROOT, bundled, installed, is_allowed, licence_of, not_allowed


def test_what_is_installed_and_bundled_here_is_allowed() -> None:
    found = installed("corll", ("serve", "meaning", "lab", "report"))
    assert {"torch", "transformers", "fastapi", "datasets", "tensorboard"} < found.keys()
    assert "corll" not in found
    assert "schemathesis" not in found  # of the extra `dev`
    desk = bundled(ROOT / "web" / "package-lock.json")
    assert desk
    assert list(not_allowed({**found, **desk})) == []


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-or-later", False),
        ("LGPL-3.0-only", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_which_licences_allow_to_ship(expression: str, allowed: bool) -> None:
    assert is_allowed(expression) is allowed


def test_an_exception_is_for_one_licence_of_one_package() -> None:
    assert list(not_allowed({"psycopg": "LGPL-3.0-only"})) == []
    assert "GPL-3.0-only" in next(not_allowed({"psycopg": "GPL-3.0-only"}))
    assert "other is under 'LGPL-3.0-only'" in next(not_allowed({"other": "LGPL-3.0-only"}))
    assert "nameless does not say" in next(not_allowed({"nameless": ""}))


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("License-Expression: MIT AND Zlib\nLicense: other", "MIT AND Zlib"),
        ("Classifier: License :: OSI Approved :: MIT License", "MIT"),
        (
            "Classifier: License :: OSI Approved :: Apache Software License\n"
            "Classifier: License :: OSI Approved :: MIT License",
            "Apache-2.0 AND MIT",
        ),
        ("License: 3-Clause BSD License", "BSD-3-Clause"),
        ("Summary: none", ""),
    ],
)
def test_where_a_package_says_its_licence(tmp_path: Path, lines: str, licence: str) -> None:
    folder = tmp_path / "a-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: a\nVersion: 1\n{lines}\n")
    assert licence_of(Distribution.at(folder)) == licence


def test_the_desk_is_made_of_what_is_not_for_its_building(tmp_path: Path) -> None:
    lock = tmp_path / "package-lock.json"
    packages = {
        "": {"name": "desk"},
        "node_modules/a": {"license": "MIT"},
        "node_modules/a/node_modules/@b/c": {},
        "node_modules/d": {"license": "GPL-3.0-only", "dev": True},
    }
    lock.write_text(json.dumps({"packages": packages}))
    assert bundled(lock) == {"npm:a": "MIT", "npm:@b/c": ""}
