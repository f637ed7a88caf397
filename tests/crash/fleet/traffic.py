"""Many users at once, who ask whichever gateway answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

import httpx

from crash.acts import Acts, send_edits_again
from crash.ledger import Ledger
from crash.service import AnswerError, ask

_AT_ONCE = 8
"""So many users act at the same time."""
_ACTS = {"teach": 12, "ask_to_learn": 4, "draft": 3, "delete_edit": 1}
"""What a user does, and how often."""
_PAUSE_S = 0.3
"""Between two acts of a thread, on average."""


class Gateways:
    """All gateways as one API: each request goes to one of them, drawn at random."""

    def __init__(self, clients: Sequence[httpx.Client], random: Random) -> None:
        self._clients, self._random = clients, random

    def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Ask one of them. *Raises*: httpx.TransportError where it is gone or busy; AnswerError."""
        try:
            return ask(self._random.choice(self._clients), method, path, **more)
        except AnswerError as error:
            if error.status == 503:  # it says itself that the same may be asked again
                raise httpx.ConnectError(str(error)) from error
            raise


class Traffic:
    """Users who draft, edit and delete. `lost` counts requests that had to be asked again.

    `refused` are answers that no gateway should give, whatever was killed.
    """

    def __init__(self, gateways: Gateways, ledger: Ledger, users: Sequence[str], seed: str) -> None:
        self._gateways, self._ledger, self._seed = gateways, ledger, seed
        self._users = [users[first::_AT_ONCE] for first in range(min(_AT_ONCE, len(users)))]
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.lost = 0
        self.refused: list[str] = []

    def agree(self) -> None:
        """Have all users let their texts be learned from."""

        def agree(users: Sequence[str]) -> None:
            for user in users:
                self._acts_of(user).agree()

        with ThreadPoolExecutor(len(self._users)) as pool:
            for _ in pool.map(agree, self._users):
                pass

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Have all users act while the block lasts."""
        with ThreadPoolExecutor(len(self._users)) as pool:
            acting = [pool.submit(self._act, number) for number in range(len(self._users))]
            try:
                yield
            finally:
                self._ended.set()
            for one in acting:
                one.result()

    def _act(self, number: int) -> None:
        random = Random(f"{self._seed} {number}")
        while not self._ended.wait(random.expovariate(1 / _PAUSE_S)):
            user = random.choice(self._users[number])
            (act,) = random.choices(list(_ACTS), list(_ACTS.values()))
            try:
                own = [edit for edit in self._ledger.edits if edit.user == user]
                send_edits_again(self._gateways, own)
                getattr(self._acts_of(user), act)()
            except httpx.TransportError:
                with self._lock:
                    self.lost += 1
            except AnswerError as error:
                self.refused.append(f"{user}, {act}: {error}")

    def _acts_of(self, user: str) -> Acts:
        return Acts(self._gateways, self._ledger, user, self._lock)


def told_of(ledger: Ledger) -> Mapping[str, int]:
    """Return how many drafts, edits and deletions were acknowledged."""
    return {
        "drafts": len(ledger.drafts),
        "edits": sum(one.id is not None for one in ledger.edits),
        "deletions": sum(one.is_done for one in ledger.deletions),
    }
