"""The text of ids that were drawn, and the ids of a text that was cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corll.service.drafting.requests import DraftJob

Decode = Callable[[Sequence[int]], str]


def text_of(ids: tuple[int, ...], job: DraftJob, decode: Decode) -> str:
    """Return the text of ids that were drawn; after a beginning they may read otherwise."""
    begun = job.begun
    if begun is None:
        return decode(ids)
    return decode((*begun.token_ids, *ids))[len(begun.text) :]


def ids_within(ids: tuple[int, ...], text: str, job: DraftJob, decode: Decode) -> tuple[int, ...]:
    """Return the ids whose text is within `text`, cut by a stop sequence; at least one."""
    for count in range(len(ids), 1, -1):
        if text.startswith(text_of(ids[:count], job, decode)):
            return ids[:count]
    return ids[:1]


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Return where a text is cut by the first of the stop sequences; None where by none."""
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)
