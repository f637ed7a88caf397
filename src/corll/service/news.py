"""What the learner tells: passed on to browsers, and to the engine that is to draft by it."""

from __future__ import annotations

import logging

from corll.errors import InputError
from corll.schemas.events import Event, VersionEvent
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import DraftRequest
from corll.service.drafting.serving import serving_for
from corll.service.event_hub import EventHub
from corll.service.memory import request_like, usual_requests
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, drafts
from corll.service.store.database import Database

log = logging.getLogger(__name__)


class News:
    """Has the engine ready for what is likely to be asked for next, and tells who listens."""

    def __init__(self, settings: ServiceSettings, database: Database, events: EventHub) -> None:
        self._settings, self._database, self._events = settings, database, events
        self._engine: Engine | None = None

    def serve_by(self, engine: Engine) -> None:
        """Say which engine drafts, and have it ready for the first framed request."""
        self._engine = engine
        if engine.has_chat_template:
            for request in usual_requests(self._settings):
                self._prepare(engine, request)

    def tell(self, user_id: str, event: Event) -> None:
        """Tell a user's news, and have the engine ready for a version that begins to serve."""
        self._events.publish(user_id, event)
        serves = isinstance(event, VersionEvent) and event.state == "serving"
        if self._engine is not None and serves:
            for request in self._next_requests(user_id):
                self._prepare(self._engine, request)

    def _next_requests(self, user_id: str) -> list[DraftRequest]:
        """Return what a user is likely to ask for: what was asked for last."""
        with self._database.read() as db:
            user = accounts.find_user(db, user_id)
            last = drafts.drafts_of(db, user_id, limit=1)
            if user is None or not last:
                return []
            serving = serving_for(db, user, chance=lambda: 1.0)
        version = serving.folder_in(self._database.folder)
        request = request_like(last[0], version, self._settings)
        return [] if request is None else [request]

    @staticmethod
    def _prepare(engine: Engine, request: DraftRequest) -> None:
        try:
            engine.prepare(request)
        except InputError as error:  # whoever asks for it is told
            log.debug("nothing is prepared: %s", error)
