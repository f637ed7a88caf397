"""The calls of the API that OpenAI's client does not know: what is sent, what comes back.

Each function describes one call as data; `client.py` sends it, at once or awaited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from openai import BaseModel

from corll.records import Prompt

Result = TypeVar("Result")


class ServingVersion(BaseModel):
    """A version of a user's adapter; `number` counts from 1."""

    number: int
    state: str


class Edit(BaseModel):
    """What became of a draft, and how far it has come: recorded, then learned, then serving.

    `reason` says why nothing is learned from it. *Units*: `edit_cost` in characters changed per
    character sent.
    """

    id: str
    draft_id: str
    choice: int
    text: str
    state: Literal["accepted", "recorded", "learned", "serving", "set_aside", "replaced"]
    accepted: bool
    edit_cost: float
    will_learn: bool
    created_at: float
    reason: str | None = None
    version: ServingVersion | None = None


class Choice(BaseModel):
    """One choice of a draft."""

    draft_id: str
    choice: int = 0


class Comparison(BaseModel):
    """One choice, preferred to another."""

    id: str
    chosen: Choice
    rejected: Choice
    state: Literal["recorded", "learned", "serving", "set_aside", "replaced"]
    will_learn: bool
    created_at: float
    reason: str | None = None
    version: ServingVersion | None = None


class Learning(BaseModel):
    """What was asked of the learner: whether a step is queued, how many edits wait."""

    queued: bool
    waiting: int
    learner: Literal["off", "starting", "ready", "down"]


class Interval(BaseModel):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


class ImportResult(BaseModel):
    """What an import changed, on the texts that were held out, where there were enough to.

    *Units*: edit cost in characters changed per character sent; `change` is that of its mean,
    relative to before: -0.5 means half the edits. Surprisal of the texts that were sent in nats a
    token, `surprisal_change` is its difference: where a text was not made from the model's draft,
    it tells what edit cost cannot.
    """

    edit_cost_before: Interval | None = None
    edit_cost_after: Interval | None = None
    change: Interval | None = None
    surprisal_before: Interval | None = None
    surprisal_after: Interval | None = None
    surprisal_change: Interval | None = None
    held_out: int | None = None
    version: int | None = None


class Import(BaseModel):
    """Past texts that the learner goes through; `result` once it is done."""

    id: str
    state: Literal["waiting", "running", "done", "failed"]
    total: int
    used: int = 0
    result: ImportResult | None = None
    error: str | None = None


class Reference(BaseModel):
    """The frozen model that a user's versions started from."""

    number: int
    kind: Literal["base", "adapter"]
    name: str


class Consent(BaseModel):
    """The three switches of a user."""

    store: bool
    learn: bool
    share: bool


class User(BaseModel):
    """A user: what may be done with their texts, and what serves them."""

    id: str
    name: str
    consent: Consent
    holdback: float
    waiting: int
    created_at: float
    serving: int | None = None
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One request, and what its answer is read as."""

    method: Literal["get", "post", "put"]
    path: str
    result: type[Result]
    body: Mapping[str, Any] | None = None
    repeats: bool = True
    """Whether it may be sent again where no answer came; not where that would do it twice."""

    def arguments(self) -> dict[str, Any]:
        """As openai's clients take them; what is None is left out."""
        options: dict[str, Any] = {} if self.repeats else {"max_retries": 0}
        if self.body is None:
            return {"cast_to": self.result, "options": options}
        given = {name: value for name, value in self.body.items() if value is not None}
        return {"cast_to": self.result, "options": options, "body": given}


def create_edit(
    *,
    draft_id: str,
    text: str,
    choice: int = 0,
    idempotency_key: str | None = None,
) -> Call[Edit]:
    """Says what was sent in place of a draft; the draft's own text accepts it."""
    body: dict[str, Any] = {"draft_id": draft_id, "text": text, "choice": choice}
    body["idempotency_key"] = idempotency_key
    return Call("post", "/edits", Edit, body)


def retrieve_edit(id: str) -> Call[Edit]:
    """An edit, and whether it was learned from."""
    return Call("get", f"/edits/{quote(id, safe='')}", Edit)


def create_comparison(
    *,
    chosen: Mapping[str, Any] | str,
    rejected: Mapping[str, Any] | str,
    idempotency_key: str | None = None,
) -> Call[Comparison]:
    """Says that one choice is better than another; each is {"draft_id": …, "choice": …}.

    A draft's id alone stands for its first choice.
    """
    body: dict[str, Any] = {"chosen": _choice(chosen), "rejected": _choice(rejected)}
    body["idempotency_key"] = idempotency_key
    return Call("post", "/comparisons", Comparison, body)


def request_learning(user: str | None = None) -> Call[Learning]:
    """Asks the learner for a step now, with the edits that wait."""
    return Call("post", "/learn", Learning, {"user": user})


def create_import(items: Iterable[Mapping[str, Any]], *, user: str | None = None) -> Call[Import]:
    """Hands over texts sent before, {"prompt": …, "sent": …, "draft": …}, to be learned from."""
    body = {"items": [dict(item) for item in items], "user": user}
    return Call("post", "/imports", Import, body, repeats=False)


def retrieve_import(id: str) -> Call[Import]:
    """How far an import is, and what it brought."""
    return Call("get", f"/imports/{quote(id, safe='')}", Import)


def retrieve_consent(*, user: str | None = None) -> Call[User]:
    """The user, with the switches as they stand."""
    return Call("get", _user_path(user), User)


def update_consent(
    *,
    store: bool | None = None,
    learn: bool | None = None,
    share: bool | None = None,
    holdback: float | None = None,
    include_past: bool | None = None,
    user: str | None = None,
) -> Call[User]:
    """Sets the switches that are given; `include_past` lets edits made before be learned from."""
    body: dict[str, Any] = {"store": store, "learn": learn, "share": share}
    body |= {"holdback": holdback, "include_past": include_past}
    return Call("put", f"{_user_path(user)}/consent", User, body)


def as_item(prompt: Prompt, sent: str, draft: str | None = None) -> dict[str, Any]:
    """A past text as `create_import` takes it."""
    asked = prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
    # The API takes no empty draft; the service draws one of its own in its place.
    return {"prompt": asked, "sent": sent} | ({"draft": draft} if draft else {})


def _choice(side: Mapping[str, Any] | str) -> dict[str, Any]:
    return {"draft_id": side} if isinstance(side, str) else dict(side)


def _user_path(user: str | None) -> str:
    return f"/users/{quote(user or 'me', safe='')}"
