"""States are thinned as they grow old, and a deletion replays no more than was promised."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import log, log1p
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection
from store_samples import NOW, back, new_version, preference_from_edit, register

from corll.service.store.accounts import User
from corll.service.store.deleting import Doomed
from corll.service.store.lineages import (
    ancestry,
    forget_folder,
    forget_optimizer,
    serving_version,
    versions_of,
)
from corll.service.store.pruning import prunable
from corll.service.store.replays import ReplayRow, close_replay, open_replay
from corll.service.store.thinning import needed_states
from corll.service.store.unlearning import latest_whole, who_saw

SLACKS = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 1.0, 3.0])
LINES = st.lists(st.integers(1, 8), min_size=1, max_size=80)


def grown(steps: Sequence[int], slack: float) -> tuple[list[int], list[bool]]:
    """A line, the newest first, whose versions took so many steps; thinned after each."""
    ends: list[int] = []
    has_state: list[bool] = []
    for taken in steps:
        ends.insert(0, taken + (ends[0] if ends else 0))
        has_state.insert(0, True)
        kept = set(needed_states(ends, has_state, slack))
        has_state = [n in kept for n in range(len(ends))]
    return ends, has_state


def costs(ends: Sequence[int], has_state: Sequence[bool]) -> list[tuple[int, int, int]]:
    """Of the text of each step: the steps after it, those replayed, those of its version."""
    found = []
    for n, end in enumerate(ends):
        before = ends[n + 1] if n + 1 < len(ends) else 0
        starts = [ends[m] for m in range(n + 1, len(ends)) if has_state[m]]
        replayed = ends[0] - (starts[0] if starts else 0)
        found += [(ends[0] - step, replayed, end - before) for step in range(before + 1, end + 1)]
    return found


@given(steps=LINES, slack=SLACKS)
def test_no_text_costs_more_than_its_share_and_the_steps_of_its_version(
    steps: list[int], slack: float
) -> None:
    for after, replayed, own in costs(*grown(steps, slack)):
        assert replayed <= after * (1 + Fraction(slack)) + own


@given(steps=LINES, back=st.integers(1, 40), more=LINES, slack=SLACKS)
def test_after_a_rollback_a_share_of_what_was_left_behind_comes_on_top(
    steps: list[int], back: int, more: list[int], slack: float
) -> None:
    """Until the line has grown past where it had been."""
    ends, has_state = grown(steps, slack)
    left = 0
    if back < len(ends):
        left = ends[0] - ends[back]
        ends, has_state = ends[back:], has_state[back:]
    for taken in more:
        for after, replayed, own in costs(ends, has_state):
            assert replayed <= after * (1 + Fraction(slack)) + own + Fraction(slack) * left
        ends, has_state = [ends[0] + taken, *ends], [True, *has_state]
        left = max(0, left - taken)
        kept = set(needed_states(ends, has_state, slack))
        has_state = [n in kept for n in range(len(ends))]


@pytest.mark.parametrize(
    ("slack", "after_100", "after_1000"),
    [(0.05, 51, 115), (0.25, 21, 37), (1.0, 11, 17), (2.0, 9, 13)],
)
def test_so_many_states_are_kept_as_the_docs_say(
    slack: float, after_100: int, after_1000: int
) -> None:
    """Besides those for replays the newest four are whole."""
    has_state: list[bool] = []
    most = {}
    for count in range(1, 1001):
        has_state.insert(0, True)
        kept = set(needed_states(range(count, 0, -1), has_state, slack)) | {0, 1, 2, 3}
        has_state = [has and n in kept for n, has in enumerate(has_state)]
        most[count] = max(sum(has_state), most.get(count - 1, 0))
    assert (most[100], most[1000]) == (after_100, after_1000)
    assert most[1000] <= 2 * log(1 + slack * 1000) / log1p(slack) + 4


def test_with_no_slack_every_state_stays() -> None:
    assert all(grown([3, 1, 2, 8, 1], 0.0)[1])


def test_a_gap_is_as_wide_as_the_slack_allows_and_no_wider() -> None:
    """20 steps after a text, 0.05 allow 22 with its own: a state 22 back will do, 23 will not."""
    ends = [30, 10, 9, 8, 7]
    assert needed_states(ends, [True, True, True, True, True], 0.05) == [0, 1, 3, 4]
    assert needed_states(ends, [True, True, True, False, True], 0.05) == [0, 1, 2, 4]


def test_states_that_are_gone_already_leave_the_nearest_that_is_there() -> None:
    assert needed_states([9, 8, 7, 6, 5, 4], [True, False, False, False, True, False], 0.0) == [
        0,
        4,
    ]
    assert needed_states([9, 8, 7], [False, False, False], 0.5) == []
    assert needed_states([], [], 0.5) == []


def _recipe(slack: float | None) -> dict[str, Any]:
    return {"batches": [], "memory": [], "seconds": 1.0, "replay_slack": slack}


def taught(db: Connection, user: User, count: int, slack: float | None) -> list[str]:
    """As many versions that serve, a step each, with what may go pruned after each."""
    learned = [preference_from_edit(db, user) for _ in range(count)]
    serving = serving_version(db, user.id)
    end = 0 if serving is None else serving.steps
    for n, preference in enumerate(learned, start=1):
        version = new_version(db, user, steps=end + n, recipe=_recipe(slack))
        register(db, version, preference)
        folders, optimizers = prunable(db, user.id)
        for one in folders:
            forget_folder(db, one.id)
        for one in optimizers:
            forget_optimizer(db, one.id)
    return learned


def replayed(db: Connection, user: User, learned: Sequence[str]) -> list[int]:
    """How many steps the deletion of each would replay, its own among them."""
    found = []
    serving = serving_version(db, user.id)
    assert serving is not None
    for one in learned:
        seen = who_saw(db, user.id, Doomed(preferences=frozenset([one])), lambda _: None)
        start = latest_whole(ancestry(db, serving.id), seen)
        found.append(serving.steps - (0 if start is None else start.steps))
    return found


@pytest.mark.parametrize("slack", [0.25, 1.0])
def test_what_is_pruned_leaves_no_deletion_that_costs_more(
    db: Connection, ada: User, slack: float
) -> None:
    count = 40
    costs = replayed(db, ada, taught(db, ada, count, slack))
    after = list(reversed(range(count)))
    assert all(cost <= n * (1 + slack) + 1 for cost, n in zip(costs, after, strict=True))
    assert any(cost > n + 1 for cost, n in zip(costs, after, strict=True))  # some states are gone
    whole = [one.number for one in versions_of(db, ada.id) if one.is_whole]
    assert len(whole) <= 2 * log(1 + slack * count) / log1p(slack) + 4


def test_without_a_slack_a_text_of_before_the_newest_costs_all_steps(
    db: Connection, ada: User
) -> None:
    assert replayed(db, ada, taught(db, ada, 8, None)) == [8, 8, 8, 8, 8, 3, 2, 1]


def test_of_a_replay_that_is_under_way_states_stay_too(db: Connection, ada: User) -> None:
    """Another deletion may take it back to any of them."""
    taught(db, ada, 12, 0.0)
    latest = serving_version(db, ada.id)
    assert latest is not None
    back(db, ada, 0)
    open_replay(db, ReplayRow(ada.id, latest.lineage_id, None, latest.id, ["p"], ["d"], NOW))
    assert prunable(db, ada.id) == ([], [])
    close_replay(
        db, ReplayRow(ada.id, latest.lineage_id, None, latest.id, [], [], NOW), "withdrawn"
    )
    folders, optimizers = prunable(db, ada.id)
    assert (len(folders), [one.number for one in optimizers]) == (11, [10])
