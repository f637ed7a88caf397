"""Open WebUI: chats, with the answers that their reader rewrote in place.

An answer that was edited and saved has the edited text as `content` and, as `originalContent`, the
text before the last edit: of several edits in a row only the last is known. A filter that changed
an answer leaves the same fields, and the file does not tell which it was. An edit that was saved as
a copy is not told from an answer that was drawn anew, and is passed over. The prompt is the
conversation up to that answer, as it stands now. Blocks of thinking, tool calls and code that was
run stand in the text of an answer; they are taken out of it. *Source*: Open WebUI's documentation,
"Import & Export" (the JSON of a chat), and its `Messages.svelte`, which writes `originalContent`;
for the blocks its `removeDetails`, which finds no nested ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import (
    Found,
    LoggedEdit,
    item_by_item,
    sent_in,
    text_in,
    time_in,
    user_in,
)
from corll.edit_logs.payloads import prompt_in
from corll.files.formats import Record, kind_of
from corll.records import Prompt

_TAG = re.compile(
    r"""<(?:(?P<closes>/)details\s*|details\b(?P<says>(?:[^<>"']|"[^"]*"|'[^']*')*+))>""",
    re.IGNORECASE,
)
_FOLDED = re.compile(r"""\stype=["']?(?:reasoning|tool_calls|code_interpreter)\b""", re.IGNORECASE)
_LINE_ENDS = re.compile(r"(?:[ \t]*\n)*")


def read_open_webui(path: Path) -> Iterator[Found]:
    """Yield the rewritten answers of a file, chat by chat. *Raises*: InputError, RecordError."""
    yield from item_by_item(read_objects(path), _of_chat)


def _of_chat(record: Record) -> Iterator[Found]:
    # Of exports of before, a chat is the object itself.
    chat = record.part("chat", record.fields["chat"]) if "chat" in record.fields else record
    history = chat.part("history", chat.get("history"))
    messages = history.get("messages")
    if not isinstance(messages, dict):
        history.fail("messages", f"an object is expected, not {kind_of(messages)}")

    def edits(named: tuple[str, Any]) -> Iterator[Found]:
        message = history.part(f"messages.{named[0]}", named[1])
        if _is_rewritten(message):
            yield _edit(record, history, message, messages)

    yield from item_by_item(messages.items(), edits)


def _is_rewritten(message: Record) -> bool:
    fields = message.fields
    original = fields.get("originalContent")
    if fields.get("role") != "assistant" or original is None:
        return False
    return bool(_unfolded(original) != _unfolded(fields.get("content")))


def _edit(
    record: Record, history: Record, message: Record, messages: Mapping[str, Any]
) -> LoggedEdit:
    return LoggedEdit(
        _prompt(history, message, messages),
        _unfolded(text_in(message, "originalContent")),
        sent_in(message, "content", _unfolded(text_in(message, "content"))),
        user_in(record.fields.get("user_id")),
        time_in(message, "timestamp"),
        record.line,
    )


def _prompt(history: Record, message: Record, messages: Mapping[str, Any]) -> Prompt:
    """Return the conversation that a message answers, from its first message on."""
    turns: list[dict[str, Any]] = []
    seen: set[str] = set()
    name = message.fields.get("parentId")
    while name is not None:
        if name not in messages or name in seen:
            message.fail("parentId", f"leads to {name!r}, which is not there or comes twice")
        seen.add(name)
        above = history.part(f"messages.{name}", messages[name])
        turns.append(_turn(above))
        name = above.fields.get("parentId")
    if not turns:
        message.fail("parentId", "is missing: the answer answers nothing")
    if turns[0]["content"] in ("", None):
        message.fail("parentId", "leads to a message that is empty")
    return prompt_in(message, "parentId", turns[::-1])


def _turn(message: Record) -> dict[str, Any]:
    """Return a message of the conversation. *Raises*: RecordError where it shows an image."""
    role, content = text_in(message, "role"), message.fields.get("content")
    files = message.fields.get("files") or []
    for n, file in enumerate(files if isinstance(files, list) else ()):
        if isinstance(file, dict) and _is_image(file):
            message.fail(f"files[{n}]", "is an image; images are not read")
    return {"role": role, "content": _unfolded(content) if role == "assistant" else content}


def _is_image(file: Mapping[str, Any]) -> bool:
    return file.get("type") == "image" or str(file.get("content_type")).startswith("image/")


def _unfolded(content: Any) -> Any:
    """Return the text of an answer without the blocks that the page shows folded."""
    if not isinstance(content, str):
        return content
    tags = list(_TAG.finditer(content))
    ends = _ends(tags)
    kept: list[str] = []
    place = 0
    for tag in tags:
        start = tag.start()
        if start >= place and start in ends and _FOLDED.search(tag["says"] or ""):
            kept.append(content[place:start])
            found = _LINE_ENDS.match(content, ends[start])
            place = found.end() if found else ends[start]
    return "".join([*kept, content[place:]]).strip("\n") if kept else content


def _ends(tags: Sequence[re.Match[str]]) -> dict[int, int]:
    """Return where the block that each tag opens ends; of one without its own end, at the next."""
    ends: dict[int, int] = {}
    open_now: list[int] = []
    for tag in tags:
        if not tag["closes"]:
            open_now.append(tag.start())
        elif open_now:
            ends[open_now.pop()] = tag.end()
    following = None
    for tag in reversed(tags):
        if tag["closes"]:
            following = tag.end()
        elif following is not None:
            ends.setdefault(tag.start(), following)
    return ends
