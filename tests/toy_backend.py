"""A backend written for the tests from the protocol alone: it counts its calls, in a file too."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from corll.compute.backend import Item, Result
from corll.compute.branching_cache import BranchingCache
from corll.config import Int8Drafts

CALLS = "TOY_BACKEND_CALLS"
"""The variable that names the file, to which each process adds a line a call."""


class ToyHead:
    """The output layer, one product."""

    def __init__(self, layer: Any, counted: Callable[[str], None]) -> None:
        self.weight, self.bias = layer.weight.data, layer.bias
        self._counted = counted

    def __call__(
        self, hidden: Tensor, /, *, decoding: bool = False, into: Tensor | None = None
    ) -> Tensor:
        self._counted("project")
        return torch.nn.functional.linear(hidden, self.weight, self.bias)


class ToyBackend:
    """Computes by torch's operations, without any trick."""

    flattens_rows = False
    mixes_adapters = False

    def __init__(self, model: Any) -> None:
        self.model = model
        self.calls: Counter[str] = Counter()

    def _counted(self, name: str) -> None:
        self.calls[name] += 1
        if (file := os.environ.get(CALLS)) is not None:
            with Path(file).open("a") as lines:
                lines.write(f"{os.getpid()} {name}\n")

    def prepare(self, *, frozen: bool) -> None:
        self._counted("prepare")

    def use_int8_drafts(self, wanted: Int8Drafts) -> None:
        self._counted("use_int8_drafts")

    drafts_exactly = True

    def drafting(self, *, exactly: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def describe(self) -> Mapping[str, str]:
        return {"layers": "the toy's"}

    def output_layer(self, layer: Any) -> ToyHead:
        self._counted("output_layer")
        return ToyHead(layer, self._counted)

    def log_normalizers(self, logits: Tensor) -> Tensor:
        self._counted("log_normalizers")
        return logits.float().logsumexp(-1)

    def minus_probabilities(self, logits: Tensor, log_z: Tensor, chosen: Tensor) -> Tensor:
        self._counted("minus_probabilities")
        return -(logits[chosen].float() - log_z[chosen, None]).exp().to(logits.dtype)

    def likeliest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        self._counted("likeliest")
        top, ids = logits.float().topk(count, dim=-1)
        return top, ids, logits.float().logsumexp(-1)

    def new_cache(self, branches: int, capacity: int) -> Cache:
        self._counted("new_cache")
        return BranchingCache(self.model.config, branches=branches, capacity=capacity)

    def decode_arguments(self) -> dict[str, Any]:
        self._counted("decode_arguments")
        return {}

    def sides(self) -> int:
        return 1

    def side_by_side(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, sides: int
    ) -> Iterator[Result]:
        self._counted("side_by_side")
        return map(work, items)

    def copied_bytes(self, weights: Sequence[Tensor]) -> int:
        return 0
