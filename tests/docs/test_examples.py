"""The documents' examples run as they are printed, on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corll.compute.choose import BACKENDS
from corll.config import LEARNERS, LOSS_TYPES
from corll.learners.registry import KINDS as LEARNER_KINDS
from corll.losses import PREFERENCE_LOSSES
from corll.model.loading import EMBEDDED_MODEL
from corll.policy import Policy
from documents import README, ROOT, code
from running_service import ADMIN_KEY, running_service, settings_for

LIBRARY, SERVING = ROOT / "docs" / "library.md", ROOT / "docs" / "serving.md"


@pytest.fixture
def _in_a_folder_of_its_own(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The embedded model's name leads to the tiny one, and files go to a folder of the test.

    What an example registers is forgotten.
    """
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / EMBEDDED_MODEL).symlink_to(tiny_model_folder)
    monkeypatch.setenv("CORLL_CACHE", str(cache))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    registries: list[dict[str, Any]] = [PREFERENCE_LOSSES, LOSS_TYPES, BACKENDS]
    registries += [LEARNERS, LEARNER_KINDS]
    before = [dict(registry) for registry in registries]
    yield
    for registry, content in zip(registries, before, strict=True):
        registry.clear()
        registry.update(content)


@pytest.mark.usefixtures("_in_a_folder_of_its_own")
def test_the_library_example_of_the_readme_runs() -> None:
    names = played([code(README, "python")[0]], README)
    assert isinstance(names["policy"], Policy)
    assert Path("my-adapter", "adapter_config.json").exists()


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # PEFT's
@pytest.mark.usefixtures("_in_a_folder_of_its_own")
def test_the_examples_of_the_library_guide_run() -> None:
    names = played(code(LIBRARY, "python"), LIBRARY)
    assert names["learner"].steps_taken == 1
    assert Path("whole-model", "config.json").exists()


@pytest.mark.parametrize("document", [README, SERVING], ids=lambda path: path.name)
def test_the_examples_of_the_service_run(
    document: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    blocks = code(document, "python")[1 if document == README else 0 :]
    settings = settings_for(tiny_model_folder, tmp_path, learn=False)
    with running_service(settings) as service:
        blocks = [block.replace("http://127.0.0.1:8377", service.url) for block in blocks]
        names = played(blocks, document, KEY=ADMIN_KEY)
        names["client"].close()
    assert names["edit"].will_learn is False
    assert "not agreed" in names["edit"].reason


def played(blocks: list[str], document: Path, **names: Any) -> dict[str, Any]:
    """Run a document's blocks one after another, and return the names that they leave."""
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{document.name}, block {number}", "exec"), names)
    return names
