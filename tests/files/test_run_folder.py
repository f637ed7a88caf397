"""The run folder: nothing that was answered is lost, whatever happens to process or disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from corll.errors import InputError, RecordError, RunFolderError
from corll.files import durable
from corll.files.formats import read_preferences
from corll.files.run_folder import (
    JournalingUser,
    RunFolder,
    preferences_of,
    read_config,
    read_journal,
    round_metrics,
)
from corll.records import Acceptance, Draft, Edit, Preference, Round, Sample

CONFIG = {"settings": {"rounds": 4}}


def edit_of(number: int, text: str | None = "Dear Änna,\nthanks") -> Edit:
    talk = [{"role": "user", "content": f"Write {number}."}]
    samples = (Sample("Hi", (3, 4), -1.25, True), Sample("Yo", (5,), None, False))
    return Edit(Draft(talk, samples, choice=1, scores=(0.1, 1 / 3), seed=2**40 + number), text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run"


class Scripted:
    def __init__(self, answers: list[str | None]) -> None:
        self.answers = answers

    def edit(self, draft: Draft) -> str | None:
        return self.answers.pop(0)


class TestJournal:
    def test_answers_read_back_as_they_were(self, path: Path) -> None:
        edits = [edit_of(1), edit_of(2, None), edit_of(3, "Yo")]
        with RunFolder.create(path, CONFIG) as folder:
            for edit in edits:
                folder.append(edit)
        with RunFolder.reopen(path) as folder:
            assert folder.edits == edits
            assert folder.notices == []
        assert read_config(path) == CONFIG

    def test_a_torn_last_line_is_dropped_with_a_notice(self, path: Path) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            folder.append(edit_of(1))
            folder.append(edit_of(2))
        journal = path / "rounds.jsonl"
        whole = journal.read_bytes()
        first = whole.index(b"\n") + 1
        for cut in (*range(first + 1, len(whole), 11), len(whole) - 1):
            journal.write_bytes(whole[:cut])
            assert read_journal(path) == [edit_of(1)]
            with RunFolder.reopen(path) as folder:
                assert len(folder.notices) == 1
                assert "cut short" in folder.notices[0]
                folder.append(edit_of(2))
            assert journal.read_bytes() == whole

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("{", "not JSON"),
            ("[]", "not a JSON object"),
            ("{}", "not an answered draft"),
            ('{"number": 2, "draft": 3, "text": "x"}', "not an answered draft"),
            (json.dumps({"number": 3, "text": None}), "not an answered draft"),
        ],
    )
    def test_any_other_malformed_line_is_named(self, path: Path, line: str, problem: str) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            folder.append(edit_of(1))
        with (path / "rounds.jsonl").open("a") as journal:
            journal.write(line + "\n")
        with pytest.raises(RecordError, match=rf"rounds\.jsonl, line 2.*{problem}"):
            RunFolder.reopen(path)
        (path / "rounds.jsonl").unlink()
        RunFolder.reopen(path).close()  # The refusal gave the lock back.

    def test_a_missing_line_is_noticed(self, path: Path) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            for number in (1, 2, 3):
                folder.append(edit_of(number))
        lines = (path / "rounds.jsonl").read_bytes().splitlines(keepends=True)
        (path / "rounds.jsonl").write_bytes(lines[0] + lines[2])
        with pytest.raises(RecordError, match="line 2, field 'number': must be 2, not 3"):
            read_journal(path)

    def test_what_could_not_be_learned_from_is_not_written(self, path: Path) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            for text in ("", "\x1b[0m", "\ud800"):
                with pytest.raises(InputError):
                    folder.append(edit_of(1, text))
            assert folder.edits == read_journal(path) == []

    def test_the_journaling_user_writes_before_it_answers(self, path: Path) -> None:
        def refuse_long(edit: Edit) -> None:
            if edit.text is not None and len(edit.text) > 5:
                raise InputError("too long")

        with RunFolder.create(path, CONFIG) as folder:
            user = JournalingUser(
                Scripted(["Hey", None, "Far too long"]), folder, check=refuse_long
            )
            draft = edit_of(1).draft
            assert user.edit(draft) == "Hey"
            assert read_journal(path) == [Edit(draft, "Hey")]
            assert user.edit(draft) is None
            with pytest.raises(InputError, match="too long"):
                user.edit(draft)
            assert read_journal(path) == [Edit(draft, "Hey"), Edit(draft, None)]


class TestLock:
    def test_a_second_process_is_refused(self, path: Path) -> None:
        name = "corll.files.run_folder"
        program = f"import sys; from {name} import RunFolder; RunFolder.reopen(sys.argv[1])"
        again = [sys.executable, "-c", program, str(path)]
        with RunFolder.create(path, CONFIG):
            refused = subprocess.run(again, capture_output=True, text=True)
            assert "RunFolderError" in refused.stderr
            assert "in use by another process" in refused.stderr
        assert subprocess.run(again).returncode == 0

    def test_a_run_is_not_begun_over_another(self, path: Path) -> None:
        RunFolder.create(path, CONFIG).close()
        with pytest.raises(RunFolderError, match=r"already holds a run.*--resume"):
            RunFolder.create(path, CONFIG)

    def test_only_a_run_is_resumed(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match="holds no run"):
            RunFolder.reopen(tmp_path / "nothing")
        assert not (tmp_path / "nothing").exists()
        (tmp_path / "config.json").write_text("[]")
        with pytest.raises(RunFolderError, match="not a JSON object"):
            RunFolder.reopen(tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(RunFolderError, match="cannot be read"):
            RunFolder.reopen(tmp_path)


class TestDiskTrouble:
    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(RunFolderError, match=r"cannot be written.*Choose another"):
            RunFolder.create(tmp_path / "file" / "run", CONFIG)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
    def test_a_full_disk_says_what_is_safe(self, path: Path) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            folder.append(edit_of(1))
            (path / "rounds.jsonl").rename(path / "kept")
            (path / "rounds.jsonl").symlink_to("/dev/full")
            with pytest.raises(RunFolderError, match=r"No space left.*first 1 answered.*--resume"):
                folder.append(edit_of(2))
            assert folder.edits == [edit_of(1)]
            (path / "metrics.jsonl").symlink_to("/dev/full")
            with pytest.raises(RunFolderError, match="No space left"):
                folder.append_metrics({"round": 1})

    def test_an_adapter_that_cannot_be_written_leaves_the_old_one(self, path: Path) -> None:
        def fail(target: Path) -> None:
            target.mkdir()
            (target / "half").write_text("half")
            raise OSError(28, "No space left on device")

        with RunFolder.create(path, CONFIG) as folder:
            folder.checkpoint(lambda target: write_adapter(target, "one"))
            with pytest.raises(
                RunFolderError, match=r"adapter could not be written.*No space left"
            ):
                folder.checkpoint(fail)
        with RunFolder.reopen(path) as folder:
            assert (folder.adapter / "weights").read_text() == "one"
            assert not list(path.glob(".adapter.*"))


def write_adapter(target: Path, content: str) -> None:
    target.mkdir()
    (target / "weights").write_text(content)


class Killed(BaseException):
    """Stands for the end of the process at this very moment."""


class TestCheckpoint:
    @pytest.mark.parametrize("moment", range(12))
    def test_a_crash_leaves_the_old_adapter_or_the_new(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
    ) -> None:
        """The process ends before the n-th file operation of a checkpoint, for every n."""
        with RunFolder.create(path, CONFIG) as folder:
            folder.checkpoint(lambda target: write_adapter(target, "old"))
        countdown = iter(range(moment, -1, -1))

        def tick(*_: Any) -> None:
            if next(countdown, 0) == 0:
                raise Killed

        with RunFolder.reopen(path) as folder, monkeypatch.context() as patched:
            for module, name in ((Path, "rename"), (durable.shutil, "rmtree"), (os, "fsync")):
                original = getattr(module, name)

                def wrapper(*args: Any, original: Any = original, **options: Any) -> Any:
                    tick()
                    return original(*args, **options)

                patched.setattr(module, name, wrapper)
            finished = True
            try:
                folder.checkpoint(lambda target: write_adapter(target, "new"))
            except Killed:
                finished = False
        with RunFolder.reopen(path) as folder:
            content = (folder.adapter / "weights").read_text()
            assert content == "new" if finished else content in ("old", "new")
            assert not list(path.glob(".adapter.*"))

    def test_preferences_are_rendered_with_it(self, path: Path) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            for edit in (edit_of(1), edit_of(2, None), edit_of(3, "Yo\n"), edit_of(4, "Hello  ")):
                folder.append(edit)
            folder.checkpoint(lambda target: write_adapter(target, "one"))
            preferences = preferences_of(folder.edits)
        assert [p.chosen for p in preferences] == ["Dear Änna,\nthanks", "Hello"]
        assert [p.rejected for p in preferences] == [edit_of(1).draft.sample] * 2
        assert read_preferences(path / "preferences.jsonl") == [
            Preference(p.prompt, chosen=p.chosen, rejected="Yo") for p in preferences
        ]


class TestMetrics:
    def test_a_line_a_round(self) -> None:
        edit = edit_of(1, "Yo!")
        played = Round(1, edit, Preference("", "Yo!", "Yo"), {"loss": 0.5})
        line = round_metrics(played, step=1)
        assert line["edit_cost"] == pytest.approx(1 / 3)
        assert (line["round"], line["step"], line["loss"]) == (1, 1, 0.5)
        assert not line["accepted"]
        accepted = round_metrics(Round(2, edit_of(2, "Yo"), Acceptance(edit.draft)), step=1)
        assert (accepted["edit_cost"], accepted["accepted"]) == (0.0, True)
        assert round_metrics(Round(3, edit_of(3, None), None), step=1) == {"round": 3, "step": 1}

    def test_what_is_played_again_is_dropped(self, path: Path) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            lines = [{"round": n, "step": n // 2} for n in (1, 2, 3, 4)]
            for line in [*lines, {"round": 4, "step": 3}]:
                folder.append_metrics(line)
            folder.keep_metrics_until(rounds=4, steps=2)
            assert folder.metrics() == lines
            folder.keep_metrics_until(rounds=2, steps=1)
            assert folder.metrics() == lines[:2]

    def test_a_torn_line_does_no_harm(self, path: Path) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            folder.append_metrics({"round": 1, "step": 0})
            with (path / "metrics.jsonl").open("a") as file:
                file.write('{"round": 2, "st')
            folder.keep_metrics_until(rounds=5, steps=5)
            folder.append_metrics({"round": 2, "step": 0})
            assert [line["round"] for line in folder.metrics()] == [1, 2]

    def test_held_out_records_read_back(self, path: Path) -> None:
        with RunFolder.create(path, CONFIG) as folder:
            assert folder.held_out() == []
            folder.write_held_out([{"phase": "before", "text": "é"}])
            assert folder.held_out() == [{"phase": "before", "text": "é"}]
