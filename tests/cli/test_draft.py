"""`corll draft`: what a frame makes of its prompts, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corll.cli import main
from corll.frames import Framing

SMALL = ("--dtype", "float32", "--max-completion-length", "3")


def test_a_prompt_is_drafted_for_in_its_frame(
    tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--frame", "reply", "--hint", "yes, Fri", "--sign-as", "Anna", "--json", *SMALL]
    assert main(["draft", "Coming?", "--model", str(tiny_model_folder), *flags]) == 0
    draft = json.loads(capsys.readouterr().out)
    assert draft["prompt"] == Framing("reply", "yes, Fri", "Anna").around("Coming?")


def test_a_frame_can_be_a_file(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("As me, to: {message}\n")
    flags = ["--frame", "write", "--frame-file", str(tmp_path / "mine.txt"), "--json", *SMALL]
    assert main(["draft", "Coming?", "--model", str(tiny_model_folder), *flags]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "As me, to: Coming?"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--hint", "yes"], "a hint but no frame"),
        (["--frame", "reply", "--frame-file", "./nowhere.txt"], "cannot be read as text"),
        (["--frame", "reply"], "name an instruction model by --model"),
    ],
)
def test_what_cannot_be_framed_is_one_line(
    tiny_gpt2_folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert main(["draft", "Coming?", "--model", str(tiny_gpt2_folder), *flags, *SMALL]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
