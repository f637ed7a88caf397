"""The report of a check against numbers that were worked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_figure import draw_costs
from check_lines import CellKey, finished_cells, read_drafts
from check_report import Drafts, parts_of, report
from corll.errors import InputError
from learn_check import main
from paired import difference, mean_estimate, median_estimate, ratio

Line = dict[str, Any]


def draft(
    seconds: float,
    edit: int,
    *,
    writer: str = "frame",
    arm: str = "base",
    seed: int = 0,
    **more: Any,
) -> Line:
    return {
        "seed": seed, "writer": writer, "arm": arm, "label": "defaults", "edit": edit,
        "seconds": seconds, "alone": 20.0, "leaks": [], "empty": False, "looping": False, **more,
    }  # fmt: skip


def seconds(line: Line) -> float:
    return float(line["seconds"])


def target(text: str, quantity: str) -> list[str]:
    """Return the cells of a row of targets."""
    row = next(row for row in text.splitlines() if row.startswith(f"| {quantity}"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_ratio_is_of_sums_over_pairs() -> None:
    base = [draft(10, 1), draft(30, 2), draft(99, 3)]
    both = [draft(8, 1, arm="both"), draft(12, 2, arm="both")]
    found = ratio(both, base, seconds)
    assert found is not None
    assert found.value == pytest.approx(20 / 40)
    # A resample of two pairs is (1, 1), (2, 2) or one of each.
    assert set(np.round(found.draws, 6)) == {0.8, 0.4, 0.5}
    assert (found.low, found.high) == pytest.approx((0.4, 0.8))
    shares = [float(np.mean(np.isclose(found.draws, value))) for value in (0.8, 0.5, 0.4)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.04)
    assert ratio(both, [draft(5, 3)], seconds) is None


def test_seeds_are_drawn_again_as_a_whole_where_there_are_several() -> None:
    base = [draft(10, edit, seed=seed) for seed in (0, 1) for edit in range(1, 41)]
    both = [draft(10 if line["seed"] else 5, line["edit"], seed=line["seed"]) for line in base]
    found = ratio(both, base, seconds)
    assert found is not None
    assert found.value == pytest.approx(0.75)
    # Within a seed nothing varies, so what varies is which seeds there are.
    assert set(np.round(found.draws, 6)) == {0.5, 0.75, 1.0}
    assert (found.low, found.high) == pytest.approx((0.5, 1.0))


def test_a_difference_of_shares() -> None:
    base = [draft(1, edit) for edit in range(1, 5)]
    both = [draft(1, edit, empty=edit == 1) for edit in range(1, 5)]
    found = difference(both, base, lambda line: float(line["empty"]))
    assert found is not None
    assert found.value == pytest.approx(0.25)
    assert 0 <= found.low < 0.25 < found.high <= 1
    assert mean_estimate([found, found]).value == pytest.approx(0.25)


@given(
    st.lists(st.floats(1, 1000), min_size=1, max_size=8),
    st.floats(0.1, 10),
)
def test_costs_that_are_all_a_times_as_high_are_in_that_ratio(
    costs: list[float], times: float
) -> None:
    base = [draft(cost, edit) for edit, cost in enumerate(costs)]
    both = [draft(cost * times, edit) for edit, cost in enumerate(costs)]
    found = ratio(both, base, seconds)
    assert found is not None
    assert tuple(found[:3]) == pytest.approx((times, times, times))


def a_small_check() -> list[Line]:
    """Two writers: one saves half of all, and one pays double in edits 21 to 40."""
    lines = []
    for edit in range(1, 41):
        late = edit > 20
        for writer, times in (("frame", 0.5), ("signs", 2.0 if late else 0.5)):
            lines += [
                draft(10, edit, writer=writer, arm="base"),
                draft(8, edit, writer=writer, arm="memory", leaks=[["name", "Tom", "1"]]),
                draft(10 * times, edit, writer=writer, arm="both", looping=edit == 40, made=edit),
            ]
    for line in lines:
        if line["arm"] == "both":
            line["rejected"] = ["loops"] if line["edit"] == 40 else []
    for writer, cost in (("frame", 2), ("signs", 4)):
        for edit in (1, 2):
            lines.append(draft(10, edit, writer=writer, held_out=True))
            lines.append(draft(cost, edit, writer=writer, arm="both", held_out=True))
    return lines


def test_the_report_says_what_was_worked_by_hand() -> None:
    text = report(a_small_check(), judged="both")
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in text.splitlines()
        if row.startswith(("| frame", "| signs"))
    ]
    by = {(row[0], row[1]): row[2:] for row in rows}
    assert by["frame", "writing it oneself"][1:3] == ["20", "2.00"]
    assert by["frame", "base"] == ["40", "10", "", "", "", "", "0%", "0%", ""]
    assert by["frame", "memory"] == [
        "40", "8", "0.80 (0.80–0.80)", "0.80 (0.80–0.80); 0.80 (0.80–0.80)", "", "–", "0%", "100%",
        "",
    ]  # fmt: skip
    assert by["frame", "both"] == [
        "40", "5", "0.50 (0.50–0.50)", "0.50 (0.50–0.50); 0.50 (0.50–0.50)", "0.62 (0.62–0.62)",
        "0.20 (0.20–0.20)", "2%", "0%", "1 of 40",
    ]  # fmt: skip
    signs = by["signs", "both"]
    assert signs[2].startswith("1.25 (1.0")
    assert signs[3] == "0.50 (0.50–0.50); 2.00 (2.00–2.00)"

    assert "Targets, of both, by 2 writers, 1 seed(s) and up to 40 edits" in text
    cost = target(text, "cost while learning")
    assert cost[2:4] == ["above: signs; reaching above: none", "missed"]
    assert "signs 21–40: 2.00 (2.00–2.00) | missed" in text
    assert "| median ≤ 0.5× | 0.88 (" in text  # of 0.50 and 1.25
    memory = target(text, "against memory alone")
    assert memory[2].startswith("median 1.09 (")  # of 0.625 and 1.5625
    assert memory[2].endswith("better in 1 of 2; above: signs")
    assert memory[3] == "missed"
    held = target(text, "held out")
    assert held[2:4] == ["0.30 (0.30–0.30)", "**met**"]  # of 0.2 and 0.4
    flawed = target(text, "empty or looping")
    assert flawed[2].startswith("+2.5% (")
    assert flawed[3] == "missed"
    assert target(text, "leaked facts")[2:4] == ["+0.0% (+0.0% to +0.0%)", "**met**"]
    assert target(text, "a taste changed")[3] == "not measured"
    assert target(text, "ruined versions")[3] == "not measured"
    assert target(text, "versions of these sound writers")[2:4] == ["2 of 80", "missed"]


@pytest.mark.parametrize(("share", "said"), [(1, "**met**"), (2, "missed")])
def test_one_percent_more_is_the_bound_of_flawed_drafts(share: int, said: str) -> None:
    lines = [draft(1, edit, seed=seed) for seed in (0, 1) for edit in range(50)]
    more = [{**line, "arm": "both", "empty": n < share} for n, line in enumerate(lines)]
    assert target(report(lines + more, judged="both"), "empty or looping")[3] == said


@pytest.mark.parametrize(("cost", "said"), [(6.0, "**met**"), (6.1, "missed")])
def test_a_changed_taste_is_back_within_a_fifth(cost: float, said: str) -> None:
    lines = []
    for edit in range(1, 61):
        own = 5 if edit <= 40 else 30 if edit <= 50 else cost
        lines.append(draft(10, edit, writer="changing"))
        lines.append(draft(own, edit, writer="changing", arm="both"))
    assert target(report(lines, judged="both"), "a taste changed")[3] == said


def test_another_label_is_compared_with_the_defaults_base_or_its_own() -> None:
    base = [draft(10, 1), draft(10, 2)]
    quick = [draft(4, 1, arm="weights", label="x"), draft(6, 2, arm="weights", label="x")]
    own = [draft(20, edit, label="x") for edit in (1, 2)]
    assert "0.50 (0.40–0.60)" in report(base + quick, judged="weights:x")
    assert "0.25 (0.20–0.30)" in report(base + quick + own, judged="weights:x")
    other = [{**line, "writer": "signs"} for line in own]  # only that writer's base is of the label
    assert "0.50 (0.40–0.60)" in report(base + quick + other, judged="weights:x")
    assert "weights, x" in report(base + quick, judged="both")
    assert "there is no draft of both" in report(base + quick, judged="both")
    with pytest.raises(InputError, match="no arm 'all'; there are base"):
        report(base, judged="all")


def test_parts_are_of_twenty_edits() -> None:
    lines = [draft(1, edit) for edit in range(1, 46)]
    assert parts_of(lines) == [range(1, 21), range(21, 41), range(41, 46)]
    assert parts_of([]) == []


def test_medians_are_over_writers() -> None:
    found = [
        ratio([draft(cost, 1, writer=name)], [draft(10, 1)], seconds)
        for name, cost in (("frame", 2), ("signs", 3), ("terms", 9))
    ]
    assert median_estimate([one for one in found if one]).value == pytest.approx(0.3)


def test_files_of_memory_alone_are_read(tmp_path: Path) -> None:
    old = Path(__file__).parents[2] / "experiments/results/memory-arms/smollm2-135m.jsonl"
    drafts = Drafts(read_drafts([old]))
    assert drafts.arms == [("base", "defaults"), ("memory", "last"), ("memory", "nearest")]
    # As the log has it, but for how the interval is drawn.
    found = drafts.compare("frame", ("memory", "nearest"), "base")
    assert found is not None
    assert found[:3] == pytest.approx((0.81, 0.70, 0.93), abs=0.015)
    assert "not measured" in report(read_drafts([old]), judged="memory:last")


def test_a_cell_in_two_files_counts_once(tmp_path: Path) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for file in files:
        file.write_text(json.dumps(draft(1, 1)) + "\n")
    assert read_drafts(files) == [draft(1, 1)]


def test_half_played_cells_leave_the_file_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "check.jsonl"
    about = {"model": "m", "cell": {"edits": 1, "held_out": 1}}
    keys = [CellKey(0, writer, "base", "defaults") for writer in ("frame", "signs", "terms")]
    whole = [draft(1, 1), draft(1, 1, held_out=True)]
    half = [draft(1, 1, writer="signs")]
    lines = [{**keys[0]._asdict(), **about}, *whole, {**keys[1]._asdict(), **about}, *half]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"seed": 0, "wri')
    assert finished_cells(path, dict.fromkeys(keys, about)) == {keys[0]}
    assert path.read_text() == "".join(json.dumps(line) + "\n" for line in lines[:3])
    # What another run is playing is left alone.
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert finished_cells(path, {keys[0]: about}) == {keys[0]}
    assert len(path.read_text().splitlines()) == len(lines)
    assert finished_cells(path, {keys[1]: about}) == set()
    assert len(path.read_text().splitlines()) == 3


def test_the_figure_draws_moving_means(tmp_path: Path) -> None:
    lines = [draft(edit, edit) for edit in range(1, 13)]
    lines += [draft(2, edit, arm="both", writer="signs") for edit in range(1, 4)]
    written = draw_costs(lines, tmp_path / "costs.png")
    assert [path.name for path in written] == ["costs.png", "costs.svg", "costs.json"]
    data = json.loads((tmp_path / "costs.json").read_text())["writers"]
    base = data["frame"]["arms"]["base defaults"]
    assert base["edits"] == [10, 11, 12]
    assert base["mean"] == [5.5, 6.5, 7.5]
    assert all(
        low < mean < high
        for low, mean, high in zip(*(base[n] for n in ("low", "mean", "high")), strict=True)
    )
    assert data["signs"]["arms"]["both defaults"]["mean"] == [2]  # three edits are one window
    assert data["frame"]["alone"] == 20


def test_the_command_reports_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "check.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in a_small_check()))
    main(["--report", str(file), "--judged", "both", "--figure", str(tmp_path / "costs.png")])
    assert "Targets, of both" in capsys.readouterr().out
    assert (tmp_path / "costs.png").exists()
