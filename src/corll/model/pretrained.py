"""Loads a causal language model by `transformers`, and finds out whether its files fit it.

`transformers` makes up what the files lack and drops what it has no place for, and says so in a
table at most. Both give another model than the files are meant to be.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from corll.errors import ModelNotFoundError

log = logging.getLogger(__name__)

_NAMED = 3
"""So many tensors are named in a message."""

_IN_A_LAYER = re.compile(r"\.\d+\.")
_PARTS = (".weight", ".bias")


def load_whole(source: Any, **options: Any) -> Any:
    """Return a causal language model all of whose weights come from its files.

    No code of the model's is run. *Raises*: ModelNotFoundError where files lack weights, or hold
    some of the model's layers that it does not read; what `transformers` raises.
    """
    from transformers import AutoModelForCausalLM

    with no_progress_bars():
        model, report = AutoModelForCausalLM.from_pretrained(
            source, trust_remote_code=False, output_loading_info=True, **options
        )
    mismatched = {name for name, *_ in report["mismatched_keys"]}
    if lacking := set(report["missing_keys"]) | mismatched:
        raise ModelNotFoundError(
            f"The files lack {_named(lacking)} that {type(model).__name__} has, or have them in "
            "other shapes, and it would draft with random numbers there. Get the model again, or "
            "its right config.json."
        )
    check_unread(model, report["unexpected_keys"])
    return model


def check_unread(model: Any, names: Collection[str]) -> None:
    """Check tensors for which a model has no place; a warning names those that belong elsewhere.

    Files hold buffers of older versions, towers for images, heads and layers that predict further
    tokens: of these nothing is computed here. But what stands in a layer of the model, such as a
    bias, would be computed with. *Raises*: ModelNotFoundError for those.
    """
    owners = {name for name, _ in model.named_modules()}
    with_weights = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    needed: set[str] = set()
    others: set[str] = set()
    for name in names:
        owner, _, part = name.rpartition(".")
        if f".{part}" not in _PARTS or (owner in owners and owner not in with_weights):
            continue  # a buffer, such as GPT-2's `attn.bias`
        around = owner.rpartition(".")[0]
        belongs = owner in with_weights or (_IN_A_LAYER.search(owner) and around in owners)
        (needed if belongs else others).add(name)
    if needed:
        raise ModelNotFoundError(
            f"The files hold {_named(needed)} that {type(model).__name__} does not read, so it "
            "would compute another model than theirs. Get its right config.json."
        )
    if others:
        log.warning("The files hold %s that %s does not use.", _named(others), type(model).__name__)


def _named(names: Collection[str]) -> str:
    """Return how many tensors there are, with the first of them."""
    first = sorted(names)[:_NAMED]
    more = ", …" * (len(names) > len(first))
    return f"{len(names)} tensor{'s' * (len(names) > 1)} ({', '.join(first)}{more})"


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep `transformers` from drawing progress bars within the context."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
