"""Drafts for the writers' property tests: parts of what should be said, and of other letters."""

from __future__ import annotations

from hypothesis import strategies as st
from prose import TEXT

from corll.simulation.writers import WritingRequest, writing_requests

REQUESTS = [*writing_requests("train"), *writing_requests("held_out")]

_OTHERS = [
    "Subject: Your letter",
    "Here is a draft:",
    "Dear [Name],",
    "Hi there!",
    "Hello Emily,",
    "Thank you for your patience and understanding.",
    "It is on Sunday 31 May at 23:17 and costs 999 pounds.",
    "Emily and Chris can't come, really!",
    "The weather in the mountains was splendid",
    "1. We'll be glad, and so will you e.g.",
    "Best regards,\n[Your Name]",
    "Kind regards,\nAnna Berg",
    "Thanks,\nChris Smith",
    "All the best.",
]
_GAPS = st.sampled_from([" ", "\n", "\n\n", "\n- ", "\r\n"])


def _drafts_for(request: WritingRequest) -> st.SearchStrategy[str]:
    wordings = [sentence for wording in ("say", "formal", "note") for sentence in
                request.sentences(wording)]  # fmt: skip
    greetings = [f"Dear {request.recipient},", f"Hi {request.first_name}!"]
    sentences = st.sampled_from([*wordings, *wordings, *greetings, *_OTHERS])
    parts = st.lists(st.tuples(sentences, _GAPS), max_size=9)
    prose = parts.map(lambda chosen: "".join(sentence + gap for sentence, gap in chosen))
    return st.one_of(prose, prose, st.tuples(prose, TEXT).map("".join), TEXT)


REQUESTS_AND_DRAFTS = st.sampled_from(REQUESTS).flatmap(
    lambda request: st.tuples(st.just(request), _drafts_for(request))
)
