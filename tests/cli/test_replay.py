"""`corll replay` from the log to the page, stopped and given again, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corll.cli import main
from corll.files.run_folder import read_config
from corll.replay.folder import ReplayFolder

CLOSED = "\nKind regards, Anna"
DRAFTS = [f"The parcel {word}." for word in "is late|will come|was here|is clean|may go".split("|")]
FLAGS = (
    *("--dtype", "float32", "--learning-rate", "0.01", "--warmup-steps", "0"),
    *("--replay-per-step", "2", "--memory-texts", "2"),
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    rows = [
        {"prompt": f"Parcel {n}?", "draft": draft, "sent": draft + CLOSED, "user": user, "time": n}
        for user in ("bo", "al")
        for n, draft in enumerate(DRAFTS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def replay(log: Path, roomy_model_folder: Path, tmp_path: Path) -> Any:
    def run(*flags: object, file: Path = log) -> int:
        model = ("--model", str(roomy_model_folder), "--output", str(tmp_path / "out"))
        return main(["replay", str(file), *model, *FLAGS, *map(str, flags)])

    return run


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "edits.jsonl").read_text().splitlines()]


def test_from_the_log_to_the_page(
    replay: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay() == 0
    out, printed = tmp_path / "out", capsys.readouterr().out
    page = (out / "report.md").read_text()
    assert page.strip() in printed
    assert "10 edits of 2 users (form: plain)" in page
    assert [f"| {arm} |" in page for arm in ("base", "memory", "sft", "coactive", "both")] == [
        True
    ] * 5
    assert (out / "replay.png").read_bytes().startswith(b"\x89PNG")
    found = lines(out)
    assert [(edit["user"], edit["number"]) for edit in found] == [
        (user, n) for user in ("bo", "al") for n in range(1, 6)
    ]
    # A user's first edits are scored by the base, whatever another user taught.
    for edit in (found[0], found[5]):
        surprisals = {score["surprisal"] for score in edit["arms"].values()}
        assert len(surprisals) == 1
    config = read_config(out)
    assert config["model"]["dtype"] == "float32"
    assert config["settings"]["coactive"]["learning_rate"] == 0.01


def test_a_replay_that_was_stopped_ends_with_the_same_page(
    replay: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert replay() == 0
    whole, page = lines(tmp_path / "out"), (tmp_path / "out" / "report.md").read_text()
    (tmp_path / "out").rename(tmp_path / "whole")
    append, written = ReplayFolder.append, []

    def stops(self: ReplayFolder, edit: Any) -> None:
        if len(written) == 7:
            raise KeyboardInterrupt
        append(self, edit)
        written.append(edit)

    with monkeypatch.context() as patch:
        patch.setattr(ReplayFolder, "append", stops)
        assert replay() == 130
    assert lines(tmp_path / "out") == whole[:7]
    assert replay() == 0
    assert lines(tmp_path / "out") == whole
    assert (tmp_path / "out" / "report.md").read_text() == page


def test_arms_and_the_latest_edits_can_be_chosen(replay: Any, tmp_path: Path) -> None:
    assert replay("--arms", "coactive", "--most", "2") == 0
    found = lines(tmp_path / "out")
    assert [edit["line"] for edit in found] == [4, 5, 9, 10]
    assert all(list(edit["arms"]) == ["base", "coactive"] for edit in found)
    assert "too few edits" in (tmp_path / "out" / "report.md").read_text()


def test_another_tool_s_log(replay: Any, tmp_path: Path) -> None:
    file = Path(__file__).parents[1] / "edit_logs" / "files" / "open-webui.json"
    assert replay("--from", "open-webui", "--arms", "base", "memory", file=file) == 0
    assert [edit["user"] for edit in lines(tmp_path / "out")] == ["user-1"] * 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--arms", "dpo"], "no arm 'dpo'; there are base, memory, sft, coactive, both"),
        (["--memory", "none"], "--memory none leaves nothing"),
        (["--from", "trl"], "line 1, field 'chosen': is missing"),
        (["--from", "argilla"], "line 1, field 'fields'"),
    ],
)
def test_what_is_refused_before_a_model_is_loaded(
    replay: Any, flags: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert replay(*flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_replay_is_left_alone(
    replay: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay("--arms", "base") == 0
    before = (tmp_path / "out" / "edits.jsonl").read_bytes()
    assert replay("--arms", "base", "--seed", "5") == 2
    assert "begun otherwise (settings)" in capsys.readouterr().err
    assert (tmp_path / "out" / "edits.jsonl").read_bytes() == before
