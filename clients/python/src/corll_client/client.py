"""The Python client: OpenAI's own, with what corll adds to its API.

`Corll` is an `openai.OpenAI`, so drafts are `client.chat.completions.create(model="corll", …)`;
`client.edits.create(draft_id=draft.id, text=…)` says what became of one. Faults are openai's own
(`openai.NotFoundError`, …).
A call is described once, by a function of `calls.py`; `Corll` and `AsyncCorll` send it. `user`
names, where the key is a backend's, for whom it speaks.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import cached_property
from inspect import Parameter, Signature, signature
from typing import Any, Concatenate, ParamSpec, TypeVar, get_args, get_type_hints

from corll_client.errors import ConfigError

try:
    from openai import AsyncOpenAI, OpenAI
except ImportError as error:
    raise ImportError(
        "The client of corll stands on OpenAI's, which is not installed: pip install openai"
    ) from error

from corll_client import calls
from corll_client.answers import Answer, Learning
from corll_client.calls import DEFAULT_BASE_URL, Call
from corll_client.events import AsyncEventStream, EventStream

USER_HEADER = "x-corll-user"
"""Names, where a request has no field for it, the user for whom a backend's key speaks."""

P = ParamSpec("P")
Result = TypeVar("Result", bound=Answer)


class _Resource:
    def __init__(self, client: Corll) -> None:
        self._client = client


class _AsyncResource:
    def __init__(self, client: AsyncCorll) -> None:
        self._client = client


