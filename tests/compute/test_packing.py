"""Prefix-shared rows: laid out by hand for small cases, and as a whole for random ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corll.compute.packing import (
    FlatRows,
    Ids,
    Segment,
    Tree,
    TreeBatch,
    balanced_batches,
    batches_by_length,
    build_tree,
    collate,
    padded_tokens,
)

# Few different ids, so that random responses share beginnings.
RESPONSES = st.lists(
    st.lists(st.integers(1, 3), min_size=1, max_size=6).map(tuple), min_size=1, max_size=5
)
PROMPTS = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


def visible_rows(tree: Tree) -> list[str]:
    """A line for each token: x where it sees, · where it does not."""
    return ["".join("x" if sees else "·" for sees in row) for row in tree.visibility().tolist()]


class TestByHand:
    def test_a_draft_and_its_edit(self) -> None:
        tree = build_tree((8, 9), [(1, 2, 3), (1, 2, 4, 5)])
        assert tree.token_ids == (8, 9, 1, 2, 3, 4, 5)
        assert tree.positions == (0, 1, 2, 3, 4, 4, 5)
        assert tree.prompt_length == 2
        assert tree.segments == (Segment(2, 4, None), Segment(4, 5, 0), Segment(5, 7, 0))
        assert tree.paths == ((0, 1), (0, 2))
        assert [tree.is_shared(n) for n in range(3)] == [True, False, False]
        assert [tree.parent_end(n) for n in range(3)] == [1, 3, 3]
        assert visible_rows(tree) == [
            "x······",
            "xx·····",
            "xxx····",
            "xxxx···",
            "xxxxx··",
            "xxxx·x·",
            "xxxx·xx",
        ]

    def test_identical_responses_are_one(self) -> None:
        tree = build_tree((9,), [(1, 2), (1, 2), (1, 2)])
        assert tree.token_ids == (9, 1, 2)
        assert tree.positions == (0, 1, 2)
        assert tree.segments == (Segment(1, 3, None),)
        assert tree.paths == ((0,), (0,), (0,))
        assert tree.is_shared(0)
        assert visible_rows(tree) == ["x··", "xx·", "xxx"]

    def test_one_response_may_be_the_beginning_of_another(self) -> None:
        tree = build_tree((9,), [(1, 2, 3), (1,)])
        assert tree.token_ids == (9, 1, 2, 3)
        assert tree.positions == (0, 1, 2, 3)
        assert tree.segments == (Segment(1, 2, None), Segment(2, 4, 0))
        assert tree.paths == ((0, 1), (0,))
        assert [tree.is_shared(n) for n in range(2)] == [True, False]
        assert visible_rows(tree) == ["x···", "xx··", "xxx·", "xxxx"]

    def test_responses_with_nothing_in_common(self) -> None:
        tree = build_tree((8, 9), [(1, 2), (3, 2)])
        assert tree.token_ids == (8, 9, 1, 2, 3, 2)
        assert tree.positions == (0, 1, 2, 3, 2, 3)
        assert tree.segments == (Segment(2, 4, None), Segment(4, 6, None))
        assert tree.paths == ((0,), (1,))
        assert not tree.is_shared(0)
        assert not tree.is_shared(1)
        assert visible_rows(tree) == [
            "x·····",
            "xx····",
            "xxx···",
            "xxxx··",
            "xx··x·",
            "xx··xx",
        ]

    def test_a_deep_tree(self) -> None:
        tree = build_tree((9,), [(1, 2, 3), (1, 2, 4), (1, 5), (6,)])
        assert tree.token_ids == (9, 1, 2, 3, 4, 5, 6)
        assert tree.positions == (0, 1, 2, 3, 3, 2, 1)
        assert tree.segments == (
            Segment(1, 2, None),
            Segment(2, 3, 0),
            Segment(3, 4, 1),
            Segment(4, 5, 1),
            Segment(5, 6, 0),
            Segment(6, 7, None),
        )
        assert tree.paths == ((0, 1, 2), (0, 1, 3), (0, 4), (5,))
        assert not any(tree.is_shared(n) for n in range(6))
        assert visible_rows(tree) == [
            "x······",
            "xx·····",
            "xxx····",
            "xxxx···",
            "xxx·x··",
            "xx···x·",
            "x·····x",
        ]

    def test_responses_keep_their_order_whatever_they_share(self) -> None:
        tree = build_tree((9,), [(1, 2), (3,), (1, 4)])
        assert tree.token_ids == (9, 1, 2, 4, 3)
        assert tree.paths == ((0, 1), (3,), (0, 2))

    def test_a_response_alone_shares_with_nobody(self) -> None:
        """In a plain row nothing cancels: a margin's other side stands in another row."""
        tree = build_tree((9,), [(1, 2)])
        assert not tree.is_shared(0)

    def test_a_tree_is_as_long_as_its_row(self) -> None:
        assert len(build_tree((8, 9), [(1, 2, 3), (1, 2, 4, 5)])) == 7


