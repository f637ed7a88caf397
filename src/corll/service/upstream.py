"""An upstream, another service's model that drafts: what settings check of it, and its error."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import SecretStr
from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from corll.errors import CorllError
from corll.service.addresses import holds_more, parts_of

_SECRET: PrimitiveConstructorSpec[SecretStr] = PrimitiveConstructorSpec(
    nargs=1,
    metavar="KEY",
    instance_from_str=lambda words: SecretStr(words[0]),
    is_instance=lambda value: isinstance(value, SecretStr),
    str_from_instance=lambda _: ["***"],
)

OptionalSecret = Annotated[SecretStr | None, _SECRET, arg(metavar="KEY", help_behavior_hint="")]
"""A flag whose value is shown nowhere."""


class UpstreamError(CorllError, RuntimeError):
    """An upstream did not answer as it should; `status` and `code` are those of our answer.

    `retry_after` is what the upstream's header of that name said. `retry` says whether a client
    should try the same again, where that does not follow from the status.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        code: str = "upstream_failed",
        retry_after: str | None = None,
        retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.retry_after, self.retry = retry_after, retry


def check_address(url: str | None, model: str | None, key: SecretStr | None) -> None:
    """Check what settings say of an upstream. *Raises*: ValueError where it cannot be asked so."""
    if url is None:
        if model is not None or key is not None:
            raise ValueError(
                "upstream_model and upstream_key say nothing without upstream=URL; give that too"
            )
        return
    _check_url(url)
    if not (model and model.isprintable() and len(model) <= 200):
        raise ValueError(
            "an upstream has many models: give the name of one in upstream_model, of up to 200 "
            "printable characters"
        )
    secret = "" if key is None else key.get_secret_value()
    if not (secret.isascii() and secret.isprintable() and secret == secret.strip()):
        raise ValueError(
            "upstream_key must be what a header can carry: printable ASCII, no space at either end"
        )


def check_engine(engine: str, urls: Sequence[str], *, upstream: str | None) -> None:
    """Check what settings say of engines. *Raises*: ValueError where they cannot be asked so."""
    if (engine == "vllm") != bool(urls):
        raise ValueError("engine=vllm and engine_url belong together; give both")
    if urls and upstream is not None:
        raise ValueError("engine=vllm and upstream both let others draft; choose one of them")
    for url in urls:
        parts = parts_of(url)
        if parts is None or holds_more(parts) or parts.path.rstrip("/").endswith("/completions"):
            raise ValueError(
                f"engine_url: {url!r} is no address of vLLM; give one such as "
                "http://127.0.0.1:8000/v1, without what follows on it"
            )


def is_in_the_clear(url: str) -> bool:
    """Say whether what an upstream is asked crosses a network that others can read along."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        here = False
    return parts.scheme == "http" and not here


def _check_url(url: str) -> None:
    parts = parts_of(url)
    if parts is None:
        raise ValueError(
            "upstream is no URL of an API; give one such as https://api.example.com/v1"
        )
    if holds_more(parts):
        raise ValueError(
            "upstream holds more than an address: give the key in upstream_key, no ? and no #"
        )
    if parts.path.rstrip("/").endswith("/completions"):
        raise ValueError("upstream ends in a route; give the URL up to its /v1")
