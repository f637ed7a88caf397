"""Print the oldest versions that pyproject.toml promises, as constraints for pip.

Each lower bound becomes the one version that is allowed. torch alone stays as constraints.txt pins
it: an older one would be fetched for other devices.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?>=(?P<version>[0-9.]+)")


def main() -> None:
    """Print one constraint a line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    found = {}
    for requirement in [*project["dependencies"], *(item for extra in extras for item in extra)]:
        bound = BOUND.match(requirement)
        if bound is not None:
            found[bound["name"].lower()] = bound["version"]
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    print(next(line for line in pins if line.startswith("torch==")))
    for name, version in sorted(found.items()):
        if name != "torch":
            print(f"{name}=={version}")


if __name__ == "__main__":
    main()
