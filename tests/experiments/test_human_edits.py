"""Human edits: parts that share no text, measures by hand, arms that learn what is taught."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.edit_logs.logged import LoggedEdit
from corll.errors import ConfigError, InputError
from corll.policy import Policy
from corll.records import Sample
from edit_data import cad_data, letters_of, paradetox_data, split_edits
from edit_estimates import estimate
from edit_measures import measures_of, word_f1
from edit_report import difference_of_surprisal, read_measured, right
from edit_trial import ARMS, SIZES, CellKey, Sizes, Trial, named_arms
from human_edits import main

WHO = ("parcel", "letter", "kettle", "hotel", "street", "meeting", "lid", "note")
HOW = ("late", "slow", "noisy", "clean", "cracked", "near", "small", "new")
QUICK = ["--edits", "16", "--held-out", "8", "--drafts", "4", "--longest", "64"]
FAST = ["learning_rate=0.01", "warmup_steps=0", "max_completion_length=8"]
Line = dict[str, Any]


def put(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def rude(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of which every editor replaces the same words by the same others."""
    rows = [
        {"original": f"the {who} is {how}, you fool", "edited": [f"the {who} is {how}, my friend"]}
        for who, how in product(WHO, HOW)
    ]
    return put(tmp_path_factory.mktemp("rows") / "rude.jsonl", rows)


