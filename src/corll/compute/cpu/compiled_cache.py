"""Keys and values in the order in which a compiled pass attends to them, token by token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from corll.compute.branching_cache import BranchingLayer
from corll.compute.cpu.kernels import LANES, CpuKernels, kernels_for


class CompiledBranchingLayer(BranchingLayer):
    """The same for `CpuKernels.attend_token`, which takes each token after the prompt.

    The branches of a prompt read its keys and values where they lie, once. *Shapes*: keys, in
    panels of LANES tokens, rows × G × panels × D / 2 × LANES × 2, pairs of a token's neighbouring
    values; values, rows × G × tokens / 2 × D × 2, pairs of neighbouring tokens. So what a product
    adds up comes from memory that lies in one piece, two at a time.
    """

    def __init__(self, branches: int, capacity: int, kernels: CpuKernels) -> None:
        super().__init__(branches, capacity)
        self.kernels = kernels

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take the prompts. *Shapes*: both P × G × L × D."""
        assert not self.is_initialized
        key_states, value_states = self.after_before(key_states, value_states)
        self.dtype, self.device = key_states.dtype, key_states.device
        P, G, L, D = key_states.shape
        rows, panels = P * self.branches, -(-(self.capacity - L) // LANES)
        keys, values = (pad(part, (0, 0, 0, -L % LANES)) for part in (key_states, value_states))
        by_panel = keys.view(P, G, -1, LANES, D // 2, 2).transpose(3, 4).contiguous()
        prompt_of = torch.arange(P, device=self.device).repeat_interleave(self.branches)
        self.prompt, self.prompt_length = (prompt_of, by_panel, self.kernels.in_pairs(values)), L
        self.keys = key_states.new_empty(rows, G, panels, D // 2, LANES, 2)
        self.values = value_states.new_empty(rows, G, panels * LANES // 2, D, 2)
        self.length, self.is_initialized = L, True
        return key_states, value_states

    def attend_token(
        self, heads: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, scaling: float
    ) -> Tensor:
        """Take query, key and value of one more token for each row, and attend.

        *Shapes*: `heads` N × (H + 2 G) × D, not rotated; `cos`, `sin` N × D; `mask`
        N × 1 × 1 × tokens, added to the scores → N × H × D.
        """
        drawn = self.length - self.prompt_length
        self.length += 1
        cached = self.prompt, (self.keys, self.values), drawn
        return self.kernels.attend_token(heads, (cos, sin), *cached, mask.contiguous(), scaling)

    def batch_select_indices(self, indices: Tensor) -> None:
        prompt_of, keys, values = self.prompt
        used, prompt_of = torch.unique(prompt_of[indices], return_inverse=True)
        if len(used) < len(keys):
            keys, values = keys[used], values[used]
        self.prompt = (prompt_of, keys, values)
        self.keys, self.values = self.keys[indices], self.values[indices]


def attention_kernels(model: Any) -> CpuKernels | None:
    """Return the passes that attend by token, if they take the model's dtype and head size."""
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weight = model.get_input_embeddings().weight
    return kernels_for(weight) if size % LANES == 0 else None
