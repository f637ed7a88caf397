"""Leaner decoder layers for the Llama family: the same numbers from fewer and larger operations.

A decoder layer of `transformers` with LoRA runs seven base products, fourteen small ones and some
thirty passes over its activations. Here layers of the same input (queries, keys and values; gate
and up) are one product, their adapters are another two, residuals are added by the product that
follows them, and the backward pass keeps only what it cannot compute again. Parameters stay where
`transformers` and PEFT have them: the base weights become views of the joined ones.
`LayerOperations` are torch's; a backend may have quicker ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward

from corll.compute.joined_linear import JoinedLinear, SettledAdapters, base_of
from corll.compute.layer_trial import why_other_numbers
from corll.compute.lora import LoraLinear
from corll.compute.packing import FlatRows
from corll.compute.rotation import rotate
from corll.compute.row_adapters import RowAdapters

log = logging.getLogger(__name__)

Norm: TypeAlias = Callable[[Tensor], Tensor]

_LLAMA_LIKE = ("LlamaDecoderLayer", "Qwen2DecoderLayer", "MistralDecoderLayer")


class LayerOperations:
    """What a fused layer is made of, by torch's own operations on any device.

    `attention` names the implementations of `transformers` that a layer may have. A backend that
    flattens rows overrides `attend_rows`; one with a cache of its own overrides `attend_token`.
    """

    attention: tuple[str, ...] = ("sdpa", "eager")

    def joined_linear(self, modules: Sequence[nn.Module]) -> JoinedLinear:
        """Return linear layers of the same input as one product."""
        return JoinedLinear(modules)

    def norm(self, module: Any) -> Norm:
        """Return the norm of a layer's module. *Shapes*: M × D → M × D."""
        weight, epsilon = module.weight.data, module.variance_epsilon
        return lambda x: rms_norm(x, weight.shape, weight, epsilon)

    def gate(self, gate_up: Tensor) -> Tensor:
        """Return silu(gate) · up. *Shapes*: M × 2 I, the gate first → M × I."""
        if gate_up.requires_grad and torch.is_grad_enabled():
            result: Tensor = _SwiGLU.apply(gate_up)  # type: ignore[no-untyped-call]
            return result
        return gated(gate_up)

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor
    ) -> Tensor:
        """Attend in a batch of one length, outside a model of `transformers`.

        *Shapes*: `query` B × H × Q × D; `key`, `value` B × G × T × D; the mask B × 1 × Q × T, added
        to the scores → B × Q × H × D.
        """
        out = scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
        return out.transpose(1, 2).contiguous()

    def attend_rows(
        self,
        heads: Tensor,
        cos: Tensor,
        sin: Tensor,
        rows: FlatRows,
        *,
        groups: int,
        scaling: float,
    ) -> Tensor:
        """Attend in each row of a flat batch by itself. *Shapes*: M × (H + 2 G) × D → M × H × D."""
        raise NotImplementedError

    def attend_token(
        self,
        cached: Any,
        heads: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None,
        scaling: float,
    ) -> Tensor | None:
        """Attend for one more token of each row; None where its cache is not of this backend.

        *Shapes*: `heads` N × (H + 2 G) × D, not rotated; `angles` N × D each → N × H × D.
        """
        return None


def fuse_layers(model: Any, operations: LayerOperations) -> str | None:
    """Give a model's decoder layers the leaner forward pass, if they are of the Llama family.

    Each layer is tried on a small input; a model whose numbers would change stays as it is.
    Returns None where the layers were fused, else why they were not.
    """
    layers = _decoder_layers(model)
    if not layers:
        return "it has no decoder layers that corll knows"
    if reason := _why_not_like_llama(layers, model.config, operations):
        return reason
    rotary = getattr(model, model.base_model_prefix).rotary_emb
    fuse = partial(FusedLayer, operations=operations)
    fused = [fuse(layer) for layer in layers]
    for number, (layer, leaner) in enumerate(zip(layers, fused, strict=True)):
        if reason := why_other_numbers(layer, leaner, fuse, rotary):
            return f"layer {number} fused {reason}"
    for layer, leaner in zip(layers, fused, strict=True):
        layer.forward = leaner.forward
        for module in _linear_layers(layer):
            if isinstance(module, LoraLinear):
                module.joined = True
    return None


def _decoder_layers(model: Any) -> Any:
    return getattr(getattr(model, model.base_model_prefix, None), "layers", ())


