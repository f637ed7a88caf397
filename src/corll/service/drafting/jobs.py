"""From a request to a job: its ids, with no more memory and as long as the context allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from corll.model.tokens import TokenCodec
from corll.records import Sample, Verbatim
from corll.service.drafting.requests import MOST_REDRAWS, DraftEvent, DraftJob, DraftRequest

Job = TypeVar("Job", bound=DraftJob)

_FEWEST_KEPT = 64
"""A beginning of fewer tokens is computed with the rest of its prompt."""


def job_of(
    kind: type[Job],
    request: DraftRequest,
    on_event: Callable[[DraftEvent], None],
    codec: TokenCodec,
) -> Job:
    """Return the job of a request. *Raises*: InputError, PromptTooLongError."""
    limit = request.config.max_prompt_length
    beginning = _begun(request.beginning, codec)
    begun = () if beginning is None else beginning.token_ids
    if request.prompt_ids is None:
        prompt_ids = (*codec.encode_prompt(request.prompt, limit=limit), *begun)
    else:
        prompt_ids = request.prompt_ids
        codec.check_ids(prompt_ids, limit=limit)
    if request.shortens and codec.context_length is not None:
        room = max(1, codec.context_length - len(prompt_ids))
        request = replace(request, max_new_tokens=min(request.max_new_tokens, room))
    codec.check_room([prompt_ids], request.max_new_tokens)
    if request.memory:
        room = len(begun) + request.max_new_tokens
        memory, ids = codec.encode_behind(request.prompt, request.memory, room=room)
        request, prompt_ids = replace(request, memory=memory), (*ids, *begun)
    earlier = codec.earlier_tokens(request.whole_prompt, prompt_ids)
    if earlier < _FEWEST_KEPT:
        earlier = 0
    return kind(request, prompt_ids, on_event, beginning, earlier)


def without_leaking(job: Job, codec: TokenCodec) -> Job:
    """Let a job be drawn anew without the exchanges of which facts were found in it.

    The last time that it may be drawn there are none at all: letters that are alike leak too.
    """
    if job.leaking:
        left = tuple(one for one in job.request.memory if one.id not in job.leaking)
        left = left if job.redraws < MOST_REDRAWS else ()
        anew = job_of(DraftJob, replace(job.request, memory=left), job.on_event, codec)
        seen = () if job.seen is None else job.seen.token_ids
        job.request, job.prompt_ids = anew.request, (*anew.prompt_ids, *seen)
        job.earlier_tokens = anew.earlier_tokens
        job.leaking.clear()
    return job


def _begun(beginning: str, codec: TokenCodec) -> Sample | None:
    """Return the beginning of a response in the ids that learning scores it on."""
    if not beginning:
        return None
    ids = codec.encode_response(beginning).token_ids[:-1]
    return Sample(codec.decode(ids), ids, None, finished=False)


def ids_of_text(codec: TokenCodec, text: str) -> tuple[tuple[int, ...], int]:
    """Return the ids of a text as it is continued, and how many of them stand before it.

    *Raises*: InputError, PromptTooLongError.
    """
    ids = codec.encode_prompt(Verbatim(text))
    return ids, len(ids) - codec.count_tokens(text)
