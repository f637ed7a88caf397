"""The demo: a simulated writer against a service of its own, as the command runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from corll.cli.demo import main
from corll.service.store.accounts import LOCAL_NAMESPACE, find_user_by_name
from corll.service.store.database import Database
from corll.service.store.drafts import answers_of
from running_service import COACTIVE


def test_the_simulated_writer_teaches_a_version(
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**COACTIVE, "max_drift": 50, "model": tiny_model_folder}.items():
        monkeypatch.setenv(f"CORLL_{name.upper()}", str(value))
    main(["--rounds", "12", "--data-dir", str(tmp_path / "demo"), "--pause-s", "0.5"])
    said = capsys.readouterr().out
    assert re.search(r"Watch at http://127\.0\.0\.1:\d+/sign-in\?token=", said)
    assert "nobody real is behind it" in said
    assert re.search(r"after \d+ drafts: version [1-9]", said)
    database = Database.open(None, tmp_path / "demo")
    with database.read() as db:
        writer = find_user_by_name(db, LOCAL_NAMESPACE, "simulated letter writer")
        assert writer is not None
        answers = answers_of(db, writer.id)
    database.close()
    assert answers
