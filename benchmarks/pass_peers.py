"""Compiled passes of the CPU at the sizes of SmolLM2-135M, and the peers that do the same work.

`ours` and `eager` of a contest are often the same function of the library: it is called with the
compiled passes switched on, and switched off. What torch.compile gets is written as one expects
it to fuse best: in float32 within, places as one gather. The passes of attention
stand in `attention_peers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from corll.compute.cpu.backend import CpuBackend
from corll.compute.cpu.kernels import CpuKernels
from corll.compute.cpu.layer_operations import RootMeanSquareNorm
from corll.compute.cpu.packed_linear import PackedLinear
from corll.compute.cpu.tiled_products import TiledFactors
from corll.compute.fused_layers import gated, gated_backward

HIDDEN, INNER, VOCABULARY, LAYERS = 576, 1536, 49152, 30
EPSILON = 1e-5
DRAFTING = (32, 8)
"""Branches that are drafted at once: 4 × 8 and 1 × 8."""
STEP_ROWS = 1000
CHUNK_ROWS = (1 << 23) // VOCABULARY
"""Rows of logits that `compute.scoring` works at together."""
TOP_K = 50

Work = Callable[..., Any]


@dataclass(frozen=True)
class Contest:
    """One pass at one size, and what else does its work.

    `inputs` makes the arguments of all of them, anew for each call where some write in place;
    `calls` says how often a pass through the model, or a token, calls it. `compiled` are given to
    torch.compile, `others` run as they are.
    """

    name: str
    size: str
    ours: Work
    eager: Work
    inputs: Callable[[], tuple[Any, ...]]
    calls: int
    compiled: Mapping[str, Work] = field(default_factory=dict)
    others: Mapping[str, Work] = field(default_factory=dict)

    @property
    def case(self) -> str:
        return f"passes: {self.name}, {self.size}"


def contests(kernels: CpuKernels, *, quick: bool) -> Iterator[Contest]:
    """All contests; a `quick` look is at one size of each pass."""
    sizes = DRAFTING[-1:] if quick else (STEP_ROWS, *DRAFTING)
    for rows in sizes:
        yield norm(kernels, rows)
    yield norm_gradient(kernels)
    for rows in sizes:
        yield gate(kernels, rows)
        yield gate_with_products(kernels, rows)
    yield gate_gradient(kernels)
    for count in sizes if quick else DRAFTING:
        yield low_rank(kernels, count, HIDDEN, 2 * INNER, rank=16)
        yield low_rank(kernels, count, INNER, HIDDEN, rank=8)
        yield the_likeliest(count)
    yield normalizers()
    yield probabilities()
    if kernels.have_tiles:
        for rows in sizes:
            yield tiles(rows)


def random(*sizes: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Return normal values in bf16."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(sizes, generator=generator) * scale).bfloat16()


def norm(kernels: CpuKernels, rows: int) -> Contest:
    """Compare the norm. Torch's has no fused kernel on a CPU; its layer norm has one."""
    weight, x = random(HIDDEN, seed=1), random(rows, HIDDEN)
    by_layer_norm = _by_layer_norm(weight)

    def eager(x: Tensor) -> Tensor:
        return rms_norm(x, (HIDDEN,), weight, EPSILON)

    return Contest(
        "rms_norm",
        f"{rows} rows",
        lambda x: kernels.rms_norm(x, weight, EPSILON),
        eager,
        lambda: (x,),
        2 * LAYERS + 1,
        compiled={"compiled": eager},
        others={"layer norm of x and -x": by_layer_norm},
    )


def _by_layer_norm(weight: Tensor) -> RootMeanSquareNorm:
    return RootMeanSquareNorm(SimpleNamespace(weight=weight, variance_epsilon=EPSILON))


