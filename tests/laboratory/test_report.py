"""Tables by hand, and a page that needs nothing beside itself and trusts nothing it is given."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from evaluation_lines import line, rising

from corll.errors import InputError, RecordError, RunFolderError
from corll.laboratory.columns import COLUMNS
from corll.laboratory.figures import draw_all
from corll.laboratory.report import (
    p_value,
    signed,
    summary_rows,
    write_report,
)

EVIL = '<script src="https://example.org/x.js">alert(1)</script>'


def results(folder: Path, lines: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(one) + "\n" for one in lines)
    (folder / "evaluations.jsonl").write_text(text)
    return folder


class Page(HTMLParser):
    """What a browser would load, run and show."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text = " ".join([*self.text.split(), *data.split()])


class TestSummary:
    def test_by_hand(self) -> None:
        """Two seeds end at 1 and 3: mean 2 ± 1; areas 1/2 and 3/2: 1 ± 1/2."""
        (row,) = summary_rows(rising("dueling", [1.0, 3.0]))
        assert (row["arm"], row["label"], row["seeds"]) == ("dueling", "dueling", 2)
        assert (row["preferences"], row["most_preferences"], row["area_until"]) == (100, 100, 100)
        assert (row["reward"], row["reward_error"]) == pytest.approx((2, 1))
        assert (row["area"], row["area_error"]) == pytest.approx((1, 0.5))
        assert row["kl"] is None
        assert row["n_50"] is None
        assert COLUMNS["reward"].text(row) == "2.000 ± 1.000"
        assert COLUMNS["kl"].text(row) == "—"
        assert COLUMNS["n_50"].text(row) == "—"

    def test_the_objective_by_hand(self) -> None:
        """Of two seeds one comes to a quarter, after 75; areas are −0.5 and −0.75."""
        lines = [
            line("dueling", seed, 100 * n, reward=0.0, objective_less_expert=value)
            for seed, end in enumerate((0.0, -0.5))
            for n, value in enumerate((-1.0, end))
        ]
        (row,) = summary_rows(lines)
        assert (row["area_objective"], row["objective_less_expert"]) == (-0.625, -0.25)
        assert (row["quarter"], row["quarter_reached"], row["quarter_of"]) == (75, 1, 2)
        assert COLUMNS["quarter"].text(row) == "75 (1 of 2)"
        (never,) = summary_rows([one for one in lines if one["seed"] == 1])
        assert COLUMNS["quarter"].text(never) == "never (1)"

    def test_lines_of_before_have_no_objective(self) -> None:
        (row,) = summary_rows(rising("dueling", [1.0]))
        for name in ("objective_less_expert", "area_objective", "quarter", "kl_to_expert"):
            assert COLUMNS[name].text(row) == "—"

    def test_what_was_measured_behind_a_memory(self) -> None:
        """Of two seeds 1 ± 1 texts; an arm without a memory has a dash."""
        lines = [
            line("memory-last", seed, at, reward=1.0, reward_alone=0.5, memory_texts=seed * at / 50)
            for seed in (0, 1)
            for at in (0, 100)
        ]
        rows = {row["arm"]: row for row in summary_rows([*lines, *rising("dueling", [1.0])])}
        assert rows["memory-last"]["label"] == "no learning, behind the last texts"
        found = {
            name: [COLUMNS[name].text(rows[arm]) for arm in ("memory-last", "dueling")]
            for name in ("memory_texts", "reward_alone", "kl_given_memory")
        }
        assert found == {
            "memory_texts": ["1.0 ± 1.0", "—"],
            "reward_alone": ["0.500 ± 0.000", "—"],
            "kl_given_memory": ["—", "—"],
        }

    def test_half_of_the_way(self) -> None:
        """The mean share goes 0, 0.4, 0.6: half is half-way from 100 to 200."""
        shares = {0: [0.0, 0.3, 0.7], 1: [0.0, 0.5, 0.5]}
        lines = [
            line("sft-edit", seed, 100 * n, reward=share, share_to_expert=share)
            for seed, values in shares.items()
            for n, share in enumerate(values)
        ]
        begun = line("sft-edit", 2, 0, reward=0.0, share_to_expert=0.0)
        (row,) = summary_rows([*lines, begun])
        assert row["n_50"] == pytest.approx(150)
        assert COLUMNS["n_50"].text(row) == "150"
        (short,) = summary_rows([one for one in lines if one["preferences"] < 200])
        assert short["n_50"] is None
        assert COLUMNS["n_50"].text(short) == "> 100"

    def test_feedback_is_weighted_by_preferences(self) -> None:
        """0.1 over 30 preferences and 0.3 over 10: 6/40. What is null takes no part."""
        lines = [
            line("mixed", 0, 0, reward=0.0, mislabelled=None, estimated_alpha=None),
            line("mixed", 0, 30, reward=0.0, mislabelled=0.1, estimated_alpha=None),
            line("mixed", 0, 40, reward=0.0, mislabelled=0.3, estimated_alpha=0.5),
        ]
        (row,) = summary_rows(lines)
        assert row["mislabelled"] == pytest.approx(0.15)
        assert row["estimated_alpha"] == 0.5
        assert row["mislabelled_error"] is None
        assert COLUMNS["mislabelled"].text(row) == "15.0%"

    def test_alpha_is_the_ratio_of_the_whole_run(self) -> None:
        """0.5 of a possible gain of 6, then 0.9 of 2: (3 + 1.8) / 8, whatever the preferences."""
        lines = [
            line("mixed", 0, 0, reward=0.0, estimated_alpha=None, possible_gain=None),
            line("mixed", 0, 10, reward=0.0, estimated_alpha=0.5, possible_gain=6.0),
            line("mixed", 0, 40, reward=0.0, estimated_alpha=0.9, possible_gain=2.0),
        ]
        (row,) = summary_rows(lines)
        assert row["estimated_alpha"] == pytest.approx(0.6)

    def test_arms_in_order_and_areas_on_one_grid(self) -> None:
        """The shorter arm ends at 50, where the other is at half of its reward: area 1/4 of it."""
        lines = [
            *rising("dueling", [2.0]),
            line("coactive-best", 0, 0, reward=0.0),
            line("coactive-best", 0, 50, reward=1.0),
            line("none", 0, 0, reward=-1.0),
        ]
        best, dueling, none = summary_rows(lines)
        assert [row["arm"] for row in (best, dueling, none)] == ["coactive-best", "dueling", "none"]
        assert (best["area_until"], best["area"], dueling["area"]) == (50, 0.5, 0.5)
        assert none["area"] is None
        assert none["reward"] == -1

    def test_cells_that_got_unequally_far(self) -> None:
        lines = [*rising("dueling", [1.0]), line("dueling", 1, 0, reward=0.0)]
        (row,) = summary_rows(lines)
        assert COLUMNS["preferences"].text(row) == "0–100"


