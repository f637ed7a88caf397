"""GET /v1/events: what happens to a user's edits and versions, as it happens."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from corll.service.api.callers import CurrentCaller
from corll.service.api.replies import event_stream

router = APIRouter(tags=["browser"])


@router.get("/v1/events", summary="What happens, as it happens", response_class=StreamingResponse)
async def events(caller: CurrentCaller) -> StreamingResponse:
    """Server-sent events: `version`, `edit` and `import`, of the caller's user."""
    user = await caller.user()
    return event_stream(caller.services.events.listen(user.id))
