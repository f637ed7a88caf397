"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP; needs the extra `traces`.

The variables OTEL_* work as OpenTelemetry documents them: sampling, headers, time limits, names of
the resource. Nothing is registered globally.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from corll.service.tracing import Attributes, Span, Tracing
from corll.version import __version__

_SEND_WITHIN_S = 5
"""How long the end of a process waits for a collector to take the last spans."""


class RecordedSpan:
    """A span that is recorded."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, attributes: Attributes) -> None:
        """Add what came of it."""
        self._span.set_attributes(_present(attributes))

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def fail(self, kind: str) -> None:
        """Mark it as failed by an error of that class."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End it."""
        self._span.end()


class Recording:
    """Spans of a process, recorded by a processor of OpenTelemetry's."""

    def __init__(self, processor: SpanProcessor, *, process: str) -> None:
        self._provider = TracerProvider(
            resource=_resource(process),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("corll", __version__)

    def begin(self, name: str) -> Span:
        """Begin a span within the one that is under way."""
        return RecordedSpan(self._tracer.start_span(name))

    @contextmanager
    def span(self, name: str, attributes: Attributes | None = None) -> Iterator[Span]:
        """Yield a span that others are within."""
        with self._current(
            self._tracer.start_span(name, attributes=_present(attributes or {}))
        ) as span:
            yield span

    @contextmanager
    def request(self, headers: Sequence[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Yield the span of a request, within the trace that its headers name."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        context = propagate.extract(carrier)
        begun = self._tracer.start_span("HTTP", context=context, kind=SpanKind.SERVER)
        with self._current(begun) as span:
            yield span

    def close(self) -> None:
        """Send what was not sent yet, for some seconds, and send no more."""
        ending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(_SEND_WITHIN_S)

    @staticmethod
    @contextmanager
    def _current(begun: trace.Span) -> Iterator[Span]:
        """Yield a span that is the one under way meanwhile."""
        span = RecordedSpan(begun)
        try:
            # What OpenTelemetry would record of an error is its message, too.
            with trace.use_span(begun, record_exception=False, set_status_on_exception=False):
                yield span
        except BaseException as error:
            span.fail(type(error).__qualname__)
            raise
        finally:
            span.end()


def traced_to(endpoint: str | None, *, process: str) -> Tracing:
    """Return what sends spans to a collector, in batches, from a thread of its own.

    Without an `endpoint` it is the one of the environment.
    """
    return Recording(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)), process=process)


def _present(attributes: Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _resource(process: str) -> Resource:
    """Return what is said of all spans of a process; the environment may say otherwise."""
    own = {"service.name": "corll", "service.version": __version__, "corll.process": process}
    return Resource.create({**own, **OTELResourceDetector().detect().attributes})
