"""Leaner decoder layers for the Llama family: the same numbers from fewer and larger operations.

A decoder layer of `transformers` with LoRA runs seven base products, fourteen small ones and some
thirty passes over its activations. Here layers of the same input (queries, keys and values; gate
and up) are one product, their adapters are another two, residuals are added by the product that
follows them, and the backward pass keeps only what it cannot compute again. Parameters stay where
`transformers` and PEFT have them: the base weights become views of the joined ones.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, rms_norm, silu
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward

from corll.attention import GROUPED, attend_rows
from corll.frozen_linear import FrozenLinear, may_prepack
from corll.lora import Factors, JoinedFactors, LoraLinear
from corll.packing import RowSpan

log = logging.getLogger(__name__)

_LLAMA_LIKE = ("LlamaDecoderLayer", "Qwen2DecoderLayer", "MistralDecoderLayer")
_PLAIN_ATTENTION = ("sdpa", "eager", GROUPED)
_ALLOWED_DIFFERENCE = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Of what a layer adds, as a share of it; rounding to 16 bits makes up to a hundredth."""

_FEW_ROWS = 32
"""Up to here a CPU is quicker at an adapter's small products in float32 than in bf16, whose kernels
cost 15 µs before they begin."""


def fuse_layers(model: Any) -> bool:
    """Gives a model's decoder layers the leaner forward pass, if they are of the Llama family.

    Each layer is tried on a small input; a model whose numbers would change stays as it is.
    Returns whether the layers were fused.
    """
    layers = _decoder_layers(model)
    if not layers or not all(_is_llama_like(layer, model.config) for layer in layers):
        return False
    rotary = getattr(model, model.base_model_prefix).rotary_emb
    prepacks = may_prepack(model)
    fused = [FusedLayer(layer, prepacks=prepacks) for layer in layers]
    if not all(_agree(layer, leaner, rotary) for layer, leaner in zip(layers, fused, strict=True)):
        log.warning("%s keeps its own layers: fused ones gave other numbers.", type(model).__name__)
        return False
    for layer, leaner in zip(layers, fused, strict=True):
        layer.forward = leaner.forward
    return True


@torch.no_grad()
def _agree(layer: Any, fused: FusedLayer, rotary: Any) -> bool:
    """Whether both add the same to a small input, up to the dtype's rounding."""
    weight = layer.input_layernorm.weight
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 8, len(weight), generator=generator).to(weight.device, weight.dtype)
    positions = torch.arange(8, device=weight.device)[None]
    inputs = {"position_ids": positions, "position_embeddings": rotary(hidden, positions)}
    expected = (layer(hidden, **inputs) - hidden).float()
    difference = (fused.forward(hidden, **inputs) - hidden).float() - expected
    return float(difference.norm() / expected.norm()) <= _ALLOWED_DIFFERENCE.get(weight.dtype, 0.05)


def is_fused(model: Any) -> bool:
    """Whether the model's decoder layers have the leaner forward pass."""
    return any("forward" in vars(layer) for layer in _decoder_layers(model))


def _decoder_layers(model: Any) -> Any:
    return getattr(getattr(model, model.base_model_prefix, None), "layers", ())


def _is_llama_like(layer: Any, config: Any) -> bool:
    return (
        type(layer).__name__ in _LLAMA_LIKE
        and config._attn_implementation in _PLAIN_ATTENTION
        and config.hidden_act == "silu"
        and not config.attention_dropout
        and all(isinstance(base_of(module), nn.Linear) for module in _linear_layers(layer))
    )


def _linear_layers(layer: Any) -> list[nn.Module]:
    attention, mlp = layer.self_attn, layer.mlp
    return [
        *(attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj),
        *(mlp.gate_proj, mlp.up_proj, mlp.down_proj),
    ]


def base_of(module: nn.Module) -> nn.Module:
    """The layer itself, without its adapters."""
    base: nn.Module = getattr(module, "base_layer", module)
    return base


