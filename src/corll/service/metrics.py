"""What Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from corll.schemas.states import LearnerState
from corll.service.store.drafts import DraftRow, EditRow

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
_COSTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)


class Metrics:
    """Counts of one server; imported texts are no part of them."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._drafts = Counter(
            "corll_drafts", "Drafts, by how they ended.", ["status"], registry=registry
        )
        self._draft_seconds = Histogram(
            "corll_draft_seconds",
            "From request to commit of a draft.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._wait_seconds = Histogram(
            "corll_draft_wait_seconds",
            "From the queue to the beginning of a draft.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "corll_drafts_refused",
            "Drafts that were refused, since they would wait too long.",
            registry=registry,
        )
        self._edits = Counter("corll_edits", "Edits, by their state.", ["state"], registry=registry)
        self._cost = Histogram(
            "corll_edit_cost",
            "Edit cost: edited characters over those of the edit; 0 for an acceptance.",
            ["drafted_by"],
            buckets=_COSTS,
            registry=registry,
        )
        self._requests = Counter(
            "corll_requests", "HTTP requests.", ["method", "route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "corll_request_seconds",
            "From request to the start of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )

    def watch(
        self,
        *,
        under_way: Callable[[], float],
        drafts_waiting: Callable[[], float],
        waiting: Callable[[], float],
        lag: Callable[[], float],
        learner: Callable[[], str],
    ) -> None:
        """Return gauges that are read when they are asked for.

        `waiting` preferences, `lag` the seconds that the oldest of them has waited.
        """
        gauges = (
            ("corll_drafts_under_way", "Drafts waiting or being drawn.", under_way),
            ("corll_drafts_waiting", "Drafts that are not begun yet.", drafts_waiting),
            ("corll_preferences_waiting", "Preferences to be learned from.", waiting),
            ("corll_learner_lag_seconds", "How long the oldest of them has waited.", lag),
        )
        for name, meaning, read in gauges:
            Gauge(name, meaning, registry=self._registry).set_function(read)
        state = Gauge(
            "corll_learner_state", "1 for the learner's state.", ["state"], registry=self._registry
        )
        for name in get_args(LearnerState):
            state.labels(name).set_function(partial(_is, learner, name))

    def drafted(self, row: DraftRow, *, seconds: float) -> None:
        """Count a draft that was committed."""
        self._drafts.labels(row.status).inc()
        self._draft_seconds.observe(seconds)

    def waited(self, seconds: float) -> None:
        """Count a draft that is begun."""
        self._wait_seconds.observe(seconds)

    def refused(self) -> None:
        """Count a draft that was refused."""
        self._refused.inc()

    def edited(self, draft: DraftRow, edit: EditRow) -> None:
        """Count an edit that was committed."""
        self._edits.labels(edit.state).inc()
        by = "held_back" if draft.held_back else "version" if draft.version_id else "base"
        by = "upstream" if draft.upstream and not draft.held_back else by
        self._cost.labels(by).observe(edit.edit_cost)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request by its route, never by its path, which may name someone."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


def _is(read: Callable[[], str], value: str) -> float:
    return float(read() == value)
