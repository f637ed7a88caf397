"""A causal language model as passes see it: what its architecture allows, on which backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

from corll.compute.backend import Backend, OutputLayer
from corll.compute.packing import (
    Ids,
    Tree,
    TreeBatch,
    balanced_batches,
    batches_by_length,
    build_tree,
    collate,
)
from corll.compute.rope_lengths import RopeLengths

Drafting: TypeAlias = Literal["batch", "prompt", "row", "recomputed"]
"""How rows grow: all in one batch over one cache, prompt by prompt or row by row over the model's
own cache, or without a cache."""


@dataclass(frozen=True)
class Network:
    """A model, its backend, and what its architecture lets us do; `choose` finds that out.

    `takes_trees`: its attention takes a 4-D mask and explicit positions; otherwise each response
    gets a plain row. `head_is_linear`: its logits are its output layer applied to its last hidden
    states and nothing else; otherwise they are taken from the model as it computes them.
    `drafting`: how rows grow while responses are drawn. `lengths`: which lengths of rows are turned
    alike, where that depends on the length.
    """

    model: Any
    backend: Backend
    takes_trees: bool
    head_is_linear: bool
    drafting: Drafting = "batch"
    lengths: RopeLengths | None = None

    @property
    def flattens_rows(self) -> bool:
        """Whether the rows of a batch lie one after another, without padding."""
        return self.takes_trees and self.backend.flattens_rows

    @property
    def mixes_adapters(self) -> bool:
        """Whether rows of one pass may have adapters of their own."""
        by_batch = self.takes_trees and self.drafting == "batch" and self.lengths is None
        return by_batch and self.head_is_linear and self.backend.mixes_adapters

    @property
    def backbone(self) -> Any:
        """The model without its output layer."""
        return getattr(self.model, self.model.base_model_prefix)

    @cached_property
    def head(self) -> Callable[[Tensor], Tensor]:
        """The output layer; the backend's, unless it learns or is no linear layer."""
        head: Any = self.model.get_output_embeddings()
        if type(head) is not torch.nn.Linear or head.weight.requires_grad:
            return cast(Callable[[Tensor], Tensor], head)
        return self.backend.output_layer(head)

    @cached_property
    def frozen_head(self) -> OutputLayer | None:
        """The output layer where its weights are frozen; None where plain autograd must do it."""
        head: Any = self.head
        return None if isinstance(head, torch.nn.Module) else head

    def next_logits(self, *, into: Tensor | None = None, **inputs: Any) -> Tensor:
        """Return the logits that follow the last token of each row. *Shapes*: N × V.

        They may lie in the memory of `into`, N × V too.
        """
        if not self.head_is_linear:
            logits: Tensor = self.model(**inputs, logits_to_keep=1).logits[:, -1]
            return logits
        hidden = self.backbone(**inputs).last_hidden_state[:, -1]
        # Laid out in one piece: for a strided view torch would copy the weight for each row.
        hidden = hidden.contiguous()
        if self.frozen_head is not None:
            return self.frozen_head(hidden, decoding=True, into=into)
        return self.head(hidden)

    def logits_after(
        self, token_ids: Tensor, ends: Tensor | None = None, **inputs: Any
    ) -> tuple[Tensor, Any]:
        """Return the logits after the token at `ends` of each row, by default the last, and what
        the model gave beside them. Rows have no mask: padding may stand on their right alone.

        *Shapes*: `token_ids` N × T, `ends` N → N × V.
        """
        rows = torch.arange(len(token_ids), device=token_ids.device)
        at = (rows, rows.new_full((len(rows),), token_ids.shape[1] - 1) if ends is None else ends)
        if not self.head_is_linear:
            out = self.model(input_ids=token_ids, **inputs)
            return out.logits[at], out
        out = self.backbone(input_ids=token_ids, **inputs)
        return self.head(out.last_hidden_state[at]), out

    def hidden_states(self, batch: TreeBatch) -> Tensor:
        """Return the last ones, which the output layer reads. *Shapes*: rows × tokens, D."""
        found: Tensor = self.backbone(**self._inputs(batch), use_cache=False).last_hidden_state
        return found.flatten(0, 1)

    def model_logits(self, batch: TreeBatch) -> Tensor:
        """Return the logits as the model computes them. *Shapes*: rows × tokens, V."""
        logits: Tensor = self.model(**self._inputs(batch), use_cache=False).logits
        return logits.flatten(0, 1)

    def new_cache(self, branches: int, capacity: int) -> Cache:
        """Return an empty cache for prompts, each to be gone on with in so many branches."""
        if not self.takes_trees:
            return DynamicCache(config=self.model.config)
        return self.backend.new_cache(branches, capacity)

    def trees(self, prompt: Ids, responses: Sequence[Ids], *, share: bool = True) -> list[Tree]:
        """Return one shared row for the responses of a prompt, or a plain row for each.

        Responses whose rows are turned by their length share one if all are turned alike.
        """
        whole = [len(prompt) + len(response) for response in responses]
        if share and self.takes_trees and self.turns_alike(whole):
            return [build_tree(prompt, responses)]
        return [build_tree(prompt, [response]) for response in responses]

    def turns_alike(self, lengths: Iterable[int]) -> bool:
        """Say whether rows of these lengths in tokens have the same numbers where they agree."""
        return self.lengths is None or len(set(map(self.lengths.kind, lengths))) < 2

    def collated(
        self,
        trees: Sequence[Tree],
        *,
        shared_grad: bool = True,
        adapters: Sequence[str | None] | None = None,
    ) -> TreeBatch:
        """Return rows as tensors, in the form that the model takes."""
        return collate(
            trees,
            dtype=self.model.dtype,
            device=self.model.device,
            shared_grad=shared_grad,
            flat=self.flattens_rows,
            adapters=adapters,
        )

    def batches(
        self, items: Sequence[Sequence[Tree]], max_tokens: int, *, most_sides: int | None = None
    ) -> tuple[list[list[int]], int]:
        """Return which items, each of some rows, go into each pass, and how many side by side.

        At any time at most `max_tokens` are worked at, unless an item alone is larger.
        """
        if not self.flattens_rows:
            sizes = [(len(trees), max(map(len, trees))) for trees in items]
            return list(batches_by_length(sizes, max_tokens)), 1
        tokens = [sum(map(len, trees)) for trees in items]
        sides = min(self.backend.sides(), max(1, max_tokens // max(tokens, default=1)))
        sides = min(sides, most_sides or sides)
        return balanced_batches(tokens, max_tokens // sides, sides=sides), sides

    def _inputs(self, batch: TreeBatch) -> dict[str, Any]:
        inputs: dict[str, Any] = {"input_ids": batch.token_ids}
        if self.takes_trees or self.lengths is not None:
            inputs["position_ids"] = batch.positions
        if self.takes_trees:
            inputs["attention_mask"] = batch.mask
        if batch.rows is not None:
            inputs["rows"] = batch.rows
            # A mask of four dimensions is taken as it is; here the rows hold the real ones.
            inputs["attention_mask"] = batch.rows.spans[0].blocks[0].mask[None, None]
        if batch.adapters is not None:
            inputs["row_adapters"] = batch.adapters
        # Plain rows padded on the right need no mask: causality hides the padding.
        return inputs
