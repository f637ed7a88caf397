"""Drafts that another process draws: requests under way, their places, and a thread that asks."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from corll.service.drafting.requests import (
    Begun,
    DraftEvent,
    DraftJob,
    DraftRequest,
    Drawn,
    EngineBusyError,
    Failed,
)
from corll.service.places import NoPlaceError, Place, Places


@dataclass(eq=False)
class RemoteJob(DraftJob):
    """A request under way elsewhere: what was told of it so far, and the call."""

    told: list[str] = field(default_factory=list, init=False)
    future: Future[DraftEvent] | None = field(default=None, init=False)

    def cancel(self) -> None:
        """Say that nobody waits any more: the call ends, and what was told arrives as cancelled."""
        super().cancel()
        if self.future is not None:
            self.future.cancel()


Job = TypeVar("Job", bound=RemoteJob)


class RemoteDrafts(ABC, Generic[Job]):
    """Answers drafting requests by asking another process, in a thread of its own.

    More than `max_waiting` requests at a time are refused, and of these more than one user's or
    key's share.
    """

    def __init__(self, *, name: str, max_waiting: int) -> None:
        self._jobs: dict[Job, Place] = {}
        self._places = Places(max_waiting)
        self._lock, self._closing = threading.Lock(), False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def under_way(self) -> int:
        """Requests that are being answered."""
        return len(self._jobs)

    def submit(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> DraftJob:
        """Ask the other process.

        *Raises*: EngineBusyError where too many are under way, or the service is stopping;
        InputError, PromptTooLongError for a prompt that cannot be drafted for.
        """
        job = self._job(request, on_event)
        with self._lock:
            if self._closing:
                raise EngineBusyError.stopping()
            try:
                self._jobs[job] = self._places.take(job.owner)
            except NoPlaceError as error:
                raise EngineBusyError(error.retry_after) from error
        on_event(Begun(0.0))
        job.future = asyncio.run_coroutine_threadsafe(self._draft(job), self._loop)
        job.future.add_done_callback(lambda future: self._end(job, future))
        return job

    def close(self, timeout: float | None = None) -> None:
        """Take no more requests, let those under way end, and then end the thread."""
        with self._lock:
            self._closing = True
            left = [job.future for job in self._jobs if job.future is not None]
        end = asyncio.run_coroutine_threadsafe(self._finish(left, timeout), self._loop)
        end.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @abstractmethod
    def _job(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> Job: ...

    @abstractmethod
    async def _draft(self, job: Job) -> DraftEvent: ...

    @abstractmethod
    def _told(self, job: Job) -> Drawn | None: ...

    @abstractmethod
    async def _hang_up(self) -> None: ...

    async def _finish(self, left: Sequence[Future[DraftEvent]], timeout: float | None) -> None:
        if left:
            await asyncio.wait([asyncio.wrap_future(one) for one in left], timeout=timeout)
        for future in left:
            future.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._hang_up()

    def _end(self, job: Job, future: Future[DraftEvent]) -> None:
        """Tell how a request ended; whoever gave it up is told what there was."""
        with self._lock:
            place = self._jobs.pop(job)
            ended = not future.cancelled() and future.exception() is None
            self._places.give_back(place, measures=ended)
        if future.cancelled():
            job.on_event(self._told(job) or Failed(EngineBusyError.stopping()))
            return
        error = future.exception()
        if error is None:
            job.on_event(future.result())
            return
        assert isinstance(error, Exception)
        job.on_event(Failed(error, self._told(job) if job.told else None))
