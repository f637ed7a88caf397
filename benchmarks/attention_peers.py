"""The CPU's passes of attention at the sizes of SmolLM2-135M, and the peers that do the same work.

A step's flat batch has four rows of two blocks of 125 queries each; a draft's branches go on, eight
from a prompt, after PROMPT tokens and DRAWN of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from corll.compute.branching_cache import BranchingLayer
from corll.compute.cpu import attention
from corll.compute.cpu.compiled_cache import CompiledBranchingLayer
from corll.compute.cpu.kernels import CpuKernels
from corll.compute.packing import FlatRows, Pieces, build_tree, row_span
from corll.compute.rotation import rotate
from pass_peers import DRAFTING, LAYERS, STEP_ROWS, Contest, Work, random

H, G, D = 9, 3, 64
SCALING = D**-0.5
ROWS, PROMPT, DRAWN, CAPACITY = 4, 64, 32, 128
ROW_LENGTH = STEP_ROWS // ROWS


def contests_of_attention(kernels: CpuKernels, *, quick: bool) -> Iterator[Contest]:
    """All contests of attention; a `quick` look is at one size of each pass."""
    yield from flat_rows(quick=quick)
    for count in DRAFTING[-1:] if quick else DRAFTING:
        yield token(kernels, count)


def flat_rows(*, quick: bool) -> Iterator[Contest]:
    """Compare what attention to a flat batch is made of, then all of it at once."""
    response = (ROW_LENGTH - PROMPT) // 2
    tree = build_tree((1,) * PROMPT, [(2,) * response, (3,) * response])
    visible = tree.visibility()
    spans = (
        row_span(n * len(tree), visible, dtype=torch.bfloat16, device=torch.device("cpu"))
        for n in range(ROWS)
    )
    rows = FlatRows(tuple(spans))
    batch = attention._Batch(*_angles(STEP_ROWS, 2), rows, G, SCALING)
    yield layout(batch)
    yield layout_back(batch)
    yield block_softmax(rows)
    for with_gradient in (True,) if quick else (False, True):
        yield whole_attention(batch, visible, with_gradient=with_gradient)


def layout(batch: attention._Batch) -> Contest:
    """Compare the rotation that writes heads by block and by row."""
    heads = random(STEP_ROWS, H + 2 * G, D)
    by_block, by_row = batch.rows.block_pieces, batch.rows.row_pieces
    query_token, query_head = _places(by_block, H)
    key_token, key_head = _places(by_row, G)

    def gathered(heads: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        queries = _turned(heads, cos, sin, query_token, query_head) * SCALING
        keys = _turned(heads, cos, sin, key_token, key_head + H)
        return queries.bfloat16(), keys.bfloat16(), heads[key_token, key_head + H + G]

    return Contest(
        "lay_out_heads",
        f"{STEP_ROWS} tokens",
        lambda heads, *angles: attention._lay_out(heads, batch),
        lambda heads, *angles: attention._lay_out(heads, batch),
        lambda: (heads, batch.cos, batch.sin),
        LAYERS,
        compiled={"compiled": gathered},
    )


def _places(pieces: Pieces, heads: int) -> tuple[Tensor, Tensor]:
    """Return of which token and head each row of D values is, by piece and head by head."""
    places = [
        (token, head)
        for start, stop in zip(pieces.starts.tolist(), pieces.stops.tolist(), strict=True)
        for head in range(heads)
        for token in range(start, stop)
    ]
    tokens, numbers = torch.tensor(places).t().contiguous()
    return tokens, numbers


def _turned(heads: Tensor, cos: Tensor, sin: Tensor, token: Tensor, head: Tensor) -> Tensor:
    own, c, s = heads[token, head].float(), cos[token].float(), sin[token].float()
    a, b = own.chunk(2, dim=-1)
    return own * c + torch.cat([-b, a], dim=-1) * s


def layout_back(batch: attention._Batch) -> Contest:
    """Compare the way back, of gradients."""
    grads = attention._LaidOut(*(random(STEP_ROWS * n, D, seed=n) for n in (H, G, G + 1)))
    grads = grads._replace(values=grads.values[: STEP_ROWS * G])
    of_query = _inverse(batch.rows.block_pieces, H)
    of_key = _inverse(batch.rows.row_pieces, G)

    def gathered(grads: attention._LaidOut, cos: Tensor, sin: Tensor) -> Tensor:
        parts = grads.queries[of_query].float() * SCALING, grads.keys[of_key].float()
        turned = torch.cat(parts, dim=1)
        a, b = turned.chunk(2, dim=-1)
        turned = turned * cos.float()[:, None] + torch.cat([b, -a], -1) * sin.float()[:, None]
        return torch.cat([turned.bfloat16(), grads.values[of_key]], dim=1)

    return Contest(
        "lay_out_heads",
        f"{STEP_ROWS} tokens, back",
        lambda grads, *angles: attention._take_back(grads, batch),
        lambda grads, *angles: attention._take_back(grads, batch),
        lambda: (grads, batch.cos, batch.sin),
        LAYERS,
        compiled={"compiled": gathered},
    )


def _inverse(pieces: Pieces, heads: int) -> Tensor:
    """Return where each token's heads lie by piece. *Shapes*: M × `heads`."""
    token, head = _places(pieces, heads)
    return (token * heads + head).argsort().view(-1, heads)


