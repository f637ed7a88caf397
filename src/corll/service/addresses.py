"""Addresses of other services, as settings name them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator


def parts_of(address: str) -> SplitResult | None:
    """Return the parts of an address of HTTP; None where it is none."""
    try:
        parts = urlsplit(address)
        found = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if found else None


def holds_more(parts: SplitResult) -> bool:
    """Tell whether there is more than an address: settings are printed, and a secret is not."""
    return "@" in parts.netloc or bool(parts.query or parts.fragment)


def _check_networks(given: tuple[str, ...]) -> tuple[str, ...]:
    for one in given:
        try:
            ip_network(one)
        except ValueError as error:
            raise ValueError(
                f"{one!r} is no address or network ({error}); give such as 10.0.0.7 or 10.0.0.0/24"
            ) from error
    return given


Networks = Annotated[tuple[str, ...], AfterValidator(_check_networks)]
"""Addresses and networks of machines."""


def _check_origins(given: tuple[str, ...]) -> tuple[str, ...]:
    for one in given:
        if one != "*" and not _is_origin(one):
            raise ValueError(
                f"{one!r} is no origin of web pages; give scheme, host and port alone, such as "
                "https://app.example.org or http://localhost:3000, or *"
            )
    return given


def _is_origin(text: str) -> bool:
    """Tell whether a text is what a browser calls its page's origin."""
    try:
        parts = urlsplit(text)
        named = bool(parts.scheme and parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and text == f"{parts.scheme}://{parts.netloc}" and not holds_more(parts)


Origins = Annotated[tuple[str, ...], AfterValidator(_check_origins)]
"""Origins of web pages: scheme, host and port; `*` for all."""
