"""News of edits and versions: told to browsers, and to the engine that drafts by them next."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from corll.errors import CorllError
from corll.frames import Framing
from corll.schemas.events import EditEvent, Event, StartEvent, VersionEvent
from corll.service.arms import who_drafts
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import DraftRequest
from corll.service.drafting.serving import ready_for, serving_for
from corll.service.event_hub import EventHub
from corll.service.fleet_news import FleetNews
from corll.service.memory import Recall
from corll.service.settings import ServiceSettings
from corll.service.soon import Soon
from corll.service.store import accounts, drafts
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow

log = logging.getLogger(__name__)

READYING = "readying"
"""The name of the thread that has the engine ready."""

_QUIET_S = 0.25
"""How long nothing happens to a user before the engine is made ready: edits may come in floods."""


class News(EventHub):
    """Tells who listens, and has the engine ready for what is likely to be asked for next.

    An edit changes what stands before its user's next request, a version that begins or ends to
    serve, or a reference that a user starts from, all that was computed of it.
    """

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        super().__init__()
        self._settings, self._database = settings, database
        self._ready: tuple[Engine, Recall] | None = None
        self._fleet: FleetNews | None = None
        self._readying = Soon(self._get_ready, after_s=_QUIET_S, thread=READYING)

    def serve_by(self, engine: Engine) -> None:
        """Say which engine drafts, and have it ready for the first framed request."""
        recall = Recall(self._settings, engine.count_tokens)
        self._ready = engine, recall
        if engine.has_chat_template:
            for request in recall.usual_requests():
                _prepare(engine, request)

    def join(self, origin: str, *, learner: bool) -> FleetNews:
        """Tell and hear news of the other processes; `learner` says whether one learns here."""
        self._fleet = FleetNews(self._database, origin, hear=self._hear, learner=learner)
        return self._fleet

    def publish(self, user_id: str, event: Event) -> None:
        """Tell all listeners of a user, here and elsewhere, and have the engine ready; from any
        thread.
        """
        if self._fleet is not None:
            self._fleet.post(user_id, event)
        self._tell(user_id, event)

    def _hear(self, user_id: str, event: Event) -> None:
        """Hear of another process's event; who is not listened for is drafted for elsewhere."""
        if self.is_heard(user_id):
            self._tell(user_id, event)

    def _tell(self, user_id: str, event: Event) -> None:
        super().publish(user_id, event)
        serves = isinstance(event, VersionEvent) and event.state in ("serving", "retired")
        starts = isinstance(event, StartEvent) and event.state in ("started", "unexamined")
        if serves or starts or isinstance(event, EditEvent):
            self._readying.ask(user_id)

    def stop(self) -> None:
        """Stop the exchange of news, and end the thread that has the engine ready."""
        if self._fleet is not None:
            self._fleet.stop()
        self._readying.stop()

    def _get_ready(self, user_id: str) -> None:
        """Have the engine ready for a user to ask again for what was asked for last."""
        if self._ready is None:
            return
        engine, recall = self._ready
        with self._database.read() as db:
            user = accounts.find_user(db, user_id)
            last = drafts.drafts_of(db, user_id, limit=1)
            if user is None or not last or last[0].kind != "chat":
                return
            request = self._request_like(db, engine, recall, user, last[0])
        _prepare(engine, request)

    def _request_like(
        self, db: Connection, engine: Engine, recall: Recall, user: User, draft: DraftRow
    ) -> DraftRequest:
        """Return a request that begins as a user's earlier one did, if it were asked now."""
        framing = Framing.of(draft.asked)
        serving = serving_for(db, user, chance=lambda: 1.0)
        settings, prompt = self._settings, draft.prompt
        serving, recalled = who_drafts(db, serving, recall, settings, framing, prompt)
        return recall.request(recalled, prompt, ready_for(serving, engine, self._database.versions))


def _prepare(engine: Engine, request: DraftRequest) -> None:
    try:
        engine.prepare(request)
    except CorllError as error:  # whoever asks for it is told
        log.debug("nothing is prepared: %s", error)
