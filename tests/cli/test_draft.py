"""`corll draft`: what a frame makes of its prompts, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from corll.cli import main
from corll.cli.draft import DraftSettings
from corll.files.run_folder import read_config
from corll.frames import Framing
from corll.learner import CoactiveLearner
from corll.memory.examples import worked_examples
from corll.memory.exchanges import with_memory
from corll.policy import Policy
from corll.records import Prompt
from tiny_models import build_llama, build_tokenizer

SMALL = ("--dtype", "float32", "--max-completion-length", "3")


def test_a_prompt_is_drafted_for_in_its_frame(
    tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--frame", "reply", "--hint", "yes, Fri", "--sign-as", "Anna", "--json", *SMALL]
    assert main(["draft", "Coming?", "--model", str(tiny_model_folder), *flags]) == 0
    draft = json.loads(capsys.readouterr().out)
    assert draft["prompt"] == Framing("reply", "yes, Fri", "Anna").around("Coming?")


def test_worked_examples_stand_before_a_framed_prompt(
    roomy_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    framing = Framing("reply", "yes, Fri", "Anna")
    flags = ["--frame", "reply", "--hint", "yes, Fri", "--sign-as", "Anna", "--json", *SMALL]

    def ids(*more: str) -> tuple[int, ...]:
        assert main(["draft", "Coming?", "--model", str(roomy_model_folder), *flags, *more]) == 0
        return tuple(json.loads(capsys.readouterr().out)["candidates"][0]["token_ids"])

    def drawn(prompt: Prompt) -> tuple[int, ...]:
        sampling = DraftSettings(prompts=()).coactive().sampling
        return policy.sample([prompt], 1, 3, 0, sampling=sampling)[0][0].token_ids

    policy = Policy.load(roomy_model_folder, dtype="float32")
    framed = framing.around("Coming?")
    assert ids() == drawn(with_memory(framed, worked_examples(framing)))
    assert ids("--no-examples") == drawn(framed)
    assert ids() != ids("--no-examples")


def test_at_a_terminal_each_draft_stands_under_its_prompt_without_the_frame(
    tiny_model_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    flags = ["--frame", "reply", "--model", str(tiny_model_folder), *SMALL]
    assert main(["draft", "Coming?", "Is the red one\nin stock?", *flags]) == 0
    shown = capsys.readouterr().out
    assert shown.index("Coming?") < shown.index("Is the red one in stock?")
    assert "You received" not in shown


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


@pytest.fixture
def thinker(tmp_path: Path) -> Path:
    """A model whose template refuses to go without thinking."""
    tokenizer = build_tokenizer(chat=True)
    tokenizer.chat_template = (
        "{% if not enable_thinking %}{{ raise_exception('think first') }}{% endif %}"
        + tokenizer.chat_template
    )
    folder = tmp_path / "thinker"
    build_llama(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_hybrid_thinker_thinks_where_it_is_told_to(
    thinker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = ["draft", "Coming?", "--model", str(thinker), "--json", *SMALL]
    assert main(draft) == 2
    assert "think first" in capsys.readouterr().err
    assert main([*draft, "--enable-thinking"]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "Coming?"


def test_a_run_thinks_where_it_is_told_to_and_where_it_is_resumed(
    thinker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    flags = ["--user", "letter", "--held-out-count", "0", *SMALL]
    begin = ["learn", "--model", str(thinker), "--rounds", "1", "--output", str(run), *flags]
    assert main([*begin, "--enable-thinking"]) == 0
    assert read_config(run)["settings"]["enable_thinking"] is True
    assert main(["learn", "--resume", str(run), "--rounds", "2"]) == 0
    assert CoactiveLearner.load(run / "adapter").policy.codec.enable_thinking
    assert main(["learn", "--resume", str(run), "--no-enable-thinking"]) == 2
    assert "--enable-thinking is True there, not False" in capsys.readouterr().err
