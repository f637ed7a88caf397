"""Users of a service who draft, edit, import and delete, and go, again and again.

Whatever a user leaves goes with the user at the end of each round, so that nothing of what is
counted has a reason to grow.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Any

import httpx

from patience import PATIENCE_S
from running_service import ADMIN_KEY

USERS = ("ann", "ben", "cat", "dan")
_ROUNDS_OF_EDITS = 6
_TEXTS_OF_AN_IMPORT = 12
_LONGEST_WAIT_S, _LOOKS_EVERY_S = 10.0, 1.0
_EDITS_OF_A_STEP = 2
_LATER = (429, 503)


class Person(threading.Thread):
    """A user with a key of their own. `done` counts acts, `failures` says what went wrong.

    *Units*: `pause_s`, how long the user rests after each act, in seconds.
    """

    def __init__(self, url: str, name: str, *, tokens: int, pause_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self._url, self._tokens, self._pause_s = url, tokens, pause_s
        self._random = Random(name)
        self._ending = threading.Event()
        self._admin = self._client(ADMIN_KEY)
        self._http = self._admin
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []

    def end(self) -> None:
        """End after the act that is under way, and wait for that."""
        self._ending.set()
        self.join()

    def run(self) -> None:
        """Act until told to end."""
        try:
            while not self._ending.is_set():
                with suppress(_EndedError):
                    self._round()
        except Exception as error:
            self.failures.append(f"{self.name}: {type(error).__name__}: {error}")
        finally:
            self._admin.close()

    def _round(self) -> None:
        """Come, be learned from, delete some of it, and go with all the rest."""
        made = self._act("key", "POST", "keys", self._new_key(), admin=True)
        self._http = self._client(made["key"])
        try:
            self._act("consent", "PUT", f"users/{self.name}/consent", {"learn": True})
            sent = [self._edit() for _ in range(_ROUNDS_OF_EDITS)]
            imported = self._import()
            self._wait_for_the_learner()
            for edit in self._random.sample(sent, 2):
                self._act("delete edit", "DELETE", f"edits/{edit}")
            self._edit()
            self._wait_for_the_learner()
            self._act("delete import", "DELETE", f"imports/{imported}")
            self._edit()
            self._act("delete user", "DELETE", f"users/{self.name}", admin=True)
        finally:
            self._http.close()

    def _edit(self) -> str:
        draft = self._act("draft", "POST", "chat/completions", self._request())
        body = {"draft_id": draft["id"], "text": f"Dear Ms Lopez, {self._number()} has come."}
        return str(self._act("edit", "POST", "edits", body)["id"])

    def _import(self) -> str:
        items = [
            {"prompt": f"Parcel {self._number()} is late.", "sent": f"Sorry for {self._number()}."}
            for _ in range(_TEXTS_OF_AN_IMPORT)
        ]
        return str(self._act("import", "POST", "imports", {"items": items})["id"])

    def _wait_for_the_learner(self) -> None:
        """Let what was sent be learned, as far as that does not take long."""
        end = time.monotonic() + _LONGEST_WAIT_S
        while time.monotonic() < end:
            # Fewer than make a step go on waiting.
            if self._act("look", "GET", f"users/{self.name}")["waiting"] < _EDITS_OF_A_STEP:
                return
            self._ending.wait(_LOOKS_EVERY_S)
        self.done["wait in vain"] += 1

    def _act(
        self,
        name: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        admin: bool = False,
    ) -> dict[str, Any]:
        """Ask, again where the service asks for that; rest, and return the answer."""
        client = self._admin if admin else self._http
        while True:
            if self._ending.is_set():
                raise _EndedError
            answer = client.request(method, f"/v1/{path}", json=body)
            if answer.status_code not in _LATER:
                break
            self.done[f"asked to come again ({answer.status_code})"] += 1
            self._ending.wait(float(answer.headers["retry-after"]))
        if answer.status_code != 200:
            raise RuntimeError(f"{method} {path}: {answer.status_code}: {answer.text}")
        self.done[name] += 1
        self._ending.wait(self._pause_s)
        found: dict[str, Any] = answer.json()
        return found

    def _request(self) -> dict[str, Any]:
        message = {"role": "user", "content": f"Say that parcel {self._number()} is late."}
        return {"model": "corll", "messages": [message], "max_tokens": self._tokens}

    def _new_key(self) -> dict[str, Any]:
        return {"scope": "user", "user": self.name, "label": "soak"}

    def _number(self) -> int:
        return self._random.randrange(10**7, 10**8)

    def _client(self, key: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self._url, headers=headers, timeout=PATIENCE_S)


class _EndedError(Exception):
    """The person was told to end."""