def played(model: Path, rows: Path, out: Path, *flags: str, arms: str = "base,sft") -> list[Line]:
    """Play a few edits with the tiny model; return all lines of the file."""
    asked = ["--model", str(model), "--rows", str(rows), "--out", str(out), "--arms", arms]
    main([*asked, *QUICK, "--label", "tiny", *flags, "--set", *FAST])
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(rude: Path, roomy_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of all arms."""
    out = tmp_path_factory.mktemp("whole") / "edits.jsonl"
    played(roomy_model_folder, rude, out, arms=",".join(ARMS))
    return out


def lines_of(path: Path, arm: str, edits: int) -> list[Line]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        line
        for line in lines
        if "cell" not in line and (line["arm"], line["edits"]) == (arm, edits)
    ]


def logged(texts: Sequence[str]) -> list[LoggedEdit]:
    return [LoggedEdit(f"? {text}", text, f"{text} please", line=n) for n, text in enumerate(texts)]


def sizes(edits: int, held_out: int) -> Sizes:
    return Sizes(edits, held_out, drafts=0, longest=9)


class TestSplit:
    @given(
        st.lists(st.text("abcAB ,.1", min_size=1), min_size=6, max_size=20),
        st.lists(st.text("abcAB ,.1", min_size=1), max_size=10),
    )
    def test_no_original_is_in_two_parts(self, rows: list[str], test_rows: list[str]) -> None:
        count = len({letters_of(text) for text in [*rows, *test_rows]})
        learnable = len({letters_of(t) for t in rows} - {letters_of(t) for t in test_rows})
        wanted = sizes(min(2, learnable), 1)
        if not learnable or count < wanted.edits + 1:
            return
        split = split_edits(logged(rows), logged(test_rows), fits=lambda _: True, sizes=wanted)
        parts = [{letters_of(edit.draft) for edit in part} for part in split[:3]]
        assert sum(map(len, parts)) == len(set.union(*parts)) == count
        assert [len(split.learn), len(split.held_out)] == [wanted.edits, 1]
        again = len(rows) + len(test_rows) - count
        assert split.left_out.get("an original that comes again", 0) == again

    def test_originals_are_the_same_by_their_letters(self) -> None:
        assert letters_of("You, FOOL!\n 2") == letters_of("you fool") == "youfool"
        assert letters_of("12 ") == "12"

    def test_what_comes_in_both_files_is_held_out(self) -> None:
        rows, test = logged(["ab", "cd", "ef"]), logged(["AB.", "gh"])
        split = split_edits(rows, test, fits=lambda _: True, sizes=sizes(2, 2))
        assert {edit.draft for edit in split.held_out} == {"AB.", "gh"}
        assert {edit.draft for edit in split.learn} == {"cd", "ef"}

    def test_what_does_not_fit_is_neither_learned_nor_held_out(self) -> None:
        rows = logged(["a", "b", "long one", "c"])
        split = split_edits(rows, fits=lambda edit: len(edit.draft) < 4, sizes=sizes(2, 1))
        assert [edit.draft for edit in split.rest] == ["long one"]
        assert split.left_out == {"too long, or not to be taught": 1}

    def test_just_enough_rows_are_taken_and_one_fewer_refused(self) -> None:
        rows = logged(["a", "b", "c"])
        assert len(split_edits(rows, fits=lambda _: True, sizes=sizes(2, 1)).held_out) == 1
        with pytest.raises(InputError, match="3 rows can be learned from and 0 others held out"):
            split_edits(rows, fits=lambda _: True, sizes=sizes(2, 2))
        with pytest.raises(InputError, match="--edits 4"):
            split_edits(rows, logged(["d", "e"]), fits=lambda _: True, sizes=sizes(4, 1))


class TestScorers:
    def test_civility_is_learned_from_other_rows(self, rude: Path, policy: Policy) -> None:
        data = paradetox_data(rude, Sizes(16, 8, 4, 64), policy.codec)
        assert data.about["scorer_texts"] == 2 * (64 - 16 - 8)
        assert data.about["scorer_in_pairs"] == 1.0
        civil, toxic = data.scores(["the lid is slow, my friend", "the lid is slow, you fool"])
        assert civil > 0.5 > toxic

    def test_too_few_other_rows_are_refused(self, rude: Path, policy: Policy) -> None:
        assert paradetox_data(rude, Sizes(36, 8, 4, 64), policy.codec).about["rest"] == 20
        with pytest.raises(InputError, match="leaves 19 rows for the scorer"):
            paradetox_data(rude, Sizes(37, 8, 4, 64), policy.codec)

    @pytest.mark.parametrize("direction", ["negative-to-positive", "positive-to-negative"])
    def test_sentiment_is_learned_from_reviews_and_the_other_direction(
        self, direction: Any, tmp_path: Path, policy: Policy
    ) -> None:
        pairs = [f"the {who} is {how}" for who, how in product(WHO, HOW)]
        turned = [
            (f"{text} and {before}", f"{text} and {after}")
            for before, after in (("good", "bad"), ("bad", "good"))
            for text in pairs[:20]
        ]
        rows = put(
            tmp_path / "cad.jsonl",
            [
                {
                    "original": first,
                    "edited": second,
                    "sentiment_of_original": "Positive" if first.endswith("good") else "Negative",
                }
                for first, second in turned
            ],
        )
        before, _, after = direction.partition("-to-")
        reviews = [
            {"text": f"{text} and {'good' if good else 'bad'}", "positive": good}
            for good in (True, False)
            for text in pairs
        ]
        labelled = put(tmp_path / "reviews.jsonl", reviews)
        data = cad_data(rows, None, labelled, Sizes(8, 4, 2, 64), policy.codec, direction=direction)
        assert data.wanted == after
        # 12 pairs are learned from or held out; both of their texts are reviews too, and are
        # edits of the other direction.
        assert data.about["scorer_texts"] == 2 * 64 - 24 + 2 * 20 - 24
        word = {"positive": "good", "negative": "bad"}
        right_way, wrong_way = data.scores([f"it is {word[after]}", f"it is {word[before]}"])
        assert right_way > 0.5 > wrong_way


class TestMeasures:
    def test_the_f1_of_words_by_hand(self) -> None:
        # Shared: the, is, late, twice "very" only once: 4 of 5 and 4 of 6 words.
        assert word_f1("The note is very late", "the lid, is late. Very VERY") == pytest.approx(
            8 / 11
        )
        assert word_f1("a b", "a b") == 1.0
        assert word_f1("a", "b") == word_f1("", "") == word_f1("", "a") == 0.0

    @given(st.text("ab '’c", max_size=12), st.text("ab '’c", max_size=12))
    def test_the_f1_of_words_is_a_share_and_symmetric(self, one: str, other: str) -> None:
        assert word_f1(one, other) == word_f1(other, one)
        assert 0.0 <= word_f1(one, other) <= 1.0

    def test_a_draft_by_hand(self, rude: Path, policy: Policy) -> None:
        data = paradetox_data(rude, Sizes(16, 8, 4, 64), policy.codec)
        edit = LoggedEdit("?", "you fool", "my fool")
        found = measures_of(policy.codec.encode_response("you fool"), edit, data, policy.codec)
        assert (found["copy"], found["kept"], found["edit_kept"]) == (True, 1.0, 0.5)
        assert found["cost"] == found["original_cost"] == pytest.approx(3 / 7, abs=1e-4)
        assert found["score"] == found["original_score"] < found["edit_score"]
        assert [found[flaw] for flaw in ("empty", "loop", "cut")] == [False] * 3
        ids = policy.codec.encode_response("ha " * 60).token_ids[:-1]
        looping = measures_of(Sample("ha " * 60, ids, 0.0, False), edit, data, policy.codec)
        assert (looping["loop"], looping["cut"], looping["copy"]) == (True, True, False)
        empty = measures_of(policy.codec.encode_response(" "), edit, data, policy.codec)
        assert (empty["empty"], empty["kept"], empty["cost"]) == (True, 0.0, 0.8571)  # 6 / 7

    def test_what_a_line_says_of_surprisal_and_preference(self) -> None:
        line = {"surprisal": 1.5, "base_surprisal": 2.0}
        assert difference_of_surprisal(line) == -0.5
        assert difference_of_surprisal({"surprisal": None, "base_surprisal": None}) is None
        margins = [2.0, 0.0, -0.1, None]
        assert [right({"margin": margin}) for margin in margins] == [1.0, 0.5, 0.0, None]


class TestEstimates:
    def test_a_constant_has_no_width(self) -> None:
        assert estimate(np.full((3, 9), 0.25)) == (0.25, 0.25, 0.25)

    def test_items_count_in_all_seeds_or_in_none(self) -> None:
        values = np.ones((2, 9))
        values[0, 0], values[1, 1] = np.nan, 7.0
        found = estimate(values)
        assert found is not None
        assert found.mean == pytest.approx((15 + 7) / 16)

    def test_few_edits_have_no_interval_and_none_no_mean(self) -> None:
        few, enough = estimate(np.arange(7.0)[None]), estimate(np.arange(8.0)[None])
        assert few is not None
        assert enough is not None
        assert few.mean == 3.0
        assert math.isnan(few.low)
        assert enough.low < 3.5 < enough.high
        assert estimate(np.full((2, 3), np.nan)) is None

    def test_the_interval_of_one_seed_is_that_of_a_mean(self) -> None:
        """Half ones of 400: the standard error is 0.5 / 20 = 0.025."""
        found = estimate(np.tile([0.0, 1.0], 200)[None])
        assert found is not None
        assert found.mean == 0.5
        assert found.high - found.low == pytest.approx(2 * 1.96 * 0.025, rel=0.1)

    def test_seeds_that_differ_widen_it_though_edits_do_not(self) -> None:
        """Of two seeds both draws are the same one with 25 % each."""
        found = estimate(np.repeat([[0.0], [1.0]], 50, axis=1))
        assert found == (0.5, 0.0, 1.0)


def test_all_arms_are_measured_on_the_same_edits_at_the_same_marks(whole: Path) -> None:
    rows = [line["row"] for line in lines_of(whole, "base", 0)]
    assert len(set(rows)) == 8
    for arm in ARMS:
        for edits in (0,) if arm == "base" else (4, 8, 16):
            lines = lines_of(whole, arm, edits)
            assert [line["row"] for line in lines] == rows
            assert ["score" in line for line in lines] == [True] * 4 + [False] * 4
            assert all(line["inserted"] > 0 for line in lines)
            assert not any("draft" in line for line in lines)


def test_the_base_is_the_same_in_every_arm_and_does_not_move(whole: Path) -> None:
    base = [line["surprisal"] for line in lines_of(whole, "base", 0)]
    assert all(line["margin"] is None for line in lines_of(whole, "base", 0))
    for arm in ARMS:
        for edits in (0,) if arm == "base" else (4, 8, 16):
            own = [line["base_surprisal"] for line in lines_of(whole, arm, edits)]
            assert own == pytest.approx(base, abs=1e-4)


@pytest.mark.parametrize("arm", ["sft", "dpo", "coactive"])
def test_a_constant_replacement_is_learned(arm: str, whole: Path) -> None:
    (first, last) = (lines_of(whole, arm, edits) for edits in (4, 16))
    # A step takes eight edits, so that after four nothing is learned.
    assert {line["steps"] for line in first} == {0}
    assert {line["steps"] for line in last} == {2}
    assert [difference_of_surprisal(line) for line in first] == pytest.approx([0.0] * 8, abs=1e-5)
    assert all((difference_of_surprisal(line) or 0) < -0.05 for line in last)
    assert np.mean([right(line) for line in last]) > 0.8


def test_a_memory_holds_the_last_edits_and_says_something_else_than_the_base(whole: Path) -> None:
    for edits in (4, 8, 16):
        lines = lines_of(whole, "memory", edits)
        assert all(abs(difference_of_surprisal(line) or 0) > 1e-3 for line in lines)
        assert {line["steps"] for line in lines} == {0}


def test_distil_learns_behind_past_edits_and_drafts_without(whole: Path) -> None:
    # The first edit has nothing before it to distil: fifteen are a step of eight and one of seven.
    assert {line["steps"] for line in lines_of(whole, "distil", 8)} == {0}
    last = lines_of(whole, "distil", 16)
    assert {line["steps"] for line in last} == {2}
    assert any(abs(difference_of_surprisal(line) or 0) > 1e-4 for line in last)


def timeless(lines: Sequence[Line]) -> list[Line]:
    return [{name: line[name] for name in line if name != "learn_s"} for line in lines]


def test_what_was_stopped_goes_on_to_the_same_lines(
    whole: Path, rude: Path, roomy_model_folder: Path, tmp_path: Path
) -> None:
    content = whole.read_bytes().splitlines(keepends=True)
    cut = next(n for n, line in enumerate(content) if b'"arm": "dpo"' in line) + 3
    out = tmp_path / "edits.jsonl"
    out.write_bytes(b"".join(content[:cut]) + content[cut][:40])
    arms = "base,memory,sft,dpo"
    resumed = played(roomy_model_folder, rude, out, arms=arms)
    end = next(n for n, line in enumerate(content) if b'"arm": "coactive"' in line)
    assert timeless(resumed) == timeless([json.loads(line) for line in content[:end]])
    before = out.read_bytes()
    played(roomy_model_folder, rude, out, arms=arms)
    assert out.read_bytes() == before


def test_seeds_change_the_order_and_not_what_is_held_out(
    whole: Path, rude: Path, roomy_model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "edits.jsonl"
    played(roomy_model_folder, rude, out, "--first-seed", "1", arms="sft")
    first, other = (lines_of(path, "sft", 8) for path in (whole, out))
    assert [line["row"] for line in first] == [line["row"] for line in other]
    assert [line["surprisal"] for line in first] != [line["surprisal"] for line in other]


def test_texts_are_kept_where_they_are_asked_for(
    rude: Path, roomy_model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "edits.jsonl"
    played(roomy_model_folder, rude, out, "--texts", arms="base")
    assert all(line["original"].endswith("you fool") for line in lines_of(out, "base", 0)[:4])


def test_a_report_and_a_figure_say_what_was_measured(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--report", str(whole), "--figure", str(tmp_path / "edits.png")])
    page = capsys.readouterr().out
    assert "Off-policy in every arm" in page
    assert "| base, tiny | 0 |" in page
    assert "0.5 by definition" in page
    assert "| *the human edits* | | " in page
    (measured,) = read_measured([whole])
    found = measured.difference(("sft", "tiny"), 16, "base", lambda line: line["surprisal"])
    own, base = (lines_of(whole, *place) for place in (("sft", 16), ("base", 0)))
    by_hand = np.mean(
        [one["surprisal"] - other["surprisal"] for one, other in zip(own, base, strict=True)]
    )
    assert found is not None
    assert found.mean == pytest.approx(by_hand)
    assert f"{found.mean:+.3f}" in page
    assert {path.name for path in tmp_path.iterdir()} == {"edits.png", "edits.svg", "edits.json"}
    assert (tmp_path / "edits.png").stat().st_size > 10_000


def test_a_cell_that_is_not_finished_is_not_reported(whole: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:12]))
    (measured,) = read_measured([cut])
    assert measured.arms == [("base", "tiny")]
    cut.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:5]))
    with pytest.raises(InputError, match="no cell is finished"):
        read_measured([cut])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rows", "x"], "--out FILE to play, or --report"),
        (["--out", "o", "--arms", "base,head", "--rows", "x"], "no arm 'head'; there are base"),
        (["--out", "o"], "rows of paradetox by --rows"),
        (["--out", "o", "--rows", "x", "--data", "cad"], "give --labelled FILE"),
        (["--out", "o", "--rows", "x", "--test-rows", "y"], "are for CAD"),
        (["--out", "o", "--rows", "x", "--edits", "0"], "at least 1"),
        (["--out", "o", "--rows", "x", "--seeds", "0"], "--seeds must be at least 1"),
        (["--out", "o", "--rows", "x", "--set", "beta=1"], "give --label NAME"),
        (["--out", "o", "--rows", "x", "--memory", "nearest"], "give --label NAME"),
        (["--out", "o", "--rows", "x", "--label", "l", "--set", "beta"], "NAME=VALUE, not 'beta'"),
        (["--out", "o", "--rows", "x", "--label", "l", "--set", "seed=1"], "not for --set"),
        (
            [
                "--out",
                "o",
                "--rows",
                "x",
                "--data",
                "cad",
                "--labelled",
                "y",
                "--direction",
                "both",
            ],
            "they cancel",
        ),
    ],
)
def test_what_cannot_be_played_is_refused_before_a_model_is_loaded(
    flags: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        main(["--model", "none", *flags])
    assert not list(tmp_path.iterdir())


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'rate'"):
        Trial.of("paradetox", SIZES["paradetox"], settings=["rate=1"], label="x")


def test_bad_rows_leave_nothing_half_written(roomy_model_folder: Path, tmp_path: Path) -> None:
    rows = put(tmp_path / "rows.jsonl", [{"text": "a"}])
    out = tmp_path / "deep" / "edits.jsonl"
    with pytest.raises(InputError, match="line 1, field 'original': is missing"):
        played(roomy_model_folder, rows, out)
    assert not out.parent.exists()


def test_settings_reach_the_learners_and_what_arms_depend_on() -> None:
    trial = Trial.of("paradetox", Sizes(7, 5, 5, 48), settings=["beta=0.2"], label="x")
    config = trial.config_of(CellKey(3, "paradetox", "dpo", "x"))
    assert (config.learner, config.beta, config.seed) == ("dpo", 0.2, 3)
    assert (config.preferences_per_step, config.replay_per_step) == (8, 0)
    assert config.max_completion_length == 64
    assert (trial.marks_of("dpo"), trial.lines_of("dpo")) == ([1, 3, 7], 15)
    assert (trial.marks_of("base"), trial.lines_of("base")) == ([0], 5)
    assert "beta" not in trial.about("memory", {})["config"]
    assert trial.about("memory", {})["memory"] == ["last", 3, 1536]
    assert "memory" not in trial.about("sft", {})
    assert named_arms("sft,base,sft") == ["sft", "base"]
