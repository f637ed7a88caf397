"""The learner's news: the engine is ready for what is likely to be asked for next."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest

from corll.frames import FRAMES, Filled, Framing
from corll.memory.examples import worked_examples
from corll.schemas.events import EditEvent, VersionEvent
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import DraftRequest
from corll.service.news import News
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, drafts
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow

SERVES = VersionEvent(number=1, state="serving")


class Recording:
    """Keeps what an engine was asked to prepare."""

    has_chat_template = True

    def __init__(self) -> None:
        self.requests: list[DraftRequest] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def prepare(self, request: DraftRequest) -> None:
        self.requests.append(request)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(None, tmp_path)


def news_of(database: Database, **settings: Any) -> tuple[News, Recording]:
    news, engine = News(ServiceSettings(**settings), database), Recording()
    news.serve_by(cast(Engine, engine))
    return news, engine


def user_with_draft(database: Database, name: str, asked: Filled | None) -> str:
    def write(db: Any) -> str:
        user = accounts.get_or_create_user(db, "local", name, store=True, now=time.time())
        row = DraftRow(
            id=f"draft-{name}",
            user_id=user.id,
            key_id=None,
            kind="chat",
            model="corll",
            prompt="Hello",
            version_id=None,
            candidates=[],
            shown=[],
            scores=None,
            sampling={},
            seed=0,
            status="complete",
            held_back=False,
            source="live",
            created_at=time.time(),
            asked=asked,
        )
        drafts.add_draft(db, row)
        return user.id

    return database.write(write)


def test_first_it_is_ready_for_each_frame(database: Database) -> None:
    _, engine = news_of(database)
    expected = [worked_examples(Framing(frame, name="Anna")) for frame in FRAMES]
    assert [request.memory for request in engine.requests] == expected
    assert all(request.version is None for request in engine.requests)


def test_without_examples_there_is_nothing_to_be_ready_for(database: Database) -> None:
    _, engine = news_of(database, examples=False)
    assert all(request.memory == () for request in engine.requests)


def test_it_is_ready_for_what_its_user_asked_last(database: Database) -> None:
    asked = Filled(frame="write", message="Hi.", hint="yes", name="", template=None)
    mine = user_with_draft(database, "mine", asked)
    other = user_with_draft(database, "other", None)
    news, engine = news_of(database)
    engine.requests.clear()
    news.publish(mine, VersionEvent(number=1, state="rejected"))
    news.publish("nobody", SERVES)
    news.publish(mine, SERVES)
    news.publish(other, EditEvent(id="edit_1", state="recorded", edit_cost=0.5))
    news.stop()
    first, second = engine.requests
    assert first.memory == worked_examples(Framing("write"))
    assert second.memory == ()


def test_a_flood_of_edits_has_it_ready_once(database: Database) -> None:
    mine = user_with_draft(database, "mine", None)
    news, engine = news_of(database)
    engine.requests.clear()
    for number in range(20):
        news.publish(mine, EditEvent(id=f"edit_{number}", state="recorded", edit_cost=0.5))
    news.stop()
    assert len(engine.requests) == 1


def test_it_is_ready_for_the_reference_once_a_version_ends_to_serve(database: Database) -> None:
    mine = user_with_draft(database, "mine", None)
    news, engine = news_of(database)
    engine.requests.clear()
    news.publish(mine, VersionEvent(number=1, state="retired"))
    news.stop()
    assert [request.version for request in engine.requests] == [None]
