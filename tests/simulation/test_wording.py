"""Case and articles."""

from __future__ import annotations

import pytest

from corll.simulation.wording import article, match_case


@pytest.mark.parametrize(
    ("source", "expected"), [("terrible", "hard"), ("Terrible", "Hard"), ("TERRIBLE", "HARD")]
)
def test_case_is_kept(source: str, expected: str) -> None:
    assert match_case(source, "hard") == expected


@pytest.mark.parametrize(
    ("written", "following", "expected"),
    [
        ("a", "oversight", "an"),
        ("an", "matter", "a"),
        ("An", "unusual", "An"),
        ("a", "use", "a"),
        ("an", "European", "a"),
        ("an", "one", "a"),
        ("a", "hour", "an"),
        ("A", "unhurried", "An"),
        ("A", "ADVENTURE", "AN"),
    ],
)
def test_the_article_follows_the_sound(written: str, following: str, expected: str) -> None:
    assert article(written, following) == expected
