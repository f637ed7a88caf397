"""Rounds are the same in every arm, a stopped run goes on, and CIPHER says what its words cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import round_figure
from check_lines import CellKey
from corll.errors import InputError
from round_arms import ARMS, DEFAULT_ARMS, about_cell, named_users, rounds_check
from round_command import main

Line = dict[str, Any]
TIMES = ("draft_s", "step_s", "examination_s", "rule_s")
USERS = ("brisk", "starred")


def played(model: Path, out: Path, *flags: str) -> list[Line]:
    """Play a few rounds with the tiny model; return all lines of the file."""
    asked = ["--model", str(model), "--out", str(out), "--users", ",".join(USERS), "--rounds", "4"]
    settings = ["max_completion_length=12", "replay_per_step=2"]
    main([*asked, "--label", "tiny", "--veto", "2", *flags, "--set", *settings])
    return lines_of(out)


def lines_of(out: Path) -> list[Line]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def rounds_of(lines: list[Line], user: str, arm: str) -> list[Line]:
    return [
        line
        for line in lines
        if (line["writer"], line["arm"]) == (user, arm) and "cell" not in line
    ]


def timeless(lines: list[Line]) -> list[Line]:
    return [{name: line[name] for name in line if name not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def whole(roomy_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of two users in the six arms."""
    out = tmp_path_factory.mktemp("whole") / "rounds.jsonl"
    played(roomy_model_folder, out)
    return out


def test_each_arm_has_the_same_requests_in_the_same_order(whole: Path) -> None:
    lines = lines_of(whole)
    for user in USERS:
        base = rounds_of(lines, user, "base")
        assert [line["edit"] for line in base] == [1, 2, 3, 4]
        for arm in DEFAULT_ARMS:
            own = rounds_of(lines, user, arm)
            assert [line["request"] for line in own] == [line["request"] for line in base]
            assert all(line["prompt_tokens"] > 0 for line in own)
        # Nothing is known in the first round, so these arms are alike in it.
        firsts = {rounds_of(lines, user, arm)[0]["draft"] for arm in DEFAULT_ARMS if arm != "auto"}
        assert len(firsts) == 1


def test_what_serves_by_default_may_have_the_nearest_letters_instead() -> None:
    check = rounds_check(4, "here")
    served = ("auto", "auto-nearest")
    default, nearest = (about_cell(CellKey(0, "brisk", arm, "here"), check) for arm in served)
    assert default["memory"][0] == "last"
    assert nearest == {**default, "memory": ["nearest", *default["memory"][1:]]}


def test_each_arm_has_a_line_of_its_own_in_the_figure() -> None:
    assert set(round_figure.COLOURS) == set(ARMS)
    assert len(set(round_figure.COLOURS.values())) == len(ARMS)


def test_letters_stand_before_requests_in_the_arms_that_have_them(whole: Path) -> None:
    lines = lines_of(whole)
    for arm, letters in (("last", True), ("nearest", True), ("base", False), ("cipher", False)):
        own = rounds_of(lines, "brisk", arm)
        assert not own[0]["memory"]
        assert bool(own[3]["memory"]) == letters
        longer = own[3]["prompt_tokens"] > rounds_of(lines, "brisk", "base")[3]["prompt_tokens"]
        assert longer == (letters or (arm == "cipher" and bool(own[3]["told"])))


def test_cipher_tells_its_rules_where_they_are_from_and_their_tokens(whole: Path) -> None:
    for user in USERS:
        known: dict[str, str] = {}
        for line in rounds_of(lines_of(whole), user, "cipher"):
            with_rules = {number for number, rule in known.items() if rule}
            assert set(line["told_from"]) == with_rules
            assert bool(line["told"]) == bool(with_rules)
            assert line["draft"] != line["sent"]
            assert line["rule_tokens"] > 0
            known[str(line["edit"])] = line["rule"]
    abouts = [line for line in lines_of(whole) if "cell" in line and line["arm"] == "cipher"]
    assert all(about["cell"]["nearest_rules"] == 5 for about in abouts)
    assert all(about["parameters"] > 0 for about in abouts)


def test_weights_learn_and_the_service_chooses(whole: Path) -> None:
    lines = lines_of(whole)
    assert [line["made"] for line in rounds_of(lines, "brisk", "weights")] == [None, 1, None, 2]
    assert all("drafted_by" in line for line in rounds_of(lines, "brisk", "auto"))


def test_a_stopped_run_goes_on_with_the_cells_that_are_not_finished(
    whole: Path, roomy_model_folder: Path, tmp_path: Path
) -> None:
    content = whole.read_bytes().splitlines(keepends=True)
    cut = max(n for n, line in enumerate(content) if b'"arm": "nearest"' in line) - 1
    out = tmp_path / "rounds.jsonl"
    out.write_bytes(b"".join(content[:cut]) + content[cut][:30])
    resumed = played(roomy_model_folder, out)
    assert timeless(resumed) == timeless(lines_of(whole))
    before = out.read_bytes()
    assert before.startswith(b"".join(content[: cut - 4]))
    played(roomy_model_folder, out)
    assert out.read_bytes() == before


def test_other_rounds_are_not_mixed_in(whole: Path, roomy_model_folder: Path) -> None:
    before = whole.read_bytes()
    with pytest.raises(InputError, match="edits: 4, not 5"):
        played(roomy_model_folder, whole, "--rounds", "5")
    assert whole.read_bytes() == before


def test_a_small_model_says_that_it_is_no_describer(
    whole: Path, roomy_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played(roomy_model_folder, whole, "--arms", "cipher")
    assert "too few to say in words" in capsys.readouterr().out
    played(roomy_model_folder, whole, "--arms", "base")
    assert "too few" not in capsys.readouterr().out


def test_what_was_played_is_reported(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_of(whole)
    out = tmp_path / "rounds.jsonl"
    out.write_text("".join(json.dumps({**one, "label": "defaults"}) + "\n" for one in lines))
    main(["--report", str(out), "--figure", str(tmp_path / "rounds.png"), "--against", "nearest"])
    text = capsys.readouterr().out
    assert "Each arm against nearest" in text
    assert "| cost by user | base | last | weights | auto | cipher |" in text
    assert (tmp_path / "rounds.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--users", "tom"], "no user 'tom'; there are all, brisk, cheerful"),
        (["--users", "frame"], "no user 'frame'"),
        (["--arms", "base,memory"], "no arm 'memory'; there are base, last, nearest, weights"),
        (["--rounds", "129"], "128 train and held_out requests; 129 were asked for"),
        (["--rounds", "0"], "at least 1"),
        (["--seeds", "0"], "at least 1"),
        (["--set", "learning_rate=1"], "--label NAME"),
    ],
)
def test_what_cannot_be_played_is_refused_before_a_model_is_loaded(
    flags: list[str], said: str, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "rounds.jsonl"
    with pytest.raises(InputError, match=said):
        main(["--model", "none", "--out", str(out), *flags])
    assert not out.parent.exists()


def test_either_is_played_or_reported() -> None:
    with pytest.raises(InputError, match="--out FILE to play, or --report"):
        main([])


def test_the_six_arms_are_played_and_others_where_they_are_named() -> None:
    assert set(ARMS) - set(DEFAULT_ARMS) == {"both", "auto-nearest"}
    assert len(named_users("all")) == 12
    assert named_users("clerk,brisk,clerk") == ["clerk", "brisk"]
