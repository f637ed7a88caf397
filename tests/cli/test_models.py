"""`corll models`: what is here, and which path each part of a model takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from corll.cli import main


def test_it_lists_what_can_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "smollm2-135m" in capsys.readouterr().out


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
