"""The engine, as those who ask it see it. Plain types, no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from corll.records import Prompt, Sample
from corll.service.drafting.requests import (
    DraftEvent,
    DraftJob,
    DraftRequest,
    TokenLogprob,
    VersionFolder,
)


class Drafter(Protocol):
    """The engine, as the API sees it."""

    model: str
    """Name of the base model."""

    fingerprint: str
    """Of its weights."""

    has_chat_template: bool
    """Whether conversations can be drafted for."""

    needs_memory: bool
    """Whether the service learns from drafts behind a memory alone."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has as a turn of a conversation."""
        ...

    def settled(self, prompt: Prompt, template_kwargs: Mapping[str, Any]) -> Prompt:
        """Return a prompt with all that its rendering depends on, as it is drafted for and kept."""
        ...

    def check_edit(self, text: str) -> None:
        """Check that a text may be an edit. *Raises*: InputError where it holds a control token."""
        ...

    def why_not_learnable(self, prompt: Prompt, drafted: Sample, text: str) -> str | None:
        """Return why an edit of a draft could not be learned from; None where it can."""
        ...

    def submit(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> DraftJob:
        """Put a request in the queue. *Raises*: EngineBusyError, InputError, PromptTooLongError."""
        ...

    def ids_of_text(self, text: str) -> tuple[tuple[int, ...], int]:
        """Return the ids of a text as it is continued, and how many of them stand before it.

        *Raises*: InputError, PromptTooLongError.
        """
        ...

    def read(
        self, token_ids: Sequence[int], version: VersionFolder | None, count: int, own: int = 0
    ) -> Future[tuple[TokenLogprob, ...]]:
        """Read ids: their log-probabilities, and the `count` likeliest in place of each.

        The `own` first ones are left out of what is told.
        *Raises*: EngineBusyError, InputError, PromptTooLongError.
        """
        ...

    def has(self, version_id: str) -> bool:
        """Say whether the weights of a version are in memory."""
        ...

    def try_adapter(self, folder: Path) -> None:
        """Load an adapter and let go of it. *Raises*: AdapterError where it does not fit."""
        ...

    def let_go(self, version_ids: Collection[str]) -> None:
        """Forget what is kept of texts, and these versions. *Raises*: EngineBusyError."""
        ...

    @property
    def alive(self) -> bool:
        """Whether drafts can be drawn."""
        ...

    @property
    def under_way(self) -> int:
        """Requests that are waiting or being answered."""
        ...
