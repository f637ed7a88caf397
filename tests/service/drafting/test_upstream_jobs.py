"""What is told of a request at an upstream that somebody gives up, and in which order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from asking import Listener, request
from scripted_upstream import ScriptedUpstream, hangs, scripted_upstream

from corll.policy import Policy
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import Begun, Delta, DraftEvent, DraftJob, Drawn
from corll.service.drafting.upstream import Upstream


@pytest.fixture
def elsewhere() -> Iterator[ScriptedUpstream]:
    with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture
def upstream(policy: Policy, elsewhere: ScriptedUpstream) -> Iterator[Upstream]:
    engine = Engine(policy)
    made = Upstream(engine, url=elsewhere.url, model="big", key=None, timeout=60)
    yield made
    made.close()
    engine.close()


class GivesUp(Listener):
    """Somebody who gives up, in a thread of their own, while the first words are told."""

    def __init__(self) -> None:
        super().__init__()
        self.job: DraftJob | None = None
        self.submitted = threading.Event()

    def __call__(self, event: DraftEvent) -> None:
        if isinstance(event, Delta):
            assert self.submitted.wait(10)
            assert self.job is not None
            giving_up = threading.Thread(target=self.job.cancel)
            giving_up.start()
            giving_up.join()
        super().__call__(event)


def test_nothing_is_told_after_the_end_of_a_draft_that_is_given_up(
    upstream: Upstream, elsewhere: ScriptedUpstream
) -> None:
    elsewhere.will(hangs("Dear", " Ada"))
    listener = GivesUp()
    listener.job = upstream.submit(request(passed_on={}), listener)
    listener.submitted.set()
    drawn = listener.drawn
    assert drawn.cancelled
    begun, *words, end = map(type, listener.events)
    assert (begun, set(words), end) == (Begun, {Delta}, Drawn)
    assert drawn.text(0) == listener.told()
    assert drawn.text(0) in ("Dear", "Dear Ada")  # which of them came together is the network's
    assert elsewhere.gone.wait(10)
