"""Arms see the same, a stopped check goes on as if it had not been, and learning is as served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

import taught
from check_arms import Check
from corll.errors import ConfigError, InputError
from corll.memory.choosing import MemorySettings
from corll.policy import Policy
from corll.records import Draft
from corll.service.learning.checks import OfReferences
from learn_check import main
from taught import Pupil
from tiny_models import weights
from writers_desk import WritersDesk, named_writers

TIMES = ("draft_s", "step_s", "examination_s")
SHORT = ["max_completion_length=12", "replay_per_step=2"]
Line = dict[str, Any]


def played(model: Path, out: Path, *flags: str, settings: list[str] = SHORT) -> list[Line]:
    """Play a few edits with the tiny model; return all lines of the file."""
    asked = ["--model", str(model), "--out", str(out), "--edits", "4", "--held-out", "2"]
    main([*asked, "--label", "tiny", "--veto", "2", *flags, "--set", *settings])
    return lines_of(out)


def lines_of(out: Path) -> list[Line]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def drafts_of(lines: list[Line], writer: str, arm: str, *, held_out: bool = False) -> list[Line]:
    return [
        line
        for line in lines
        if (line["writer"], line["arm"]) == (writer, arm)
        and "cell" not in line
        and line.get("held_out", False) == held_out
    ]


def timeless(lines: list[Line]) -> list[Line]:
    return [{name: line[name] for name in line if name not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def whole(roomy_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of two writers in all arms."""
    out = tmp_path_factory.mktemp("whole") / "check.jsonl"
    played(roomy_model_folder, out, "--writers", "frame,bullets")
    return out


def test_all_arms_are_asked_the_same_in_the_same_order(whole: Path) -> None:
    lines = lines_of(whole)
    for writer in ("frame", "bullets"):
        for held_out, count in ((False, 4), (True, 2)):
            base = drafts_of(lines, writer, "base", held_out=held_out)
            assert [line["edit"] for line in base] == list(range(1, count + 1))
            for arm in ("memory", "weights", "both"):
                own = drafts_of(lines, writer, arm, held_out=held_out)
                for field in ("seed", "edit", "request", "alone"):
                    assert [line[field] for line in own] == [line[field] for line in base]


def test_drafts_are_drawn_by_the_same_seeds_in_every_arm() -> None:
    none, last = (
        WritersDesk("frame", MemorySettings(choice), seed=3, edits=5, held=2)
        for choice in ("none", "last")
    )
    seeds = [none.draft_seed(number) for number in range(5)]
    assert seeds == [last.draft_seed(number) for number in range(5)]
    assert len({*seeds, none.held_out_seed(0), none.held_out_seed(1)}) == 7
    other = WritersDesk("frame", MemorySettings(), seed=4, edits=5, held=2)
    assert other.draft_seed(0) != seeds[0]
    assert other.requests != none.requests == last.requests


def test_arms_are_alike_until_there_is_something_to_remember_or_learned(whole: Path) -> None:
    lines = lines_of(whole)
    for writer in ("frame", "bullets"):
        by_arm = {arm: drafts_of(lines, writer, arm) for arm in ("base", "memory", "weights")}
        firsts = [drafts[0]["draft"] for drafts in by_arm.values()]
        assert len(set(firsts)) == 1
        base, weights_arm = by_arm["base"], by_arm["weights"]
        assert base[1]["draft"] == weights_arm[1]["draft"]  # a step takes two edits
        assert by_arm["memory"][1]["draft"] != base[1]["draft"]


def test_a_memory_holds_what_was_sent_before_and_only_in_arms_that_remember(whole: Path) -> None:
    lines = lines_of(whole)
    for arm in ("memory", "both"):
        first, second, third, fourth = drafts_of(lines, "frame", arm)
        assert first["memory"] == []
        assert (second["memory"], third["memory"]) == (["1"], ["1", "2"])
        assert fourth["memory"] == ["1", "2", "3"]
        assert all(line["memory"] for line in drafts_of(lines, "frame", arm, held_out=True))
    for arm in ("base", "weights"):
        assert not any(line["memory"] for line in drafts_of(lines, "frame", arm))


def test_each_second_edit_makes_a_version_and_the_next_draft_is_by_it(whole: Path) -> None:
    lines = drafts_of(lines_of(whole), "frame", "weights")
    assert [line["made"] for line in lines] == [None, 1, None, 2]
    served = 0
    for line in lines:
        assert line["version"] == served
        if line["made"] and not line["rejected"]:
            served = line["made"]
    held_out = drafts_of(lines_of(whole), "frame", "weights", held_out=True)
    assert {line["version"] for line in held_out} == {served}
    assert not any("made" in line for line in drafts_of(lines_of(whole), "frame", "base"))


