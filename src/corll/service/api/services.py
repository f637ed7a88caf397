"""What the API works with: given to `create_app`, so that each part can be another."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from corll.errors import StoreUnavailableError
from corll.schemas.states import LearnerState
from corll.service.api.known import Known
from corll.service.drafting.drafter import Drafter
from corll.service.drafting.requests import DraftEvent, DraftJob, DraftRequest
from corll.service.durations import DAY_S
from corll.service.event_hub import EventHub
from corll.service.settings import ServiceSettings
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow
from corll.service.store.writer import Writer
from corll.service.tracing import NO_TRACING, Tracing

Result = TypeVar("Result")

_MOST_IN_MEMORY = 10_000


class BackgroundLearner(Protocol):
    """The learner that works beside the server, as the API sees it."""

    @property
    def state(self) -> LearnerState:
        """Say how the learner is."""
        ...

    def ask_to_learn(self, user_id: str) -> None:
        """Ask for a step on all that waits for a user."""
        ...

    def wake(self) -> None:
        """Say that there is something new in the store."""
        ...


class UpstreamDrafter(Protocol):
    """Another service's model that drafts, as the API sees it."""

    model: str
    """The upstream's name for it."""

    def submit(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> DraftJob:
        """Ask it. *Raises*: EngineBusyError."""
        ...


class DraftsInMemory:
    """Drafts whose texts are not stored: for a day, and until the process ends."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._drafts: OrderedDict[str, DraftRow] = OrderedDict()
        self._never_stored: set[str] = set()
        self._lock = threading.Lock()

    def add(self, draft: DraftRow, *, never_stored: bool = False) -> None:
        """Keep a draft, and forget those that are older than a day.

        `never_stored` says that its request forbade to store it; else consent may come yet.
        """
        with self._lock:
            self._drafts[draft.id] = draft
            if never_stored:
                self._never_stored.add(draft.id)
            while self._drafts:
                oldest = next(iter(self._drafts.values()))
                fresh = oldest.created_at > self._clock() - DAY_S
                if fresh and len(self._drafts) <= _MOST_IN_MEMORY:
                    break
                forgotten, _ = self._drafts.popitem(last=False)
                self._never_stored.discard(forgotten)

    def forget(self, *, draft_id: str | None = None, user_id: str | None = None) -> None:
        """Forget a draft, with the responses that followed it, or all drafts of a user."""
        with self._lock:
            theirs: list[str] = []
            for row in self._drafts.values():
                read = () if row.response is None else row.response["follows"]
                if row.user_id == user_id or not {row.id, *read}.isdisjoint([draft_id, *theirs]):
                    theirs.append(row.id)
            for one in theirs:
                self._drafts.pop(one)
                self._never_stored.discard(one)

    def find(self, draft_id: str) -> DraftRow | None:
        """Return the draft of that id, unless it is older than a day."""
        with self._lock:
            draft = self._drafts.get(draft_id)
        if draft is None or draft.created_at <= self._clock() - DAY_S:
            return None
        return draft

    def of_user(self, user_id: str) -> list[DraftRow]:
        """Return the drafts of a user, but those that are older than a day."""
        since = self._clock() - DAY_S
        with self._lock:
            rows = list(self._drafts.values())
        return [row for row in rows if row.user_id == user_id and row.created_at > since]

    def is_never_stored(self, draft_id: str) -> bool:
        """Say whether a draft's request forbade to store it."""
        with self._lock:
            return draft_id in self._never_stored


@dataclass
class Services:
    """Everything that an answer may need. `metrics` is the registry that /metrics shows."""

    settings: ServiceSettings
    database: Database
    writer: Writer
    drafter: Drafter
    learner: BackgroundLearner
    metrics: Any
    in_memory: DraftsInMemory = field(default_factory=DraftsInMemory)
    events: EventHub = field(default_factory=EventHub)
    upstream: UpstreamDrafter | None = None
    tracing: Tracing = NO_TRACING
    known: Known = field(default_factory=Known)

    async def read(self, query: Callable[[Connection], Result]) -> Result:
        """Run a query beside the event loop."""

        def run() -> Result:
            with self.database.read() as db:
                return query(db)

        found = await run_in_threadpool(run)
        self.known.reached()
        return found

    async def read_or_known(
        self, name: Hashable, query: Callable[[Connection], Result | None]
    ) -> Result | None:
        """Run a query as `read` does; while the database is away, return what it gave last.

        `name` is the query's alone. *Raises*: StoreUnavailableError where that is not known.
        """
        if self.known.is_away and (known := self.known.find(name)) is not None:
            return known  # type: ignore[no-any-return]
        try:
            found = await self.read(query)
        except StoreUnavailableError:
            self.known.failed()
            if (known := self.known.find(name)) is not None:
                return known  # type: ignore[no-any-return]
            raise
        self.known.keep(name, query, found)
        return found

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run a change, and return once the disk has it."""
        done = await asyncio.wrap_future(self.writer.submit(change))
        self.known.reached()
        return done
