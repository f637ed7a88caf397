"""Answers by example, for the API's description. Each is made of its schema, so that it is one."""

from __future__ import annotations

from typing import Any

from corll.config import EMBEDDED_MODEL
from corll.schemas.administration import Model, Models
from corll.schemas.answers import (
    Comparison,
    DraftChoice,
    Edit,
    Import,
    ImportResult,
    Interval,
    Learning,
)
from corll.schemas.bodies import Answer
from corll.schemas.completions import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    DraftFacts,
    TextChoice,
    TextCompletion,
    Usage,
)

_CREATED = 1_790_000_000
_DRAFT, _USER = "chatcmpl-3vT", "user_8JxQ"
_FINGERPRINT = "26c63b34136f20f7"
_USAGE = Usage(prompt_tokens=38, completion_tokens=12, total_tokens=50)
_FACTS = DraftFacts(
    candidates=1, implicit_reward=None, user=_USER, stored=True, version=3, arm="both"
)

_IMPORT = Import(
    id="import_7Tz",
    object="import",
    user=_USER,
    state="waiting",
    total=100,
    used=0,
    skipped=0,
    skipped_texts=[],
    result=None,
    error=None,
    created_at=_CREATED + 0.5,
    finished_at=None,
)
_RESULT = ImportResult(
    held_out=20,
    version=3,
    taken_back=False,
    edit_cost_before=Interval(mean=0.41, low=0.34, high=0.48),
    edit_cost_after=Interval(mean=0.3, low=0.24, high=0.37),
    change=Interval(mean=-0.27, low=-0.41, high=-0.11),
    surprisal_before=Interval(mean=2.5, low=2.31, high=2.7),
    surprisal_after=Interval(mean=1.52, low=1.38, high=1.66),
    surprisal_change=Interval(mean=-0.98, low=-1.13, high=-0.84),
)
_DONE = {"state": "done", "used": 80, "result": _RESULT, "finished_at": _CREATED + 240.5}

_ANSWERS: dict[tuple[str, str], Answer] = {
    ("post", "/v1/chat/completions"): ChatCompletion(
        id=_DRAFT,
        object="chat.completion",
        created=_CREATED,
        model="corll",
        system_fingerprint=_FINGERPRINT,
        choices=[
            ChatChoice(
                index=0,
                message=AssistantMessage(
                    role="assistant",
                    content="Hello, the parcel is late; it will arrive on Friday.",
                    refusal=None,
                ),
                logprobs=None,
                finish_reason="stop",
            )
        ],
        usage=_USAGE,
        corll=_FACTS,
    ),
    ("post", "/v1/completions"): TextCompletion(
        id="cmpl-9Qs",
        object="text_completion",
        created=_CREATED,
        model="corll",
        system_fingerprint=_FINGERPRINT,
        choices=[TextChoice(index=0, text=" we are sorry.", logprobs=None, finish_reason="stop")],
        usage=_USAGE,
        corll=_FACTS,
    ),
    ("post", "/v1/edits"): Edit(
        id="edit_5Rk",
        object="edit",
        draft_id=_DRAFT,
        choice=0,
        text="Hello, it comes on Friday. Anna",
        accepted=False,
        edit_cost=0.9,
        created_at=_CREATED + 0.5,
        state="recorded",
        will_learn=True,
        reason=None,
        version=None,
        masked=[],
    ),
    ("post", "/v1/comparisons"): Comparison(
        id="comparison_2Hm",
        object="comparison",
        chosen=DraftChoice(draft_id=_DRAFT, choice=1),
        rejected=DraftChoice(draft_id=_DRAFT, choice=0),
        created_at=_CREATED + 0.5,
        state="recorded",
        will_learn=True,
        reason=None,
        version=None,
    ),
    ("post", "/v1/learn"): Learning(object="learn", queued=True, waiting=1, learner="ready"),
    ("get", "/v1/models"): Models(
        object="list",
        data=[Model(id="corll", object="model", created=0, owned_by="corll", base=EMBEDDED_MODEL)],
    ),
    ("post", "/v1/imports"): _IMPORT,
    ("get", "/v1/imports/{import_id}"): _IMPORT.model_copy(update=_DONE),
}

EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    route: answer.model_dump(exclude_unset=True) for route, answer in _ANSWERS.items()
}
"""Answers with the fields that they have, by method and path."""
