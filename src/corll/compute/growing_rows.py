"""Rows that grow by a token at a time, and the logits that follow each: three ways, and a change.

`PaddedRows` are one batch over one cache, of models that allow it. Models that carry a state from
token to token know no padding: `RowsByPrompt` go on over the model's own cache, one prompt after
another, or one row after another. `RecomputedRows` have no cache, which is slow, and right for
every causal model. `RowsAcrossLengths` begin any of these again where the keys before a token
depend on how long its row has grown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from corll.compute.kept_prefixes import Prefix, begin_with
from corll.compute.network import Network
from corll.compute.packing import Ids
from corll.compute.row_adapters import RowAdapters

_OWN_CACHES = ("past_key_values", "cache_params", "state")
"""What models of `transformers` call the cache that they take and return."""


class GrowingRows(ABC):
    """Where a network stands in each row, each prompt in so many of them.

    *Shapes*: `logits` N × V, what follows each row; `rows` N, which of the first rows each is.
    """

    def __init__(self, network: Network, prompts: Sequence[Ids], num_samples: int) -> None:
        self.network = network
        self.rows = torch.arange(len(prompts) * num_samples, device=network.model.device)
        self.logits: Tensor

    @abstractmethod
    def feed(self, drawn: Tensor) -> None:
        """Take one more token for each row. *Shapes*: N."""

    def keep(self, indices: Tensor) -> None:
        """Keep some of the rows, in rising order, and drop the others."""
        self.rows = self.rows[indices]

    def forget(self) -> None:  # noqa: B027 - most keep nothing beside their rows
        """Let go of what was kept of the rows that were dropped."""


def growing_rows(
    network: Network,
    prompts: Sequence[Ids],
    num_samples: int,
    max_new_tokens: int,
    *,
    prefixes: Sequence[Prefix | None] | None = None,
    adapters: Sequence[str | None] | None = None,
) -> GrowingRows:
    """Return rows after their prompts, in the way that the network allows.

    `prefixes` are what is known of the beginning of each prompt (`KeptPrefixes.of_prompts`).
    `adapters` name one for each prompt, on a network that mixes them; otherwise all rows have the
    one that is active.
    """
    if adapters is not None or prefixes is not None:
        size = num_samples, max_new_tokens
        return PaddedRows(network, prompts, *size, prefixes, adapters=adapters)
    grown = (range(len(prompt), len(prompt) + max_new_tokens) for prompt in prompts)
    if all(map(network.turns_alike, grown)):
        return _growing_rows(network, prompts, num_samples, max_new_tokens)
    return RowsAcrossLengths(network, prompts, num_samples, max_new_tokens)


def _growing_rows(
    network: Network, prompts: Sequence[Ids], num_samples: int, max_new_tokens: int
) -> GrowingRows:
    if network.drafting == "batch":
        return PaddedRows(network, prompts, num_samples, max_new_tokens)
    if network.drafting == "recomputed":
        return RecomputedRows(network, prompts, num_samples)
    if network.drafting == "row":
        prompts, num_samples = [prompt for prompt in prompts for _ in range(num_samples)], 1
    return RowsByPrompt(network, prompts, num_samples)


class PaddedRows(GrowingRows):
    """All rows in one batch, padded on the left so that they grow at the same place.

    What is known of the prompts' beginnings stands before them, padded on the left as well.
    """

    def __init__(
        self,
        network: Network,
        prompts: Sequence[Ids],
        num_samples: int,
        max_new_tokens: int,
        prefixes: Sequence[Prefix | None] | None = None,
        *,
        adapters: Sequence[str | None] | None = None,
    ) -> None:
        super().__init__(network, prompts, num_samples)
        device = network.model.device
        self._more = network.backend.decode_arguments()
        of_prompts = {} if adapters is None else {"row_adapters": RowAdapters(adapters)}
        begun = [0 if p is None else p.length for p in prefixes or [None] * len(prompts)]
        F, rests = max(begun), [len(p) - b for p, b in zip(prompts, begun, strict=True)]
        P, L = len(prompts), max(rests)
        token_ids = torch.zeros(P, L, dtype=torch.long)
        padding = torch.zeros(P, F + L, dtype=torch.bool)
        for row, (prompt, rest) in enumerate(zip(prompts, rests, strict=True)):
            token_ids[row, L - rest :] = torch.tensor(prompt[len(prompt) - rest :])
            padding[row, : F - begun[row]] = True
            padding[row, F : F + L - rest] = True
        positions = ((~padding).cumsum(-1) - 1).clamp(min=0)[:, F:]
        padding = padding.to(device)
        self._cache = network.new_cache(num_samples, F + L + max_new_tokens)
        begin_with(self._cache, prefixes or ())
        logits = network.next_logits(
            input_ids=token_ids.to(device),
            position_ids=positions.to(device),
            attention_mask=_prompt_mask(network, padding, L),
            past_key_values=self._cache,
            use_cache=True,
            **(self._more | of_prompts if of_prompts else {}),
        )
        if not network.takes_trees:
            self._cache.batch_repeat_interleave(num_samples)
        self.logits = logits.repeat_interleave(num_samples, dim=0)
        self._positions = (~padding).sum(-1).repeat_interleave(num_samples)
        self._padding = padding.repeat_interleave(num_samples, dim=0)
        self._adapters = adapters and [name for name in adapters for _ in range(num_samples)]
        self._name_adapters()

    def feed(self, drawn: Tensor) -> None:
        """Take one more token for each row. *Shapes*: N."""
        network = self.network
        seen = self._cache.get_seq_length() + 1
        grown = seen - self._padding.shape[1]
        visible = torch.nn.functional.pad(~self._padding, (0, grown), value=True)
        mask = visible.long()
        if network.takes_trees:
            dtype = network.model.dtype
            mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
            mask = mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None, None]
        self.logits = network.next_logits(
            into=self.logits[: len(drawn)],
            input_ids=drawn[:, None],
            position_ids=self._positions[:, None],
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            **self._more,
        )
        self._positions = self._positions + 1

    def keep(self, indices: Tensor) -> None:
        """Keep some of the rows."""
        super().keep(indices)
        self._cache.batch_select_indices(indices)
        self._positions, self._padding = self._positions[indices], self._padding[indices]
        self._name_adapters()

    def forget(self) -> None:
        """Let go of adapters that no row has any more, as far as they were laid out for these."""
        if "settled" in self._more:
            self._more["settled"] = {}

    def _name_adapters(self) -> None:
        """Say which adapters the rows have now, where they have some of their own."""
        if self._adapters:
            names = [self._adapters[row] for row in self.rows.tolist()]
            self._more["row_adapters"] = RowAdapters(names)


class RowsByPrompt(GrowingRows):
    """The rows of each prompt by themselves, over the cache that the model makes for them."""

    def __init__(self, network: Network, prompts: Sequence[Ids], num_samples: int) -> None:
        super().__init__(network, prompts, num_samples)
        device = self.rows.device
        copies = torch.zeros(num_samples, dtype=torch.long, device=device)
        self._caches, self._counts, logits = [], [num_samples] * len(prompts), []
        for prompt in prompts:
            after, cache = self._pass(torch.tensor([prompt], device=device), {})
            self._caches.append(_selected(cache, copies))
            logits.append(after.expand(num_samples, -1))
        self.logits = torch.cat(logits)

    def feed(self, drawn: Tensor) -> None:
        """Take one more token for each row. *Shapes*: N."""
        logits = []
        for number, own in enumerate(torch.split(drawn, self._counts)):
            if len(own):
                after, self._caches[number] = self._pass(own[:, None], self._caches[number])
                logits.append(after)
        self.logits = torch.cat(logits)

    def keep(self, indices: Tensor) -> None:
        """Keep some of the rows."""
        super().keep(indices)
        start = 0
        for number, count in enumerate(self._counts):
            own = indices[(indices >= start) & (indices < start + count)] - start
            self._caches[number] = _selected(self._caches[number], own)
            self._counts[number], start = len(own), start + count

    def _pass(self, token_ids: Tensor, cache: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        logits, out = self.network.logits_after(token_ids, use_cache=True, **cache)
        found = {name: getattr(out, name, None) for name in _OWN_CACHES}
        return logits, {name: value for name, value in found.items() if value is not None}


class RecomputedRows(GrowingRows):
    """Rows that are computed anew for each token; causality hides the padding on their right."""

    def __init__(self, network: Network, prompts: Sequence[Ids], num_samples: int) -> None:
        super().__init__(network, prompts, num_samples)
        self._ids = [list(prompt) for prompt in prompts for _ in range(num_samples)]
        self._compute()

    def feed(self, drawn: Tensor) -> None:
        """Take one more token for each row. *Shapes*: N."""
        for ids, token in zip(self._ids, drawn.tolist(), strict=True):
            ids.append(token)
        self._compute()

    def keep(self, indices: Tensor) -> None:
        """Keep some of the rows."""
        super().keep(indices)
        self._ids = [self._ids[index] for index in indices.tolist()]

    def _compute(self) -> None:
        ends = torch.tensor([len(ids) - 1 for ids in self._ids], device=self.rows.device)
        token_ids = torch.zeros(len(ends), int(ends.max()) + 1, dtype=torch.long)
        for row, ids in enumerate(self._ids):
            token_ids[row, : len(ids)] = torch.tensor(ids)
        token_ids = token_ids.to(self.rows.device)
        placed = {}
        if self.network.lengths is not None:
            places = torch.arange(token_ids.shape[1], device=ends.device).expand_as(token_ids)
            placed["position_ids"] = torch.where(places <= ends[:, None], places, 0)
        self.logits, _ = self.network.logits_after(token_ids, ends, use_cache=False, **placed)


class RowsAcrossLengths(GrowingRows):
    """Rows whose tokens are all turned otherwise once a row is longer (`RopeLengths`).

    What is known of a row is of its former length then, so that all rows begin again, as scoring
    would compute them at this length. `transformers` does so for Phi-3, and for others goes on
    over keys of the former length, which no scoring gives.
    """

    def __init__(
        self, network: Network, prompts: Sequence[Ids], num_samples: int, max_new_tokens: int
    ) -> None:
        super().__init__(network, prompts, num_samples)
        self._ids = [list(prompt) for prompt in prompts for _ in range(num_samples)]
        self._room = max_new_tokens
        self._growing = _growing_rows(network, prompts, num_samples, max_new_tokens)
        self.logits = self._growing.logits

    def feed(self, drawn: Tensor) -> None:
        """Take one more token for each row. *Shapes*: N."""
        self._room -= 1
        for ids, token in zip(self._ids, drawn.tolist(), strict=True):
            ids.append(token)
        if all(self.network.turns_alike((len(ids) - 1, len(ids))) for ids in self._ids):
            self._growing.feed(drawn)
        else:
            rows = [tuple(ids) for ids in self._ids]
            self._growing = _growing_rows(self.network, rows, 1, self._room)
        self.logits = self._growing.logits

    def keep(self, indices: Tensor) -> None:
        """Keep some of the rows."""
        super().keep(indices)
        self._ids = [self._ids[index] for index in indices.tolist()]
        self._growing.keep(indices)


def _selected(cache: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """Return a model's own cache for some of its rows, each perhaps several times."""
    (name, kept), *_ = cache.items()
    if isinstance(kept, list | tuple):
        return {name: [tensor.index_select(0, rows) for tensor in kept]}
    kept.reorder_cache(rows)
    return {name: kept}


def _prompt_mask(network: Network, padding: Tensor, asking: int) -> Tensor:
    """Return the mask of the last `asking` tokens of each row. *Shapes*: `padding` P × L."""
    if not network.takes_trees:
        return (~padding).long()
    P, L = padding.shape
    dtype = network.model.dtype
    causal = torch.ones(L, L, dtype=torch.bool, device=padding.device).tril()
    visible = causal & ~padding[:, None, :]
    visible |= torch.eye(L, dtype=torch.bool, device=padding.device)
    visible = visible[:, L - asking :]
    mask = torch.zeros(P, 1, asking, L, dtype=dtype, device=padding.device)
    return mask.masked_fill_(~visible[:, None], torch.finfo(dtype).min)
