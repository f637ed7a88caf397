"""The clients that were tried, and a recipe for each: docs/clients.md."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from sections import ROOT, table

MATRIX = ROOT / "tests" / "clients_matrix"
_RECIPES = MATRIX / "recipes"


def tried() -> str:
    """Return the table: what each client did when it was run last."""
    found = _results()
    heading = [
        "client",
        "drafts by",
        "an edit finds its draft by",
        "drafts",
        "edits",
        "learned",
        "run",
    ]
    rows = [
        [one["title"], one["way"], one["by"], *_outcome(found.get(one["name"]))]
        for one in _clients()
    ]
    return table(heading, rows)


def recipes() -> str:
    """Return the program of each client, as it was run."""
    return "\n\n".join(_recipe(one) for one in _clients())


def _clients() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = tomllib.loads(
        (MATRIX / "clients.toml").read_text(encoding="utf-8")
    )["client"]
    return listed


def _results() -> dict[str, Any]:
    path = MATRIX / "results.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _outcome(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["", "", "", "not run yet"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    told = [f"{found['day']}: {versions}"]
    told += [f"its own tests: {found['suite']}"] if found["suite"] else []
    told += [f"`{found['problem']}`"] if found["problem"] else []
    return [
        *(("no", "yes")[found[what]] for what in ("drafted", "edited", "learned")),
        "; ".join(told),
    ]


def _recipe(client: Mapping[str, Any]) -> str:
    (path,) = _RECIPES.glob(f"{client['name']}.*")
    language, install = (
        ("js", "npm install") if path.suffix == ".mjs" else ("python", "pip install")
    )
    text = path.read_text(encoding="utf-8").rstrip()
    packages = " ".join(f"'{name}'" if "[" in name else name for name in client["packages"])
    return f"### {client['title']}\n\n`{install} {packages}`\n\n```{language}\n{text}\n```"
