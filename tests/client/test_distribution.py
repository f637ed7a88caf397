"""`corll-client` by itself: built, installed into an empty environment, used on a real service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from corll.version import __version__
from documents import ROOT
from running_service import ADMIN_KEY, running_service, settings_for

CLIENT = ROOT / "clients" / "python"
LARGEST_BYTES = 30_000_000

PROGRAM = """
import json, sys
from corll_client import Corll

with Corll() as client:
    asked = [{"role": "user", "content": "The parcel is late."}]
    draft = client.chat.completions.create(model="corll", messages=asked, safety_identifier="anna")
    client.consent.update(store=True, learn=True, user="anna")
    edit = client.edits.create(draft_id=draft.id, text="Hello, it comes on Friday.")
    (listed,) = client.drafts.list(user="anna").data
heavy = sorted({"torch", "transformers", "numpy", "corll"} & set(sys.modules))
print(json.dumps({"learns": edit.will_learn, "same": listed.id == draft.id, "heavy": heavy}))
"""

MEASURE = """
import json
from importlib.metadata import distributions

found = {}
for one in distributions():
    files = [file.locate() for file in one.files or () if file.suffix != ".pyc"]
    found[one.name.lower()] = sum(file.stat().st_size for file in files if file.exists())
print(json.dumps(found))
"""


def pip(python: Path | str, *arguments: str) -> None:
    """Run pip, or skip where no index answers."""
    command = [str(python), "-m", "pip", "-q", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and re.search("No matching distribution|Failed to establish", done.stderr):
        pytest.skip(f"no package index answers: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which nothing but the client was installed."""
    folder = tmp_path_factory.mktemp("distribution")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(CLIENT))
    (wheel,) = folder.glob("corll_client-*.whl")
    assert wheel.name == f"corll_client-{__version__}-py3-none-any.whl"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip(python, "install", "--no-compile", str(wheel))
    return python


def asked(python: Path, program: str, **environment: str) -> dict[str, object]:
    """Run a program there, away from the repository, and return what it prints."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-I", "-c", program],
        env={**plain, **environment},
        cwd=python.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_it_is_small_and_needs_no_torch(python: Path) -> None:
    sizes = asked(python, MEASURE)
    own = {name: size for name, size in sizes.items() if name not in ("pip", "setuptools")}
    assert {"corll-client", "openai", "pydantic"} <= own.keys()
    assert own.keys().isdisjoint({"corll", "torch", "transformers", "numpy"})
    assert sum(int(str(size)) for size in own.values()) <= LARGEST_BYTES


@pytest.mark.slow
def test_it_drafts_and_sends_an_edit(python: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    with running_service(settings_for(tiny_model_folder, tmp_path, learn=False)) as service:
        found = asked(python, PROGRAM, CORLL_BASE_URL=service.url, CORLL_API_KEY=ADMIN_KEY)
    assert found == {"learns": True, "same": True, "heavy": []}


def test_both_distributions_hold_the_client() -> None:
    """So that a clone installs at once, though the client is on no index."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = whole["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "clients/python/src/corll_client" in wheel["packages"]
    own = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {*whole["project"]["dependencies"], *whole["project"]["optional-dependencies"]["dev"]}
    assert set(own["dependencies"]) <= bounds
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
