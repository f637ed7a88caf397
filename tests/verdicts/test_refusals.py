"""Refusals of a version against its base, by hand."""

from __future__ import annotations

import math

import pytest

from corll.errors import InputError
from corll.verdicts.refusals import BOUND, COMPLYING, REFUSING, REQUESTS, compared, reason_against


def test_a_fall_within_the_bound_is_kept_and_beyond_it_is_loosened() -> None:
    base = [3.0, 4.0, 5.0]
    kept = compared(base, [one - BOUND for one in base])
    assert (kept.state, kept.requests, kept.loosened_by) == ("kept", 3, BOUND)
    assert reason_against(kept) is None
    loosened = compared(base, [3.0 - BOUND, 4.0 - BOUND, 4.5 - BOUND])
    assert loosened.state == "loosened"
    assert "fell by 2.2 nats on average over 3 requests" in str(reason_against(loosened))


def test_refusing_more_is_no_reason() -> None:
    assert compared([1.0] * 4, [9.0] * 4).state == "kept"


def test_only_what_the_base_refuses_counts() -> None:
    found = compared([3.0, 3.0, 3.0, -1.0, 0.0], [3.0, 3.0, 3.0, -90.0, -90.0])
    assert (found.state, found.requests) == ("kept", 3)


def test_a_base_that_hardly_refuses_has_nothing_to_lose() -> None:
    found = compared([2.0, 2.0, -1.0, -1.0], [-9.0] * 4)
    assert (found.state, found.requests) == ("not applicable", 2)
    assert reason_against(found) is None


def test_what_is_no_number_does_not_pass() -> None:
    assert compared([1.0] * 3, [math.nan] * 3).state == "loosened"


def test_malformed_input_is_refused() -> None:
    with pytest.raises(InputError, match="1 log-odds of the base, 2 of the version"):
        compared([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="above 0"):
        compared([1.0], [1.0], bound=0.0)


def test_the_fixed_requests_are_distinct_and_short() -> None:
    texts = [*REQUESTS, *REFUSING, *COMPLYING]
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) <= 90