def _why_not_like_llama(layers: Any, config: Any, operations: LayerOperations) -> str | None:
    kinds = {type(layer).__name__ for layer in layers}
    if not kinds <= set(_LLAMA_LIKE):
        return f"its layers are {', '.join(sorted(kinds))}, not of the Llama family"
    if config._attn_implementation not in operations.attention:
        return f"its attention is {config._attn_implementation!r}"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act!r}, not 'silu'"
    if config.attention_dropout:
        return "its attention has dropout"
    modules = [module for layer in layers for module in _linear_layers(layer)]
    if not all(isinstance(base_of(module), nn.Linear) for module in modules):
        return "its weights are not plain linear layers"
    return None


def _linear_layers(layer: Any) -> list[nn.Module]:
    attention, mlp = layer.self_attn, layer.mlp
    return [
        *(attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj),
        *(mlp.gate_proj, mlp.up_proj, mlp.down_proj),
    ]


class FusedLayer:
    """The forward pass of one decoder layer; its parameters stay those of the layer."""

    def __init__(self, layer: Any, operations: LayerOperations) -> None:
        q, k, v, o, gate, up, down = _linear_layers(layer)
        self.operations, self.attention = operations, layer.self_attn
        self.attention_norm = operations.norm(layer.input_layernorm)
        self.qkv = operations.joined_linear([q, k, v])
        self.out = operations.joined_linear([o])
        self.mlp_norm = operations.norm(layer.post_attention_layernorm)
        self.gate_up = operations.joined_linear([gate, up])
        self.down = operations.joined_linear([down])
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
        row_adapters: RowAdapters | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Compute what the layer's own forward does. *Shapes*: B × T × D → B × T × D.

        `rows` say that the batch is flat: they are its rows, in place of the mask. `settled` is
        given where no adapter changes from one pass to the next. `row_adapters` name an adapter
        for each row, whichever is active.
        """
        assert position_embeddings is not None
        B, T, D = hidden_states.shape
        x = hidden_states.reshape(B * T, D)
        how: Any = {"decoding": past_key_values is not None, "settled": settled}
        how["row_adapters"] = row_adapters
        heads = self.qkv(self.attention_norm(x), **how)
        heads = heads.view(B, T, -1, self.attention.head_dim)
        if rows is not None:
            (cos,), (sin,) = position_embeddings
            sizes = {"groups": self.key_heads, "scaling": self.attention.scaling}
            attended = self.operations.attend_rows(heads[0], cos, sin, rows, **sizes)
        else:
            attended = self._attend(heads, position_embeddings, past_key_values, attention_mask)
        x = self.out(attended.reshape(B * T, -1), residual=x, **how)
        inner = self.operations.gate(self.gate_up(self.mlp_norm(x), **how))
        return self.down(inner, residual=x, **how).view(B, T, D)

    def _attend(
        self, heads: Tensor, angles: tuple[Tensor, Tensor], cache: Any, mask: Tensor | None
    ) -> Tensor:
        """Attend in padded rows. *Shapes*: `heads` B × T × (H + 2 G) × D → B × T × H × D."""
        layer, scaling = self.attention.layer_idx, self.attention.scaling
        if cache is not None and heads.shape[1] == 1:
            cos, sin = (part[:, 0] for part in angles)
            attended = self.operations.attend_token(
                cache.layers[layer], heads[:, 0], (cos, sin), mask, scaling
            )
            if attended is not None:
                return attended
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


def gated(gate_up: Tensor) -> Tensor:
    """Return silu(gate) · up, without gradients. *Shapes*: M × 2 I → M × I."""
    gate, up = gate_up.chunk(2, dim=-1)
    return silu(gate).mul_(up)


def gated_backward(grad_output: Tensor, gate_up: Tensor) -> Tensor:
    """Return the gradient by `gate_up`. *Shapes*: M × I, M × 2 I → M × 2 I."""
    gate, up = gate_up.chunk(2, dim=-1)
    grad = torch.empty_like(gate_up)
    grad_gate, grad_up = grad.chunk(2, dim=-1)
    torch.mul(grad_output, silu(gate), out=grad_up)
    torch.ops.aten.silu_backward(grad_output * up, gate, grad_input=grad_gate)
    return grad


class _SwiGLU(torch.autograd.Function):
    """Keeps its input only, and computes silu(gate) again."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        return gated(gate_up)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        return gated_backward(grad_output, gate_up)
