"""How often an address may try keys, sessions and links that are wrong, before it has to wait."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from math import ceil

from starlette.requests import HTTPConnection

from corll.service.api.error_answers import ApiError
from corll.service.api.limits import WINDOW_S, Bucket
from corll.service.store.rows import hash_secret

_MOST_KEPT = 10_000
_KNOWN_FOR_S = 3600.0
_IPV6_PREFIX = 64
"""Bits of an IPv6 address that a provider gives to one customer."""


class FailedTries:
    """The failed tries of each address in the last minute.

    Whoever shares an address with one that guesses is not shut out: a secret that was right from
    there within the hour is looked up all the same. *Units*: `most` tries a minute.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._tries: OrderedDict[str, Bucket] = OrderedDict()
        self._right: OrderedDict[tuple[str, str], float] = OrderedDict()

    def check(self, request: HTTPConnection, secret: str) -> None:
        """Check that a secret may be looked up. *Raises*: ApiError (429)."""
        address, now = _address(request), self._clock()
        tries = self._tries.get(address) or Bucket(float(self._most), now)
        tries.refill(self._most, now)
        left = tries.tokens
        if left >= 1 or now - self._right.get(_pair(address, secret), -_KNOWN_FOR_S) < _KNOWN_FOR_S:
            return
        wait = ceil((1 - left) * WINDOW_S / self._most)
        raise ApiError(
            429,
            "too_many_failed_tries",
            f"From this address came more than {self._most} wrong keys or links in a minute; try "
            f"again in {wait} s.",
            headers={"retry-after": str(wait)},
        )

    def failed(self, request: HTTPConnection) -> None:
        """Note that a secret was wrong."""
        address, now = _address(request), self._clock()
        tries = self._tries.pop(address, None) or Bucket(float(self._most), now)
        tries.refill(self._most, now)
        tries.tokens -= 1
        self._tries[address] = tries
        if len(self._tries) > _MOST_KEPT:
            self._tries.popitem(last=False)

    def succeeded(self, request: HTTPConnection, secret: str) -> None:
        """Note that a secret was right."""
        pair = _pair(_address(request), secret)
        self._right.pop(pair, None)
        self._right[pair] = self._clock()
        if len(self._right) > _MOST_KEPT:
            self._right.popitem(last=False)


def _pair(address: str, secret: str) -> tuple[str, str]:
    return address, hash_secret(secret)


def _address(request: HTTPConnection) -> str:
    """Return what stands for who asks: the address, of IPv6 the network of one customer."""
    host = "" if request.client is None else request.client.host
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(int(address) >> (128 - _IPV6_PREFIX))
