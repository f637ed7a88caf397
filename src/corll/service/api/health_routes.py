"""/healthz, /readyz, /metrics: for whoever operates the service. None of them holds a text."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy import text

from corll.errors import StoreError
from corll.schemas.administration import Health, Readiness
from corll.service.api.callers import CurrentServices
from corll.service.metrics import CONTENT_TYPE

router = APIRouter(tags=["operation"])


def _answer(meaning: str, **parts: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"example": parts}}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer("They can.", status="ready", drafting="ok", store="ok", learner="ready"),
    503: {
        "model": Readiness,
        **_answer(
            "They cannot.", status="unavailable", drafting="down", store="ok", learner="ready"
        ),
    },
}


@router.get("/healthz", summary="Whether the process answers")
async def healthz() -> Health:
    """200 as long as it does."""
    return Health(status="ok")


@router.get("/readyz", summary="Whether drafts can be drawn", responses=_ANSWERS)
async def readyz(response: Response, services: CurrentServices) -> Readiness:
    """503 where drafting cannot work; 200 with `learner: down` where only learning is off."""
    store: Literal["ok", "down"] = "ok"
    try:
        await services.read(lambda db: db.execute(text("SELECT 1")).scalar())
    except StoreError:
        store = "down"
    drafting: Literal["ok", "down"] = "ok" if services.drafter.alive else "down"
    ready = drafting == store == "ok"
    response.status_code = 200 if ready else 503
    return Readiness(
        status="ready" if ready else "unavailable",
        drafting=drafting,
        store=store,
        learner=services.learner.state,
    )


@router.get("/metrics", summary="For Prometheus", response_class=PlainTextResponse)
def metrics(services: CurrentServices) -> Response:
    """Drafts, edits, acceptance, edit cost, the learner's lag, latencies."""
    return Response(services.metrics.exposition(), media_type=CONTENT_TYPE)
