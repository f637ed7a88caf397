"""The command line: `python -m clients_matrix [CLIENT …]`, with `tests` on Python's path.

Each client gets an environment, drafts, and sends an edit to a real service on a tiny model, which
learns from it. What was found stands in results.json, from which docs/clients.md is generated.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from clients_matrix.catalogue import clients, keep
from clients_matrix.environments import NotInstalledError
from clients_matrix.model import save_model
from clients_matrix.playing import play
from running_service import running_service, settings_for


def main() -> None:
    """Try the clients that are named, or all; exit with 1 where one does not work."""
    known = {client.name: client for client in clients()}
    parser = argparse.ArgumentParser(prog="python -m clients_matrix", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CLIENT", help=f"of {', '.join(known)}")
    parser.add_argument("--fresh", action="store_true", help="make the environments anew")
    parser.add_argument("--dry-run", action="store_true", help="keep nothing of what is found")
    given = parser.parse_args()
    if unknown := set(given.names) - known.keys():
        parser.error(f"there is no client {', '.join(unknown)}")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        model = save_model(Path(folder, "model"))
        coactive = {"preferences_per_step": 1}
        settings = settings_for(model, Path(folder, "data"), learn=True, coactive=coactive)
        with running_service(settings) as service:
            for name in given.names or known:
                try:
                    outcome = play(known[name], service, fresh=given.fresh)
                except NotInstalledError as error:
                    print(f"{name}: cannot be installed here: {error}", flush=True)
                    failed.append(name)
                    continue
                print(f"{name}: {outcome}", flush=True)
                if not given.dry_run:
                    keep(name, outcome)
                if not outcome.works:
                    failed.append(name)
    if failed:
        sys.exit(f"These do not work: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
