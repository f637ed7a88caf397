"""Prefix-shared rows: what the responses to one prompt have in common is computed once.

A row holds a prompt and the tree of its responses: a segment for each run of tokens that the same
responses pass through, branches side by side. Each token sees its ancestors and no other branch (a
4-D mask), at the position it would have on its own, so the row gives what plain rows would give.

    prompt ── common beginning ──┬── rest of the draft
                                 └── rest of the edit
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from os.path import commonprefix
from typing import NamedTuple

import torch
from torch import Tensor

from corll.compute.row_adapters import RowAdapters

Ids = tuple[int, ...]

_QUERIES_PER_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of response tokens, `start` to `stop` in its row; `parent` is None after the prompt."""

    start: int
    stop: int
    parent: int | None


@dataclass(frozen=True)
class Tree:
    """A prompt and the tree of its responses, laid out in one row.

    *Shapes*: `token_ids`, `positions` T; `paths` one a response: the segments that make it.
    """

    token_ids: Ids
    positions: Ids
    prompt_length: int
    segments: tuple[Segment, ...]
    paths: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.token_ids)

    def is_shared(self, segment: int) -> bool:
        """Say whether several responses all pass through it, so that it cancels in a margin."""
        return len(self.paths) > 1 and all(segment in path for path in self.paths)

    def parent_end(self, segment: int) -> int:
        """Return where in the row the token stands that predicts the segment's first token."""
        parent = self.segments[segment].parent
        return (self.prompt_length if parent is None else self.segments[parent].stop) - 1

    def visibility(self) -> Tensor:
        """Return which token sees which. *Shapes*: T × T, boolean."""
        T = len(self)
        causal = torch.ones(T, T, dtype=torch.bool).tril()
        visible = torch.zeros(T, T, dtype=torch.bool)
        prompt = slice(0, self.prompt_length)
        visible[prompt, prompt] = causal[prompt, prompt]
        for index, segment in enumerate(self.segments):
            own = slice(segment.start, segment.stop)
            visible[own] = visible[self.parent_end(index)]
            visible[own, own] = causal[own, own]
        return visible


@dataclass
class _TreeBuilder:
    prompt_length: int
    token_ids: list[int]
    positions: list[int]
    segments: list[Segment] = field(default_factory=list)
    paths: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def grow(self, responses: dict[int, Ids], depth: int, path: tuple[int, ...]) -> None:
        """Add the responses from `depth` tokens on; `path` leads there."""
        groups: dict[int, dict[int, Ids]] = {}
        for number, ids in responses.items():
            if len(ids) == depth:
                self.paths[number] = path
            else:
                groups.setdefault(ids[depth], {})[number] = ids
        for group in groups.values():
            run = commonprefix([ids[depth:] for ids in group.values()])
            start = len(self.token_ids)
            first_position = self.prompt_length + depth
            self.token_ids.extend(run)
            self.positions.extend(range(first_position, first_position + len(run)))
            self.segments.append(Segment(start, start + len(run), path[-1] if path else None))
            self.grow(group, depth + len(run), (*path, len(self.segments) - 1))


def build_tree(prompt_ids: Ids, responses: Sequence[Ids]) -> Tree:
    """Lay a prompt and its responses into one row, common beginnings once.

    Neither the prompt nor a response may be empty.
    """
    assert prompt_ids
    assert responses
    assert all(responses)
    builder = _TreeBuilder(len(prompt_ids), list(prompt_ids), list(range(len(prompt_ids))))
    builder.grow({n: tuple(ids) for n, ids in enumerate(responses)}, 0, ())
    return Tree(
        tuple(builder.token_ids),
        tuple(builder.positions),
        len(prompt_ids),
        tuple(builder.segments),
        tuple(builder.paths[n] for n in range(len(responses))),
    )


@dataclass(frozen=True)
class Targets:
    """The tokens of a batch whose log-probabilities are wanted.

    *Shapes*: all M. `predictors` say where the token stands that predicts, counted through all
    rows, `token_ids` what is predicted, `needs_grad` whether a gradient flows through its term.
    """

    predictors: Tensor
    token_ids: Tensor
    needs_grad: Tensor


