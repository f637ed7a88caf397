"""The parts of the documents that are made from the code and from results are current."""

from __future__ import annotations

import re

import pytest

from contents import SECTIONS
from corll.cli import COMMANDS, main
from corll.config import CoactiveConfig, LoraConfig
from documents import ROOT
from sections import filled
from settings_tables import SETTINGS, flags


@pytest.mark.parametrize("name", SECTIONS)
def test_generated_sections_are_current(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == filled(text, SECTIONS[name]), "run `python docs/generator`"


def test_a_section_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="no section 'tables'"):
        filled("Nothing here.", {"tables": lambda: ""})


def test_every_command_is_documented() -> None:
    assert {name.split()[0] for name in SETTINGS} == set(COMMANDS)


@pytest.mark.parametrize("command", SETTINGS)
def test_the_flags_of_a_command_are_those_that_its_help_shows(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    help_text = capsys.readouterr().out
    shown = set(re.findall(r"^[^\w\n-]+(--[a-z][a-z0-9-]*)", help_text, re.MULTILINE))
    own = set(re.findall(r"`(--[a-z0-9-]+)`", flags(SETTINGS[command])))
    elsewhere = {
        f"--{name.replace('_', '-')}"
        for config in (CoactiveConfig, LoraConfig)
        for name in config.model_fields
    }
    assert shown - own - elsewhere - {"--help"} == set()
    assert own - shown == set()