def test_numbers_in_words() -> None:
    assert (signed(0.1234), signed(-0.5), signed(float("nan"))) == ("+0.123", "−0.500", "—")
    assert (p_value(0.0004), p_value(0.0412), p_value(float("nan"))) == (
        "< 0.001",
        "0.041",
        "—",
    )


class TestPage:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        lines = rising("coactive-epsilon-0.1", [1.0, 2.0]) + rising("dueling", [1.0, 1.0])
        folder = results(tmp_path / "imdb-tiny", lines)
        draw_all(lines, folder, command="corll experiment plot imdb && true")
        (folder / "experiment.json").write_text('{"learning_rate": 0.0004}')
        return folder

    def test_all_of_a_folder_is_on_it(self, folder: Path, tmp_path: Path) -> None:
        write_report([folder], tmp_path / "out" / "report.html", title="Edits & comparisons")
        page = Page(tmp_path / "out" / "report.html")
        assert "Edits & comparisons" in page.text
        assert "coactive, ε = 0.1 coactive-epsilon-0.1" in page.text
        assert "1.500 ± 0.500" in page.text
        assert "reward with mislabels on purpose" in page.text
        assert "corll experiment plot imdb && true" in page.text
        assert '"learning_rate": 0.0004' in page.text
        assert page.tags.count("img") == 1

    def test_grids_of_one_size_are_told_apart(self, tmp_path: Path) -> None:
        names = ("imdb-tiny", "imdb-tiny-slow", "second")
        folders = [results(tmp_path / name, rising("dueling", [1.0])) for name in names]
        write_report(folders, tmp_path / "report.html", title="t")
        found = Page(tmp_path / "report.html").text
        assert "imdb-tiny imdb-tiny-slow second (imdb-tiny)" in found

    def test_nothing_comes_from_elsewhere(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        write_report([folder, folder], path, title="t")
        page = Page(path)
        assert all(source.startswith(("data:image/", "#")) for source in page.sources)
        assert not {"script", "link", "iframe"} & set(page.tags)
        text = path.read_text()
        assert "@import" not in text
        assert "url(" not in text
        assert "prefers-color-scheme: dark" in text
        assert 'name="viewport"' in text

    def test_text_is_escaped(self, tmp_path: Path) -> None:
        folder = results(tmp_path / "results", rising(EVIL, [1.0]))
        (folder / "fig-x.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        about = {"title": EVIL, "caption": EVIL, "command": EVIL}
        (folder / "fig-x.json").write_text(json.dumps(about))
        (folder / "experiment.json").write_text(json.dumps({EVIL: EVIL}))
        write_report([folder], tmp_path / "report.html", title=EVIL)
        page = Page(tmp_path / "report.html")
        assert "script" not in page.tags
        assert all(source.startswith("data:image/") for source in page.sources)
        assert page.text.count("alert(1)") >= 7

    def test_the_contrast_is_marked(self, tmp_path: Path) -> None:
        arms, tuned = ("coactive-alpha-0.6", "dueling"), {"learning_rate": 3e-3}
        lines = rising(arms[0], [3.0, 4.0] * 4, **tuned) + rising(arms[1], [1.0] * 8, **tuned)
        folder = results(tmp_path / "imdb-tiny", lines)
        (folder / "learning_rates.json").write_text(json.dumps(dict.fromkeys(arms, 3e-3)))
        write_report([folder], tmp_path / "report.html", title="t")
        found = Page(tmp_path / "report.html").text
        assert re.search(r"coactive-alpha-0\.6 − dueling \+1\.250 .*named before it was run", found)
        assert "holds no figures" in found

    def test_rates_and_contrasts_at_one_rate(self, tmp_path: Path) -> None:
        """J less the expert's rises from −1 to −0.5, and to −0.25 at the larger rate."""
        arms, rates = ("coactive-alpha-0.6", "dueling"), (1e-3, 1e-2)

        def lines(rate: float, seed: int) -> list[dict[str, Any]]:
            how = {"learning_rate": rate, "reward": 0.0}
            ends = {arm: -0.5 if rate == 1e-3 else -0.25 * (n + 1) for n, arm in enumerate(arms)}
            return [
                line(arm, seed, at, objective_less_expert=ends[arm] if at else -1.0, **how)
                for arm in arms
                for at in (0, 100)
            ]

        folder = results(tmp_path / "imdb-tiny", lines(1e-2, 0))
        trials = [one for rate in rates for one in lines(rate, 100)]
        (folder / "rates.jsonl").write_text("".join(json.dumps(one) + "\n" for one in trials))
        (folder / "learning_rates.json").write_text(json.dumps({arms[0]: 1e-2, arms[1]: 1e-3}))
        write_report([folder], tmp_path / "report.html", title="t")
        found = Page(tmp_path / "report.html").text
        assert re.search(r"expert's, all at 0\.001 .*?− dueling \+0\.000 — — 1", found)
        assert re.search(r"expert's, all at 0\.01 .*?− dueling \+0\.125 — — 1", found)
        assert "coactive, α = 0.6, at 0.01, chosen" in found
        assert "dueling, at 0.001, chosen" in found
        assert re.search(r"dueling, at 0\.01 dueling", found)
        assert "other rates" not in found.replace("one rate, 0.01", "")

    def test_the_linear_world(self, tmp_path: Path) -> None:
        """A folder of figures alone: the SVG is taken where both kinds are there."""
        linear = tmp_path / "linear"
        linear.mkdir()
        (linear / "regret.png").write_bytes(b"\x89PNG")
        (linear / "regret.svg").write_text("<svg/>")
        write_report([linear], tmp_path / "report.html", title="t")
        page = Page(tmp_path / "report.html")
        assert "exact regret" in page.text
        assert [source.split(",")[0] for source in page.sources] == ["data:image/svg+xml;base64"]

    def test_panels_come_in_the_order_of_the_paper(self, tmp_path: Path) -> None:
        folder = results(tmp_path / "results", rising("dueling", [1.0]))
        for name in ("fig-ours", "extra", "fig-2a", "fig-contrast"):
            (folder / f"{name}.png").write_bytes(b"\x89PNG")
        write_report([folder], tmp_path / "report.html", title="t")
        found = Page(tmp_path / "report.html").text
        assert re.search(r"fig-2a .*fig-contrast .*fig-ours .*extra", found)


class TestBadInput:
    def test_nothing_to_show(self, tmp_path: Path) -> None:
        page = tmp_path / "report.html"
        with pytest.raises(InputError, match="at least one"):
            write_report([], page, title="t")
        with pytest.raises(InputError, match="no folder"):
            write_report([tmp_path / "absent"], page, title="t")
        with pytest.raises(InputError, match="neither"):
            write_report([tmp_path], page, title="t")
        assert not page.exists()

    @pytest.mark.parametrize("content", ["{torn", "[1]"])
    def test_a_configuration_that_is_none(self, tmp_path: Path, content: str) -> None:
        folder = results(tmp_path / "results", rising("dueling", [1.0]))
        (folder / "experiment.json").write_text(content)
        with pytest.raises(InputError, match=r"experiment\.json"):
            write_report([folder], tmp_path / "report.html", title="t")

    def test_a_bad_line_is_named(self, tmp_path: Path) -> None:
        folder = results(tmp_path / "results", [{**line("dueling", 0, 0), "seed": None}])
        with pytest.raises(RecordError, match="line 1, field 'seed'"):
            write_report([folder], tmp_path / "report.html", title="t")

    def test_a_page_that_cannot_be_written(self, tmp_path: Path) -> None:
        folder = results(tmp_path / "results", rising("dueling", [1.0]))
        (tmp_path / "file").touch()
        with pytest.raises(RunFolderError, match="could not be written"):
            write_report([folder], tmp_path / "file" / "report.html", title="t")
