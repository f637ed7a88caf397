"""How the poison experiment plays: what a rejection does, by a tiny model."""

from __future__ import annotations

import importlib.util
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corll.policy import Policy
from corll.service.learning.checks import Examined

FOLDER = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("poison", FOLDER / "poison.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "poison", module)
    spec.loader.exec_module(module)
    yield module
    for beside in ("poison_judge", "poison_report"):
        sys.modules.pop(beside, None)


def played(
    script: Any, policy: Policy, folder: Path, name: str, **settings: Any
) -> list[dict[str, Any]]:
    options = Namespace(edits=4, fresh=2, longest=8, ungated=False, every=1)
    vars(options).update(settings)
    fresh = script.FreshDrafts(policy, options.fresh, options.longest)
    return list(script.Play(policy, name, 0, options, fresh, folder).lines())


def rejecting(monkeypatch: pytest.MonkeyPatch, script: Any, numbers: set[int]) -> None:
    """Give a reason against versions, in the order in which they are first examined."""
    seen: list[Any] = []

    def reasons(version: Examined) -> list[str]:
        seen.append(version)
        return ["it loops"] if len(seen) in numbers else []

    monkeypatch.setattr(script, "reasons_against", reasons)


def path(lines: list[dict[str, Any]]) -> list[tuple[int, float, int]]:
    return [(line["number"], line["share"], line["serves"]) for line in lines]


def test_a_version_that_passes_serves(
    script: Any, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejecting(monkeypatch, script, set())
    lines = played(script, policy, tmp_path, "insults")
    assert path(lines) == [(1, 1.0, 1), (2, 1.0, 2)]
    assert [line["drafts_before"] for line in lines] == [2, 4]
    assert {line["start"] for line in lines} == {"good"}
    assert all(len(line["looked"][0]) == line["flawed"]["drafts"] == 8 for line in lines)


def test_rejected_edits_come_back_once_with_half_the_step(
    script: Any, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejecting(monkeypatch, script, {1, 2})
    lines = played(script, policy, tmp_path, "insults")
    assert path(lines) == [(1, 1.0, 0), (2, 0.5, 0), (3, 1.0, 3)]
    assert [line["drafts_before"] for line in lines] == [2, 2, 4]


def test_a_parent_that_is_ruined_too_does_not_go_on(
    script: Any, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first passes; the second is rejected, and so is the first, looked at again.
    rejecting(monkeypatch, script, {2, 3})
    lines = played(script, policy, tmp_path, "insults")
    assert path(lines) == [(1, 1.0, 1), (2, 1.0, 0), (3, 0.5, 3)]
    assert lines[2]["parent"] == 0


def test_nothing_is_learned_from_texts_of_random_letters(
    script: Any, policy: Policy, tmp_path: Path
) -> None:
    options = Namespace(edits=4, fresh=2, longest=8, ungated=False, every=1)
    play = script.Play(policy, "gibberish", 0, options, script.FreshDrafts(policy, 2, 8), tmp_path)
    assert (list(play.lines()), play.unfit) == ([], 4)


def test_ungated_all_serve_and_only_some_are_examined(
    script: Any, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejecting(monkeypatch, script, {1})
    lines = played(script, policy, tmp_path, "gibberish", edits=6, ungated=True, every=2)
    assert path(lines) == [(2, 1.0, 2)]
    assert lines[0]["reasons"] == ["it loops"]


def test_a_reference_of_noise_and_an_adapter_of_noise_are_played(
    script: Any, policy: Policy, tmp_path: Path
) -> None:
    lines = played(script, policy, tmp_path, "reference", edits=2)
    assert lines[0]["start"] in ("ruined", "good", "unclear")
    assert len(lines[0]["flawed"]["others"]) == 2  # the reference, and the base
    lines = played(script, policy, tmp_path / "noise", "noise", edits=6)
    assert lines[2]["number"] == 3
