"""The calls of the API that OpenAI's client does not know: what is sent, what comes back.

Each function describes one call as data; `client.py` sends it, at once or awaited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from corll_client.answers import (
    Answer,
    Comparison,
    Drafts,
    Edit,
    Forgotten,
    Import,
    Learning,
    LearningReport,
    Receipt,
    Rollback,
    User,
    Users,
    VersionAndAncestry,
    Versions,
)
from corll_client.errors import ConfigError

Result = TypeVar("Result", bound=Answer)

ArmChoice: TypeAlias = Literal["auto", "base", "memory", "weights", "both"]
"""Which arm drafts: one that is named, or by a coin the one that saves most."""

Deletable: TypeAlias = Literal["edit", "draft", "import", "texts", "model", "user"]
"""What can be deleted: one thing, all texts of a user, what was learned from them, or the user."""

Mask: TypeAlias = Literal["none", "numbers", "addresses", "both"]
"""What is masked before it is learned from."""

DEFAULT_BASE_URL = "http://127.0.0.1:8377"
"""Where a service on this machine answers."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One request, and what its answer is read as."""

    method: Literal["get", "post", "put", "delete"]
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
    text: str,
    draft_id: str | None = None,
    ref: str | None = None,
    draft_text: str | None = None,
    messages: Iterable[Mapping[str, Any]] | None = None,
    choice: int = 0,
    user: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Edit]:
    """Say what was sent in place of a draft; the draft's own text accepts it.

    The draft is named by its id; by the `ref` that the client gave it, as metadata.corll_ref or in
    the header x-client-request-id; by its text as the client has it; or by the conversation, the
    draft last. `user` is whose draft it is, where the key speaks for many.
    """
    said = None if messages is None else [dict(message) for message in messages]
    body: dict[str, Any] = {"draft_id": draft_id, "ref": ref, "draft_text": draft_text}
    body |= {"messages": said, "text": text, "choice": choice, "user": user}
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


def delete(kind: Deletable, id: str = "me", *, dry_run: bool = False) -> Call[Forgotten]:
    """Delete an edit, a draft or an import by its id, or of a user all texts, the model, or all.

    A dry run changes nothing: its receipt says what would be undone, and the cost.
    """
    named = quote(id, safe="")
    under = {"texts": "/texts", "model": "/model"}.get(kind)
    path = f"/{kind}s/{named}" if under is None else f"/users/{named}{under}"
    # Once it is gone, a second request would not find it.
    query = "?dry_run=true" if dry_run else ""
    return Call("delete", path + query, Forgotten, repeats=dry_run)


def retrieve_deletion(id: str) -> Call[Receipt]:
    """Ask for the receipt of a deletion, as it stands."""
    return Call("get", f"/deletions/{quote(id, safe='')}", Receipt)


def list_drafts(
    *,
    user: str | None = None,
    query: str | None = None,
    limit: int | None = None,
    before: str | None = None,
) -> Call[Drafts]:
    """List a user's drafts with their edits, the newest first; `before` is the last one's id."""
    asked = {"q": query, "limit": limit, "before": before}
    given = {name: value for name, value in asked.items() if value is not None}
    path = f"{_user_path(user)}/drafts"
    return Call("get", f"{path}?{urlencode(given)}" if given else path, Drafts)


def create_user(
    name: str, *, store: bool | None = None, learn: bool | None = None, share: bool | None = None
) -> Call[User]:
    """Make a user before their first draft, with what they agree to from the start."""
    switches = {"store": store, "learn": learn, "share": share}
    consent = {switch: value for switch, value in switches.items() if value is not None}
    return Call("post", "/users", User, {"name": name, "consent": consent or None})


def list_users() -> Call[Users]:
    """List the users that the key may see."""
    return Call("get", "/users", Users)


def retrieve_user(user: str | None = None) -> Call[User]:
    """Ask for a user, and what serves them."""
    return Call("get", _user_path(user), User)


def retrieve_learning(user: str | None = None) -> Call[LearningReport]:
    """Ask what learning brought a user."""
    return Call("get", f"{_user_path(user)}/learning", LearningReport)


def list_versions(user: str | None = None) -> Call[Versions]:
    """List a user's versions, and which one serves."""
    return Call("get", f"{_user_path(user)}/adapters", Versions)


def retrieve_version(number: int, *, user: str | None = None) -> Call[VersionAndAncestry]:
    """Ask for a version, and what it stems from."""
    return Call("get", f"{_user_path(user)}/adapters/{number}", VersionAndAncestry)


def roll_back(to: int, *, requeue: bool = False, user: str | None = None) -> Call[Rollback]:
    """Serve an earlier version again; 0 is the reference.

    What is undone is set aside or, with `requeue`, waits to be learned again.
    """
    path = f"{_user_path(user)}/adapters/rollback"
    return Call("post", path, Rollback, {"to": to, "requeue": requeue})


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
    mask: Mask | None = None,
    include_past: bool | None = None,
    user: str | None = None,
) -> Call[User]:
    """Set the switches that are given; `include_past` lets edits made before be learned from."""
    body: dict[str, Any] = {"store": store, "learn": learn, "share": share}
    body |= {"holdback": holdback, "arm": arm, "upstream": upstream, "mask": mask}
    body["include_past"] = include_past
    return Call("put", f"{_user_path(user)}/consent", User, body)


def as_item(
    prompt: str | Iterable[Mapping[str, Any]],
    sent: str,
    draft: str | None = None,
    *,
    hint: str | None = None,
    sign_as: str | None = None,
) -> dict[str, Any]:
    """Return a past text as `create_import` takes it: what was asked, and what was sent."""
    asked = prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
    # The API takes no empty draft; the service draws one of its own in its place.
    further = {"draft": draft or None, "hint": hint, "sign_as": sign_as}
    given = {name: text for name, text in further.items() if text is not None}
    return {"prompt": asked, "sent": sent, **given}


def _choice(side: Mapping[str, Any] | str) -> dict[str, Any]:
    return {"draft_id": side} if isinstance(side, str) else dict(side)


def _user_path(user: str | None) -> str:
    return f"/users/{quote(user or 'me', safe='')}"
