"""The reference that a client chooses for a draft, so that its edit finds it without the id."""

from __future__ import annotations

from contextlib import suppress

from fastapi import Request

from corll.errors import StoreUnavailableError
from corll.schemas.completion_requests import CompletionRequest
from corll.schemas.openai_fields import REF, is_ref
from corll.service.api.callers import Caller, header_text
from corll.service.api.found_drafts import check_ref
from corll.service.drafting.requests import DraftRequest
from corll.service.drafting.serving import Serving

REQUEST_HEADER = "x-client-request-id"


def client_ref(body: CompletionRequest, request: Request) -> str | None:
    """Return the client's own reference: `corll_ref` of its metadata, else the header.

    The header is other programs' too: what it says that cannot be a reference is none.
    """
    if (chosen := chosen_ref(body)) is not None:
        return chosen
    given = header_text(request, REQUEST_HEADER)
    return given if is_ref(given) else None


def chosen_ref(body: CompletionRequest) -> str | None:
    """Return the reference that was chosen for corll, which names one request alone."""
    return (body.metadata or {}).get(REF)


async def check_chosen_ref(
    body: CompletionRequest, request: DraftRequest, serving: Serving, caller: Caller
) -> None:
    """Check that no other request has the reference that was chosen; a retry may have it.

    The header is other programs' too, and may come twice: only its edit is refused then. While the
    database is away, drafts go on. *Raises*: ApiError (409).
    """
    if (ref := chosen_ref(body)) is not None:
        with suppress(StoreUnavailableError):
            await check_ref(ref, request.prompt, serving.user, caller)
