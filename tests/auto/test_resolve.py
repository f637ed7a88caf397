"""A name becomes a model that is here: asked first, the next smaller one where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from corll.auto import resolve as resolve_module
from corll.auto.dialogue import NOBODY, Dialogue
from corll.auto.resolve import resolve
from corll.catalog import here
from corll.catalog.entries import CatalogModel
from corll.catalog.fetching import Progress, fetched_file
from corll.catalog.needs import Machine
from corll.errors import ModelNotFoundError
from corll.model.loading import locate
from tiny_catalog import SHAPE, model_of, of_the_hub, use_catalog, write_wheels_of
from tiny_gguf import write_tiny_gguf

MACHINE = Machine(
    "a machine", "float32", 4, memory=2e10, system_memory=2e10, bandwidth=1e10, flops=1e12
)


@dataclass
class Person:
    """Answers questions, and remembers what was said."""

    answers: dict[str, bool] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    shown: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def dialogue(self) -> Dialogue:
        return Dialogue(self.said.append, self._agrees, someone_is_there=True, shows=self._shows)

    def _agrees(self, question: str) -> bool:
        self.asked.append(question)
        return self.answers.get(question.removeprefix("Fetch ").removesuffix("?"), True)

    @contextmanager
    def _shows(self, name: str) -> Iterator[Progress]:
        yield lambda come, of: self.shown.append((name, come, of))


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A GGUF file that can be loaded."""
    return write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()


@pytest.fixture
def models(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[CatalogModel, ...]:
    """One of the hub, which cannot be reached; two in wheels, the better one first."""
    smaller = replace(SHAPE, inner=32)
    found = (
        of_the_hub("of-the-hub", "someone/of-the-hub"),
        model_of("better", content),
        model_of("smaller", content, shape=smaller, parts=1),
    )
    use_catalog(monkeypatch, found, tmp_path / "wheels")
    for model in found[1:]:
        write_wheels_of(model, content, tmp_path / "wheels")
    monkeypatch.setenv("CORLL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(resolve_module, "machine_here", lambda device, dtype: MACHINE)
    return found


class TestAuto:
    def test_the_best_is_fetched_once_agreed_and_can_be_loaded(
        self, models: tuple[CatalogModel, ...], content: bytes
    ) -> None:
        person = Person()
        assert resolve("auto", person.dialogue) == "better"
        assert person.asked == ["Fetch better?"]
        offered = person.said[0]
        for fact in ("better: a model (MIT), for tests", "to fetch 0.00 GB", "to draft 1.5 GB"):
            assert fact in offered
        assert person.shown[-1] == ("better", len(content), len(content))
        assert here.state_of(models[1]) == "fetched, converted at first use"
        assert (locate("better") / "model.safetensors").is_file()
        assert here.state_of(models[1]) == "ready"
        # The second time nothing is asked.
        assert resolve("auto", person.dialogue) == "better"
        assert len(person.asked) == 1

    def test_declined_the_next_smaller_one_is_offered(
        self, models: tuple[CatalogModel, ...]
    ) -> None:
        person = Person({"better": False})
        assert resolve("auto", person.dialogue) == "smaller"
        assert person.asked == ["Fetch better?", "Fetch smaller?"]
        assert any("better was not fetched" in said for said in person.said)

    def test_what_does_not_come_gives_way_to_the_next_smaller_one(
        self, models: tuple[CatalogModel, ...], tmp_path: Path
    ) -> None:
        (tmp_path / "wheels" / "better_part2-1.0-py3-none-any.whl").unlink()
        person = Person()
        assert resolve("auto", person.dialogue) == "smaller"
        assert any("The next smaller model is taken" in said for said in person.said)

    def test_another_file_gives_way_too_and_is_gone(
        self, models: tuple[CatalogModel, ...], content: bytes, tmp_path: Path
    ) -> None:
        write_wheels_of(models[1], content[:-1] + b"!", tmp_path / "wheels")
        assert resolve("auto", Person().dialogue) == "smaller"
        assert not fetched_file(models[1]).exists()

    def test_where_nobody_can_be_asked_the_best_that_is_here_is_taken(
        self, models: tuple[CatalogModel, ...]
    ) -> None:
        here.fetch(models[2])
        assert resolve("auto", NOBODY) == "smaller"
        assert not here.is_here(models[1])

    def test_where_nothing_is_here_and_nobody_can_be_asked_it_says_what_to_do(
        self, models: tuple[CatalogModel, ...]
    ) -> None:
        with pytest.raises(ModelNotFoundError, match="corll models fetch NAME"):
            resolve("auto", NOBODY)


class TestNamed:
    def test_it_is_fetched_once_agreed(self, models: tuple[CatalogModel, ...]) -> None:
        person = Person()
        assert resolve("smaller", person.dialogue) == "smaller"
        assert person.asked == ["Fetch smaller?"]

    def test_declined_it_is_an_error_and_no_other_is_taken(
        self, models: tuple[CatalogModel, ...]
    ) -> None:
        with pytest.raises(ModelNotFoundError, match="better was not fetched"):
            resolve("better", Person({"better": False}).dialogue)

    def test_where_nobody_can_be_asked_nothing_is_fetched(
        self, models: tuple[CatalogModel, ...]
    ) -> None:
        with pytest.raises(ModelNotFoundError, match="nobody can be asked"):
            resolve("better", NOBODY)

    def test_other_names_are_left_to_the_loading(self, models: tuple[CatalogModel, ...]) -> None:
        assert resolve("/some/folder", NOBODY) == "/some/folder"


def test_what_was_removed_is_not_here(models: tuple[CatalogModel, ...]) -> None:
    here.fetch(models[1])
    locate("better")
    assert here.remove(models[1]) > 0
    assert not here.is_here(models[1])
    with pytest.raises(ModelNotFoundError, match="corll models fetch better"):
        locate("better")


def test_a_file_that_was_damaged_later_is_refused(models: tuple[CatalogModel, ...]) -> None:
    here.fetch(models[1])
    file = fetched_file(models[1])
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelNotFoundError, match="another file than the catalogue means"):
        locate("better")
