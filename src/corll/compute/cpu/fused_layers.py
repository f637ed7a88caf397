"""Leaner decoder layers for the Llama family: the same numbers from fewer and larger operations.

A decoder layer of `transformers` with LoRA runs seven base products, fourteen small ones and some
thirty passes over its activations. Here layers of the same input (queries, keys and values; gate
and up) are one product, their adapters are another two, residuals are added by the product that
follows them, and the backward pass keeps only what it cannot compute again. Parameters stay where
`transformers` and PEFT have them: the base weights become views of the joined ones.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, rms_norm, silu
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward

from corll.compute.branching_cache import CompiledBranchingLayer
from corll.compute.cpu.attention import GROUPED, attend_rows, rotate
from corll.compute.cpu.frozen_linear import may_prepack
from corll.compute.cpu.joined_linear import JoinedLinear, SettledAdapters, base_of
from corll.compute.cpu.kernels import CpuKernels, kernels_for
from corll.compute.packing import FlatRows

log = logging.getLogger(__name__)

_LLAMA_LIKE = ("LlamaDecoderLayer", "Qwen2DecoderLayer", "MistralDecoderLayer")
_PLAIN_ATTENTION = ("sdpa", "eager", GROUPED)
_ALLOWED_DIFFERENCE = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Of what a layer adds, as a share of it; rounding to 16 bits makes up to a hundredth."""


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


class FusedLayer:
    """The forward pass of one decoder layer; its parameters stay those of the layer."""

    def __init__(self, layer: Any, *, prepacks: bool) -> None:
        q, k, v, o, gate, up, down = _linear_layers(layer)
        self.attention = layer.self_attn
        self.attention_norm = RootMeanSquareNorm(layer.input_layernorm)
        self.qkv = JoinedLinear([q, k, v], prepacks=prepacks)
        self.out = JoinedLinear([o], prepacks=prepacks)
        self.mlp_norm = RootMeanSquareNorm(layer.post_attention_layernorm)
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
        rows: FlatRows | None = None,
        settled: SettledAdapters | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """*Shapes*: B × T × D → B × T × D, as the layer's own forward.

        `rows` say that the batch is flat: they are its rows, in place of the mask. `settled` is
        given where no adapter changes from one pass to the next.
        """
        assert position_embeddings is not None
        B, T, D = hidden_states.shape
        x = hidden_states.reshape(B * T, D)
        how: Any = {"decoding": past_key_values is not None, "settled": settled}
        heads = self.qkv(self.attention_norm(x), **how)
        heads = heads.view(B, T, -1, self.attention.head_dim)
        if rows is not None:
            (cos,), (sin,) = position_embeddings
            sizes = {"groups": self.key_heads, "scaling": self.attention.scaling}
            attended = attend_rows(heads[0], cos, sin, rows, **sizes)
        else:
            attended = self._attend(heads, position_embeddings, past_key_values, attention_mask)
        x = self.out(attended.reshape(B * T, -1), residual=x, **how)
        gated = swiglu(self.gate_up(self.mlp_norm(x), **how))
        return self.down(gated, residual=x, **how).view(B, T, D)

    def _attend(
        self, heads: Tensor, angles: tuple[Tensor, Tensor], cache: Any, mask: Tensor | None
    ) -> Tensor:
        """*Shapes*: `heads` B × T × (H + 2 G) × D → B × T × H × D."""
        layer, scaling = self.attention.layer_idx, self.attention.scaling
        if cache is not None and heads.shape[1] == 1:
            own = cache.layers[layer]
            if isinstance(own, CompiledBranchingLayer) and mask is not None:
                cos, sin = (part[:, 0] for part in angles)
                return own.attend_token(heads[:, 0], cos, sin, mask, scaling)
        parts = [heads.shape[2] - self.key_heads, self.key_heads]
        turned, values = torch.split(heads.transpose(1, 2), parts, dim=1)
        turned = rotate(turned, *angles, over_heads=1)
        queries, keys = torch.split(turned, [parts[0] - self.key_heads, self.key_heads], dim=1)
        if cache is not None:
            keys, values = cache.update(keys, values, layer)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.attention.config._attn_implementation, eager_attention_forward
        )
        out: Tensor = attend(
            self.attention, queries, keys, values, mask, dropout=0.0, scaling=scaling
        )[0]
        return out


class RootMeanSquareNorm:
    """The norm before attention or feed-forward.

    On a CPU torch has no kernel for it and takes ten passes. It has one for layer norm, and a
    vector beside its own negative has the mean 0 and the mean square it had before: so it goes
    where there is no compiled kernel.
    """

    def __init__(self, module: Any) -> None:
        self.weight, self.epsilon = module.weight.data, module.variance_epsilon
        self.width = len(self.weight)
        self._twice = torch.cat([self.weight, self.weight])

    def __call__(self, x: Tensor) -> Tensor:
        """*Shapes*: M × D → M × D."""
        if x.device.type != "cpu":
            return rms_norm(x, (self.width,), self.weight, self.epsilon)
        if (kernels := kernels_for(x)) is not None:
            if x.requires_grad and torch.is_grad_enabled():
                result: Tensor = _CompiledNorm.apply(x, self, kernels)  # type: ignore[no-untyped-call]
                return result
            return kernels.rms_norm(x, self.weight, self.epsilon)
        twice = torch.cat([x, -x], dim=-1)
        normed = layer_norm(twice, self._twice.shape, self._twice, None, self.epsilon)
        return normed[:, : self.width]


class _CompiledNorm(torch.autograd.Function):
    """The norm's weight is frozen; x is all that is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: RootMeanSquareNorm, kernels: CpuKernels) -> Tensor:
        ctx.save_for_backward(x)
        ctx.norm, ctx.kernels = norm, kernels
        return kernels.rms_norm(x, norm.weight, norm.epsilon)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        (x,), norm = ctx.saved_tensors, ctx.norm
        grad = grad_output.contiguous()
        return ctx.kernels.rms_norm_backward(grad, x, norm.weight, norm.epsilon), None, None


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) · up. *Shapes*: M × 2 I, the gate first → M × I."""
    if gate_up.requires_grad and torch.is_grad_enabled():
        result: Tensor = _SwiGLU.apply(gate_up)  # type: ignore[no-untyped-call]
        return result
    return _gated(gate_up)


def _gated(gate_up: Tensor) -> Tensor:
    if (kernels := kernels_for(gate_up)) is not None:
        return kernels.swiglu(gate_up)
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
        if (kernels := kernels_for(gate_up)) is not None:
            return kernels.swiglu_backward(grad_output.contiguous(), gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        grad = torch.empty_like(gate_up)
        grad_gate, grad_up = grad.chunk(2, dim=-1)
        torch.mul(grad_output, silu(gate), out=grad_up)
        torch.ops.aten.silu_backward(grad_output * up, gate, grad_input=grad_gate)
        return grad
