"""The person at the terminal: shows a draft, takes an edit, and loses nothing on the way."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from corll.cli.framing import FramedPrompts
from corll.edits import word_diff
from corll.errors import InputError
from corll.evaluation import question
from corll.feedback import UserLeftError
from corll.records import Draft, Prompt
from corll.text import clean_edit, is_control, same_text

_STYLES = {"keep": "", "delete": "red strike", "insert": "bold green"}
_EDITOR_TOOLBAR = " Ctrl-S or Esc Enter: done · Ctrl-C: leave without this edit "
_DRAFT_KEYS = {"enter": "accept", "e": "edit", "v": "open", "o": "open", "s": "skip", "q": "quit"}
_WHAT = {
    "none": "What shall I draft? ",
    "write": "What shall I write about? ",
    "reply": "Which message shall I answer? ",
}
_CONFIRM_KEYS = {"enter": "send", "e": "edit", "v": "open", "o": "open", "b": "back"}


class TerminalUser:
    """A `User` that is a person, who accepts, edits in place or in $EDITOR, skips, or leaves.

    `check` raises InputError for an edit that could not be learned from: the person is told why,
    and edits it again. `asked` says what is shown of a prompt.
    """

    def __init__(
        self,
        console: Console,
        *,
        check: Callable[[Draft, str], object],
        asked: Callable[[Prompt], str] = question,
    ) -> None:
        self._console, self._check, self._asked = console, check, asked

    def edit(self, draft: Draft) -> str | None:
        """Return the text that the person sends, or None for a skipped draft.

        *Raises*: UserLeftError where the person leaves (q, Ctrl-C, Ctrl-D).
        """
        self._console.print(_panel("Prompt", self._asked(draft.prompt)))
        self._console.print(_panel("Draft", draft.text))
        while True:
            action = _press(
                "Enter accept · e edit · v open in $EDITOR · s skip · q quit", _DRAFT_KEYS
            )
            if action == "accept":
                return draft.text
            if action == "skip":
                return None
            edited = self._edited(draft, edit=_edit_in_place if action == "edit" else self._open)
            if edited is not None:
                return edited

    def _edited(self, draft: Draft, *, edit: Callable[[str], str]) -> str | None:
        """Edit until the person sends a text that can be learned from; return None to go back."""
        text = draft.text
        while True:
            text = edit(text)
            problem = self._problem(draft, text)
            if problem is None:
                self._console.print(_diff(draft.text, clean_edit(text, draft.text)))
                question_ = "Enter send · e edit again · v open in $EDITOR · b back to the draft"
            else:
                self._console.print(Text(problem, style="yellow"))
                question_ = "e edit again · v open in $EDITOR · b back to the draft"
            keys = {k: v for k, v in _CONFIRM_KEYS.items() if problem is None or v != "send"}
            action = _press(question_, keys)
            if action == "send":
                return clean_edit(text, draft.text)
            if action == "back":
                return None
            edit = _edit_in_place if action == "edit" else self._open

    def _problem(self, draft: Draft, text: str) -> str | None:
        """Say why an edit cannot be sent; return None where it can."""
        if same_text(draft.text, text):
            return "Nothing was changed. To send the draft as it is, go back and accept it."
        try:
            self._check(draft, clean_edit(text, draft.text))
        except InputError as error:
            return str(error)
        return None

    def _open(self, text: str) -> str:
        """Return the text as it comes back from the person's editor; unchanged where that fails."""
        command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        with tempfile.TemporaryDirectory(prefix="corll-") as folder:
            file = Path(folder) / "draft.txt"
            file.write_text(text, encoding="utf-8")
            try:
                subprocess.run([*shlex.split(command), str(file)], check=True)
                return file.read_text(encoding="utf-8")
            except (OSError, ValueError, subprocess.CalledProcessError) as error:
                self._console.print(
                    Text(f"The editor {command!r} gave no text: {error}", style="yellow")
                )
                return text


def typed_prompts(
    console: Console, framed: FramedPrompts, *, check: Callable[[Prompt], object]
) -> Iterator[Prompt]:
    """Ask for one prompt after the other, with a frame for a hint too, until the person leaves.

    `check` raises InputError for a prompt that cannot be drafted for: the person is told why, and
    asked for another.
    """
    session: PromptSession[str] = PromptSession(reserve_space_for_menu=0)
    console.print(Text("Enter drafts your prompt · Ctrl-D leaves", style="dim"))
    while True:
        try:
            text = session.prompt(_WHAT[framed.framing.frame]).strip()
            if not text:
                continue
            has_hint = framed.framing.frame != "none"
            hint = session.prompt("What shall it say? ").strip() if has_hint else ""
        except (EOFError, KeyboardInterrupt):
            return
        try:
            prompt = framed.typed(text, hint)
            check(prompt)
        except InputError as error:
            console.print(Text(str(error), style="yellow"))
        else:
            yield prompt


def visible(text: str) -> str:
    """Make control characters of a text visible: a draft must not steer the terminal."""
    return "".join(f"\\x{ord(c):02x}" if is_control(c) or c == "\r" else c for c in text)


def _panel(title: str, text: str) -> Panel:
    shown = Text(visible(text)) if text.strip() else Text("(nothing)", style="dim")
    return Panel(shown, title=title, title_align="left", border_style="dim")


def _diff(draft: str, edited: str) -> Panel:
    shown = Text()
    for change in word_diff(draft, edited):
        shown.append(visible(change.text), style=_STYLES[change.kind])
    return Panel(shown, title="Your edit", title_align="left", border_style="dim")


def _press(question_: str, keys: Mapping[str, str]) -> str:
    """Return the action of the key that is pressed; other keys do nothing.

    *Raises*: UserLeftError for the action `quit`, Ctrl-C and Ctrl-D.
    """
    bindings = KeyBindings()

    def ignore(event: KeyPressEvent) -> None:
        """Ignore what is typed."""

    def leave(event: KeyPressEvent) -> None:
        event.app.exit(result="quit")

    def choose(event: KeyPressEvent) -> None:
        name = event.key_sequence[0].key
        event.app.exit(result=keys["enter" if name == Keys.Enter else str(name)])

    for key in (Keys.Any, Keys.BracketedPaste, Keys.Enter):
        bindings.add(key)(ignore)
    for key in (Keys.ControlC, Keys.ControlD):
        bindings.add(key, eager=True)(leave)
    for key_name in keys:
        bindings.add(key_name, eager=True)(choose)
    session: PromptSession[str] = PromptSession(key_bindings=bindings, reserve_space_for_menu=0)
    action = session.prompt(f"{question_} ")
    if action == "quit":
        raise UserLeftError
    return action


def _edit_in_place(text: str) -> str:
    """Return the text as the person leaves it in a buffer of several lines."""
    bindings = KeyBindings()
    bindings.add(Keys.ControlS, eager=True)(
        lambda event: event.current_buffer.validate_and_handle()
    )
    session: PromptSession[str] = PromptSession(
        multiline=True,
        key_bindings=bindings,
        bottom_toolbar=_EDITOR_TOOLBAR,
        reserve_space_for_menu=0,
    )
    try:
        return session.prompt(default=text)
    except (EOFError, KeyboardInterrupt) as error:
        raise UserLeftError from error
