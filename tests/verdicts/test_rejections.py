"""What follows when a version is rejected."""

from __future__ import annotations

import pytest

from corll.errors import InputError
from corll.verdicts.rejections import serves_instead, step_share


def test_edits_come_back_once_with_half_the_step_and_are_then_set_aside() -> None:
    assert [step_share(rejections) for rejections in range(4)] == [1.0, 0.5, None, None]
    with pytest.raises(InputError, match="0 or more"):
        step_share(-1)


def test_the_nearest_ancestor_that_passes_serves() -> None:
    against = {3: ["loops"], 2: [], 1: []}
    assert serves_instead([3, 2, 1], against.__getitem__) == 2
    assert serves_instead([2, 1], against.__getitem__) == 2


def test_where_none_passes_the_reference_serves() -> None:
    assert serves_instead([2, 1], lambda _: ["loops"]) is None
    assert serves_instead(list[int](), lambda _: []) is None


def test_no_more_is_examined_than_needed() -> None:
    seen: list[int] = []

    def reasons(version: int) -> list[str]:
        seen.append(version)
        return []

    assert serves_instead([2, 1], reasons) == 2
    assert seen == [2]
