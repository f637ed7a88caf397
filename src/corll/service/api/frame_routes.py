"""GET /v1/frames: what a model is told around a message, to be read and to begin one's own with."""

from __future__ import annotations

from fastapi import APIRouter

from corll.frames import FRAMES
from corll.schemas.administration import Frame, Frames
from corll.service.api.callers import CurrentCaller

router = APIRouter(tags=["drafts"])


@router.get("/v1/frames", summary="The frames around a message")
async def list_frames(caller: CurrentCaller) -> Frames:
    """`frame` of a chat completion names one; `frame_template` takes the place of its words."""
    return Frames(
        object="list",
        data=[Frame(id=name, object="frame", template=text) for name, text in FRAMES.items()],
    )
