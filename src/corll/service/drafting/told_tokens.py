"""What is told of tokens and of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from corll.model.token_pieces import TokenPieces, name_of
from corll.service.drafting.requests import TokenLogprob


def told_token(
    pieces: TokenPieces,
    token_id: int,
    logprob: float | None,
    likeliest: Sequence[tuple[int, float]] = (),
    *,
    first: bool = False,
) -> TokenLogprob:
    """Return what is told of a token: the likeliest in its place hold it too, with its number.

    `first`: it begins a text.
    """
    piece = pieces.bytes_of(token_id, first=first)
    itself = TokenLogprob(name_of(piece), logprob, piece)
    if not likeliest or logprob is None:
        return itself
    top = [
        itself if other == token_id else _named(pieces, other, number, first=first)
        for other, number in likeliest
    ]
    return TokenLogprob(
        itself.token, logprob, piece, tuple(top if itself in top else [*top, itself])
    )


def _named(pieces: TokenPieces, token_id: int, logprob: float, *, first: bool) -> TokenLogprob:
    piece = pieces.bytes_of(token_id, first=first)
    return TokenLogprob(name_of(piece), logprob, piece)


def likeliest_of(logits: Tensor, count: int) -> list[tuple[int, float]]:
    """Return the likeliest tokens of a row, and their log-probabilities. *Shapes*: V."""
    found = torch.log_softmax(logits.float(), -1).topk(min(count, len(logits)))
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))
