"""`corll models`: what is here, what suits this machine, what comes and goes, how it computes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from corll.catalog.entries import CatalogModel
from corll.cli import main
from corll.cli.dialogue import ask, terminal_dialogue
from corll.files.run_folder import read_config
from tiny_catalog import model_of, of_the_hub, use_catalog, write_wheels_of
from tiny_gguf import write_tiny_gguf


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogModel:
    """The catalogue: one model of the hub, one in wheels that is not here."""
    content = write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    found = model_of("tiny", content)
    use_catalog(monkeypatch, [of_the_hub("far", "someone/far"), found], tmp_path / "wheels")
    write_wheels_of(found, content, tmp_path / "wheels")
    monkeypatch.setenv("CORLL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("corll.auto.machine._WINDOW_S", 0.005)
    monkeypatch.setattr("corll.auto.machine._WINDOWS", 1)
    monkeypatch.setattr("corll.auto.machine._SIZE", 256)
    monkeypatch.setattr("corll.auto.machine._READ_BYTES", 2**20)
    return found


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints; it ends with that code."""
    assert main(["models", *arguments]) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def test_without_a_command_it_lists_what_can_be_had(
    model: CatalogModel, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run(capsys).splitlines()
    assert rows[0].split() == "model state to fetch on disk license what it is".split()
    assert rows[1].startswith("far")
    assert rows[2].startswith("tiny")
    assert "not here" in rows[2]


def test_what_would_be_taken_is_told_with_the_numbers(
    model: CatalogModel, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "recommend", "--device", "cpu", "--dtype", "float32")
    assert "in float32:" in said
    assert "GB of memory are free" in said
    assert "the hub cannot be reached" in said
    assert "suits this machine" in said
    assert "`--model auto` takes tiny (not here)." in said


class TestFetch:
    def test_it_comes_and_goes(
        self, model: CatalogModel, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "tiny is here. Use it by --model tiny." in run(capsys, "fetch", "tiny", "--yes")
        assert "here already" in run(capsys, "fetch", "tiny")
        assert "fetched, converted at first use" in run(capsys)
        assert "GB are free again" in run(capsys, "remove", "tiny")
        assert "nothing to remove" in run(capsys, "remove", "tiny", code=2)

    def test_where_nobody_can_be_asked_nothing_comes(
        self, model: CatalogModel, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "nobody can be asked" in run(capsys, "fetch", "tiny", code=2)

    def test_a_name_that_is_not_there_lists_those_that_are(
        self, model: CatalogModel, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "It has: far, tiny." in run(capsys, "fetch", "gpt-5", code=2)


@pytest.mark.usefixtures("model")
class TestDraft:
    def test_auto_takes_what_is_here(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        run(capsys, "fetch", "tiny", "--yes")
        flags = ["--max-completion-length", "4", "--dtype", "float32"]
        assert main(["draft", "The parcel", *flags]) == 0
        said = capsys.readouterr()
        assert "Model: tiny" in said.err
        assert "Model:" not in said.out

    def test_where_nothing_is_here_it_says_what_to_do(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["draft", "The parcel", "--dtype", "float32"]) == 2
        assert "`corll models fetch NAME`" in capsys.readouterr().err


class TestAsking:
    @pytest.mark.parametrize(
        ("typed", "answer"),
        [("y\n", True), ("YES\n", True), ("n\n", False), ("what?\nno\n", False), ("", False)],
    )
    def test_a_question_waits_for_a_yes_or_a_no(
        self, typed: str, answer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "typed").write_text(typed)
        with (tmp_path / "typed").open() as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            assert ask("Fetch it?") is answer
            assert terminal_dialogue(yes=False).someone_is_there is False
            assert terminal_dialogue(yes=True).agrees("Fetch it?") is True


def test_a_model_is_checked(tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", str(tiny_model_folder), "--dtype", "float32"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    assert rows["layers"].strip() == "fused"
    assert rows["rows"].strip() == "shared between responses"
    assert rows["prompts"].strip() == "chat template"


def test_what_falls_back_is_told_with_the_reason(
    tiny_gpt2_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "--check", str(tiny_gpt2_folder)]) == 0
    assert "the model's own (it has no decoder layers" in capsys.readouterr().out


def test_a_model_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--check", "./nowhere"]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_a_run_keeps_the_name_that_was_chosen(
    model: CatalogModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "fetch", "tiny", "--yes")
    folder = tmp_path / "run"
    flags = ["--rounds", "1", "--held-out-count", "0", "--max-completion-length", "4"]
    (tmp_path / "prompts.txt").write_text("The parcel is late.\n")
    more = ["--prompts", str(tmp_path / "prompts.txt"), "--dtype", "float32"]
    assert main(["learn", "--user", "letter", "--output", str(folder), *flags, *more]) == 0
    assert read_config(folder)["settings"]["model"] == "tiny"
    # On the way back `auto` is what the run began with.
    assert main(["learn", "--resume", str(folder), "--model", "auto"]) == 0