def block_softmax(rows: FlatRows) -> Contest:
    """Compare the softmax of a block's scores under its mask: of the second block of each row."""
    block = rows.spans[0].blocks[-1]
    queries = block.stop - block.start
    scores = random(G, H // G * queries, block.stop)
    mask = scores.new_zeros(queries, block.stop)
    mask[:, block.masked_from :] = block.mask
    hidden = (mask != 0).expand(1, H, -1, -1).contiguous()

    def formula(scores: Tensor) -> Tensor:
        by_head = scores.view(H, queries, -1).float() + mask.float()
        return by_head.softmax(-1).bfloat16().view(scores.shape)

    def fused(scores: Tensor) -> Tensor:
        return torch._masked_softmax(scores.view(1, H, queries, -1), hidden, -1, 2)

    return Contest(
        "masked_softmax",
        f"{H} × {queries} × {block.stop}",
        lambda scores: attention._masked_softmax(scores, block),
        lambda scores: attention._masked_softmax(scores, block),
        lambda: (scores.clone(),),
        LAYERS * len(rows.spans),
        compiled={"compiled": formula},
        others={"torch._masked_softmax": lambda scores: fused(scores).view(scores.shape)},
    )


def whole_attention(batch: attention._Batch, visible: Tensor, *, with_gradient: bool) -> Contest:
    """Compare all passes of attention at once with torch's fused kernel, on rows of one length."""
    heads, grad = random(STEP_ROWS, H + 2 * G, D), random(STEP_ROWS, H, D, seed=1)
    heads.requires_grad_(with_gradient)
    lowest = torch.finfo(torch.bfloat16).min
    mask = torch.zeros(ROW_LENGTH, ROW_LENGTH).masked_fill_(~visible, lowest).bfloat16()
    mask = mask.expand(ROWS, 1, -1, -1)

    def by_rows(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return attention.attend_rows(heads, cos, sin, batch.rows, groups=G, scaling=SCALING)

    def by_sdpa(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        by_row = heads.view(ROWS, ROW_LENGTH, -1, D).transpose(1, 2)
        turned, values = torch.split(by_row, [H + G, G], dim=1)
        turned = rotate(turned, *(a.view(ROWS, ROW_LENGTH, D) for a in (cos, sin)), over_heads=1)
        queries, keys = torch.split(turned, [H, G], dim=1)
        out = scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, scale=SCALING, enable_gqa=True
        )
        return out.transpose(1, 2).reshape(STEP_ROWS, H, D)

    def learned(attend: Work) -> Work:
        if not with_gradient:
            return attend

        def both(*inputs: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                out = attend(*inputs)
            return out, torch.autograd.grad(out, inputs[0], grad)[0]

        return both

    return Contest(
        "all of attention",
        f"{STEP_ROWS} tokens{', with gradient' if with_gradient else ''}",
        learned(by_rows),
        learned(by_rows),
        lambda: (heads, batch.cos, batch.sin),
        LAYERS,
        compiled={} if with_gradient else {"compiled SDPA": by_sdpa},
        others={"SDPA": learned(by_sdpa)},
    )


def token(kernels: CpuKernels, count: int) -> Contest:
    """Compare attention of one more token; torch.compile gets one length, a draft has many."""
    mask = torch.zeros(count, 1, 1, PROMPT + DRAWN + 1).bfloat16()
    ours, plain = _grown_caches(kernels, count, mask)
    place = PROMPT + DRAWN

    def by_ours(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ours.length = place
        return ours.attend_token(heads, cos, sin, mask, SCALING)

    def by_plain(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        plain.length = place
        return _attend_plainly(plain, heads, (cos, sin), mask)

    new, angles = random(count, H + 2 * G, D, seed=DRAWN), _angles(count, DRAWN)
    by_sdpa, formula = _over_kept_keys(plain, count, mask)
    return Contest(
        "attend_token",
        f"{count} rows",
        by_ours,
        by_plain,
        lambda: (new, *angles),
        LAYERS,
        compiled={"compiled": formula, "compiled SDPA": by_sdpa},
        others={"SDPA": by_sdpa},
    )


def _grown_caches(
    kernels: CpuKernels, count: int, mask: Tensor
) -> tuple[CompiledBranchingLayer, BranchingLayer]:
    """Return our cache and the plain one after prompts and `DRAWN` tokens of so many rows."""
    history = [random(count // 8, G, PROMPT, D, seed=n) for n in (1, 2)]
    ours, plain = CompiledBranchingLayer(8, CAPACITY, kernels), BranchingLayer(8, CAPACITY)
    for layer in (ours, plain):
        layer.update(*history)
    for n in range(DRAWN):
        angles = _angles(count, n)
        heads = random(count, H + 2 * G, D, seed=n)
        ours.attend_token(heads, *angles, mask[..., : PROMPT + n + 1], SCALING)
        _attend_plainly(plain, heads, angles, mask)
    return ours, plain


def _attend_plainly(
    layer: BranchingLayer, heads: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor
) -> Tensor:
    queries, keys, values = _rotated_token(heads, *angles)
    keys, values = layer.update(keys, values)
    own, module = mask[..., : layer.length], torch.nn.Identity()
    return attention.grouped_attention(module, queries, keys, values, own, SCALING)[0][:, 0]


def _over_kept_keys(
    plain: BranchingLayer, count: int, mask: Tensor
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Return torch's attention and the formula, both over a contiguous copy of a cache."""
    place = PROMPT + DRAWN
    kept = [
        part.detach().clone(memory_format=torch.contiguous_format)
        for part in (plain.keys, plain.values)
    ]

    def stored(heads: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, key, value = _rotated_token(heads, cos, sin)
        for part, new in zip(kept, (key, value), strict=True):
            part[:, :, place] = new[:, :, 0]
        keys, values = (part[:, :, : place + 1] for part in kept)
        return queries, keys, values

    def by_sdpa(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        out = scaled_dot_product_attention(
            *stored(heads, cos, sin), attn_mask=mask, scale=SCALING, enable_gqa=True
        )
        return torch.squeeze(out, 2)

    def formula(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        queries, keys, values = stored(heads, cos, sin)
        grouped = (queries * SCALING).view(count, G, H // G, D)
        weights = (grouped @ keys.transpose(2, 3) + mask).softmax(-1)
        out: Tensor = weights @ values
        return out.reshape(count, H, D)

    return by_sdpa, formula


def _angles(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    angles = random(rows, D // 2, seed=seed, scale=3.0).repeat(1, 2)
    return angles.cos(), angles.sin()


def _rotated_token(heads: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """*Shapes*: N × (H + 2 G) × D → N × H × 1 × D, N × G × 1 × D twice."""
    turned, values = torch.split(heads[:, :, None], [H + G, G], dim=1)
    turned = rotate(turned, cos[:, None], sin[:, None], over_heads=1)
    queries, keys = torch.split(turned, [H, G], dim=1)
    return queries, keys, values