def ancestors(tree: Tree) -> list[set[int]]:
    """For each token the tokens before it on its way, found by walking the paths."""
    prompt = list(range(tree.prompt_length))
    seen: list[set[int]] = [set(prompt[: n + 1]) for n in prompt]
    seen += [set() for _ in range(len(tree) - tree.prompt_length)]
    for path in tree.paths:
        way = list(prompt)
        for segment in (tree.segments[n] for n in path):
            for place in range(segment.start, segment.stop):
                way.append(place)
                seen[place] = set(way)
    return seen


@given(PROMPTS, RESPONSES)
def test_every_response_reads_along_its_path(prompt: Ids, responses: list[Ids]) -> None:
    tree = build_tree(prompt, responses)
    assert tree.token_ids[: len(prompt)] == prompt
    for response, path in zip(responses, tree.paths, strict=True):
        places = [p for n in path for p in range(tree.segments[n].start, tree.segments[n].stop)]
        assert tuple(tree.token_ids[place] for place in places) == response
        assert [tree.positions[place] for place in places] == list(
            range(len(prompt), len(prompt) + len(response))
        )


@given(PROMPTS, RESPONSES)
def test_each_token_sees_its_ancestors_and_itself(prompt: Ids, responses: list[Ids]) -> None:
    tree = build_tree(prompt, responses)
    seen = [set(row.nonzero().flatten().tolist()) for row in tree.visibility()]
    assert seen == ancestors(tree)


@given(PROMPTS, RESPONSES)
def test_nothing_is_stored_twice(prompt: Ids, responses: list[Ids]) -> None:
    tree = build_tree(prompt, responses)
    beginnings = {response[:n] for response in responses for n in range(1, len(response) + 1)}
    assert len(tree) == len(prompt) + len(beginnings)


class TestCollate:
    PAIR = build_tree((8, 9), [(1, 2, 3), (1, 2, 4, 5)])
    LONE = build_tree((7,), [(6,)])

    def test_rows_are_padded_to_the_longest(self) -> None:
        batch = collate(
            [self.PAIR, self.LONE],
            dtype=torch.float32,
            device=torch.device("cpu"),
            shared_grad=True,
        )
        assert batch.token_ids.tolist() == [[8, 9, 1, 2, 3, 4, 5], [7, 6, 0, 0, 0, 0, 0]]
        assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 4, 5], [0, 1, 0, 0, 0, 0, 0]]
        assert torch.equal(batch.mask[0, 0] == 0, self.PAIR.visibility())
        lone = batch.mask[1, 0] == 0
        assert torch.equal(lone[:2, :2], self.LONE.visibility())
        # Padding is seen by nobody else and sees itself alone, so that its softmax is finite.
        assert torch.equal(lone[2:], torch.eye(7, dtype=torch.bool)[2:])
        assert not lone[:2, 2:].any()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_the_mask_is_finite_in_its_dtype(self, dtype: torch.dtype) -> None:
        batch = collate([self.PAIR], dtype=dtype, device=torch.device("cpu"), shared_grad=True)
        assert batch.mask.dtype == dtype
        assert batch.mask.isfinite().all()
        assert set(batch.mask.unique().tolist()) == {0.0, torch.finfo(dtype).min}

    def test_each_token_is_predicted_from_the_one_before_on_its_path(self) -> None:
        targets = collate(
            [self.PAIR, self.LONE],
            dtype=torch.float32,
            device=torch.device("cpu"),
            shared_grad=False,
        ).targets
        assert targets.predictors.tolist() == [1, 2, 3, 3, 5, 7]
        assert targets.token_ids.tolist() == [1, 2, 3, 4, 5, 6]
        assert targets.needs_grad.tolist() == [False, False, True, True, True, True]

    def test_paths_say_which_targets_make_a_response(self) -> None:
        batch = collate(
            [self.PAIR, self.LONE],
            dtype=torch.float32,
            device=torch.device("cpu"),
            shared_grad=True,
        )
        assert [path.tolist() for path in batch.paths] == [[0, 1, 2], [0, 1, 3, 4], [5]]
        assert batch.targets.needs_grad.all()


