"""The licences of what we ship: every package that corll needs, with its extras, and what the desk
bundles. Exits with an error where one is not among those that are allowed.

Run it in an environment that holds what is shipped; `make audit-dependencies` makes one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SHIPPED = ("serve", "postgres", "meaning", "lab", "report")
"""The extras that a user installs; `dev` is ours alone."""

ALLOWED = frozenset(
    """
    0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 CNRI-Python ISC MIT MIT-CMU MPL-2.0
    PSF-2.0 Python-2.0 Unlicense Zlib
    """.split()
)
"""SPDX names of licences under which a package may be shipped."""

EXCEPTIONS: Mapping[str, str] = {
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
}
"""Packages that may have another licence, and which: they are used unchanged, by an extra alone."""

_OTHER_NAMES = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0 license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What packages of before SPDX call these licences."""


def main() -> int:
    """Print every package with its licence, and what is not allowed."""
    found = {**installed("corll", SHIPPED), **bundled(ROOT / "web" / "package-lock.json")}
    for name, licence in sorted(found.items()):
        print(f"{name}\t{licence}")
    problems = list(not_allowed(found))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def not_allowed(found: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong, a sentence for each package."""
    for name, licence in sorted(found.items()):
        if not is_allowed(licence) and EXCEPTIONS.get(name) != licence:
            told = f"is under {licence!r}" if licence else "does not say its licence"
            yield f"{name} {told}, which is not allowed: leave it out, or add it to the exceptions."


def is_allowed(expression: str) -> bool:
    """Say whether a licence allows to ship: all that are joined by AND, and one of those by OR."""
    plain = re.sub(r"\s+WITH\s+\S+", "", expression.replace("(", " ").replace(")", " "))
    if not plain.strip():
        return False
    every = (part.split(" OR ") for part in re.split(r"\s+AND\s+", plain.strip()))
    return all(any(one.strip() in ALLOWED for one in part) for part in every)


def installed(name: str, extras: Sequence[str]) -> dict[str, str]:
    """Return the licence of all packages that one needs, by name, without its own."""
    found: dict[str, str] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [(canonicalize_name(name), tuple(extras))]
    while waiting:
        package, wanted = waiting.pop()
        if (package, wanted) in seen:
            continue
        seen.add((package, wanted))
        try:
            about = distribution(package)
        except PackageNotFoundError:
            if package not in found:
                found[package] = ""
            continue
        if package != name:
            found[package] = licence_of(about)
        for requirement in map(Requirement, about.requires or ()):
            if is_needed(requirement, wanted):
                needs = canonicalize_name(requirement.name), tuple(sorted(requirement.extras))
                waiting.append(needs)
    return found


def is_needed(requirement: Requirement, extras: Sequence[str]) -> bool:
    """Say whether a package is needed here, with these extras."""
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in extras or ("",))


def licence_of(about: Distribution) -> str:
    """Return the licence that a package says it has, as an SPDX expression where it can be."""
    fields = about.metadata
    if "License-Expression" in fields:
        return fields["License-Expression"]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in fields.get_all("Classifier") or ()
        if line.startswith("License :: ")
    ]
    named = fields.get_all("License") or [""]
    said = classifiers or [named[0].partition("\n")[0]]
    return " AND ".join(_OTHER_NAMES.get(one.strip().lower(), one.strip()) for one in said)


def bundled(lock: Path) -> dict[str, str]:
    """Return the licence of all npm packages of which the desk is made, by name."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return {
        "npm:" + path.rpartition("node_modules/")[2]: str(about.get("license", ""))
        for path, about in packages.items()
        if path and not about.get("dev") and not about.get("link")
    }


if __name__ == "__main__":
    sys.exit(main())
