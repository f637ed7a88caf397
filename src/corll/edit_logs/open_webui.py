"""Open WebUI: chats, with the answers that their reader rewrote in place.

An answer that was edited and saved has the edited text as `content` and, as `originalContent`, the
text before the last edit: of several edits in a row only the last is known. An edit that was saved
as a copy is not told from an answer that was drawn anew, and is passed over. The prompt is the
conversation up to that answer, as it stands now. *Source*: Open WebUI's documentation, "Import &
Export" (the JSON of a chat), and its `Messages.svelte`, which writes `originalContent`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import LoggedEdit, sent_in, text_in, time_in, user_in
from corll.edit_logs.payloads import prompt_in
from corll.files.formats import Record, kind_of
from corll.records import Prompt


def read_open_webui(path: Path) -> Iterator[LoggedEdit]:
    """Yield the rewritten answers of a file, chat by chat. *Raises*: InputError, RecordError."""
    for record in read_objects(path):
        # Of exports of before, a chat is the object itself.
        chat = record.part("chat", record.fields["chat"]) if "chat" in record.fields else record
        history = chat.part("history", chat.get("history"))
        messages = history.get("messages")
        if not isinstance(messages, dict):
            history.fail("messages", f"an object is expected, not {kind_of(messages)}")
        for name, fields in messages.items():
            message = history.part(f"messages.{name}", fields)
            if _is_rewritten(message):
                yield _edit(record, history, message, messages)


def _is_rewritten(message: Record) -> bool:
    fields = message.fields
    original = fields.get("originalContent")
    is_answer = fields.get("role") == "assistant"
    return is_answer and original is not None and original != fields.get("content")


def _edit(
    record: Record, history: Record, message: Record, messages: Mapping[str, Any]
) -> LoggedEdit:
    return LoggedEdit(
        _prompt(history, message, messages),
        text_in(message, "originalContent"),
        sent_in(message, "content", text_in(message, "content")),
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
        turns.append({"role": text_in(above, "role"), "content": above.fields.get("content")})
        name = above.fields.get("parentId")
    if not turns:
        message.fail("parentId", "is missing: the answer answers nothing")
    return prompt_in(message, "parentId", turns[::-1])
