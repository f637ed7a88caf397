"""What is written into the data folder is its owner's alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from corll.cli.adapters import main
from corll.policy import Policy
from corll.service.store.database import Database
from running_service import running_service, settings_for, until
from tiny_models import perturb_adapter


@pytest.fixture(autouse=True)
def _everybody_reads() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    assert os.umask(before) == 0o022


def modes(folder: Path) -> set[str]:
    """Of a folder and all in it; files without the right to execute."""
    found = [folder, *folder.rglob("*")]
    assert any(path.is_file() for path in found)
    return {
        f"{'folder' if path.is_dir() else 'file'} {stat.S_IMODE(path.stat().st_mode):o}"
        for path in found
    }


def test_an_adapter_that_a_command_imports(policy: Policy, tmp_path: Path) -> None:
    perturb_adapter(policy)
    policy.save(tmp_path / "adapter")
    assert "file 644" in modes(tmp_path / "adapter")
    Database.open(None, tmp_path / "data").close()
    main(["import", str(tmp_path / "adapter"), "--data-dir", str(tmp_path / "data")])
    assert modes(tmp_path / "data" / "references") == {"folder 700", "file 600"}


def test_a_version_that_the_learner_makes(tiny_model_folder: Path, tmp_path: Path) -> None:
    with running_service(settings_for(tiny_model_folder, tmp_path)) as service:
        until(lambda: httpx.get(f"{service.url}/readyz").json()["learner"] == "ready")
        drafts = [service.draft(user="ann", seed=seed) for seed in range(2)]
        service.put("users/ann/consent", {"learn": True})
        for draft in drafts:
            service.post("edits", {"draft_id": draft["id"], "text": "Sorry about that."})
        until(lambda: service.get("users/ann")["serving"])
    assert modes(tmp_path / "versions") == {"folder 700", "file 600"}