def test_what_was_stopped_goes_on_to_the_same_lines(
    whole: Path, roomy_model_folder: Path, tmp_path: Path
) -> None:
    content = whole.read_bytes().splitlines(keepends=True)
    cut = next(n for n, line in enumerate(content) if b'"arm": "both"' in line) + 3
    out = tmp_path / "check.jsonl"
    out.write_bytes(b"".join(content[:cut]) + content[cut][:40])
    resumed = played(roomy_model_folder, out, "--writers", "frame,bullets")
    assert timeless(resumed) == timeless(lines_of(whole))
    before = out.read_bytes()
    assert before.startswith(b"".join(content[: cut - 3]))
    played(roomy_model_folder, out, "--writers", "frame,bullets")
    assert out.read_bytes() == before


def test_a_stop_among_arms_that_are_drafted_together_plays_them_again(
    whole: Path, roomy_model_folder: Path, tmp_path: Path
) -> None:
    content = whole.read_bytes().splitlines(keepends=True)
    out = tmp_path / "check.jsonl"
    out.write_bytes(b"".join(content[:7]))
    resumed = played(roomy_model_folder, out, "--writers", "frame,bullets")
    assert timeless(resumed) == timeless(lines_of(whole))


def test_cells_of_other_settings_are_not_mixed(
    whole: Path, roomy_model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "check.jsonl"
    out.write_bytes(whole.read_bytes())
    with pytest.raises(InputError, match=r"learning_rate: 0.0004, not 0.1.*another --label"):
        played(roomy_model_folder, out, "--writers", "frame", settings=[*SHORT, "learning_rate=.1"])
    assert out.read_bytes() == whole.read_bytes()
    # What a base doesn't depend on may differ.
    flags = ("--writers", "frame", "--arms", "base,memory")
    played(roomy_model_folder, out, *flags, settings=[*SHORT, "learning_rate=.1"])
    assert out.read_bytes() == whole.read_bytes()


def test_two_processes_do_not_play_into_one_file(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "check.jsonl"
    out.write_bytes(whole.read_bytes())
    with FileLock(f"{out}.lock"), pytest.raises(InputError, match="a file of its own"):
        main(["--model", "none", "--out", str(out)])
    assert out.read_bytes() == whole.read_bytes()


def test_a_learner_that_needs_a_memory_has_one_though_drafts_go_without(
    roomy_model_folder: Path, tmp_path: Path
) -> None:
    settings = [*SHORT, "learner=distil", "distil_texts=edit"]
    out = tmp_path / "check.jsonl"
    flags = ("--writers", "frame", "--arms", "weights", "--veto", "none")
    lines = drafts_of(
        played(roomy_model_folder, out, *flags, settings=settings), "frame", "weights"
    )
    assert not any(line["memory"] for line in lines)
    # The first edit has no letter before it, so it teaches nothing.
    assert [line["made"] for line in lines] == [None, None, 1, None]


@pytest.mark.parametrize("setting", ["learn_with_memory=true", "learner=distil", "learner=sft"])
def test_other_learners_play_behind_a_memory(
    setting: str, roomy_model_folder: Path, tmp_path: Path
) -> None:
    flags = ("--writers", "frame", "--arms", "both", "--veto", "none")
    out = tmp_path / "check.jsonl"
    lines = played(roomy_model_folder, out, *flags, settings=[*SHORT, setting])
    name, value = setting.split("=")
    assert str(lines[0]["cell"]["config"][name]).lower() == value
    assert any(line["made"] for line in drafts_of(lines, "frame", "both"))


@pytest.fixture
def pupil(policy: Policy) -> Iterator[Pupil]:
    check = Check.as_served(label="tiny").with_settings(["learning_rate=0.01", "warmup_steps=0"])
    with Pupil(policy, check.config, check.lora, veto=0, of_references=OfReferences()) as made:
        yield made


def teach(pupil: Pupil, *texts: str) -> taught.Taught:
    drafted = pupil.policy.codec.encode_response("Hello there, a note.")
    for text in texts:
        result = pupil.take(Draft("Write to Anna.", (drafted,)), text)
    return result


def test_a_rejected_version_leaves_no_trace(pupil: Pupil, monkeypatch: pytest.MonkeyPatch) -> None:
    new = weights(pupil.policy)
    monkeypatch.setattr(taught, "reasons_against", lambda version: ["it says nothing"])
    found = teach(pupil, "Dear Anna, one.", "Dear Anna, two.")
    assert (found.made, list(found.rejected)) == (1, ["it says nothing"])
    assert (pupil.serving, pupil.learner.steps_taken) == (0, 0)
    torch.testing.assert_close(weights(pupil.policy), new, rtol=0, atol=0)
    assert not pupil.learner.buffer.past
    assert not len(pupil.learner.buffer)

    monkeypatch.setattr(taught, "reasons_against", lambda version: [])
    assert teach(pupil, "Dear Anna, three.", "Dear Anna, four.").made == 2
    served = weights(pupil.policy)
    state = {n: kept.clone() for n, kept in pupil.learner.optimizer._state().items()}
    assert (pupil.serving, pupil.learner.steps_taken) == (2, 1)
    assert any(not torch.equal(served[name], new[name]) for name in new)

    monkeypatch.setattr(taught, "reasons_against", lambda version: ["it loops"])
    teach(pupil, "Dear Anna, five.", "Dear Anna, six.")
    assert (pupil.serving, pupil.learner.steps_taken) == (2, 1)
    torch.testing.assert_close(weights(pupil.policy), served, rtol=0, atol=0)
    torch.testing.assert_close(pupil.learner.optimizer._state(), state, rtol=0, atol=0)
    kept = [one.chosen.text for one in pupil.learner.buffer.past]  # type: ignore[union-attr]
    assert kept == ["Dear Anna, three.", "Dear Anna, four."]


def test_the_examination_sees_what_the_services_does(
    pupil: Pupil, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def look(version: Any) -> list[str]:
        seen.append(version)
        return []

    monkeypatch.setattr(taught, "reasons_against", look)
    teach(pupil, *(f"Dear Anna, {number}." for number in range(6)))
    assert [len(version.learned) for version in seen] == [2, 2, 2]
    assert [len(version.past) for version in seen] == [0, 2, 4]
    assert [version.parent is None for version in seen] == [True, False, False]
    parent = weights(seen[-1].parent)
    teach(pupil, "Dear Anna, yes.")
    torch.testing.assert_close(parent, weights(pupil.policy), rtol=0, atol=0)


def test_an_acceptance_and_an_edit_that_cannot_be_used_teach_nothing(pupil: Pupil) -> None:
    assert teach(pupil, "Hello there, a note.").made is None
    assert "empty" in (teach(pupil, " ").set_aside or "")
    assert not len(pupil.learner.buffer)


def test_settings_reach_the_learner_and_the_adapter() -> None:
    check = Check.as_served(label="x").with_settings(
        ["preference_weight=0", "sft_tokens=all", "learn_with_memory=true", "lora_r=4"]
    )
    assert check.config.preference_weight == 0
    assert check.config.sft_tokens == "all"
    assert check.config.learn_with_memory
    assert check.lora.lora_r == 4
    assert check.about("both")["config"]["preference_weight"] == 0
    assert "preference_weight" not in check.about("memory")["config"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--writers", "tom"], "no writer 'tom'; there are choose, judge, all, frame"),
        (["--arms", "base,head"], "no arm 'head'; there are base, memory, weights, both"),
        (["--set", "rate=1", "--label", "x"], "no setting 'rate'; there are adam_beta1"),
        (["--set", "learning_rate", "--label", "x"], "NAME=VALUE, not 'learning_rate'"),
        (["--set", "seed=1", "--label", "x"], "--first-seed"),
        (["--set", "learning_rate=1e-3"], "--label NAME"),
        (["--edits", "97"], "96 train requests; 97 were asked for"),
        (["--held-out", "33"], "32 held_out requests; 33 were asked for"),
        (["--edits", "0"], "at least 1"),
        (["--seeds", "0"], "at least 1"),
        (["--veto", "-1"], "0 or more"),
    ],
)
def test_what_cannot_be_played_is_refused_before_a_model_is_loaded(
    flags: list[str], said: str, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "check.jsonl"
    with pytest.raises(InputError, match=said):
        main(["--model", "none", "--out", str(out), *flags])
    assert not out.parent.exists()


def test_a_value_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    out = str(tmp_path / "check.jsonl")
    with pytest.raises(ConfigError, match="learner"):
        main(["--model", "none", "--out", out, "--set", "learner=guess", "--label", "x"])


def test_either_is_played_or_reported(tmp_path: Path) -> None:
    for flags in ([], ["--out", "x", "--report", "y"]):
        with pytest.raises(InputError, match="--out FILE to play, or --report"):
            main(flags)
    with pytest.raises(InputError, match="holds no drafts"):
        main(["--report", str(tmp_path / "none.jsonl")])


def test_writers_are_named_by_halves_or_by_name() -> None:
    assert named_writers("judge") == [
        "sentence", "signs", "formal", "bullets", "spelling", "moods",
    ]  # fmt: skip
    assert len(named_writers("all")) == 12
    assert named_writers("signs,frame,signs") == ["signs", "frame"]
    assert len(WritersDesk("frame", MemorySettings(), 0, edits=96, held=32).requests) == 96
