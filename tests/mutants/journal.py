"""What is kept of the trials, so that a run which was ended goes on where it was."""

from __future__ import annotations

import ast
import hashlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from mutants.operators import Mutant
from mutants.trial import Baseline, Result

Verdict = Literal["equivalent", "does not matter"]
"""What may be said of a survivor: it is the same program, or nobody should test for it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial that was made, with the hashes of its source and tests, and how it ended."""

    module: str
    key: str
    source: str
    tests: str
    outcome: str
    by: str
    wall_s: float


class Journal:
    """The trials of all runs in a file of JSON lines; beside it, the survey of each module.

    What was killed stays so as long as its module is the same; a survivor is tried again once one
    of the module's test files has changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "trials.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        read = (Entry(**json.loads(line)) for line in lines)
        self._entries = {(one.module, one.key, one.source): one for one in read}

    def find(self, module: Path, mutant: Mutant, *, source: str, tests: str) -> Entry | None:
        """Return the trial of that mutant, or None where it must be made, or made again."""
        entry = self._entries.get((str(module), mutant.key, source))
        if entry is None or (entry.outcome == "survived" and entry.tests != tests):
            return None
        return entry

    def add(self, module: Path, mutant: Mutant, result: Result, *, source: str, tests: str) -> None:
        entry = Entry(str(module), mutant.key, source, tests, **asdict(result))
        self._entries[entry.module, entry.key, entry.source] = entry
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")

    def find_survey(self, module: Path, *, source: str, tests: str) -> Baseline | None:
        path = self._survey_of(module)
        kept = json.loads(path.read_text()) if path.exists() else {}
        if (kept.pop("source", None), kept.pop("tests", None)) != (source, tests):
            return None
        return Baseline(**kept)

    def add_survey(self, module: Path, survey: Baseline, *, source: str, tests: str) -> None:
        fields = {"source": source, "tests": tests, **asdict(survey)}
        self._survey_of(module).write_text(json.dumps(fields))

    def _survey_of(self, module: Path) -> Path:
        return self._folder / ("-".join(module.with_suffix("").parts[2:]) + ".json")


def digest(paths: Iterable[Path]) -> str:
    """Return a short hash of what files hold; a file that is not there counts as empty."""
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes() if path.exists() else b"")
        found.update(b"\0")
    return found.hexdigest()[:16]


def digest_of_code(text: str) -> str:
    """Return a short hash of a module's code, without its comments, docstrings and layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                del body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def sample(mutants: Sequence[Mutant], count: int, *, module: str, seed: int) -> list[Mutant]:
    """Choose so many of the mutants by their names; most stay when others come or go."""

    def rank(mutant: Mutant) -> str:
        return hashlib.sha256(f"{seed}/{module}/{mutant.key}".encode()).hexdigest()

    return sorted(sorted(mutants, key=rank)[:count], key=lambda mutant: mutant.number)


def read_judgements(path: Path) -> dict[tuple[str, str], tuple[Verdict, str]]:
    """Read the verdicts on survivors, and their reasons, by module and mutant.

    *Raises*: ValueError for a verdict that is none, or one that gives no reason.
    """
    found: dict[tuple[str, str], tuple[Verdict, str]] = {}
    for module, judged in tomllib.loads(path.read_text(encoding="utf-8")).items():
        for key, said in judged.items():
            verdict, _, why = said.partition(": ")
            if verdict not in get_args(Verdict) or not why:
                raise ValueError(
                    f'{path.name}, {module}, {key!r}: {said!r} should be "equivalent: why" or '
                    '"does not matter: why".'
                )
            found[module, key] = (verdict, why)
    return found
