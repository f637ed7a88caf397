"""The arms against the base: hand-worked numbers, verdicts on both sides, the page and the PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corll.config import CoactiveConfig
from corll.replay.figure import draw_replay
from corll.replay.report import Told, report
from corll.replay.scores import ArmScore, ReplayArm, ScoredEdit
from corll.replay.summary import count_edits, differences, summarise

ARMS: tuple[ReplayArm, ...] = ("base", "coactive")


def edit(
    number: int, base: float | None, own: float | None, margin: float = 1.0, user: str = "bo"
) -> ScoredEdit:
    arms: dict[ReplayArm, ArmScore] = {
        "base": ArmScore(base, None),
        "coactive": ArmScore(own, margin),
    }
    return ScoredEdit(user, number, number, "edit", 0 if own is None else 3, arms)


def test_numbers_by_hand() -> None:
    scored = [
        edit(1, 3.0, 3.0, margin=0.0),
        edit(2, 4.0, 3.0, margin=0.5),
        edit(3, None, None, margin=-0.5),
        edit(1, 2.0, 4.0, margin=-1.0, user="al"),
        ScoredEdit("al", 2, 9, "accepted"),
        ScoredEdit("al", 3, 10, "left out", reason="Too long."),
    ]
    base, coactive = summarise(scored, ARMS, seed=0)
    assert (base.surprisal, base.difference, base.accuracy) == (2.75, None, None)
    assert coactive.surprisal == 3.5  # of bo 3, of al 4
    assert coactive.difference is not None
    assert coactive.accuracy is not None
    assert coactive.difference == (0.75, None, "too few edits")  # of bo −½, of al 2
    assert coactive.accuracy == (0.25, None, "too few edits")  # of bo (½ + 1 + 0) / 3, of al 0
    counts = count_edits(scored)
    assert (counts.users, counts.edits, counts.deletions, counts.accepted) == (2, 4, 1, 1)
    assert counts.left_out == {"Too long.": 1}


@pytest.mark.parametrize(
    ("shift", "verdict"), [(-1.0, "less"), (0.0, "no difference shown"), (1.0, "more")]
)
def test_a_difference_is_shown_where_the_interval_does_not_hold_none(
    shift: float, verdict: str
) -> None:
    noise = np.random.default_rng(3).standard_normal(40)
    scored = [edit(n, 5.0, 5.0 + shift + e, margin=float(e)) for n, e in enumerate(noise, start=1)]
    _, coactive = summarise(scored, ARMS, seed=0)
    assert coactive.difference is not None
    assert coactive.difference.verdict == verdict
    assert coactive.accuracy is not None
    assert coactive.accuracy.verdict == "no difference shown"
    assert coactive.accuracy.interval is not None
    assert 0 <= coactive.accuracy.interval.low <= coactive.accuracy.interval.high <= 1


def test_differences_up_to_an_edit() -> None:
    scored = [edit(1, 3.0, 2.0), edit(2, 3.0, 5.0), edit(1, 1.0, 1.5, user="al")]
    assert [list(of) for of in differences(scored, "coactive")] == [[-1.0, 2.0], [0.5]]
    assert [list(of) for of in differences(scored, "coactive", until=1)] == [[-1.0], [0.5]]


def page(scored: list[ScoredEdit]) -> str:
    told = Told("log.jsonl", "plain", "tiny in float32", "last", CoactiveConfig(), "replay.png")
    return report(told, count_edits(scored), summarise(scored, ARMS, seed=0))


def test_the_page_says_what_is_shown_and_what_is_not() -> None:
    noise = np.random.default_rng(3).standard_normal(40)
    same = page([edit(n, 5.0, 5.0 + e) for n, e in enumerate(noise, start=1)])
    assert "coactive: no difference shown." in same
    assert "| base | 5.000 | – |  | not defined | R of the base is 0 |" in same
    better = page([edit(n, 5.0, 4.0 + e / 9) for n, e in enumerate(noise, start=1)])
    assert "lower than base" in better
    assert "coactive: found what users inserted likelier" in better
    for told in ("off-policy", "anchored on the draft", "no saving of edits", "one user", "50 %"):
        assert told in same


def test_the_png_is_drawn_and_the_same_each_time(tmp_path: Path) -> None:
    scored = [edit(n, 5.0, 5.0 - n / 20) for n in range(1, 21)]
    images = []
    for name in ("one.png", "two.png"):
        assert draw_replay(scored, ARMS, tmp_path / name, title="a log", seed=0)
        images.append((tmp_path / name).read_bytes())
    assert images[0] == images[1]
    assert images[0].startswith(b"\x89PNG")


def test_nothing_is_drawn_of_edits_that_inserted_nothing(tmp_path: Path) -> None:
    scored = [edit(n, None, None) for n in range(1, 9)]
    assert not draw_replay(scored, ARMS, tmp_path / "a.png", title="a log", seed=0)
    assert "No edit inserted anything" in page(scored)
    assert not (tmp_path / "a.png").exists()
