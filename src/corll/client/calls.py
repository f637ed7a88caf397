"""The calls of the API that OpenAI's client does not know: what is sent, what comes back.

Each function describes one call as data; `client.py` sends it, at once or awaited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from corll.errors import ConfigError
from corll.moved import from_elsewhere
from corll.records import Prompt, messages_of
from corll.schemas.answers import Comparison, Edit, Import, Learning, User
from corll.schemas.bodies import Answer
from corll.schemas.states import ArmChoice

Result = TypeVar("Result", bound=Answer)

DEFAULT_BASE_URL = "http://127.0.0.1:8377"
"""Where a service on this machine answers."""


def __getattr__(name: str) -> Any:
    return from_elsewhere(__name__, name)


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
        """Return the arguments as openai's clients take them; what is None is left out."""
        options: dict[str, Any] = {} if self.repeats else {"max_retries": 0}
        if self.body is None:
            return {"cast_to": object, "options": options}
        given = {name: value for name, value in self.body.items() if value is not None}
        return {"cast_to": object, "options": options, "body": given}

    def read(self, answer: object) -> Result:
        """Return an answer in its shape.

        *Raises*: ConfigError where it has another one, so that what answers is not corll.
        """
        try:
            return self.result.model_validate(answer)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in problem["loc"]) or "the answer"
            raise ConfigError(
                f"What answers {self.path} is not a service of corll, or one of another release "
                f"({where}: {problem['msg']}); is its address, base_url, right?"
            ) from error


def create_edit(
    *,
    draft_id: str,
    text: str,
    choice: int = 0,
    idempotency_key: str | None = None,
) -> Call[Edit]:
    """Say what was sent in place of a draft; the draft's own text accepts it."""
    body: dict[str, Any] = {"draft_id": draft_id, "text": text, "choice": choice}
    body["idempotency_key"] = idempotency_key
    return Call("post", "/edits", Edit, body)


def retrieve_edit(id: str) -> Call[Edit]:
    """Ask for an edit, and whether it was learned from."""
    return Call("get", f"/edits/{quote(id, safe='')}", Edit)


def create_comparison(
    *,
    chosen: Mapping[str, Any] | str,
    rejected: Mapping[str, Any] | str,
    idempotency_key: str | None = None,
) -> Call[Comparison]:
    """Say that one choice is better than another; each is {"draft_id": …, "choice": …}.

    A draft's id alone stands for its first choice.
    """
    body: dict[str, Any] = {"chosen": _choice(chosen), "rejected": _choice(rejected)}
    body["idempotency_key"] = idempotency_key
    return Call("post", "/comparisons", Comparison, body)


def request_learning(user: str | None = None) -> Call[Learning]:
    """Ask the learner for a step now, with the edits that wait."""
    return Call("post", "/learn", Learning, {"user": user})


def create_import(
    items: Iterable[Mapping[str, Any]],
    *,
    user: str | None = None,
    frame: str | None = None,
    sign_as: str | None = None,
    frame_template: str | None = None,
) -> Call[Import]:
    """Hand over texts sent before, {"prompt": …, "sent": …, "draft": …}, to be learned from.

    With a `frame` around its prompts an item may also have a "hint" and a "sign_as" of its own.
    """
    body: dict[str, Any] = {"items": [dict(item) for item in items], "user": user}
    body |= {"frame": frame, "sign_as": sign_as, "frame_template": frame_template}
    return Call("post", "/imports", Import, body, repeats=False)


def retrieve_import(id: str) -> Call[Import]:
    """Ask how far an import is, and what it brought."""
    return Call("get", f"/imports/{quote(id, safe='')}", Import)


def retrieve_consent(*, user: str | None = None) -> Call[User]:
    """Ask for the user, with the switches as they stand."""
    return Call("get", _user_path(user), User)


def update_consent(
    *,
    store: bool | None = None,
    learn: bool | None = None,
    share: bool | None = None,
    holdback: float | None = None,
    arm: ArmChoice | None = None,
    upstream: bool | None = None,
    include_past: bool | None = None,
    user: str | None = None,
) -> Call[User]:
    """Set the switches that are given; `include_past` lets edits made before be learned from."""
    body: dict[str, Any] = {"store": store, "learn": learn, "share": share}
    body |= {"holdback": holdback, "arm": arm, "upstream": upstream, "include_past": include_past}
    return Call("put", f"{_user_path(user)}/consent", User, body)


def as_item(
    prompt: Prompt,
    sent: str,
    draft: str | None = None,
    *,
    hint: str | None = None,
    sign_as: str | None = None,
) -> dict[str, Any]:
    """Return a past text as `create_import` takes it."""
    content = messages_of(prompt)
    asked = content if isinstance(content, str) else [dict(message) for message in content]
    # The API takes no empty draft; the service draws one of its own in its place.
    further = {"draft": draft or None, "hint": hint, "sign_as": sign_as}
    given = {name: text for name, text in further.items() if text is not None}
    return {"prompt": asked, "sent": sent, **given}


def _choice(side: Mapping[str, Any] | str) -> dict[str, Any]:
    return {"draft_id": side} if isinstance(side, str) else dict(side)


def _user_path(user: str | None) -> str:
    return f"/users/{quote(user or 'me', safe='')}"