class QueryBlock(NamedTuple):
    """Tokens `start` to `stop` of a row, which see none after them.

    `mask` is added to their scores from the key `masked_from` on; they see all before it.
    *Shapes*: (stop - start) × (stop - masked_from).
    """

    start: int
    stop: int
    masked_from: int
    mask: Tensor


class RowSpan(NamedTuple):
    """Where a row lies among the tokens of a flat batch, and the blocks that its tokens attend in.

    Blocks spare the scores of later tokens, nearly half of them in a long row.
    """

    start: int
    stop: int
    blocks: tuple[QueryBlock, ...]


class Pieces(NamedTuple):
    """Where consecutive pieces of a flat batch start and stop. *Shapes*: both N, int64."""

    starts: Tensor
    stops: Tensor

    @classmethod
    def of(cls, places: Iterable[tuple[int, int]]) -> Pieces:
        return cls(*(torch.tensor(column) for column in zip(*places, strict=True)))


@dataclass(frozen=True)
class FlatRows:
    """The rows of a flat batch, in order and without gaps."""

    spans: tuple[RowSpan, ...]

    def blocks(self) -> Iterator[tuple[RowSpan, QueryBlock]]:
        """Return all blocks in order, each with its row."""
        for span in self.spans:
            for block in span.blocks:
                yield span, block

    @cached_property
    def row_pieces(self) -> Pieces:
        return Pieces.of((span.start, span.stop) for span in self.spans)

    @cached_property
    def block_pieces(self) -> Pieces:
        return Pieces.of((r.start + b.start, r.start + b.stop) for r, b in self.blocks())


@dataclass(frozen=True)
class TreeBatch:
    """Rows padded on the right to a common length, or flat: one after another in a single row.

    *Shapes*: `token_ids`, `positions` B × T, where B is 1 if the batch is flat; `mask`
    B × 1 × T × T, added to attention scores, of a padded batch; `rows` those of a flat one;
    `paths` one for each response: which of the targets are its tokens, in order; `adapters` those
    of the rows where they have some of their own.
    """

    token_ids: Tensor
    positions: Tensor
    mask: Tensor | None
    rows: FlatRows | None
    targets: Targets
    paths: tuple[Tensor, ...]
    adapters: RowAdapters | None = None


def collate(
    trees: Sequence[Tree],
    *,
    dtype: torch.dtype,
    device: torch.device,
    shared_grad: bool,
    flat: bool = False,
    adapters: Sequence[str | None] | None = None,
) -> TreeBatch:
    """Return trees as tensors.

    Without `shared_grad` the terms of shared segments carry no gradient. They cancel in a margin,
    and with them their gradients through the output layer; gradients still flow through their keys
    and values. A `flat` batch has no padding. `adapters` name one for each tree, if they have some
    of their own.
    """
    lengths = [len(tree) for tree in trees]
    B, T = (1, sum(lengths)) if flat else (len(trees), max(lengths))
    starts = [0, *accumulate(lengths[:-1])] if flat else [row * T for row in range(len(trees))]
    token_ids, positions = (torch.zeros(B * T, dtype=torch.long) for _ in range(2))
    for start, tree in zip(starts, trees, strict=True):
        token_ids[start : start + len(tree)] = torch.tensor(tree.token_ids)
        positions[start : start + len(tree)] = torch.tensor(tree.positions)
    places, paths = _targets(trees, starts, shared_grad=shared_grad)
    columns = [torch.tensor(column, device=device) for column in places]
    mask, rows = None, None
    if flat:
        spans = (
            row_span(start, tree.visibility(), dtype=dtype, device=device)
            for start, tree in zip(starts, trees, strict=True)
        )
        rows = FlatRows(tuple(spans))
    else:
        # Padding sees itself alone: a row that saw nothing would have no finite softmax.
        visible = torch.eye(T, dtype=torch.bool).repeat(B, 1, 1)
        for row, tree in enumerate(trees):
            visible[row, : len(tree), : len(tree)] = tree.visibility()
        mask = _additive(visible[:, None], dtype).to(device)
    return TreeBatch(
        token_ids.view(B, T).to(device),
        positions.view(B, T).to(device),
        mask,
        rows,
        Targets(*columns),
        tuple(torch.tensor(path, device=device) for path in paths),
        None if adapters is None else RowAdapters(adapters, lengths if flat else None),
    )


