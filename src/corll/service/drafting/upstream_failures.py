"""What goes wrong with an upstream, said so that whoever reads it knows what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic import ValidationError

from corll.service.upstream import UpstreamError

_SHOWN = 200
"""So much of what an upstream says is shown."""

REFUSED = "upstream_refused"
"""The code of a request that cannot be answered as it is, such as for several texts at once."""

_NAME_OF_KEY = "--upstream-key or CORLL_UPSTREAM_KEY"


class UpstreamFailures:
    """Makes the errors of one upstream; none of them holds its key.

    `flag` is the setting that names its address.
    """

    flag = "--upstream"

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        self._url, self._key, self._timeout = url, key, timeout

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise UpstreamError in place of what the network raises."""
        try:
            yield
        except (TimeoutError, httpx.TimeoutException) as error:
            raise UpstreamError(
                f"The upstream {self._url} did not answer within {self._timeout:g} s. Ask again, "
                "for fewer tokens, or give it longer (--upstream-timeout).",
                status=504,
                code="upstream_timeout",
            ) from error
        except httpx.ConnectError as error:
            raise UpstreamError(
                f"The upstream {self._url} cannot be reached ({self._plain(str(error))}). See "
                f"whether it runs, and whether {self.flag} is its address.",
                code="upstream_unreachable",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._broken(self._plain(str(error)) or type(error).__name__) from error

    def half(self) -> UpstreamError:
        """Return the error of a stream that ends before its draft does."""
        return self._broken("the stream has no end")

    def too_long(self) -> UpstreamError:
        """Return the error of an answer that goes on and on."""
        return self._broken("it sent more than a draft can be")

    def check_stream(self, answer: httpx.Response) -> None:
        """Check that an answer is a stream of events. *Raises*: UpstreamError."""
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise UpstreamError(
                f"The upstream {self._url} answered {self._plain(kind) or 'no type of content'} "
                "where a stream of events was asked for. See whether --upstream is the address of "
                "an OpenAI-compatible API, up to its /v1.",
                code="upstream_not_openai",
            )

    def not_openais(
        self, answer: httpx.Response, content: bytes, problem: ValidationError | None
    ) -> UpstreamError:
        """Return the error of an answer in another shape than OpenAI's."""
        kind = self._plain(answer.headers.get("content-type", "")) or "no type of content"
        came = f"{kind}: {self._plain(content.decode('utf-8', 'replace'))!r}"
        if problem is not None:
            first = problem.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole of it"
            came += f"; {where}: {first['msg']}"
        return UpstreamError(
            f"The upstream {self._url} did not answer as OpenAI's API does ({came}). See whether "
            f"{self.flag} is its address, up to its /v1.",
            code="upstream_not_openai",
        )

    def no_draft(self, refusal: str | None, reason: str | None) -> UpstreamError:
        """Return the error of an answer that is no draft."""
        why = f"it refused: {self._plain(refusal)}" if refusal else f"finish_reason: {reason}"
        return UpstreamError(
            f"The upstream gave no draft ({self._plain(why)}). Ask otherwise.",
            code="upstream_no_draft",
            retry=False,
        )

    def reported(self, error: Any) -> UpstreamError:
        """Return the error that a stream itself reports."""
        said = error.get("message") if isinstance(error, dict) else error
        return self._broken(self._plain(str(said)))

    def refused(self, answer: httpx.Response, content: bytes) -> UpstreamError:
        """Return the error of an answer by its status."""
        status, said = answer.status_code, self._message(content)
        after = answer.headers.get("retry-after")
        if status in (401, 403):  # what it says may hold the key
            return UpstreamError(
                f"The upstream {self._url} refused our key ({status}). Whoever runs this service "
                f"sets another one in {_NAME_OF_KEY}.",
                code="upstream_refused_key",
                retry=False,
            )
        if status == 429 or (status == 503 and after is not None):
            return UpstreamError(
                f"The upstream takes no more for now ({status}: {said}). Ask again later.",
                status=503,
                code="upstream_busy",
                retry_after=after,
            )
        if status in (400, 413, 422):
            return UpstreamError(
                f"The upstream refused the request ({status}: {said}).",
                status=400,
                code=REFUSED,
            )
        if status in (408, 504):
            return UpstreamError(
                f"The upstream ran out of time ({status}: {said}). Ask again.",
                status=504,
                code="upstream_timeout",
            )
        return UpstreamError(
            f"The upstream {self._url} answered {status} ({said}). See whether --upstream is its "
            "address, up to its /v1, and --upstream-model one of its models.",
            retry=status >= 500,
        )

    def _broken(self, why: str) -> UpstreamError:
        return UpstreamError(
            f"The upstream {self._url} broke off ({why}). Ask again.", code="upstream_broke_off"
        )

    def _message(self, content: bytes) -> str:
        """Return what an error says, of OpenAI's shape or any other."""
        try:
            error = json.loads(content)["error"]
            said = error["message"] if isinstance(error, dict) else error
        except (ValueError, RecursionError, KeyError, TypeError):
            said = content.decode("utf-8", "replace")
        return self._plain(str(said)) or "without a word"

    def _plain(self, text: str) -> str:
        """Return the beginning of what an upstream says, in one line and without our key."""
        if self._key:
            text = text.replace(self._key, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
