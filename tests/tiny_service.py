"""A real service on a tiny model, for programs that are not Python: `python -m tiny_service`.

With `tests` on Python's path. It prints its address and its admin key as a line of JSON, and
serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from running_service import ADMIN_KEY, running_service, settings_for
from tiny_models import save_tiny_llama


def main() -> None:
    """Serve until whoever started it closes the pipe."""
    parser = argparse.ArgumentParser(prog="python -m tiny_service", description=__doc__)
    parser.add_argument("--learn", action="store_true", help="take a step after each edit")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        model = save_tiny_llama(Path(folder, "model"))
        coactive = {"preferences_per_step": 1}
        settings = settings_for(model, Path(folder, "data"), learn=given.learn, coactive=coactive)
        with running_service(settings) as service:
            print(json.dumps({"url": service.url, "key": ADMIN_KEY}), flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    main()
