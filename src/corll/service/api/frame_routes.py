"""GET /v1/frames: what a model is told around a message, to be read and to begin one's own with."""

from __future__ import annotations

from fastapi import APIRouter

from corll.frames import FRAMES, FRAMES_WITHOUT_NAME, FrameName
from corll.schemas.administration import Frame, Frames
from corll.service.api.callers import CurrentCaller
from corll.service.api.error_answers import bad_request
from corll.service.drafting.drafter import Drafter

router = APIRouter(tags=["drafts"])


@router.get("/v1/frames", summary="The frames around a message")
async def list_frames(caller: CurrentCaller) -> Frames:
    """`frame` of a chat completion names one; `frame_template` takes the place of its words."""
    return Frames(
        object="list",
        data=[
            Frame(
                id=name,
                object="frame",
                template=text,
                template_without_name=FRAMES_WITHOUT_NAME[name],
            )
            for name, text in FRAMES.items()
        ],
    )


def check_frame(frame: FrameName, drafter: Drafter) -> None:
    """Check that the model follows a frame. *Raises*: ApiError (400) without a chat template."""
    if frame == "none" or drafter.has_chat_template:
        return
    raise bad_request(
        f"This server's model, {drafter.model}, has no chat template, so it does not follow what a "
        f"frame ({frame}) tells it. Serve an instruction model (`corll models` lists some), or ask "
        "without a frame at POST /v1/completions, which continues a text.",
        param="frame",
    )
