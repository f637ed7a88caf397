"""Drafts that another process draws: requests under way, their places, and a thread that asks."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
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
    NobodyWaitsError,
)
from corll.service.places import NoPlaceError, Place, Places


@dataclass(eq=False)
class RemoteJob(DraftJob):
    """A request under way elsewhere: what was told of it so far, and the task that asks."""

    told: list[str] = field(default_factory=list, init=False)
    task: asyncio.Task[DraftEvent] | None = field(default=None, init=False)

    def cancel(self) -> None:
        """Say that nobody waits any more: the call ends, and what was told arrives as cancelled.

        It ends in the thread that takes its answer in, so that nothing is told after the end.
        """
        if self.cancelled:
            return
        super().cancel()
        if self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)


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
            self._loop.call_soon_threadsafe(self._begin, job)
        return job

    def close(self, timeout: float | None = None) -> None:
        """Take no more requests, let those under way end, and then end the thread."""
        with self._lock:
            self._closing = True
        asyncio.run_coroutine_threadsafe(self._finish(timeout), self._loop).result()
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

    async def _finish(self, timeout: float | None) -> None:
        if left := [job.task for job in self._jobs if job.task is not None]:
            await asyncio.wait(left, timeout=timeout)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._hang_up()

    def _begin(self, job: Job) -> None:
        job.on_event(Begun(0.0))
        job.task = self._loop.create_task(self._answer(job))
        job.task.add_done_callback(lambda task: self._end(job, task))

    async def _answer(self, job: Job) -> DraftEvent:
        return Failed(NobodyWaitsError()) if job.cancelled else await self._draft(job)

    def _end(self, job: Job, task: asyncio.Task[DraftEvent]) -> None:
        """Tell how a request ended; whoever gave it up is told what there was."""
        with self._lock:
            place = self._jobs.pop(job)
            ended = not task.cancelled() and task.exception() is None
            self._places.give_back(place, measures=ended)
        if task.cancelled():
            job.on_event(self._told(job) or Failed(EngineBusyError.stopping()))
            return
        error = task.exception()
        if error is None:
            job.on_event(task.result())
            return
        assert isinstance(error, Exception)
        job.on_event(Failed(error, self._told(job) if job.told else None))
