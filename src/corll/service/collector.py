"""The collector that spans are sent to: its address, and sending there for as long as one works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator
from tyro.conf import arg

from corll.errors import ConfigError
from corll.service.addresses import holds_more, parts_of
from corll.service.tracing import NO_TRACING, Tracing

FROM_ENVIRONMENT = "environment"
"""The address that says: the one of OTEL_EXPORTER_OTLP_ENDPOINT."""

_PATH = "/v1/traces"
"""Where a collector takes traces, by OTLP over HTTP."""


def _checked(address: str | None) -> str | None:
    """Return a collector's address. *Raises*: ValueError where it cannot be one."""
    if address is None or address == FROM_ENVIRONMENT:
        return address
    parts = parts_of(address)
    if parts is None:
        raise ValueError(
            f"traces is no address of a collector; give one such as http://127.0.0.1:4318, or "
            f"{FROM_ENVIRONMENT} where OTEL_EXPORTER_OTLP_ENDPOINT has it"
        )
    if holds_more(parts):
        raise ValueError(
            "traces holds more than an address: give secrets in OTEL_EXPORTER_OTLP_HEADERS, no ? "
            "and no #"
        )
    return address


TracesAddress = Annotated[
    str | None, AfterValidator(_checked), arg(metavar="URL", help_behavior_hint="")
]


def endpoint_of(address: str) -> str | None:
    """Return the URL that spans are posted to; None where the environment has it."""
    if address == FROM_ENVIRONMENT:
        return None
    return address if urlsplit(address).path.strip("/") else address.rstrip("/") + _PATH


@contextmanager
def open_tracing(address: str | None, *, process: str) -> Iterator[Tracing]:
    """Yield where the spans of a process go: to the collector at an address, or nowhere for None.

    *Raises*: ConfigError where the extra `traces` is not installed.
    """
    if address is None:
        yield NO_TRACING
        return
    try:
        from corll.service.spans import traced_to
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ConfigError(
            "Traces need OpenTelemetry, which is not installed: pip install 'corll[traces]', or "
            "leave out --traces."
        ) from error
    tracing = traced_to(endpoint_of(address), process=process)
    try:
        yield tracing
    finally:
        tracing.close()
