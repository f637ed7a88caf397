"""What spans say of drafts, edits and comparisons: ids, counts and numbers, never a text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from corll.service.drafting.requests import Drawn
from corll.service.feedback import ComparisonAnswer, EditAnswer
from corll.service.store.accounts import User
from corll.service.store.drafts import DraftRow
from corll.service.tracing import DRAFT, Attributes, Tracing


class DraftSpan:
    """The span of a draft, from its request to its commit, in whichever task that comes."""

    def __init__(self, tracing: Tracing, draft_id: str, user: User) -> None:
        self._span = tracing.begin(DRAFT)
        self._span.note({"corll.draft.id": draft_id, "corll.user.id": user.id})

    @contextmanager
    def failing(self) -> Iterator[None]:
        """End the span where the block raises."""
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise

    def fail(self, error: BaseException) -> None:
        """End the span of a draft that there will not be."""
        self._span.fail(type(error).__qualname__)
        self._span.end()

    def end(self, row: DraftRow, drawn: Drawn, *, stored: bool) -> None:
        """End the span of a draft that is kept, in the store or in memory."""
        self._span.note(
            {
                "corll.version.id": row.version_id,
                "corll.draft.kind": row.kind,
                "corll.draft.status": row.status,
                "corll.draft.arm": row.arm,
                "corll.draft.stored": stored,
                "corll.draft.upstream": row.upstream is not None,
                "corll.draft.candidates": len(row.candidates),
                "corll.draft.choices": len(row.shown),
                "corll.draft.letters": len(row.memory),
                "corll.draft.thrown_away": drawn.thrown_away,
                "gen_ai.usage.input_tokens": drawn.prompt_tokens,
                "gen_ai.usage.output_tokens": drawn.completion_tokens,
            }
        )
        self._span.end()


def about_edit(answer: EditAnswer) -> Attributes:
    """Return what a span says of an edit that was recorded."""
    row, progress = answer.edit, answer.progress
    return {
        "corll.edit.id": row.id,
        "corll.draft.id": row.draft_id,
        "corll.user.id": row.user_id,
        "corll.preference.id": row.preference_id,
        "corll.edit.state": row.state,
        "corll.edit.cost": row.edit_cost,
        "corll.edit.new": answer.is_new,
        "corll.edit.will_learn": progress.will_learn,
    }


def about_comparison(answer: ComparisonAnswer) -> Attributes:
    """Return what a span says of a comparison that was recorded."""
    row = answer.comparison
    return {
        "corll.comparison.id": row.id,
        "corll.draft.ids": [row.chosen_draft_id, row.rejected_draft_id],
        "corll.user.id": row.user_id,
        "corll.preference.id": row.preference_id,
        "corll.comparison.will_learn": answer.progress.will_learn,
    }