class FusedLayer:
    """The forward pass of one decoder layer; its parameters stay those of the layer."""

    def __init__(self, layer: Any, *, prepacks: bool) -> None:
        q, k, v, o, gate, up, down = _linear_layers(layer)
        self.attention = layer.self_attn
        self.attention_norm = RootMeanSquareNorm(layer.input_layernorm)
        self.mlp_norm = RootMeanSquareNorm(layer.post_attention_layernorm)
        self.qkv = JoinedLinear([q, k, v], prepacks=prepacks)
        self.out = JoinedLinear([o], prepacks=prepacks)
        self.gate_up = JoinedLinear([gate, up], prepacks=prepacks)
        self.down = JoinedLinear([down], prepacks=prepacks)
        self.key_heads = self.qkv.sizes[1] // self.attention.head_dim

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = False,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        spans: Sequence[RowSpan] | None = None,
        settled: SettledAdapters | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """*Shapes*: B × T × D → B × T × D, as the layer's own forward.

        `spans` say that the batch is flat: they are its rows, in place of the mask. `settled` is
        given where no adapter changes from one pass to the next.
        """
        assert position_embeddings is not None
        B, T, D = hidden_states.shape
        x = hidden_states.reshape(B * T, D)
        how: Any = {"decoding": past_key_values is not None, "settled": settled}
        heads = self.qkv(self.attention_norm(x), **how)
        heads = heads.view(B, T, -1, self.attention.head_dim)
        parts = [heads.shape[2] - self.key_heads, self.key_heads]
        turned, values = torch.split(heads, parts, dim=2)
        if spans is None:
            turned = rotate(turned.transpose(1, 2), *position_embeddings, over_heads=1)
            attended = self._attend(turned, values.transpose(1, 2), past_key_values, attention_mask)
        else:
            turned = rotate(turned, *position_embeddings, over_heads=2)
            attended = attend_rows(turned[0], values[0], spans, self.attention.scaling)
        x = self.out(attended.reshape(B * T, -1), residual=x, **how)
        gated = swiglu(self.gate_up(self.mlp_norm(x), **how))
        return self.down(gated, residual=x, **how).view(B, T, D)

    def _attend(self, turned: Tensor, values: Tensor, cache: Any, mask: Tensor | None) -> Tensor:
        parts = [turned.shape[1] - self.key_heads, self.key_heads]
        queries, keys = torch.split(turned, parts, dim=1)
        if cache is not None:
            keys, values = cache.update(keys, values, self.attention.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.attention.config._attn_implementation, eager_attention_forward
        )
        scaling = self.attention.scaling
        attended: Tensor = attend(
            self.attention, queries, keys, values, mask, dropout=0.0, scaling=scaling
        )[0]
        return attended


class RootMeanSquareNorm:
    """The norm before attention or feed-forward.

    On a CPU torch has no kernel for it and takes ten passes. It has one for layer norm, and a
    vector beside its own negative has the mean 0 and the mean square it had before.
    """

    def __init__(self, module: Any) -> None:
        self.weight, self.epsilon = module.weight.data, module.variance_epsilon
        self.width = len(self.weight)
        self._twice = torch.cat([self.weight, self.weight])

    def __call__(self, x: Tensor) -> Tensor:
        """*Shapes*: M × D → M × D."""
        if x.device.type != "cpu":
            return rms_norm(x, (self.width,), self.weight, self.epsilon)
        twice = torch.cat([x, -x], dim=-1)
        normed = layer_norm(twice, self._twice.shape, self._twice, None, self.epsilon)
        return normed[:, : self.width]


SettledAdapters: TypeAlias = "dict[tuple[JoinedLinear, torch.dtype], tuple[Tensor, Tensor]]"
"""Adapters that do not change while a text is decoded, so that no token asks for them again."""


class JoinedLinear:
    """Linear layers of the same input as one product, and their adapters as another two."""

    def __init__(self, modules: Sequence[nn.Module], *, prepacks: bool) -> None:
        self.modules = modules
        bases: list[Any] = [base_of(module) for module in modules]
        self.sizes = [base.out_features for base in bases]
        weight, bias = bases[0].weight.data, bases[0].bias
        if len(bases) > 1:
            parts = [base.weight.data for base in bases]
            weight = _as_one(parts) if _adjacent(parts) else torch.cat(parts)
            for base, part in zip(bases, torch.split(weight, self.sizes), strict=True):
                base.weight.data = part
            bias = None if bias is None else torch.cat([base.bias for base in bases])
        self.base = FrozenLinear(weight, bias, prepacks=prepacks)
        self.adapters = JoinedFactors(self.sizes)

    def __call__(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        *,
        decoding: bool = False,
        settled: SettledAdapters | None = None,
    ) -> Tensor:
        """The layers' outputs side by side, plus `residual`. *Shapes*: M × in → M × Σ out."""
        dtype = x.dtype
        if decoding and len(x) <= _FEW_ROWS and x.device.type == "cpu":
            dtype = torch.float32
        if settled is not None and (known := settled.get((self, dtype))) is not None:
            return self._add_adapters(x, residual, known, decoding=decoding)
        factors = [m.active_factors() if isinstance(m, LoraLinear) else () for m in self.modules]
        if any(adapter is None for adapter in factors):
            out = torch.cat([module(x) for module in self.modules], dim=-1)
            return out if residual is None else residual + out
        adapted: list[tuple[int, Any]] = [(n, f) for n, f in enumerate(factors) if f]
        if not adapted:
            return self.base(x, residual, decoding=decoding)
        if any(adapter.learn for _, adapter in adapted):
            flat = [matrix for _, adapter in adapted for matrix in (adapter.A, adapter.B)]
            result: Tensor = _AdaptedLinear.apply(  # type: ignore[no-untyped-call]
                x, residual, self, adapted, *flat
            )
            return result
        A, B = self.adapters.kept(adapted, dtype)
        transposed = A.t(), B.t()
        if settled is not None:
            settled[self, dtype] = transposed
        return self._add_adapters(x, residual, transposed, decoding=decoding)

    def _add_adapters(
        self,
        x: Tensor,
        residual: Tensor | None,
        transposed: tuple[Tensor, Tensor],
        *,
        decoding: bool,
    ) -> Tensor:
        A, B = transposed
        out = self.base(x, residual, decoding=decoding)
        if A.dtype != x.dtype:
            return out.add_(x.float() @ A @ B)
        return out.addmm_(x @ A, B)


