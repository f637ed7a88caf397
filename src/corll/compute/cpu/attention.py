"""Attention for CPUs: plain matrix products over groups of query heads.

On a CPU, torch's fused kernel is slow in bf16, above all backwards, and has keys and values
repeated for each query head of a group. Here the heads of a group are the rows of one product.
`grouped_attention` takes what `transformers` gives; `attend_rows` takes rows of different lengths
without padding, rotates queries and keys on the way, and keeps for the backward pass no more than
that needs. GPUs keep torch's kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from corll.compute.cpu.kernels import kernels_for
from corll.compute.packing import FlatRows, Pieces, QueryBlock
from corll.compute.rotation import rotated

GROUPED = "corll_grouped"
"""The name of `grouped_attention` among those that `transformers` knows."""

_QUERIES_AT_ONCE = 128
"""So many queries of each row are attended for together, with the keys that these see alone."""

_UNSUPPORTED = ("softcap", "s_aux", "position_bias", "indices", "block_indices")

_OF_AN_INDEX = "index_"
"""How the settings begin of attention that sees only keys which an index chooses (DeepSeek-V3.2).
Such models put the choice into the mask for torch's attention alone, by its name."""


def use_grouped_attention(model: Any) -> None:
    """Switch a model from torch's fused kernel, if it uses that, to `grouped_attention`.

    One that caps its scores, or chooses keys by an index, keeps the kernel.
    """
    settings = model.config.get_text_config().to_dict()
    chooses = any(n.startswith(_OF_AN_INDEX) and value for n, value in settings.items())
    own = settings.get("attn_logit_softcapping") or chooses
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa" and not own:
        AttentionInterface.register(GROUPED, grouped_attention)
        AttentionMaskInterface.register(GROUPED, eager_mask)
        model.set_attn_implementation(GROUPED)


def grouped_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return softmax(q kᵀ · scaling + mask) v, in the form that `transformers` calls.

    *Shapes*: `query` B × H × Q × D; `key`, `value` B × G × T × D, where G divides H; the mask
    B × 1 × Q × T, added to the scores → B × Q × H × D.
    """
    if dropout or any(kwargs.get(name) is not None for name in _UNSUPPORTED):
        raise ValueError(
            "grouped attention knows no dropout, soft cap, sinks, position bias or chosen keys"
        )
    B, H, Q, D = query.shape
    G, T = key.shape[1], key.shape[2]
    queries = (query * (D**-0.5 if scaling is None else scaling)).reshape(B * G, H // G, Q, D)
    keys, values = (part.reshape(B * G, T, part.shape[-1]) for part in (key, value))
    parts = []
    for start in range(0, Q, _QUERIES_AT_ONCE):
        own = queries[:, :, start : start + _QUERIES_AT_ONCE]
        mask, seen = None, T
        if attention_mask is not None:
            mask = attention_mask[:, :, start : start + _QUERIES_AT_ONCE, :T]
            seen = _seen(mask)
        rows = H // G * own.shape[2]
        scores = torch.bmm(own.reshape(B * G, rows, D), keys[:, :seen].transpose(1, 2))
        scores = scores.view(B, H, -1, seen)
        if mask is not None:
            scores = scores.add_(mask[..., :seen])
        weights = scores.softmax(-1).view(B * G, rows, seen)
        parts.append(torch.bmm(weights, values[:, :seen]).view(B, H, -1, values.shape[-1]))
    out = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
    return out.transpose(1, 2).contiguous(), None


def _seen(mask: Tensor) -> int:
    """Return how many of the first keys some query of a block sees; in prompts later ones are none.

    *Shapes*: B × 1 × Q × T, added to the scores.
    """
    if mask.shape[2] == 1:
        return mask.shape[3]
    visible = (mask > torch.finfo(mask.dtype).min / 2).flatten(0, 2).any(0)
    return int(visible.nonzero()[-1]) + 1 if bool(visible.any()) else mask.shape[3]


def attend_rows(
    heads: Tensor, cos: Tensor, sin: Tensor, rows: FlatRows, *, groups: int, scaling: float
) -> Tensor:
    """Return softmax(q kᵀ · scaling + mask) v of each row by itself, all rows in one flat batch.

    *Shapes*: `heads` M × (H + 2 G) × D: H query heads, then `groups` = G of keys and as many of
    values; `cos`, `sin` M × D, by which queries and keys are rotated first → M × H × D.
    """
    batch = _Batch(cos.contiguous(), sin.contiguous(), rows, groups, scaling)
    if torch.is_grad_enabled() and heads.requires_grad:
        result: Tensor = _RowAttention.apply(heads, batch)  # type: ignore[no-untyped-call]
        return result
    return _attend(_lay_out(heads, batch), batch)[0]


class _LaidOut(NamedTuple):
    """Heads, or their gradients, in the order of their products.

    *Shapes*: `queries` M · H × D by block, rotated and scaled; `keys`, rotated, and `values`
    M · G × D by row; in each block or row head by head.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class _Batch:
    """What attention to flat rows needs beside the heads. *Shapes*: `cos`, `sin` M × D."""

    cos: Tensor
    sin: Tensor
    rows: FlatRows
    groups: int
    scaling: float

    def piece(self, laid_out: Tensor, start: int, stop: int) -> Tensor:
        """Return tokens `start` to `stop` by group.

        *Shapes*: M · N × D → G × (N / G · tokens) × D.
        """
        tokens, D = len(self.cos), laid_out.shape[1]
        heads = len(laid_out) // tokens
        return laid_out[start * heads : stop * heads].view(self.groups, -1, D)


