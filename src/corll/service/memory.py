"""What stands before a request: worked examples, where a frame says what is wanted."""

from __future__ import annotations

from corll.frames import FRAMES, Framing
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange
from corll.service.drafting.requests import DraftRequest, VersionFolder
from corll.service.settings import ServiceSettings
from corll.service.store.drafts import DraftRow

_ANYTHING = "~"


def memory_of(framing: Framing, settings: ServiceSettings) -> tuple[Exchange, ...]:
    """Return the exchanges that stand before a request in a frame."""
    return worked_examples(framing) if settings.examples else ()


def usual_requests(settings: ServiceSettings) -> list[DraftRequest]:
    """Return a request in each frame, which begins as most requests to the base do."""
    framings = [Framing(frame, name=_ANYTHING) for frame in FRAMES]
    return [_request(framing, settings, None) for framing in framings]


def request_like(
    draft: DraftRow, version: VersionFolder | None, settings: ServiceSettings
) -> DraftRequest | None:
    """Return a request that begins as a framed one did; None for one without a frame."""
    if (asked := draft.asked) is None:
        return None
    framing = Framing(asked["frame"], asked["hint"], asked["name"], asked["template"])
    return _request(framing, settings, version)


def _request(
    framing: Framing, settings: ServiceSettings, version: VersionFolder | None
) -> DraftRequest:
    return DraftRequest(
        prompt=[{"role": "user", "content": framing.around(_ANYTHING)}],
        version=version,
        max_new_tokens=settings.longest_draft,
        seed=0,
        config=settings.coactive,
        shortens=True,
        memory=memory_of(framing, settings),
    )
