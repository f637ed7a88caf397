"""The folder of a replay: what is written is read back, and another replay is not mixed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from corll.errors import ConfigError, RecordError, RunFolderError
from corll.replay.folder import ReplayFolder
from corll.replay.scores import ArmScore, ScoredEdit

EDITS = [
    ScoredEdit("bo", 1, 3, "edit", 4, {"base": ArmScore(2.5, None), "sft": ArmScore(2.0, 0.25)}),
    ScoredEdit("bo", 2, 1, "left out", reason="Too long."),
    ScoredEdit("al", 1, 2, "accepted"),
]


def test_what_was_scored_is_read_back_by_user_without_a_torn_line(tmp_path: Path) -> None:
    with ReplayFolder.open(tmp_path / "r", {"a": (1, 2)}) as folder:
        for edit in EDITS:
            folder.append(edit)
    with (tmp_path / "r" / "edits.jsonl").open("a") as file:
        file.write('{"user": "al", "num')
    with ReplayFolder.open(tmp_path / "r", {"a": [1, 2]}) as folder:
        assert folder.scored() == {"bo": EDITS[:2], "al": EDITS[2:]}


def test_a_replay_that_was_begun_otherwise_is_left_alone(tmp_path: Path) -> None:
    with ReplayFolder.open(tmp_path, {"log": "a", "model": 1}) as folder:
        folder.append(EDITS[0])
    with pytest.raises(ConfigError, match=r"begun otherwise \(log\).*--output"):
        ReplayFolder.open(tmp_path, {"log": "b", "model": 1})
    with ReplayFolder.open(tmp_path, {"log": "a", "model": 1}) as folder:
        assert folder.scored() == {"bo": EDITS[:1]}


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    with (
        ReplayFolder.open(tmp_path, {}),
        pytest.raises(RunFolderError, match="in use by another process"),
    ):
        ReplayFolder.open(tmp_path, {})


def test_a_line_of_another_form_is_named(tmp_path: Path) -> None:
    (tmp_path / "edits.jsonl").write_text('{"user": "bo"}\n')
    with (
        ReplayFolder.open(tmp_path, {}) as folder,
        pytest.raises(RecordError, match=r"edits\.jsonl, line 1: not a scored edit"),
    ):
        folder.scored()
