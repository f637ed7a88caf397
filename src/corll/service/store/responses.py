"""Responses among the drafts: the conversation that one ends, and which others follow it.

Of a response a draft keeps, under `response`: `previous`, the id of the response that it follows;
`follows`, the ids of all whose texts were put into its prompt; `own`, how many of the prompt's last
messages came with it; `instructions`, whether the prompt's first one is; and what it was asked for
with. None of these is a text of the prompt, so that no text lies in two places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, select

from corll.records import Message, messages_of
from corll.service.store.drafts import DraftRow, edits_of_drafts
from corll.service.store.schema import drafts
from corll.text import space_before

Find = Callable[[str], DraftRow | None]
"""What returns the draft of an id."""


def sent_text(db: Connection, row: DraftRow) -> str | None:
    """Return what was sent in place of a draft's first choice, by its latest edit.

    White space before a draft is put before its edit too (`clean_edit`); nobody sent it.
    """
    texts = [
        edit.text
        for edit in edits_of_drafts(db, [row.id])
        if edit.choice == 0 and edit.state != "replaced"
    ]
    if not texts:
        return None
    return texts[-1].removeprefix(space_before(row.choice(0)["text"]))


def conversation_of(db: Connection, row: DraftRow, find: Find) -> tuple[list[Message], list[str]]:
    """Return the conversation that a response ends, as it was edited, and the ids of its responses.

    The instructions of no response are a part of it. Where an earlier response is not kept any
    more, what came before it stands as the later one's prompt has it.
    """
    turns: list[Message] = []
    ids: list[str] = []
    earlier: DraftRow | None = row
    while earlier is not None and earlier.response is not None:
        before, own = split_prompt(earlier)
        said = sent_text(db, earlier) or earlier.choice(0)["text"]
        turns[:0] = [*own, {"role": "assistant", "content": said}]
        ids.append(earlier.id)
        previous = earlier.response["previous"]
        earlier = None if previous is None or previous in ids else find(previous)
        if earlier is None:
            turns[:0] = before
    return turns, ids


def split_prompt(row: DraftRow) -> tuple[list[Message], list[Message]]:
    """Return the messages that stand before a response's own, and its own as they were written.

    Instructions are in neither.
    """
    assert row.response is not None
    messages = written(row)
    first = 1 if row.response["instructions"] else 0
    own = len(messages) - row.response["own"]
    return messages[first:own], messages[own:]


def written(row: DraftRow) -> list[Message]:
    """Return a draft's prompt as its user wrote it: the last message without its frame."""
    content = messages_of(row.prompt)
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    if row.asked is None:
        return list(content)
    return [*content[:-1], {**content[-1], "content": row.asked["message"]}]


def followers(db: Connection, draft_ids: Iterable[str], *, since: float = 0.0) -> set[str]:
    """Return the ids of responses whose prompts hold texts of these drafts, which one user has.

    With `since`, of those that were asked for at that time or later, in seconds since 1970.
    """
    ids = set(draft_ids)
    if not ids:
        return set()
    owner = select(drafts.c.user_id).where(drafts.c.id == min(ids)).scalar_subquery()
    theirs = (drafts.c.user_id == owner) & drafts.c.response.is_not(None)
    query = select(drafts.c.id, drafts.c.response).where(theirs, drafts.c.created_at >= since)
    found = set[str]()
    for row in db.execute(query.order_by(drafts.c.number)):
        if not (ids | found).isdisjoint(row.response["follows"]):
            found.add(row.id)
    return found - ids
