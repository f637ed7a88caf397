"""What two users do while their service is killed: draft, edit, import, delete.

An act ends with an exception of httpx where the service goes; the ledger has what was told before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any, Protocol

import httpx

from crash.ledger import Ledger, SentDeletion, SentEdit, SentImport
from crash.service import AnswerError, Service

ANN, BEN = USERS = ("ann", "ben")
_TEXTS_OF_AN_IMPORT = 12
"""So many that some are held out, and cost and surprisal are measured before and after."""


class Asked(Protocol):
    """An API that is asked."""

    def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Ask. *Raises*: httpx.TransportError where it is gone; AnswerError."""
        ...


class Acts:
    """The acts of one user. `lock` guards the ledger, which the other user writes in too."""

    def __init__(self, service: Asked, ledger: Ledger, user: str, lock: threading.Lock) -> None:
        self._service, self._ledger, self._user, self._lock = service, ledger, user, lock

    def agree(self) -> None:
        """Let texts be learned from."""
        self.draft()
        self._service.ask("PUT", f"users/{self._user}/consent", json={"learn": True})

    def draft(self) -> None:
        """Draft, and leave it at that."""
        self._draft(self._mark())

    def teach(self, edits: int = 2) -> None:
        """Draft and edit, so often that a step is due."""
        for _ in range(edits):
            prompt_mark, mark = self._mark(), self._mark()
            draft_id = self._draft(prompt_mark)
            edit = SentEdit(
                self._user, draft_id, f"Dear Ms Lopez, note {mark} came.", mark, prompt_mark
            )
            self._ledger.edits.append(edit)
            send(self._service, edit)

    def ask_to_learn(self) -> None:
        """Leave an edit that makes no step by itself, and ask for one."""
        self.teach(edits=1)
        self._service.ask("POST", "learn", json={"user": self._user})

    def import_texts(self) -> None:
        """Import what was sent before."""
        marks = [self._mark() for _ in range(_TEXTS_OF_AN_IMPORT)]
        items = [
            {"prompt": f"The parcel {mark} is late.", "sent": f"Dear Ms Lopez, sorry for {mark}."}
            for mark in marks
        ]
        sent = SentImport(self._user, marks)
        self._ledger.imports.append(sent)
        answer = self._service.ask("POST", "imports", json={"items": items, "user": self._user})
        sent.id = answer["id"]

    def delete_edit(self) -> None:
        """Delete the oldest edit, which a version has learned."""
        for edit in self._ledger.edits_of(self._user)[:1]:
            edit.is_deleted = True
            self._delete(f"edits/{edit.id}", [edit.mark])

    def delete_draft(self) -> None:
        """Delete the draft of the latest edit, with its prompt."""
        for edit in self._ledger.edits_of(self._user)[-1:]:
            edit.is_deleted = True
            self._ledger.drafts.remove(edit.draft_id)
            self._delete(f"drafts/{edit.draft_id}", [edit.mark, edit.prompt_mark])

    def _delete(self, path: str, marks: list[str]) -> None:
        deletion = SentDeletion(path, marks)
        self._ledger.deletions.append(deletion)
        delete(self._service, deletion)

    def _draft(self, mark: str) -> str:
        message = {"role": "user", "content": f"The parcel {mark} is late."}
        body = {"model": "corll", "messages": [message], "user": self._user}
        draft_id = str(self._service.ask("POST", "chat/completions", json=body)["id"])
        self._ledger.drafts.append(draft_id)
        return draft_id

    def _mark(self) -> str:
        with self._lock:
            return self._ledger.mark()


def send(service: Asked, edit: SentEdit) -> None:
    """Send an edit, perhaps again."""
    body = {"draft_id": edit.draft_id, "text": edit.text}
    edit.id = str(service.ask("POST", "edits", json=body)["id"])


def delete(service: Asked, deletion: SentDeletion) -> None:
    """Ask for a deletion, perhaps again: then it may be done already."""
    try:
        deletion.receipt = str(service.ask("DELETE", deletion.path)["receipt"]["id"])
    except AnswerError as error:
        if error.status != 404:
            raise
    deletion.is_done = True


def send_again(service: Asked, ledger: Ledger) -> None:
    """Send again what was not acknowledged, as a client does that lost its connection."""
    send_edits_again(service, ledger.edits)
    for deletion in ledger.deletions:
        if not deletion.is_done:
            delete(service, deletion)


def send_edits_again(service: Asked, edits: Iterable[SentEdit]) -> None:
    """Send those of the edits again that were not acknowledged."""
    for edit in edits:
        if edit.id is None and not edit.is_deleted:
            send(service, edit)


OF_USERS: Mapping[str, Sequence[str]] = {
    ANN: ("teach", "delete_edit", "ask_to_learn", "teach"),
    BEN: ("import_texts", "teach", "delete_draft", "teach"),
}


def shuffled(random: Random) -> dict[str, list[str]]:
    """Return all acts of each user, in an order of the random numbers'."""
    return {user: random.sample(acts, len(acts)) for user, acts in OF_USERS.items()}


def leading_to(*points: str) -> dict[str, list[str]]:
    """Return what leads to points and little else, by the beginning of their names."""
    orders = {ANN: ["teach"]}
    for point in points:
        if point.startswith("import"):
            orders[BEN] = ["import_texts"]
        if point.startswith(("delet", "replay")):
            orders[ANN] = ["delete_edit", "teach"]
    return orders


def perform(service: Service, ledger: Ledger, orders: Mapping[str, Sequence[str]]) -> None:
    """Have the users act at once, each in their order, until all is done or the service goes.

    *Raises*: AnswerError for an answer that a service which is not ill does not give.
    """
    lock = threading.Lock()

    def act(user: str, names: Sequence[str]) -> None:
        acts = Acts(service, ledger, user, lock)
        with suppress(httpx.TransportError):
            for name in names:
                getattr(acts, name)()

    with ThreadPoolExecutor(len(USERS)) as pool:
        for done in [pool.submit(act, user, names) for user, names in orders.items()]:
            done.result()
