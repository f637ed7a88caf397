"""`corll learn --user you` from the first prompt to the report, through a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from corll.files.formats import read_preferences
from corll.files.run_folder import read_journal
from corll.frames import Framing
from patience import PATIENCE_S

ENTER, CTRL_D = "\r", "\x04"
EDIT = "Dear Anna, the parcel is late."


class Run:
    """The command with a person at its terminal, who edits by a program of their own."""

    def __init__(self, *arguments: object, editor: Path) -> None:
        self._child = pexpect.spawn(
            sys.executable,
            ["-c", "import sys; from corll.cli import main; sys.exit(main())", "learn"]
            + [str(argument) for argument in arguments],
            env={
                **os.environ,
                **{"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "40"},
                "VISUAL": f"{sys.executable} {editor}",
            },
            dimensions=(40, 200),
            encoding="utf-8",
            timeout=PATIENCE_S,
        )
        self._child.logfile_read = sys.stdout  # shown where a test fails
        self.shown = ""

    def see(self, text: str) -> Run:
        while self._child.expect_exact([text, "\x1b[6n"]):
            self.shown += self._child.before
            self._child.send("\x1b[1;1R")
        self.shown += self._child.before
        return self

    def press(self, keys: str) -> Run:
        self._child.send(keys)
        return self

    def ask(self, prompt: str) -> Run:
        return self.see("What shall I draft?").press(prompt + ENTER).see("Draft").see("q quit")

    def end(self) -> int | None:
        self.see("go on")
        self._child.expect(pexpect.EOF)
        self._child.close()
        status: int | None = self._child.exitstatus
        return status


@pytest.fixture
def editor(tmp_path: Path) -> Path:
    path = tmp_path / "editor.py"
    path.write_text(f"import sys\nopen(sys.argv[1], 'w').write({EDIT!r})\n")
    return path


def learner_state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / "adapter" / "corll_learner.json").read_text())
    return state


def test_a_person_is_asked_for_a_hint_and_shown_the_message_without_its_frame(
    tiny_model_folder: Path, tmp_path: Path, editor: Path
) -> None:
    folder = tmp_path / "run"
    run = Run(
        *("--user", "you", "--model", tiny_model_folder, "--output", folder, "--dtype", "float32"),
        *("--max-completion-length", "8", "--frame", "reply", "--sign-as", "Anna"),
        editor=editor,
    )
    run.see("Which message shall I answer?").press("Is it in?" + ENTER)
    run.see("What shall it say?").press("x" * 501 + ENTER).see("at most 500")
    for hint in ("yes, Fri", ""):
        run.see("Which message shall I answer?").press("Is it in?" + ENTER)
        run.see("What shall it say?").press(hint + ENTER)
        run.see("Is it in?").see("Draft").see("q quit").press(ENTER)
    run.see("Which message shall I answer?").press(CTRL_D)
    assert run.end() == 0
    assert "received this message" not in run.shown
    framed = [Framing("reply", hint, "Anna").around("Is it in?") for hint in ("yes, Fri", "")]
    assert [edit.draft.prompt for edit in read_journal(folder)] == framed

    lines = tmp_path / "more.jsonl"
    lines.write_text('{"prompt": "Coming?", "hint": "no", "sign_as": "Bo"}\n{"prompt": "When?"}')
    again = Run(
        *("--user", "you", "--model", tiny_model_folder, "--output", tmp_path / "file"),
        *("--max-completion-length", "8", "--frame", "write", "--prompts", lines, "--rounds", "2"),
        editor=editor,
    )
    for asked in ("Coming?", "When?"):
        again.see(asked).see("q quit").press(ENTER)
    assert again.end() == 0
    assert "received this message" not in again.shown
    assert [edit.draft.prompt for edit in read_journal(tmp_path / "file")] == [
        Framing("write", "no", "Bo").around("Coming?"),
        Framing("write").around("When?"),
    ]


def test_a_run_with_a_frame_needs_a_model_that_follows_it(
    tiny_gpt2_folder: Path, tmp_path: Path, editor: Path
) -> None:
    flags = ("--user", "you", "--model", tiny_gpt2_folder, "--output", tmp_path / "run")
    run = Run(*flags, "--frame", "reply", editor=editor)
    run.see("name an instruction model by --model")


def test_a_person_edits_accepts_skips_leaves_and_comes_back(
    tiny_model_folder: Path, tmp_path: Path, editor: Path
) -> None:
    folder = tmp_path / "run"
    run = Run(
        *("--user", "you", "--model", tiny_model_folder, "--output", folder, "--dtype", "float32"),
        *("--preferences-per-step", "1", "--max-completion-length", "8"),
        editor=editor,
    )
    run.see("What shall I draft?").press("Write <|end|>" + ENTER).see("remove it")
    run.see("What shall I draft?").press("very " * 600 + ENTER).see("Shorten")
    run.ask("Write to Anna.").press("v").see("Enter send").press(ENTER)
    run.ask("Write to Tom.").press(ENTER)
    run.ask("Write to Eva.").press("s")
    run.ask("Write to Max.").press("q")
    assert run.end() == 0
    edits = read_journal(folder)
    assert [edit.draft.prompt for edit in edits] == [
        *("Write to Anna.", "Write to Tom.", "Write to Eva.")
    ]
    assert [edit.text for edit in edits] == [EDIT, edits[1].draft.text, None]
    assert [p.chosen for p in read_preferences(folder / "preferences.jsonl")] == [EDIT]
    state = learner_state(folder)
    assert (state["rounds_played"], state["steps_taken"]) == (3, 1)

    again = Run("--resume", folder, editor=editor)
    again.ask("Write to Max.").press("v").see("Enter send").press(ENTER)
    again.see("What shall I draft?").press(CTRL_D)
    assert again.end() == 0
    assert read_journal(folder)[:3] == edits
    state = learner_state(folder)
    assert (state["rounds_played"], state["steps_taken"]) == (4, 2)