def norm_gradient(kernels: CpuKernels) -> Contest:
    """Compare the norm's gradient by x; autograd's are of graphs that are built beforehand."""
    weight, x = random(HIDDEN, seed=1), random(STEP_ROWS, HIDDEN)
    grad = random(STEP_ROWS, HIDDEN, seed=2)
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        by_rms_norm = rms_norm(leaf, (HIDDEN,), weight, EPSILON)
        by_layer_norm = _by_layer_norm(weight)(leaf)

    def formula(grad: Tensor, x: Tensor) -> Tensor:
        wide, weighted = x.float(), grad.float() * weight.float()
        scale = (wide.square().mean(-1, keepdim=True) + EPSILON).rsqrt()
        along = (weighted * wide).mean(-1, keepdim=True) * scale * scale
        return (scale * (weighted - along * wide)).bfloat16()

    def through(normed: Tensor) -> Work:
        return lambda grad, x: torch.autograd.grad(normed, leaf, grad, retain_graph=True)

    return Contest(
        "rms_norm_backward",
        f"{STEP_ROWS} rows",
        lambda grad, x: kernels.rms_norm_backward(grad, x, weight, EPSILON),
        through(by_rms_norm),
        lambda: (grad, x),
        2 * LAYERS + 1,
        compiled={"compiled": formula},
        others={"layer norm of x and -x": through(by_layer_norm)},
    )


def gate(kernels: CpuKernels, rows: int) -> Contest:
    """Compare silu(gate) · up."""
    gate_up = random(rows, 2 * INNER)
    compiled = {"compiled": gated}
    return Contest(
        "swiglu", f"{rows} rows", kernels.swiglu, gated, lambda: (gate_up,), LAYERS, compiled
    )


def gate_with_products(kernels: CpuKernels, rows: int) -> Contest:
    """Compare the gate after its joined product with two products that oneDNN ends by it.

    Those serve without an adapter and without gradients only: an adapter's share would have to
    come before, and the backward pass needs what came in.
    """
    x, weight = random(rows, HIDDEN), random(2 * INNER, HIDDEN, seed=1, scale=HIDDEN**-0.5)
    joined = PackedLinear(weight, None, prepacks=True)
    onednn = torch.ops.mkldnn
    gate_weight, up_weight = (
        onednn._reorder_linear_weight(part.contiguous(), rows) for part in weight.chunk(2)
    )

    def fused(x: Tensor) -> Any:
        gate = onednn._linear_pointwise(x, gate_weight, None, "swish", [], "")
        return onednn._linear_pointwise(x, gate, up_weight, None, "mul")

    return Contest(
        "swiglu",
        f"{rows} rows with their product",
        lambda x: kernels.swiglu(joined(x, decoding=True)),
        lambda x: gated(joined(x, decoding=True)),
        lambda: (x,),
        LAYERS,
        others={"oneDNN's swish and mul": fused},
    )


def gate_gradient(kernels: CpuKernels) -> Contest:
    """Compare the gradient of silu(gate) · up."""
    grad, gate_up = random(STEP_ROWS, INNER, seed=1), random(STEP_ROWS, 2 * INNER)

    def formula(grad: Tensor, gate_up: Tensor) -> Tensor:
        (gate, up), outer = gate_up.float().chunk(2, dim=-1), grad.float()
        s = gate.sigmoid()
        parts = outer * up * s * (1 + gate * (1 - s)), outer * gate * s
        return torch.cat(parts, dim=-1).bfloat16()

    return Contest(
        "swiglu_backward",
        f"{STEP_ROWS} rows",
        kernels.swiglu_backward,
        gated_backward,
        lambda: (grad, gate_up),
        LAYERS,
        compiled={"compiled": formula},
    )


