"""How many tokens a model's context holds, whatever its configuration calls that."""

from __future__ import annotations

from typing import Any

_NAMES = ("max_position_embeddings", "max_seq_len", "n_positions", "max_target_positions")

_AFTER_PADDING = {
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "xmod"),
    *("data2vec-text", "ernie_m"),
}
"""Model types that count positions from behind the id of padding."""


def context_length(config: Any) -> int | None:
    """Return the longest row in tokens that a configuration allows; None where it says none.

    Of a model for images and text the text model's counts.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    said = (getattr(text, name, None) for name in _NAMES)
    longest = next((value for value in said if isinstance(value, int) and value > 0), None)
    if longest is not None and getattr(text, "model_type", None) in _AFTER_PADDING:
        longest -= (getattr(text, "pad_token_id", None) or 0) + 1
    return longest
