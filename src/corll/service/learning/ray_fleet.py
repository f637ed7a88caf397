"""Learners as actors of Ray: as many as the queue asks for, on whichever nodes have room.

An actor is a learner as any other, with a base model of its own, and leases say who learns for
whom. So a node that is lost costs no edit: its leases end, and another learner takes its users.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from corll.auto.dialogue import NOBODY, Dialogue
from corll.errors import ConfigError
from corll.service.base_choice import with_base_named
from corll.service.base_model import open_database
from corll.service.learning.process import Stopping, learn_until_stopped
from corll.service.logs import failing_threads_logged, set_up_logging
from corll.service.roles import LearnerSettings
from corll.service.store import imports, preferences, replays
from corll.service.store.database import PRIVATE_UMASK, Database

log = logging.getLogger(__name__)

_LOOKS_EVERY_S = 2.0
_IDLE_S = 60.0
"""A learner more than needed is stopped after so long, since another takes a while to load."""
_PATIENCE_S = 30.0
"""Within this learners that are told to stop end."""


def learners_wanted(users: int, settings: LearnerSettings) -> int:
    """Return how many learners a queue of so many users asks for, within the settings' bounds."""
    asked = math.ceil(users / settings.users_per_learner)
    return min(max(asked, settings.fewest_learners), settings.most_learners)


def users_in_queue(database: Database, preferences_per_step: int) -> int:
    """Return for how many users there is something to learn: a step, a replay, or an import."""
    with database.read() as db:
        waiting = preferences.users_with_waiting(db)
        asked = preferences.users_who_asked(db)
        others = {one.user_id for one in replays.all_replays(db)} | imports.users_with_open(db)
    due = {one.user_id for one in waiting if one.waiting >= preferences_per_step}
    return len(due | asked | others)


def learn_on_ray(
    settings: LearnerSettings,
    *,
    say: Callable[[str], None] = print,
    dialogue: Dialogue = NOBODY,
) -> None:
    """Keep learners on a Ray cluster, as many as the queue asks for, until SIGINT or SIGTERM.

    *Raises*: ConfigError where Ray is not installed, or no head answers; StoreError.
    """
    set_up_logging(settings)
    ray, stopping = _ray(), Stopping()
    with ExitStack() as stack:
        stack.enter_context(failing_threads_logged())
        stack.callback(os.umask, os.umask(PRIVATE_UMASK))
        database = open_database(settings)
        stack.callback(database.close)
        database.versions.check()
        model = with_base_named(settings, database, dialogue).model
        settings = settings.model_copy(update={"model": model})
        _connect(ray, str(settings.ray))
        stack.callback(ray.shutdown)
        fleet = RayFleet(ray, settings)
        stack.callback(fleet.stop)
        stack.enter_context(stopping.heard())
        say(f"corll learns on the Ray cluster at {settings.ray} (stop with Ctrl-C)")
        while not stopping.stopping:
            fleet.settle(users_in_queue(database, settings.coactive.preferences_per_step))
            stopping.news.wait(_LOOKS_EVERY_S)


class Learner:
    """The actor: it learns in one thread, and is told to stop by another."""

    def __init__(self, settings: LearnerSettings) -> None:
        self._settings = settings
        self._stopping = Stopping()

    def learn(self) -> None:
        """Learn until told to stop."""
        learn_until_stopped(self._settings, say=log.info, stopping=self._stopping)

    def stop(self) -> None:
        """Let it end; a step under way is thrown away."""
        self._stopping.stop()


@dataclass
class RayFleet:
    """The learners that run on a cluster, each in a place of its own: a number from 0 on."""

    ray: Any
    settings: LearnerSettings
    _running: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    _needed_at: float = field(default_factory=time.monotonic)

    @property
    def places(self) -> list[int]:
        """Return the places of the learners that run, or wait for room."""
        return sorted(self._running)

    def settle(self, users: int) -> None:
        """Start learners that are missing or were lost; end one that has not been needed."""
        self._forget_ended()
        wanted = learners_wanted(users, self.settings)
        if wanted >= len(self._running):
            self._needed_at = time.monotonic()
        for place in range(self.settings.most_learners):
            if len(self._running) >= wanted:
                break
            if place not in self._running:
                self._running[place] = self._started(place)
                log.info("learner %d of at most %d starts", place, self.settings.most_learners)
        if time.monotonic() - self._needed_at > _IDLE_S:
            self._needed_at = time.monotonic()
            actor, _ = self._running[self.places[-1]]
            actor.stop.remote()

    def stop(self) -> None:
        """Let all learners end, and wait for them a while."""
        for actor, _ in self._running.values():
            actor.stop.remote()
        ended = [learning for _, learning in self._running.values()]
        if ended:
            self.ray.wait(ended, num_returns=len(ended), timeout=_PATIENCE_S)

    def _started(self, place: int) -> tuple[Any, Any]:
        # Learners on one machine would tell each other's copies in a folder apart by nothing.
        folder = self.settings.data_dir / f"ray-{place}"
        own = self.settings.model_copy(update={"data_dir": folder, "health_port": None})
        kind = self.ray.remote(Learner).options(
            num_cpus=self.settings.learner_cpus,
            num_gpus=self.settings.learner_gpus,
            max_concurrency=2,
            name=f"corll-learner-{os.getpid()}-{place}-{time.monotonic_ns()}",
        )
        actor = kind.remote(own)
        return actor, actor.learn.remote()

    def _forget_ended(self) -> None:
        for place, (actor, learning) in list(self._running.items()):
            ended, _ = self.ray.wait([learning], timeout=0)
            if not ended:
                continue
            del self._running[place]
            try:
                self.ray.get(learning)
            except self.ray.exceptions.RayError as error:
                log.warning("learner %d was lost: %s", place, str(error).splitlines()[0])
            else:
                log.info("learner %d has ended", place)
            self.ray.kill(actor)


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError("--ray needs Ray: pip install 'corll[ray]'") from error
    return ray


def _connect(ray: Any, address: str) -> None:
    try:
        _check_answers(address)
        ray.init(address=address, namespace="corll", logging_level=logging.WARNING)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"No Ray cluster answers at {address} ({str(error).splitlines()[0]}). Start its head "
            "by `ray start --head`, or leave --ray out."
        ) from error


def _check_answers(address: str) -> None:
    """Check that something answers there, for which Ray would wait many minutes.

    *Raises*: OSError, ValueError.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host, int(port)), timeout=_PATIENCE_S).close()
