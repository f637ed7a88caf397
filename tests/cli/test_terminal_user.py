"""The person at the terminal, driven through a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from corll.cli.terminal_user import visible
from patience import PATIENCE_S

# Loading the terminal's libraries takes longer than a test; one process takes many drafts.
PROGRAM = """
import json, os
from rich.console import Console
from corll.cli.terminal_user import TerminalUser
from corll.errors import InputError
from corll.feedback import UserLeftError
from corll.records import Draft, Sample
def check(draft, text):
    if "<|end|>" in text:
        raise InputError("The edit contains '<|end|>'; remove it.")
while True:
    request = json.loads(input("next? "))
    os.environ.update(request["environment"])
    draft = Draft("Write to Anna.", (Sample(request["draft"], (1,), -1.0, True),))
    try:
        answer = {"text": TerminalUser(Console(), check=check).edit(draft)}
    except UserLeftError:
        answer = {"left": True}
    print("answer:", json.dumps(answer))
"""
DRAFT = "Hi Anna,\nthe parcel is late."


class Terminal:
    """A terminal as a person has it: it shows, takes keys, and answers where its cursor is."""

    def __init__(self) -> None:
        self._child = pexpect.spawn(
            sys.executable,
            ["-c", PROGRAM],
            env={**os.environ, "TERM": "xterm-256color"},
            dimensions=(40, 200),
            encoding="utf-8",
            timeout=PATIENCE_S,
        )
        self._child.delaybeforesend = None
        self.idle = True

    def show(self, draft: str, **environment: str) -> Terminal:
        self.see(r"next\? ")
        self.idle = False
        self._child.sendline(json.dumps({"draft": draft, "environment": environment}))
        return self.see("Write to Anna.").see("q quit")

    def see(self, text: Any) -> Terminal:
        while self._child.expect([text, r"\x1b\[6n"]):
            self._child.send("\x1b[1;1R")
        return self

    def press(self, keys: str) -> Terminal:
        self._child.send(keys)
        return self

    def answer(self) -> Any:
        self.see(r"answer: (.*?)\r")
        self.idle = True
        return json.loads(self._child.match.group(1))

    def close(self) -> None:
        self._child.close(force=True)


_terminals: list[Terminal] = []


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    for opened in _terminals:
        opened.close()


@pytest.fixture
def terminal() -> Terminal:
    """A terminal that waits for a draft; a new one where a test left the last one in the middle."""
    if not _terminals or not _terminals[-1].idle:
        _terminals.append(Terminal())
    return _terminals[-1]


@pytest.fixture
def shown(terminal: Terminal) -> Terminal:
    return terminal.show(DRAFT)


CTRL_C, CTRL_D, CTRL_S, CTRL_U, ESCAPE = "\x03", "\x04", "\x13", "\x15", "\x1b"


def test_enter_accepts(shown: Terminal) -> None:
    assert shown.press("\r").answer() == {"text": DRAFT}


def test_s_gives_no_feedback_and_other_keys_do_nothing(shown: Terminal) -> None:
    assert shown.press("xyz1?").press("s").answer() == {"text": None}


@pytest.mark.parametrize("key", ["q", CTRL_C, CTRL_D])
def test_leaving(shown: Terminal, key: str) -> None:
    assert shown.press(key).answer() == {"left": True}


def test_an_edit_in_place_is_shown_as_a_diff_and_confirmed(shown: Terminal) -> None:
    shown.press("e").see("Ctrl-S or Esc Enter").press(" Sorry!" + CTRL_S)
    shown.see(r"\x1b\[1;32m Sorry!").see("Enter send").press("\r")
    assert shown.answer() == {"text": DRAFT + " Sorry!"}


def test_escape_enter_sends_and_an_edit_is_edited_again(shown: Terminal) -> None:
    shown.press("e").see("Ctrl-S").press(" One" + ESCAPE + "\r").see("e edit again")
    shown.press("e").see("Ctrl-S").press(" two" + CTRL_S).see("Enter send").press("\r")
    assert shown.answer() == {"text": DRAFT + " One two"}


def test_back_to_the_draft(shown: Terminal) -> None:
    shown.press("e").see("Ctrl-S").press(" no" + CTRL_S).see("b back").press("b")
    assert shown.see("q quit").press("\r").answer() == {"text": DRAFT}


def test_leaving_out_of_the_editor(shown: Terminal) -> None:
    assert shown.press("e").see("Ctrl-S").press(CTRL_C).answer() == {"left": True}


def test_an_empty_edit_is_explained_and_asked_again(terminal: Terminal) -> None:
    terminal.show("Hi.").press("e")
    terminal.see("Ctrl-S").press(CTRL_U + CTRL_S).see("edit is empty").see("edit again").press("e")
    terminal.see("Ctrl-S").press("Hello." + CTRL_S).see("Enter send").press("\r")
    assert terminal.answer() == {"text": "Hello."}


def test_an_unchanged_edit_is_no_acceptance(shown: Terminal) -> None:
    shown.press("e").see("Ctrl-S").press("  " + CTRL_S).see("Nothing was changed").see("b back")
    assert shown.press("\r").press("b").see("q quit").press("s").answer() == {"text": None}


def test_an_edit_that_cannot_be_learned_from_is_edited_again_and_not_lost(shown: Terminal) -> None:
    shown.press("e").see("Ctrl-S or Esc Enter").press(" Sorry<|end|>" + CTRL_S)
    shown.see("remove it").see("e edit again").press("\r")  # which sends nothing
    shown.press("e").see("Ctrl-S or Esc Enter").press("\x7f" * 7 + CTRL_S)
    shown.see("Enter send").press("\r")
    assert shown.answer() == {"text": DRAFT + " Sorry"}


def test_a_control_character_of_the_draft_is_gone_from_its_edit(terminal: Terminal) -> None:
    terminal.show("bell\x07").press("e")
    terminal.see("Ctrl-S").press("s" + CTRL_S).see("Enter send").press("\r")
    assert terminal.answer() == {"text": "bells"}


def script(folder: Path, body: str) -> str:
    path = folder / "my editor"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return f"'{path}' -w"


@pytest.mark.parametrize(("key", "variable"), [("v", "VISUAL"), ("o", "EDITOR")])
def test_the_editor_of_ones_own(
    terminal: Terminal, tmp_path: Path, key: str, variable: str
) -> None:
    command = script(tmp_path, 'sed -i "s/Hi/Dear/" "$2"; echo "Yours, Ö" >> "$2"')
    environment = {"VISUAL": "", "EDITOR": "false", variable: command}
    terminal.show(DRAFT, **environment).press(key).see("Enter send")
    expected = "Dear Anna,\nthe parcel is late.Yours, Ö"
    assert terminal.press("\r").answer() == {"text": expected}


@pytest.mark.parametrize("command", ["false", "no-such-editor", "'unclosed"])
def test_an_editor_that_fails_is_explained(terminal: Terminal, command: str) -> None:
    terminal.show(DRAFT, VISUAL=command).press("v").see("gave no text")
    terminal.see("b back").press("b").see("q quit").press("\r")
    assert terminal.answer() == {"text": DRAFT}


def test_a_draft_does_not_steer_the_terminal() -> None:
    assert visible("a\x1b[2Jb\x9bc\td\n") == "a\\x1b[2Jb\\x9bc\td\n"
