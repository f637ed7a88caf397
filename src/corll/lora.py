"""The adapter's layers: PEFT's LoRA, with a leaner forward pass.

PEFT casts the input of every adapted layer to the adapter's float32 and keeps the copy for the
backward pass. Here the small matrices are cast instead: they stay float32 where Adam updates them
(bf16 would round its small steps away) and are used in the dtype of the base.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import layer as peft_lora
from torch import Tensor, nn


class LoraLinear(peft_lora.Linear):  # type: ignore[misc]
    """A linear layer with adapters; the same parameters and files as PEFT's own."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """base(x) + (alpha / r) · B A x. *Shapes*: … × in → … × out."""
        adapter = self._only_plain_adapter()
        if adapter is None or args or kwargs:
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        A, B = self._factors(adapter, x.dtype)
        out: Tensor = self.base_layer(x)
        low = x.reshape(-1, x.shape[-1]) @ A.t()
        return torch.addmm(out.reshape(-1, out.shape[-1]), low, B.t()).reshape(out.shape)

    def _only_plain_adapter(self) -> str | None:
        """The active adapter's name, if there is exactly one and nothing special about it."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1:
            return None
        name: str = self.active_adapters[0]
        plain = (
            name in self.lora_A
            and name not in self.lora_variant
            and not self.lora_bias[name]
            and not _drops(self.lora_dropout[name])
        )
        return name if plain else None

    def _factors(self, adapter: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A and (alpha / r) · B in `dtype`, cast once for each version of the weights."""
        A, B = self.lora_A[adapter].weight, self.lora_B[adapter].weight
        if torch.is_grad_enabled() and A.requires_grad:
            return A.to(dtype), (B * self.scaling[adapter]).to(dtype)
        stamp = (adapter, dtype, A._version, B._version, A.data_ptr(), B.data_ptr())
        kept: tuple[Any, tuple[Tensor, Tensor]] | None = self.__dict__.get("_cast")
        if kept is None or kept[0] != stamp:
            with torch.no_grad():
                kept = (stamp, (A.to(dtype), (B * self.scaling[adapter]).to(dtype)))
            self.__dict__["_cast"] = kept
        return kept[1]


def _drops(dropout: nn.Module) -> bool:
    return dropout.training and not isinstance(dropout, nn.Identity)


def set_dropout(model: nn.Module, *, active: bool) -> None:
    """Switches the dropout of all adapters; that of the base stays off, as scoring needs it."""
    for module in model.modules():
        if isinstance(module, peft_lora.LoraLayer):
            module.lora_dropout.train(active)
