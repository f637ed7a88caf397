"""An environment for each client, made once: a venv, or a folder with node_modules."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from clients_matrix.catalogue import Client

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-clients"

_VERSIONS = (
    "import json; from importlib.metadata import distributions; "
    "names = {one.name.lower().replace('_', '-'): one.version for one in distributions()}; "
    "print(json.dumps(names))"
)


PATH = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
"""Where node is looked for: on the machine, then beside this Python."""


class NotInstalledError(Exception):
    """The packages of a client cannot be installed here."""


def environment(client: Client, *, fresh: bool = False) -> Path:
    """Return the folder of a client's environment, made where there is none for its packages.

    *Raises*: NotInstalledError, with the installer's last words.
    """
    folder = ENVIRONMENTS / client.name
    mark = folder / "installed"
    wanted = hashlib.sha256("\n".join(client.packages).encode()).hexdigest()
    if not fresh and mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if client.is_javascript:
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        quiet = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
        _run(["npm", "install", *quiet, *client.packages], folder)
    else:
        _run([sys.executable, "-m", "venv", "."], folder)
        quiet = ("-q", "--disable-pip-version-check")
        _run(["bin/python", "-m", "pip", "install", *quiet, *client.packages], folder)
    mark.write_text(wanted, encoding="utf-8")
    return folder


def command(client: Client, folder: Path, recipe: Path) -> list[str]:
    """Return how a recipe is run: without its own folder on the path, where it would hide names."""
    if client.is_javascript:
        # Modules are looked for beside the file that imports them.
        copy = folder / recipe.name
        shutil.copyfile(recipe, copy)
        return ["node", str(copy)]
    return [str(folder / "bin" / "python"), "-P", str(recipe)]


def versions(client: Client, folder: Path) -> dict[str, str]:
    """Return the versions of the packages that were asked for."""
    names = [_bare(package) for package in client.packages]
    if client.is_javascript:
        manifests = {name: folder / "node_modules" / name / "package.json" for name in names}
        return {
            name: json.loads(path.read_text(encoding="utf-8"))["version"]
            for name, path in manifests.items()
        }
    done = _run(["bin/python", "-c", _VERSIONS], folder)
    found = json.loads(done)
    return {name: found[name] for name in names}


def _bare(package: str) -> str:
    return package.partition("[")[0]


def _run(arguments: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            arguments,
            cwd=folder,
            env={**os.environ, "PATH": PATH},
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(str(error)) from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no reason was given"]
        raise NotInstalledError(words[-1])
    return done.stdout
