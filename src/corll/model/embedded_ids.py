"""Which ids a model knows: a tokenizer may have tokens added for which the model has no row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corll.errors import InputError, ModelNotFoundError


def embedded_ids(model: Any) -> int | None:
    """Return how many ids a model can read and write, from 0 on; None where it does not say."""
    layers = (
        getattr(model, f"get_{side}_embeddings", lambda: None)() for side in ("input", "output")
    )
    sizes = [getattr(layer, "weight", None) for layer in layers]
    return min((len(weight) for weight in sizes if weight is not None), default=None)


def check_embedded(ids: Iterable[int], count: int | None, tokenizer: Any, what: str) -> None:
    """Check that a model knows ids. *Raises*: InputError, which calls their text `what`."""
    if count is not None and (token_id := next((i for i in ids if i >= count), None)) is not None:
        raise InputError(
            f"The {what} contains {_name(token_id, tokenizer)}, and this model has embeddings up "
            f"to {count - 1}; remove it."
        )


def check_needed(ids: Iterable[int], count: int | None, tokenizer: Any) -> None:
    """Check that a model knows what each of its texts holds. *Raises*: ModelNotFoundError."""
    if count is not None and (token_id := next((i for i in ids if i >= count), None)) is not None:
        raise ModelNotFoundError(
            f"Each text for this model holds {_name(token_id, tokenizer)}, and the model has "
            f"embeddings up to {count - 1}: the tokenizer belongs to another model, or its added "
            "tokens were never given embeddings. Get both again."
        )


def _name(token_id: int, tokenizer: Any) -> str:
    return f"{str(tokenizer.convert_ids_to_tokens(token_id))!r} (id {token_id})"
