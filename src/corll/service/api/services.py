"""What the API works with: given to `create_app`, so that each part can be another."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from corll.schemas.states import LearnerState
from corll.service.drafting.requests import Drafter, DraftEvent, DraftJob, DraftRequest
from corll.service.event_hub import EventHub
from corll.service.settings import ServiceSettings
from corll.service.store.database import Database, Writer
from corll.service.store.drafts import DraftRow

Result = TypeVar("Result")

DAY_S = 24 * 3600.0
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

    def find(self, draft_id: str) -> DraftRow | None:
        """Return the draft of that id, unless it is older than a day."""
        with self._lock:
            draft = self._drafts.get(draft_id)
        if draft is None or draft.created_at <= self._clock() - DAY_S:
            return None
        return draft

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

    async def read(self, query: Callable[[Connection], Result]) -> Result:
        """Run a query beside the event loop."""

        def run() -> Result:
            with self.database.read() as db:
                return query(db)

        return await run_in_threadpool(run)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run a change, and return once the disk has it."""
        return await asyncio.wrap_future(self.writer.submit(change))
