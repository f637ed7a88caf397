"""Weights that are not what was published draft nothing, and draft again once they are put back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from asking import PROMPTS, Listener, request

from corll.errors import AdapterError
from corll.model.file_names import ADAPTER_CONFIG, ADAPTER_WEIGHTS, OPTIMIZER
from corll.policy import Policy
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import VersionFolder
from corll.service.versions.publishing import MANIFEST, file_sha256, publish, verify_reference


@pytest.fixture
def version(policy: Policy, tmp_path: Path) -> VersionFolder:
    """A version that was published, with an optimiser's state."""

    def save(folder: Path) -> None:
        adapter = policy.with_adapter()
        adapter.save(folder)
        adapter.unload()
        (folder / OPTIMIZER).write_bytes(b"moments")

    folder = tmp_path / "v1"
    return VersionFolder("v1", folder, manifest_sha256=publish(folder, save))


def drawn(policy: Policy, version: VersionFolder) -> str | Exception:
    """The text that an engine draws which has just started, or why it draws none."""
    engine = Engine(policy)
    listener = Listener()
    try:
        engine.submit(request(PROMPTS[0], version=version), listener)
        return listener.drawn.text(0)
    except AdapterError as error:
        return error
    finally:
        engine.close()


def flip_a_byte(path: Path) -> None:
    """Change the last bit of a file, which leaves all of it readable."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("name", [ADAPTER_WEIGHTS, ADAPTER_CONFIG, MANIFEST])
@pytest.mark.parametrize("damage", [flip_a_byte, cut, Path.unlink])
def test_damaged_weights_draft_nothing_until_they_are_put_back(
    policy: Policy, version: VersionFolder, name: str, damage: Callable[[Path], None]
) -> None:
    file = version.folder / name
    whole, text = file.read_bytes(), drawn(policy, version)
    assert isinstance(text, str)
    damage(file)
    error = drawn(policy, version)
    assert isinstance(error, AdapterError)
    assert str(version.folder) in str(error)
    assert "corll doctor" in str(error)
    file.write_bytes(whole)
    assert drawn(policy, version) == text


def test_what_is_not_drafted_with_may_be_damaged(policy: Policy, version: VersionFolder) -> None:
    flip_a_byte(version.folder / OPTIMIZER)
    assert isinstance(drawn(policy, version), str)


def test_a_damaged_reference_drafts_nothing_either(policy: Policy, version: VersionFolder) -> None:
    fingerprint = file_sha256(version.folder / ADAPTER_WEIGHTS)
    reference = replace(
        version, reference=version.folder, manifest_sha256=None, fingerprint=fingerprint
    )
    assert isinstance(drawn(policy, reference), str)
    flip_a_byte(version.folder / ADAPTER_WEIGHTS)
    assert isinstance(drawn(policy, reference), AdapterError)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"files": 1}', '{"files": {"a": 1}}'])
def test_a_torn_manifest_of_a_reference_is_an_error_of_its_folder(
    version: VersionFolder, content: str
) -> None:
    fingerprint = file_sha256(version.folder / ADAPTER_WEIGHTS)
    verify_reference(version.folder, fingerprint)
    (version.folder / MANIFEST).write_text(content)
    with pytest.raises(AdapterError, match=re.escape(str(version.folder))):
        verify_reference(version.folder, fingerprint)