def _sent(call: Callable[P, Call[Result]]) -> Callable[Concatenate[_Resource, P], Result]:
    def send(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return self._client.send(call(*args, **kwargs))

    _look_like(send, call)
    return send


def _sent_async(
    call: Callable[P, Call[Result]],
) -> Callable[Concatenate[_AsyncResource, P], Awaitable[Result]]:
    async def send(self: _AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return await self._client.send(call(*args, **kwargs))

    _look_like(send, call)
    return send


def _look_like(method: Any, call: Callable[..., Call[Any]]) -> None:
    """Give a method the help of the call that it sends."""
    own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    given = signature(call)
    (result,) = get_args(get_type_hints(call)["return"])
    method.__signature__ = Signature([own, *given.parameters.values()], return_annotation=result)
    method.__name__, method.__doc__ = call.__name__, call.__doc__


class Edits(_Resource):
    """`client.edits`."""

    create = _sent(calls.create_edit)
    retrieve = _sent(calls.retrieve_edit)


class Comparisons(_Resource):
    """`client.comparisons`."""

    create = _sent(calls.create_comparison)


class Imports(_Resource):
    """`client.imports`."""

    create = _sent(calls.create_import)
    retrieve = _sent(calls.retrieve_import)


class Consents(_Resource):
    """`client.consent`."""

    retrieve = _sent(calls.retrieve_consent)
    update = _sent(calls.update_consent)


class Deletions(_Resource):
    """`client.deletions`."""

    create = _sent(calls.delete)
    retrieve = _sent(calls.retrieve_deletion)


class Drafts(_Resource):
    """`client.drafts`."""

    list = _sent(calls.list_drafts)


class Users(_Resource):
    """`client.users`."""

    create = _sent(calls.create_user)
    retrieve = _sent(calls.retrieve_user)
    learning = _sent(calls.retrieve_learning)
    list = _sent(calls.list_users)


class Versions(_Resource):
    """`client.versions`."""

    retrieve = _sent(calls.retrieve_version)
    roll_back = _sent(calls.roll_back)
    list = _sent(calls.list_versions)


class AsyncEdits(_AsyncResource):
    """`client.edits`, awaited."""

    create = _sent_async(calls.create_edit)
    retrieve = _sent_async(calls.retrieve_edit)


class AsyncComparisons(_AsyncResource):
    """`client.comparisons`, awaited."""

    create = _sent_async(calls.create_comparison)


class AsyncImports(_AsyncResource):
    """`client.imports`, awaited."""

    create = _sent_async(calls.create_import)
    retrieve = _sent_async(calls.retrieve_import)


class AsyncConsents(_AsyncResource):
    """`client.consent`, awaited."""

    retrieve = _sent_async(calls.retrieve_consent)
    update = _sent_async(calls.update_consent)


class AsyncDeletions(_AsyncResource):
    """`client.deletions`, awaited."""

    create = _sent_async(calls.delete)
    retrieve = _sent_async(calls.retrieve_deletion)


class AsyncDrafts(_AsyncResource):
    """`client.drafts`, awaited."""

    list = _sent_async(calls.list_drafts)


class AsyncUsers(_AsyncResource):
    """`client.users`, awaited."""

    create = _sent_async(calls.create_user)
    retrieve = _sent_async(calls.retrieve_user)
    learning = _sent_async(calls.retrieve_learning)
    list = _sent_async(calls.list_users)


class AsyncVersions(_AsyncResource):
    """`client.versions`, awaited."""

    retrieve = _sent_async(calls.retrieve_version)
    roll_back = _sent_async(calls.roll_back)
    list = _sent_async(calls.list_versions)


class Corll(OpenAI):
    """OpenAI's client, for a service of corll, with the calls that teach: `edits` and others.

    `base_url` and `api_key` come, where they are left out, from CORLL_BASE_URL and CORLL_API_KEY;
    never from OPENAI_API_KEY, which is no business of another server. Other options are OpenAI's.
    """

    def __init__(
        self, *, base_url: str | None = None, api_key: str | None = None, **options: Any
    ) -> None:
        super().__init__(base_url=_base_url(base_url), api_key=_api_key(api_key), **options)

    def send(self, call: Call[Result]) -> Result:
        """Send a call and read its answer.

        *Raises*: ConfigError where what answers is not corll; openai's errors otherwise.
        """
        return call.read(getattr(self, call.method)(call.path, **call.arguments()))

    def learn(self, user: str | None = None) -> Learning:
        """Ask the learner for a step now, with the edits that wait."""
        return self.send(calls.request_learning(user))

    def events(self, user: str | None = None) -> EventStream:
        """Listen to what happens to a user's edits and versions, from now on."""
        stream: EventStream = self.get("/events", **_listening(user), stream_cls=EventStream)
        return stream

    @cached_property
    def edits(self) -> Edits:
        return Edits(self)

    @cached_property
    def comparisons(self) -> Comparisons:
        return Comparisons(self)

    @cached_property
    def imports(self) -> Imports:
        return Imports(self)

    @cached_property
    def consent(self) -> Consents:
        return Consents(self)

    @cached_property
    def deletions(self) -> Deletions:
        return Deletions(self)

    @cached_property
    def drafts(self) -> Drafts:
        return Drafts(self)

    @cached_property
    def users(self) -> Users:
        return Users(self)

    @cached_property
    def versions(self) -> Versions:
        return Versions(self)


class AsyncCorll(AsyncOpenAI):
    """`Corll`, awaited."""

    def __init__(
        self, *, base_url: str | None = None, api_key: str | None = None, **options: Any
    ) -> None:
        super().__init__(base_url=_base_url(base_url), api_key=_api_key(api_key), **options)

    async def send(self, call: Call[Result]) -> Result:
        """Send a call and read its answer.

        *Raises*: ConfigError where what answers is not corll; openai's errors otherwise.
        """
        return call.read(await getattr(self, call.method)(call.path, **call.arguments()))

    async def learn(self, user: str | None = None) -> Learning:
        """Ask the learner for a step now, with the edits that wait."""
        return await self.send(calls.request_learning(user))

    async def events(self, user: str | None = None) -> AsyncEventStream:
        """Listen to what happens to a user's edits and versions, from now on."""
        return await self.get("/events", **_listening(user), stream_cls=AsyncEventStream)

    @cached_property
    def edits(self) -> AsyncEdits:
        return AsyncEdits(self)

    @cached_property
    def comparisons(self) -> AsyncComparisons:
        return AsyncComparisons(self)

    @cached_property
    def imports(self) -> AsyncImports:
        return AsyncImports(self)

    @cached_property
    def consent(self) -> AsyncConsents:
        return AsyncConsents(self)

    @cached_property
    def deletions(self) -> AsyncDeletions:
        return AsyncDeletions(self)

    @cached_property
    def drafts(self) -> AsyncDrafts:
        return AsyncDrafts(self)

    @cached_property
    def users(self) -> AsyncUsers:
        return AsyncUsers(self)

    @cached_property
    def versions(self) -> AsyncVersions:
        return AsyncVersions(self)


def _listening(user: str | None) -> dict[str, Any]:
    headers = {"Accept": "text/event-stream"}
    if user is not None:
        headers[USER_HEADER] = user
    return {"cast_to": object, "options": {"headers": headers}, "stream": True}


def _base_url(given: str | None) -> str:
    # Copies of a client are made with the URL that it has, as an httpx URL with a slash.
    url = str(given or os.environ.get("CORLL_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
    return url if url.endswith("/v1") else f"{url}/v1"


def _api_key(given: str | None) -> str:
    key = given or os.environ.get("CORLL_API_KEY")
    if not key:
        raise ConfigError(
            "Give api_key, or set CORLL_API_KEY: `corll keys create` makes a key, and `corll "
            "serve` shows the first one."
        )
    return key