def _attend(heads: _LaidOut, batch: _Batch) -> tuple[Tensor, list[Tensor]]:
    """Return the attended values, M × H × D, and each block's weights, G × (H / G · Q) × stop."""
    out = torch.empty_like(heads.queries)
    weights = []
    for row, block in batch.rows.blocks():
        keys = batch.piece(heads.keys, row.start, row.stop)[:, : block.stop]
        values = batch.piece(heads.values, row.start, row.stop)[:, : block.stop]
        places = row.start + block.start, row.start + block.stop
        scores = torch.bmm(batch.piece(heads.queries, *places), keys.transpose(1, 2))
        weights.append(_masked_softmax(scores, block))
        torch.bmm(weights[-1], values, out=batch.piece(out, *places))
    by_token = out.new_empty(len(batch.cos), len(out) // len(batch.cos), out.shape[1])
    _regroup(by_token, out, batch.rows.block_pieces, back=True)
    return by_token, weights


class _RowAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, heads: Tensor, batch: _Batch) -> Tensor:
        laid_out = _lay_out(heads, batch)
        out, weights = _attend(laid_out, batch)
        ctx.save_for_backward(*laid_out, *weights)
        ctx.batch = batch
        return out

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        batch: _Batch = ctx.batch
        heads, all_weights = _LaidOut(*ctx.saved_tensors[:3]), iter(ctx.saved_tensors[3:])
        grads = _LaidOut(*(torch.zeros_like(part) for part in heads))
        grad_by_block = torch.empty_like(heads.queries)
        _regroup(grad_output.contiguous(), grad_by_block, batch.rows.block_pieces, back=False)
        for row, block in batch.rows.blocks():
            places = row.start + block.start, row.start + block.stop
            weights, grad = next(all_weights), batch.piece(grad_by_block, *places)
            keys, values, grad_keys, grad_values = (
                batch.piece(part, row.start, row.stop)[:, : block.stop]
                for part in (heads.keys, heads.values, grads.keys, grads.values)
            )
            grad_values.baddbmm_(weights.transpose(1, 2), grad)
            grad_weights = torch.bmm(grad, values.transpose(1, 2))
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            torch.bmm(grad_scores, keys, out=batch.piece(grads.queries, *places))
            queries = batch.piece(heads.queries, *places)
            grad_keys.baddbmm_(grad_scores.transpose(1, 2), queries)
        return _take_back(grads, batch), None


def _lay_out(heads: Tensor, batch: _Batch) -> _LaidOut:
    """Return heads, M × (H + 2 G) × D as the layers give them, in the order of their products."""
    M, every, D = heads.shape
    G, rows = batch.groups, batch.rows
    H = every - 2 * G
    parts = _LaidOut(*(heads.new_empty(M * n, D) for n in (H, G, G)))
    if (kernels := kernels_for(heads)) is not None:
        pieces = rows.block_pieces, rows.row_pieces
        angles = batch.cos, batch.sin
        kernels.lay_out_heads(heads.contiguous(), *angles, parts, pieces, batch.scaling)
        return parts
    turned = rotated(heads[:, :-G], batch.cos[:, None], batch.sin[:, None], 1)
    _regroup(turned[:, :H].mul_(batch.scaling), parts.queries, rows.block_pieces, back=False)
    _regroup(turned[:, H:], parts.keys, rows.row_pieces, back=False)
    _regroup(heads[:, -G:], parts.values, rows.row_pieces, back=False)
    return parts


def _take_back(grads: _LaidOut, batch: _Batch) -> Tensor:
    """Return the gradient by the heads as `_lay_out` took them, M × (H + 2 G) × D."""
    M, D = batch.cos.shape
    G, rows = batch.groups, batch.rows
    H = len(grads.queries) // M
    heads = grads.queries.new_empty(M, H + 2 * G, D)
    if (kernels := kernels_for(heads)) is not None:
        pieces = rows.block_pieces, rows.row_pieces
        angles = batch.cos, batch.sin
        kernels.lay_out_heads(heads, *angles, grads, pieces, batch.scaling, back=True)
        return heads
    turned = heads.new_empty(M, H + G, D)
    _regroup(turned[:, :H], grads.queries, rows.block_pieces, back=True)
    _regroup(turned[:, H:], grads.keys, rows.row_pieces, back=True)
    turned[:, :H].mul_(batch.scaling)
    heads[:, :-G] = rotated(turned, batch.cos[:, None], batch.sin[:, None], -1)
    _regroup(heads[:, -G:], grads.values, rows.row_pieces, back=True)
    return heads


def _regroup(by_token: Tensor, by_piece: Tensor, pieces: Pieces, *, back: bool) -> None:
    """Write M × N × D as M · N × D, in each piece head by head; or `back`."""
    N, D = by_token.shape[1:]
    for start, stop in zip(pieces.starts.tolist(), pieces.stops.tolist(), strict=True):
        heads_first = by_piece[start * N : stop * N].view(N, stop - start, D)
        own = by_token[start:stop].transpose(0, 1)
        own.copy_(heads_first) if back else heads_first.copy_(own)


def _masked_softmax(scores: Tensor, block: QueryBlock) -> Tensor:
    """Return softmax(scores + mask), perhaps in their place. *Shapes*: G × (H / G · Q) × stop."""
    by_head = _by_head(scores, block)
    if (kernels := kernels_for(scores)) is not None:
        kernels.masked_softmax_(by_head, block)
        return scores
    by_head[..., block.masked_from :].add_(block.mask)
    return scores.softmax(-1)


def _by_head(scores: Tensor, block: QueryBlock) -> Tensor:
    """Return a view by head. *Shapes*: G × (H / G · Q) × stop → H × Q × stop."""
    return scores.view(-1, block.stop - block.start, block.stop)
