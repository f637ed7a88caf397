"""What fused layers are made of on a CPU: compiled passes where there are any, else torch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from corll.compute.cpu.attention import GROUPED, attend_rows, grouped_attention
from corll.compute.cpu.compiled_cache import CompiledBranchingLayer
from corll.compute.cpu.joined_linear import CpuJoinedLinear
from corll.compute.cpu.kernels import CpuKernels, kernels_for
from corll.compute.cpu.packed_linear import EXACTLY, DraftPrecision
from corll.compute.fused_layers import LayerOperations, Norm
from corll.compute.packing import FlatRows


class CpuLayerOperations(LayerOperations):
    """`prepacks`: whether weights may be kept a second and third time, laid out for products;
    `drafts`: by which of them texts are drafted.
    """

    attention = ("sdpa", "eager", GROUPED)

    def __init__(self, *, prepacks: bool, drafts: DraftPrecision = EXACTLY) -> None:
        self.prepacks, self.drafts = prepacks, drafts

    def joined_linear(self, modules: Sequence[nn.Module]) -> CpuJoinedLinear:
        """Return linear layers of the same input as one product."""
        return CpuJoinedLinear(modules, prepacks=self.prepacks, drafts=self.drafts)

    def norm(self, module: Any) -> Norm:
        """Return the norm of a layer's module. *Shapes*: M × D → M × D."""
        return RootMeanSquareNorm(module)

    def gate(self, gate_up: Tensor) -> Tensor:
        """Return silu(gate) · up. *Shapes*: M × 2 I, the gate first → M × I."""
        if (kernels := kernels_for(gate_up)) is None:
            return super().gate(gate_up)
        if gate_up.requires_grad and torch.is_grad_enabled():
            result: Tensor = _CompiledGate.apply(gate_up, kernels)  # type: ignore[no-untyped-call]
            return result
        return kernels.swiglu(gate_up)

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor
    ) -> Tensor:
        """Attend in a batch of one length; as `LayerOperations`, by groups of heads."""
        return grouped_attention(module, query, key, value, mask)[0]

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
        return attend_rows(heads, cos, sin, rows, groups=groups, scaling=scaling)

    def attend_token(
        self,
        cached: Any,
        heads: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None,
        scaling: float,
    ) -> Tensor | None:
        """Attend for one more token of each row, where its keys and values lie for that."""
        if not isinstance(cached, CompiledBranchingLayer) or mask is None:
            return None
        if not cached.is_initialized:
            return None  # of a prompt of one token: it is taken as prompts are
        return cached.attend_token(heads, *angles, mask, scaling)


class RootMeanSquareNorm:
    """The norm before attention or feed-forward, with a frozen weight.

    On a CPU torch has no kernel for it and takes ten passes. It has one for layer norm, and a
    vector beside its own negative has the mean 0 and the mean square it had before: so it goes
    where there is no compiled kernel.
    """

    def __init__(self, module: Any) -> None:
        self.weight, self.epsilon = module.weight.data, module.variance_epsilon
        self.width = len(self.weight)
        self._twice = torch.cat([self.weight, self.weight])

    def __call__(self, x: Tensor) -> Tensor:
        """Return x / rms(x) · weight. *Shapes*: M × D → M × D."""
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


class _CompiledGate(torch.autograd.Function):
    """Keeps its input only, and computes silu(gate) again."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, kernels: CpuKernels) -> Tensor:
        ctx.save_for_backward(gate_up)
        ctx.kernels = kernels
        return kernels.swiglu(gate_up)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (gate_up,) = ctx.saved_tensors
        return ctx.kernels.swiglu_backward(grad_output.contiguous(), gate_up), None
