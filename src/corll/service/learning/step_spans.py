"""What spans say of learning: ids, counts and numbers, never a text.

A step names the preferences and drafts that it learned; the span of an edit names them too.
"""

from __future__ import annotations

from collections.abc import Sequence

from corll.service.store.lineages import Version
from corll.service.store.preferences import PreferenceRow
from corll.service.tracing import Attributes


def about_learning(user_id: str, batches: Sequence[Sequence[PreferenceRow]]) -> Attributes:
    """Return what a span says of steps that make one version."""
    return {"corll.user.id": user_id, "corll.learn.batches": len(batches)}


def about_step(rows: Sequence[PreferenceRow], replayed: Sequence[object]) -> Attributes:
    """Return what a span says of a step on these rows, and on what it replays behind them."""
    return {
        "corll.user.id": rows[0].user_id,
        "corll.preference.ids": [row.id for row in rows],
        "corll.draft.ids": [row.draft_id for row in rows],
        "corll.step.replayed": len(replayed),
    }


def about_swap(version: Version) -> Attributes:
    """Return what a span says of a version that was registered."""
    return {
        "corll.version.id": version.id,
        "corll.version.number": version.number,
        "corll.version.state": version.state,
        "corll.version.parent": version.parent_id,
    }
