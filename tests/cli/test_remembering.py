"""Texts that were sent before, before the prompts of `corll draft` and `corll learn`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from corll.cli import main
from corll.cli.draft import DraftSettings
from corll.cli.remembering import letters_of_run
from corll.evaluation import question
from corll.files.run_folder import JournalingUser, read_journal
from corll.frames import Framing
from corll.memory.choosing import MemorySettings, choose
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Draft, Edit, Prompt

SMALL = ("--dtype", "float32", "--max-completion-length", "3")
LETTERS = [
    {"prompt": "Is the kettle in?", "sent": "The kettle is in. Anna"},
    {"prompt": "Tuesday?", "sent": "Thursday, please. Anna", "hint": "no, Thu"},
    {"prompt": "Late?", "sent": "On Friday. Anna"},
    {"prompt": "Coming?", "sent": "Gladly. Anna"},
]
LEARN = (
    *("--user", "letter", "--held-out-count", "0", "--drafts-at-once", "3", "--rounds", "8"),
    *("--preferences-per-step", "2", "--learning-rate", "0.01", *SMALL),
)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    path = tmp_path / "letters.jsonl"
    path.write_text("\n".join(map(json.dumps, LETTERS)))
    return path


Drafted = Callable[..., dict[str, Any]]


@pytest.fixture
def drafted(roomy_model_folder: Path, capsys: pytest.CaptureFixture[str]) -> Drafted:
    """The one draft that the command prints."""

    def draft(*flags: object) -> dict[str, Any]:
        command = ["draft", "The kettle?", *map(str, flags), "--json", *SMALL]
        if "--adapter" not in flags:
            command += ["--model", str(roomy_model_folder)]
        assert main(command) == 0, capsys.readouterr().err
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return draft


def texts(draft: dict[str, Any]) -> list[str]:
    return [exchange["text"] for exchange in draft["memory"]]


class TestDraft:
    def test_it_is_drawn_behind_the_letters_of_a_file(
        self, drafted: Drafted, letters: Path, roomy_model_folder: Path
    ) -> None:
        def drawn(prompt: Prompt) -> list[int]:
            sampling = DraftSettings(prompts=()).coactive().sampling
            return list(policy.sample([prompt], 1, 3, 0, sampling=sampling)[0][0].token_ids)

        letters.write_text("\n".join(map(json.dumps, [LETTERS[0], LETTERS[2]])))
        policy = Policy.load(roomy_model_folder, dtype="float32")
        past = [Exchange(LETTERS[n]["prompt"], LETTERS[n]["sent"]) for n in (0, 2)]
        remembering = drafted("--memory", "last", "--letters", letters)
        alone = drafted()
        assert remembering["prompt"] == alone["prompt"] == "The kettle?"
        found = [draft["candidates"][0]["token_ids"] for draft in (remembering, alone)]
        whole = with_memory("The kettle?", past)
        assert found == [drawn(whole), drawn("The kettle?")]
        assert found[0] != found[1]

    def test_the_nearest_and_as_many_as_are_wanted(self, drafted: Drafted, letters: Path) -> None:
        framed = ("--frame", "reply", "--letters", letters)
        found = drafted(*framed, "--memory", "nearest", "--memory-texts", 1)
        assert texts(found) == ["The kettle is in. Anna"]
        asked = found["memory"][0]["prompt"]
        assert asked == Framing("reply").around("Is the kettle in?")
        assert texts(drafted(*framed, "--memory", "nearest", "--memory-tokens", 1)) == []
        last = drafted(*framed, "--memory", "last", "--memory-texts", 1)
        assert texts(last) == ["Gladly. Anna"]
        few = letters.read_text().splitlines()[:2]
        letters.write_text("\n".join(few))
        examples = [one.text for one in worked_examples(Framing("reply"))]
        sent = [letter["sent"] for letter in LETTERS[:2]]
        assert texts(drafted(*framed, "--memory", "last")) == [*examples, *sent]

    def test_it_is_drawn_behind_the_letters_of_the_adapters_run(
        self,
        drafted: Drafted,
        roomy_model_folder: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        run = tmp_path / "run"
        learn = ["learn", "--model", str(roomy_model_folder), "--output", str(run), *LEARN]
        assert main(learn) == 0
        capsys.readouterr()
        sent = [one.text for one in letters_of_run(read_journal(run))]
        assert len(sent) == 8
        adapter = ("--adapter", run / "adapter")
        found = drafted(*adapter, "--memory", "last", "--memory-texts", 2)
        assert texts(found) == sent[-2:]
        assert texts(drafted(*adapter)) == []
        other = ["draft", "Hi", "--frame", "reply", "--memory", "last", *map(str, adapter)]
        assert main(other) == 2
        assert "asked for with --frame none" in capsys.readouterr().err

    def test_what_the_context_has_no_room_for_is_left_out_and_said(
        self, tiny_model_folder: Path, letters: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        long = {"prompt": "Why?", "sent": "Because it is late. " * 200}
        letters.write_text("\n".join(map(json.dumps, [long, LETTERS[3]])))
        flags = ["--model", str(tiny_model_folder), "--memory", "last", "--letters", str(letters)]
        flags += ["--memory-tokens", "10000"]
        assert main(["draft", "Coming?", *flags, "--json", *SMALL]) == 0
        shown = capsys.readouterr()
        assert texts(json.loads(shown.out)) == ["Gladly. Anna"]
        assert "Before prompt 1 stand 1 of 2 texts" in shown.err

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--memory", "last"], "needs texts that were sent before: name a file"),
            (["--letters", "{letters}"], "with a --memory alone: last, nearest or similar"),
            (["--letters", "nowhere.jsonl", "--memory", "last"], "cannot be read"),
            (["--letters", "{letters}", "--memory", "last"], "text 2: There is a hint but no"),
            (
                ["--letters", "{letters}", "--memory", "last", "--frame", "reply"],
                "no chat template",
            ),
            (["--adapter", "{folder}", "--memory", "last"], "is of no run of `corll learn`"),
        ],
    )
    def test_what_cannot_be_is_one_line(
        self,
        tiny_gpt2_folder: Path,
        letters: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        flags: list[str],
        said: str,
    ) -> None:
        (tmp_path / "an-adapter").mkdir()
        given = [flag.format(letters=letters, folder=tmp_path / "an-adapter") for flag in flags]
        assert main(["draft", "Hi", "--model", str(tiny_gpt2_folder), *given, *SMALL]) == 2
        error = capsys.readouterr().err
        assert any(part in error for part in said.split("|"))
        assert error.count("\n") == 1

    @pytest.mark.parametrize("command", [["draft", "Hi"], ["learn"]])
    def test_an_unknown_memory_is_refused_with_those_there_are(
        self, command: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            main([*command, "--memory", "all"])
        error = capsys.readouterr().err
        assert all(name in error for name in ("none", "last", "nearest"))


class TestLearn:
    REMEMBERING = ("--memory", "last", "--memory-texts", "2")

    def play(self, model: Path, run: Path, *flags: str) -> int:
        return main(["learn", "--model", str(model), "--output", str(run), *LEARN, *flags])

    def test_each_draft_has_the_texts_of_earlier_rounds_of_its_run(
        self, roomy_model_folder: Path, tmp_path: Path
    ) -> None:
        """Rounds that are drawn together have the same; a choice by hand for each three rounds."""
        assert self.play(roomy_model_folder, tmp_path / "run", *self.REMEMBERING) == 0
        edits = read_journal(tmp_path / "run")
        sent = letters_of_run(edits)
        settings = MemorySettings("last", 2, 1536)
        for number, edit in enumerate(edits):
            before = sent[: number - number % 3]
            request = question(edit.draft.prompt)
            expected = choose(before, request, settings, lambda text: len(text) // 4)
            assert list(edit.draft.memory) == expected
        assert [len(edit.draft.memory) for edit in edits] == [0, 0, 0, 3, 3, 3, 2, 2]

    @pytest.mark.parametrize("answered", [2, 4])
    def test_a_run_that_is_resumed_remembers_as_one_that_never_ended(
        self,
        roomy_model_folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        answered: int,
    ) -> None:
        """Ended between rounds that were drawn together, learning with the memory too."""
        flags = (*self.REMEMBERING, "--learn-with-memory")
        assert self.play(roomy_model_folder, tmp_path / "whole", *flags) == 0
        append = JournalingUser.edit

        def ends(user: JournalingUser, draft: Draft) -> str | None:
            if len(user._folder.edits) == answered:
                raise KeyboardInterrupt
            return append(user, draft)

        with monkeypatch.context() as patch:
            patch.setattr(JournalingUser, "edit", ends)
            assert self.play(roomy_model_folder, tmp_path / "ended", *flags) == 130
        assert len(read_journal(tmp_path / "ended")) == answered
        assert main(["learn", "--resume", str(tmp_path / "ended")]) == 0
        assert read_journal(tmp_path / "ended") == read_journal(tmp_path / "whole")
        found, wanted = (
            load_file(tmp_path / name / "adapter" / "adapter_model.safetensors")
            for name in ("ended", "whole")
        )
        assert all(found[key].equal(wanted[key]) for key in wanted)
        assert main(["learn", "--resume", str(tmp_path / "ended"), "--memory", "nearest"]) == 2

    def test_distil_learns_once_there_is_something_to_remember(
        self, roomy_model_folder: Path, tmp_path: Path
    ) -> None:
        flags = (*self.REMEMBERING, "--learner", "distil")
        assert self.play(roomy_model_folder, tmp_path / "run", *flags) == 0
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        steps = [line["round"] for line in map(json.loads, lines) if "loss" in line]
        assert steps
        assert min(steps) > 3  # the first three are drawn together, behind nothing

    def test_a_model_without_turns_remembers_documents(
        self, tiny_gpt2_folder: Path, tmp_path: Path
    ) -> None:
        assert self.play(tiny_gpt2_folder, tmp_path / "run", *self.REMEMBERING) == 0
        remembered = [len(edit.draft.memory) for edit in read_journal(tmp_path / "run")]
        assert max(remembered) > 0


def test_letters_of_a_run_are_what_was_sent(policy: Policy) -> None:
    """Edits and acceptances, in order; no skipped draft, no conversation under way."""
    sample = policy.codec.encode_response(" Dear Anna, hello.")
    turns = [
        {"role": "user", "content": "Tea?"},
        {"role": "assistant", "content": "Which?"},
        {"role": "user", "content": "Green."},
    ]
    rounds: list[tuple[Prompt, str | None]] = [
        ("One?", "Dear Anna, thank you."),
        ("Two?", None),
        ("Three?", " Dear Anna, hello."),
        (turns, "Green tea."),
    ]
    edits = [Edit(Draft(prompt, (sample,)), text) for prompt, text in rounds]
    assert letters_of_run(edits) == [
        Exchange("One?", " Dear Anna, thank you.", "round-1"),
        Exchange("Three?", " Dear Anna, hello.", "round-3"),
    ]