def row_span(start: int, visible: Tensor, *, dtype: torch.dtype, device: torch.device) -> RowSpan:
    """Return a row from `start` on, cut into equal blocks of about `_QUERIES_PER_BLOCK` tokens.

    *Shapes*: `visible` T × T, boolean; no token sees a later one.
    """
    T = len(visible)
    count = max(1, round(T / _QUERIES_PER_BLOCK))
    blocks = []
    for first, stop in pairwise(T * number // count for number in range(count + 1)):
        seen_by_all = visible[first:stop, :stop].all(dim=0)
        masked_from = int(seen_by_all.int().cumprod(0).sum())
        mask = _additive(visible[first:stop, masked_from:stop], dtype).to(device)
        blocks.append(QueryBlock(first, stop, masked_from, mask))
    return RowSpan(start, start + T, tuple(blocks))


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    hidden = torch.zeros(visible.shape, dtype=dtype)
    return hidden.masked_fill_(~visible, torch.finfo(dtype).min)


def _targets(
    trees: Sequence[Tree], starts: Sequence[int], *, shared_grad: bool
) -> tuple[Iterator[tuple[int, ...]], list[list[int]]]:
    """Return the columns of `Targets`, and which of the targets make each response."""
    targets: list[tuple[int, int, bool]] = []
    paths: list[list[int]] = []
    for start, tree in zip(starts, trees, strict=True):
        members: list[range] = []
        for index, segment in enumerate(tree.segments):
            needs_grad = shared_grad or not tree.is_shared(index)
            members.append(range(len(targets), len(targets) + segment.stop - segment.start))
            predicting = tree.parent_end(index)
            for position in range(segment.start, segment.stop):
                targets.append((start + predicting, tree.token_ids[position], needs_grad))
                predicting = position
        paths.extend([target for index in path for target in members[index]] for path in tree.paths)
    return zip(*targets, strict=True), paths


def padded_tokens(trees: Sequence[Tree]) -> int:
    """Count the tokens of these rows, each as long as the longest."""
    return len(trees) * max(map(len, trees))


def batches_by_length(sizes: Sequence[tuple[int, int]], max_tokens: int) -> Iterator[list[int]]:
    """Return indices of items in batches of at most `max_tokens` padded tokens, the longest first.

    An item is a number of rows and the length of the longest of them. Rows of like length go
    together, so that little is padding; an item that is larger goes alone.
    """
    batch: list[int] = []
    batch_rows = 0
    for number in sorted(range(len(sizes)), key=lambda n: -sizes[n][1]):
        rows, _ = sizes[number]
        if batch and (batch_rows + rows) * sizes[batch[0]][1] > max_tokens:
            yield batch
            batch, batch_rows = [], 0
        batch.append(number)
        batch_rows += rows
    if batch:
        yield batch


def balanced_batches(sizes: Sequence[int], max_tokens: int, *, sides: int) -> list[list[int]]:
    """Return indices of items in batches of about equal length, for rows that are not padded.

    There are as few as hold at most `max_tokens` each, and `sides` or a multiple of it as far as
    the items go. An item that is larger makes room for as many tokens in the other batches too.
    """
    most = max(max_tokens, *sizes, 0)
    for count in range(sides, len(sizes) + sides, sides):
        batches: list[list[int]] = [[] for _ in range(min(count, len(sizes)))]
        loads = [0] * len(batches)
        for number in sorted(range(len(sizes)), key=lambda n: -sizes[n]):
            least = loads.index(min(loads))
            batches[least].append(number)
            loads[least] += sizes[number]
        if max(loads) <= most:
            return batches
    return []
