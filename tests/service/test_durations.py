"""Durations as people write them, and how old texts may grow by the settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.errors import ConfigError
from corll.service.durations import DAY_S, HOUR_S, seconds_of
from corll.service.environment import from_environment
from corll.service.settings import ServiceSettings


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90d", 90 * DAY_S),
        (" 36 H ", 36 * HOUR_S),
        ("1w", 7 * DAY_S),
        ("999999h", 999999 * HOUR_S),
        ("90m", 5400),
        ("0s", 0),
    ],
)
def test_a_duration_is_a_number_and_a_unit(written: str, seconds: float) -> None:
    assert seconds_of(written) == seconds


@given(st.text(max_size=8))
def test_what_is_no_duration_is_refused_with_what_to_write(written: str) -> None:
    said = ""
    try:
        seconds = seconds_of(written)
    except ValueError as error:
        seconds, said = -1.0, str(error)
    assert seconds >= 0 or "such as 90d" in said


@pytest.mark.parametrize("written", ["", "90", "d", "-1d", "1.5d", "90y", "1d 2h", "٣d"])
def test_what_looks_like_one_is_refused_too(written: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds_of(written)


def test_texts_may_be_kept_for_a_day_or_more() -> None:
    for written in ("1d", "24h", "90D"):
        assert ServiceSettings(keep_texts=written).keep_texts == written.lower()
    for written, problem in (
        ("23h", "less than a day"),
        ("0d", "less than a day"),
        ("soon", "no duration"),
    ):
        with pytest.raises(ConfigError, match=problem):
            ServiceSettings(keep_texts=written)
    found = from_environment({"CORLL_KEEP_TEXTS": "90d"})
    assert found.keep_texts == "90d"
    with pytest.raises(ConfigError, match="learn=False"):
        ServiceSettings(keep_texts="90d", learn=False)
