"""The parts of the documents that are made from the code and from results are current."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import pytest

from corll.cli import COMMANDS, main
from documents import ROOT


def _load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses and annotations are resolved there
    spec.loader.exec_module(module)
    return module


GENERATOR = _load_generator()


@pytest.mark.parametrize("name", GENERATOR.SECTIONS)
def test_generated_sections_are_current(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    current = GENERATOR.filled(text, GENERATOR.SECTIONS[name])
    assert text == current, "run `python docs/generate.py`"


def test_a_section_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="no section 'tables'"):
        GENERATOR.filled("Nothing here.", {"tables": lambda: ""})


def test_every_command_is_documented() -> None:
    documented = {name.split()[0] for name in GENERATOR.SETTINGS}
    assert documented == set(COMMANDS)


@pytest.mark.parametrize("command", GENERATOR.SETTINGS)
def test_the_flags_of_a_command_are_those_that_its_help_shows(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    shown = set(re.findall(r"^[^\w\n-]+(--[a-z][a-z0-9-]*)", capsys.readouterr().out, re.MULTILINE))
    own = set(re.findall(r"`(--[a-z0-9-]+)`", GENERATOR._flags(GENERATOR.SETTINGS[command])))
    elsewhere = {
        f"--{name.replace('_', '-')}"
        for config in (GENERATOR.CoactiveConfig, GENERATOR.LoraConfig)
        for name in config.model_fields
    }
    assert shown - own - elsewhere - {"--help"} == set()
    assert own - shown == set()
