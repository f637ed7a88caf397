"""Traces: how long drafts, edits, steps, gates and swaps took, for whoever operates the service.

A span holds ids, counts and numbers, never a text. Off, which is the default, nothing is recorded,
and OpenTelemetry's packages are not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

DRAFT, EDIT, COMPARISON = "corll.draft", "corll.edit", "corll.comparison"
LEARN, REPLAY = "corll.learn", "corll.replay"
STEP, GATE, SWAP = "corll.step", "corll.gate", "corll.swap"

Attributes: TypeAlias = Mapping[str, str | bool | int | float | Sequence[str] | None]
"""Ids, counts and numbers by name; what is None is left out."""


class Span(Protocol):
    """Something that takes its time."""

    def note(self, attributes: Attributes) -> None:
        """Add what came of it: ids, counts and numbers."""
        ...

    def rename(self, name: str) -> None:
        """Give it another name, once that is known."""
        ...

    def fail(self, kind: str) -> None:
        """Mark it as failed by an error of that class, whose message may quote a text."""
        ...

    def end(self) -> None:
        """End it, once."""
        ...


class Tracing(Protocol):
    """Where spans go."""

    def begin(self, name: str) -> Span:
        """Begin a span within the one that is under way, which the caller ends."""
        ...

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[Span]:
        """Yield a span that others are within; it ends with the block, by its error if any."""
        ...

    def request(self, headers: Sequence[tuple[bytes, bytes]]) -> AbstractContextManager[Span]:
        """Yield the span of a request; it goes on with the trace that its headers name."""
        ...

    def close(self) -> None:
        """Send what was not sent yet, for some seconds, and send no more."""
        ...


class _NoSpan:
    """A span that is not recorded."""

    def note(self, attributes: Attributes) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def fail(self, kind: str) -> None:
        pass

    def end(self) -> None:
        pass

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        return None


_NO_SPAN = _NoSpan()


class _NoTracing:
    """Spans that go nowhere."""

    def begin(self, name: str) -> Span:
        return _NO_SPAN

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[Span]:
        return _NO_SPAN

    def request(self, headers: Sequence[tuple[bytes, bytes]]) -> AbstractContextManager[Span]:
        return _NO_SPAN

    def close(self) -> None:
        pass


NO_TRACING: Tracing = _NoTracing()