class TestFlatRows:
    """One row after another, each cut into blocks of queries that see nothing after them."""

    @staticmethod
    def visibility_of(rows: FlatRows, number: int) -> torch.Tensor:
        """What the blocks of a row let its tokens see, put together again."""
        span = rows.spans[number]
        T = span.stop - span.start
        visible = torch.zeros(T, T, dtype=torch.bool)
        for block in span.blocks:
            visible[block.start : block.stop, : block.masked_from] = True
            visible[block.start : block.stop, block.masked_from : block.stop] = block.mask == 0
        return visible

    @staticmethod
    def flat(*trees: Tree) -> TreeBatch:
        return collate(
            trees, dtype=torch.float32, device=torch.device("cpu"), shared_grad=True, flat=True
        )

    def test_rows_stand_one_after_another(self) -> None:
        batch = self.flat(TestCollate.PAIR, TestCollate.LONE, TestCollate.PAIR)
        assert batch.mask is None
        assert batch.rows is not None
        pair = [8, 9, 1, 2, 3, 4, 5]
        assert batch.token_ids.tolist() == [[*pair, 7, 6, *pair]]
        assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 4, 5, 0, 1, 0, 1, 2, 3, 4, 4, 5]]
        assert batch.targets.predictors.tolist() == [1, 2, 3, 3, 5, 7, 10, 11, 12, 12, 14]
        assert batch.targets.token_ids.tolist() == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5]
        for pieces in (batch.rows.row_pieces, batch.rows.block_pieces):
            assert pieces.starts.tolist() == [0, 7, 9]
            assert pieces.stops.tolist() == [7, 9, 16]
        (block,) = batch.rows.spans[0].blocks
        assert (block.start, block.stop, block.masked_from) == (0, 7, 1)
        assert set(block.mask.unique().tolist()) == {0.0, torch.finfo(torch.float32).min}

    def test_a_long_row_is_cut_into_equal_blocks(self) -> None:
        """320 tokens are nearest to two blocks of 128 and something, 330 to three."""
        for length, expected in {
            63: [(0, 63, 1)],
            320: [(0, 160, 1), (160, 320, 161)],
            330: [(0, 110, 1), (110, 220, 111), (220, 330, 221)],
        }.items():
            batch = self.flat(TestCollate.LONE, build_tree((1,) * (length - 1), [(2,)]))
            assert batch.rows is not None
            blocks = batch.rows.spans[1].blocks
            assert [(one.start, one.stop, one.masked_from) for one in blocks] == expected
            starts = [2 + start for start, _, _ in expected]
            assert batch.rows.block_pieces.starts.tolist() == [0, *starts]
            assert [(span, block) for span, block in batch.rows.blocks()][1:] == [
                (batch.rows.spans[1], block) for block in blocks
            ]

    @given(st.integers(1, 300), RESPONSES)
    @settings(max_examples=30)
    def test_blocks_let_a_token_see_what_it_should(self, prompt: int, responses: list[Ids]) -> None:
        tree = build_tree((9,) * prompt, responses)
        rows = self.flat(TestCollate.LONE, tree).rows
        assert rows is not None
        assert torch.equal(self.visibility_of(rows, 1), tree.visibility())
        assert all(block.mask.shape[0] <= 192 for _, block in rows.blocks())


def test_padding_counts_rows_as_long_as_the_longest() -> None:
    assert padded_tokens([TestCollate.PAIR, TestCollate.LONE, TestCollate.LONE]) == 3 * 7


def test_rows_of_like_length_go_together() -> None:
    sizes = [(1, length) for length in (3, 10, 4, 50, 9)]
    assert list(batches_by_length(sizes, 20)) == [[3], [1, 4], [2, 0]]
    assert list(batches_by_length([], 20)) == []


def test_an_item_of_two_rows_counts_twice() -> None:
    """2 · 10 fills a batch of 20; 2 · 9 fits into the next, a third row (3 · 9) does not."""
    assert list(batches_by_length([(2, 9), (1, 4), (2, 10)], 20)) == [[2], [0], [1]]
    assert list(batches_by_length([(2, 9), (1, 4), (2, 10)], 30)) == [[2], [0, 1]]


class TestBalancedBatches:
    def test_the_largest_goes_where_the_least_is(self) -> None:
        """9 | 8, then 7 to the 8, 5 to the 9, 3 to the 14, 2 to the 15: 17 and 17."""
        assert balanced_batches([9, 2, 8, 3, 7, 5], 100, sides=2) == [[0, 5, 3], [2, 4, 1]]

    def test_their_number_is_a_multiple_of_the_sides(self) -> None:
        assert [len(batch) for batch in balanced_batches([5] * 6, 15, sides=2)] == [3, 3]
        assert [len(batch) for batch in balanced_batches([5] * 6, 14, sides=2)] == [2, 2, 1, 1]

    def test_a_larger_item_goes_alone(self) -> None:
        assert balanced_batches([50, 3, 4], 10, sides=1) == [[0], [2, 1]]

    def test_fewer_items_than_sides(self) -> None:
        assert balanced_batches([7], 100, sides=2) == [[0]]
        assert balanced_batches([], 100, sides=2) == []

    @given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 80), st.integers(1, 3))
    def test_each_item_goes_once_and_none_overflows(
        self, sizes: list[int], most: int, sides: int
    ) -> None:
        batches = balanced_batches(sizes, most, sides=sides)
        assert sorted(n for batch in batches for n in batch) == list(range(len(sizes)))
        assert all(batches)
        assert all(sum(sizes[n] for n in b) <= max(most, *sizes) for b in batches)
