"""The adapter's layers: PEFT's LoRA, with a leaner forward pass.

PEFT casts the input of every adapted layer to the adapter's float32 and keeps the copy for the
backward pass. Here the small matrices are cast instead: they stay float32 where Adam updates them
(bf16 would round its small steps away) and are used in the dtype of the base.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import layer as peft_lora
from torch import Tensor, nn

from corll.config import LoraConfig


class Factors(NamedTuple):
    """An adapter on one layer: (alpha / r) · B A. *Shapes*: A r × in, B out × r."""

    A: Tensor
    B: Tensor
    scaling: float

    @property
    def learn(self) -> bool:
        """Whether gradients are wanted for it."""
        return torch.is_grad_enabled() and self.A.requires_grad


class JoinedFactors:
    """Adapters of layers that share an input as one adapter of their ranks' sum.

    The matrices stay float32 where Adam updates them; here they are cast to the dtype they are
    used in, once for each version of them. `columns` say where each layer's outputs are.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        stops = list(accumulate(sizes))
        self.width = stops[-1]
        self.columns = [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        self._kept: dict[torch.dtype, _Joined] = {}

    def join(
        self, adapters: Sequence[tuple[int, Factors]], dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Return all A stacked, and all scaled B on the diagonal of a block matrix.

        *Shapes*: `adapters` name the layer that each is on → R × in, Σ out × R.
        """
        A = torch.cat([factors.A.to(dtype) for _, factors in adapters])
        B = A.new_zeros(self.width, len(A))
        start = 0
        for number, factors in adapters:
            stop = start + factors.B.shape[1]
            B[self.columns[number], start:stop] = factors.B * factors.scaling
            start = stop
        return A, B

    def kept(
        self, adapters: Sequence[tuple[int, Factors]], dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Return what `join` does, from the last time if these are the same weights."""
        versions = [(n, f.A._version, f.B._version, f.scaling) for n, f in adapters]
        last = self._kept.get(dtype)
        # The tensors themselves are kept and compared: an address may be another adapter's by now.
        if last is None or last.versions != versions or not _same(last.adapters, adapters):
            with torch.no_grad():
                last = _Joined(adapters, versions, self.join(adapters, dtype))
            self._kept[dtype] = last
        return last.matrices

    def split(
        self, grads: tuple[Tensor, Tensor], adapters: Sequence[tuple[int, Factors]]
    ) -> list[Tensor]:
        """Return the gradients by A and B of each adapter, from those by what `join` gives."""
        grad_A, grad_B = grads
        found: list[Tensor] = []
        start = 0
        for number, factors in adapters:
            own, dtype = slice(start, start + len(factors.A)), factors.A.dtype
            found.append(grad_A[own].to(dtype))
            found.append(grad_B[self.columns[number], own].to(dtype) * factors.scaling)
            start = own.stop
        return found


class _Joined(NamedTuple):
    adapters: Sequence[tuple[int, Factors]]
    versions: list[tuple[int, int, int, float]]
    matrices: tuple[Tensor, Tensor]


def _same(adapters: Sequence[tuple[int, Factors]], others: Sequence[tuple[int, Factors]]) -> bool:
    both = zip(adapters, others, strict=True)
    return all(one.A is other.A and one.B is other.B for (_, one), (_, other) in both)


class LoraLinear(peft_lora.Linear):  # type: ignore[misc]
    """A linear layer with adapters; the same parameters and files as PEFT's own.

    Where it is `joined`, a fused layer computes it with others.
    """

    joined = False

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return base(x) + (alpha / r) · B A x. *Shapes*: … × in → … × out."""
        base = self.base_layer
        factors = None if args or kwargs else self.active_factors(dropping=True)
        if factors is None or type(base) is not nn.Linear:
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        if not factors:
            return with_bias(nn.functional.linear(x, base.weight), base.bias)
        rows = x.reshape(-1, x.shape[-1])
        # The adapter's share first: added to an output that is rounded, a small one would be lost.
        out = torch.addmm(self.share(rows, factors), rows, base.weight.t())
        return with_bias(out, base.bias).reshape(*x.shape[:-1], self.out_features)

    def share(self, rows: Tensor, factors: Factors) -> Tensor:
        """Return what the active adapter adds, after its dropout. *Shapes*: M × in → M × out."""
        A, B = (self._joined.join if factors.learn else self._joined.kept)(
            [(0, factors)], rows.dtype
        )
        (name,) = self.active_adapters
        dropped: Tensor = self.lora_dropout[name](rows)
        return dropped @ A.t() @ B.t()

    def active_factors(self, *, dropping: bool = False) -> tuple[()] | Factors | None:
        """Return the active adapter, empty where it is off or on other layers only.

        None where the layer must be asked: with several adapters at once, a variant of LoRA, or
        dropout, unless it is asked for factors of `dropping` ones. Each layer asks at each token,
        so this reads what `nn.Module` would look up.
        """
        if self.merged_adapters:
            return None
        if self._disable_adapters:
            return ()
        active = self._active_adapter
        name = active if isinstance(active, str) else active[0] if len(active) == 1 else None
        parts = self._modules
        if name is None:
            return None
        A = parts["lora_A"]._modules.get(name)
        if A is None:
            return ()
        if name in self.lora_variant or self.lora_bias[name]:
            return None
        if not dropping and _drops(parts["lora_dropout"]._modules[name]):
            return None
        return self._factors(name)

    def factors_of(self, name: str) -> tuple[()] | Factors:
        """Return an adapter, whichever is active; empty where it is on other layers only."""
        return self._factors(name) if name in self._modules["lora_A"]._modules else ()

    def _factors(self, name: str) -> Factors:
        A, B = (self._modules[part]._modules[name] for part in ("lora_A", "lora_B"))
        return Factors(A._parameters["weight"], B._parameters["weight"], self.scaling[name])

    def is_plain(self, name: str) -> bool:
        """Say whether an adapter adds the product of its factors here and nothing else.

        Its dropout is left aside, which is off but where a policy learns.
        """
        return not (self.lora_bias[name] or name in self.lora_variant)

    @cached_property
    def _joined(self) -> JoinedFactors:
        return JoinedFactors([self.out_features])


def with_bias(product: Tensor, bias: Tensor | None) -> Tensor:
    """Return a product and its bias, which is added after the product is rounded.

    So it is with an adapter and without: a sum of both would be rounded once without an adapter
    alone, and in bf16 one that is 0 would change digits. And a share that is small beside the bias
    is in the product before that is rounded.
    """
    return product if bias is None else product + bias


def activate(layers: Iterable[peft_lora.LoraLayer], adapter: str | None) -> None:
    """Switch layers to an adapter, or off.

    PEFT's own switch walks the whole model and the gradients' flags of all parameters, which
    takes as long as scoring a sentence.
    """
    for layer in layers:
        state = vars(layer)  # past the checks of nn.Module, which take longer than all the rest
        state["_disable_adapters"] = adapter is None
        if adapter is not None:
            state["_active_adapter"] = adapter


def insert_adapter(
    layer: peft_lora.LoraLayer, adapter: str, lora: LoraConfig, factors: Factors
) -> None:
    """Give a linear layer a further adapter of these weights, as PEFT's `update_layer` would.

    PEFT draws initial weights for each layer first, most of the time that it takes.
    """
    dtype = next(layer.lora_A.parameters()).dtype
    for part, matrix in ((layer.lora_A, factors.A), (layer.lora_B, factors.B)):
        weight = matrix.to(dtype)
        out_features, in_features = weight.shape
        linear = _Undrawn(in_features, out_features, bias=False, device="meta")
        linear.weight = nn.Parameter(weight)
        part[adapter] = linear
    drops = lora.lora_dropout > 0
    layer.lora_dropout[adapter] = nn.Dropout(lora.lora_dropout).eval() if drops else nn.Identity()
    layer.r[adapter], layer.lora_alpha[adapter] = lora.lora_r, lora.lora_alpha
    layer.scaling[adapter] = factors.scaling
    layer.lora_bias[adapter] = layer.use_rslora[adapter] = layer.use_dora[adapter] = False


class _Undrawn(nn.Linear):
    """A linear layer whose weight will be given, so that drawing one would be lost time."""

    def reset_parameters(self) -> None:
        pass


def _drops(dropout: nn.Module) -> bool:
    return dropout.training and not isinstance(dropout, nn.Identity)


def set_dropout(model: nn.Module, *, active: bool) -> None:
    """Switch the dropout of all adapters; that of the base stays off, as scoring needs it."""
    for module in model.modules():
        if isinstance(module, peft_lora.LoraLayer):
            module.lora_dropout.train(active)