def low_rank(kernels: CpuKernels, rows: int, width: int, columns: int, *, rank: int) -> Contest:
    """Compare what an adapter adds to a product of few rows."""
    x = random(rows, width)
    A, B = random(rank, width, seed=1, scale=width**-0.5), random(columns, rank, seed=2)
    wide, pairs = (A.t().float(), B.t().float()), kernels.in_pairs(B.t())
    onednn = torch.ops.mkldnn
    laid_out = [onednn._reorder_linear_weight(matrix, rows) for matrix in (A, B)]

    def by_onednn(x: Tensor) -> Any:
        for matrix in laid_out:
            x = onednn._linear_pointwise(x, matrix, None, "none", [], "")
        return x

    def in_float32(x: Tensor) -> Tensor:
        return (x.float() @ wide[0] @ wide[1]).to(x.dtype)

    def in_bf16(x: Tensor) -> Tensor:
        return x @ A.t() @ B.t()

    return Contest(
        "add_low_rank",
        f"{rows} rows, {width} → {rank} → {columns}",
        lambda x: kernels.add_low_rank_(x.new_zeros(len(x), columns), x, (A.t(), pairs)),
        in_float32,
        lambda: (x,),
        LAYERS,
        compiled={"compiled": in_float32, "compiled in bf16": in_bf16},
        others={"in bf16": in_bf16, "oneDNN, laid out": by_onednn},
    )


def normalizers() -> Contest:
    """Compare log Σ exp of logits; a step has two or more such chunks."""
    logits, backend = random(CHUNK_ROWS, VOCABULARY, scale=3.0), CpuBackend(None)
    return Contest(
        "log_normalizers",
        f"{CHUNK_ROWS} rows",
        backend.log_normalizers,
        backend.log_normalizers,
        lambda: (logits,),
        STEP_ROWS // CHUNK_ROWS,
        compiled={"compiled": lambda logits: logits.float().logsumexp(-1)},
    )


def probabilities() -> Contest:
    """Compare −exp(logits − log_z); torch's softmax computes log_z again."""
    logits, backend = random(CHUNK_ROWS, VOCABULARY, scale=3.0), CpuBackend(None)
    log_z, chosen = logits.float().logsumexp(-1), torch.arange(CHUNK_ROWS)

    def formula(logits: Tensor, log_z: Tensor, chosen: Tensor) -> Tensor:
        return (logits[chosen].float() - log_z[chosen][:, None]).exp().neg().bfloat16()

    return Contest(
        "minus_probabilities",
        f"{CHUNK_ROWS} rows",
        backend.minus_probabilities,
        backend.minus_probabilities,
        lambda: (logits, log_z, chosen),
        STEP_ROWS // CHUNK_ROWS,
        compiled={"compiled": formula},
        others={"softmax": lambda logits, _, chosen: logits[chosen].softmax(-1).neg_()},
    )


def the_likeliest(rows: int) -> Contest:
    """Compare the largest logits; of equal ones others may take either."""
    logits, backend = random(rows, VOCABULARY, scale=3.0), CpuBackend(None)

    def formula(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        top, ids = logits.topk(TOP_K, dim=-1)
        return top.float(), ids, logits.float().logsumexp(-1)

    return Contest(
        "likeliest",
        f"{rows} rows, {TOP_K} of {VOCABULARY}",
        lambda logits: backend.likeliest(logits, TOP_K),
        lambda logits: backend.likeliest(logits, TOP_K),
        lambda: (logits,),
        1,
        compiled={"compiled": formula},
        others={"topk in bf16": formula},
    )


def tiles(rows: int) -> Contest:
    """Compare a product by tiles, its adapter in it, with oneDNN's, which has tiles as well."""
    x, weight = random(rows, HIDDEN), random(2 * INNER, HIDDEN, seed=1, scale=HIDDEN**-0.5)
    A, B = random(16, HIDDEN, seed=2, scale=HIDDEN**-0.5), random(2 * INNER, 16, seed=3)
    by_tiles, factors = PackedLinear(weight, None, prepacks=True), TiledFactors((A, B))
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, rows)

    def product(x: Tensor) -> Tensor:
        return torch.addmm(x @ A.t() @ B.t(), x, weight.t())

    def by_onednn(x: Tensor) -> Any:
        share = x @ A.t() @ B.t()
        return torch.ops.mkldnn._linear_pointwise(x, share, laid_out, None, "add")

    return Contest(
        "tiled_product",
        f"{rows} rows, {HIDDEN} → {2 * INNER}, rank 16",
        lambda x: by_tiles.adapted(x, None, factors)[0],
        product,
        lambda: (x,),
        LAYERS,
        compiled={"compiled": product},
        others={"oneDNN, laid out": by_onednn},
    )