def _adjacent(parts: Sequence[Tensor]) -> bool:
    """Whether matrices of one width lie one after another in one piece of memory already."""
    stored = parts[0].untyped_storage().data_ptr()
    at = parts[0].data_ptr()
    for part in parts:
        same = part.untyped_storage().data_ptr() == stored and part.is_contiguous()
        if not same or part.data_ptr() != at or part.shape[1] != parts[0].shape[1]:
            return False
        at += part.nbytes
    return True


def _as_one(parts: Sequence[Tensor]) -> Tensor:
    """Adjacent matrices as a single one, without a copy."""
    rows = sum(len(part) for part in parts)
    return parts[0].as_strided((rows, parts[0].shape[1]), parts[0].stride())


class _AdaptedLinear(torch.autograd.Function):
    """x Wᵀ + (x Aᵀ) Bᵀ + residual, with gradients for x, residual, A and B; W is frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        layers: JoinedLinear,
        adapted: Sequence[tuple[int, Factors]],
        *matrices: Tensor,
    ) -> Tensor:
        A, B = layers.adapters.join(adapted, x.dtype)
        low = x @ A.t()
        ctx.save_for_backward(x, A, B, low)
        ctx.layers, ctx.has_residual = layers, residual is not None
        ctx.adapted = [(number, len(f.A), f.scaling, f.A.dtype) for number, f in adapted]
        return layers.base(x, residual).addmm_(low, B.t())

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
        x, A, B, low = ctx.saved_tensors
        grad_low = grad_output @ B
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad_output @ ctx.layers.base.weight).addmm_(grad_low, A)
        grad_A, grad_B = grad_low.t() @ x, grad_output.t() @ low
        grads: list[Tensor] = []
        start = 0
        for number, rank, scaling, dtype in ctx.adapted:
            own = slice(start, start + rank)
            grads.append(grad_A[own].to(dtype))
            grads.append(grad_B[ctx.layers.adapters.columns[number], own].to(dtype) * scaling)
            start += rank
        return grad_x, grad_output if ctx.has_residual else None, None, None, *grads


def rotate(heads: Tensor, cos: Tensor, sin: Tensor, *, over_heads: int) -> Tensor:
    """Rotary position embedding.

    *Shapes*: `heads` B × H × T × D if `over_heads` is 1, B × T × H × D if 2; `cos`, `sin`
    B × T × D.
    """
    cos, sin = cos.unsqueeze(over_heads), sin.unsqueeze(over_heads)
    if heads.requires_grad and torch.is_grad_enabled():
        result: Tensor = _Rotation.apply(heads, cos, sin)  # type: ignore[no-untyped-call]
        return result
    return _rotated(heads, cos, sin, 1)


class _Rotation(torch.autograd.Function):
    """Its gradient is the rotation back, so nothing but the angles is kept."""

    @staticmethod
    def forward(ctx: Any, heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(heads, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotated(grad_output, cos, sin, -1), None, None


def _rotated(heads: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    half = heads.shape[-1] // 2
    out = torch.mul(heads, cos, out=heads.new_empty(heads.shape))
    sin = sin[..., :half]
    out[..., :half].addcmul_(heads[..., half:], sin, value=-direction)
    out[..., half:].addcmul_(heads[..., :half], sin, value=direction)
    return out


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) · up. *Shapes*: M × 2 I, the gate first → M × I."""
    if gate_up.requires_grad and torch.is_grad_enabled():
        result: Tensor = _SwiGLU.apply(gate_up)  # type: ignore[no-untyped-call]
        return result
    return _gated(gate_up)


def _gated(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return silu(gate).mul_(up)


class _SwiGLU(torch.autograd.Function):
    """Keeps its input only, and computes silu(gate) again."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        return _gated(gate_up)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        grad = torch.empty_like(gate_up)
        grad_gate, grad_up = grad.chunk(2, dim=-1)
        torch.mul(grad_output, silu(gate), out=grad_up)
        torch.ops.aten.silu_backward(grad_output * up, gate, grad_input=grad_gate)
        return grad
