"""The command line: `corll COMMAND …`. Errors become one line and an exit code here, once.

Exit codes: 0 done; 1 a step failed; 2 something to put right in what was asked; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from corll import durable_points
from corll.errors import CorllError, DeviceMemoryError, TrainingError
from corll.version import __version__


class Command(NamedTuple):
    """A command: the module whose `function(arguments)` runs it, and what it does in one line."""

    module: str
    summary: str
    function: str = "main"


COMMANDS = {
    "learn": Command("corll.cli.learn", "Draft, be edited, learn: by you or a simulated user."),
    "draft": Command("corll.cli.draft", "Print drafts for prompts, with or without an adapter."),
    "replay": Command("corll.cli.replay", "Score your own log of edits: base, memory, learned."),
    "export": Command("corll.cli.export", "Write a run's preferences for other trainers."),
    "experiment": Command(
        "corll.cli.experiment", "The laboratory: run a grid, see its state, draw its figures."
    ),
    "serve": Command("corll.cli.serve", "Serve drafts by the OpenAI API, and learn from edits."),
    "gateway": Command(
        "corll.cli.serve", "Serve without learning: one of several, before learners.", "gateway"
    ),
    "learner": Command(
        "corll.cli.serve", "Learn from what gateways take; one of several.", "learner"
    ),
    "demo": Command("corll.cli.demo", "Watch the service learn from a simulated writer."),
    "import": Command("corll.cli.imports", "Learn from texts that you sent before."),
    "link": Command("corll.cli.link", "A link that signs a browser in to the writing desk."),
    "mcp": Command("corll.cli.mcp", "Let an agent draft and teach, by MCP."),
    "keys": Command("corll.cli.keys", "Make, list and revoke the keys of the service."),
    "consent": Command("corll.cli.consent", "What a user agrees to: show, give, withdraw."),
    "adapters": Command("corll.cli.adapters", "A user's versions: list, show, roll back, prune."),
    "forget": Command("corll.cli.forget", "Delete a text, a model or a user, and what saw it."),
    "verify-deletion": Command(
        "corll.cli.verify_deletion", "Look whether a deletion's receipt still holds."
    ),
    "audit": Command("corll.cli.audit", "Look whether a user's model gives their texts away."),
    "backup": Command("corll.cli.backup", "Back up a data folder while the service runs."),
    "restore": Command("corll.cli.restore", "Make a data folder from a backup."),
    "doctor": Command("corll.cli.doctor", "Find what is wrong with a data folder, and mend it."),
    "simulate-fleet": Command(
        "corll.cli.simulate_fleet", "What a million users would cost, and what gives way."
    ),
    "models": Command("corll.cli.models", "Models: list, recommend, fetch, remove, switch, check."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(f"corll {__version__}")
        return 0
    if arguments[0] not in COMMANDS:
        print(f"corll: there is no command {arguments[0]!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    return _run(COMMANDS[arguments[0]], arguments[1:])


def usage() -> str:
    """Return what `corll --help` prints."""
    commands = "\n".join(f"  {name:<15} {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: corll COMMAND [OPTIONS]\n\n"
        "Language models that learn from the edits people make anyway.\n\n"
        f"{commands}\n\n"
        "corll COMMAND --help explains a command; corll --version prints the version."
    )


def _run(command: Command, arguments: Sequence[str]) -> int:
    # Deprecations in other packages do not concern the person at the terminal.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        durable_points.check_variable()
        getattr(import_module(command.module), command.function)(arguments)
        sys.stdout.flush()
    except CorllError as error:
        told = [str(error), *getattr(error, "__notes__", ())]
        print(f"corll: {' '.join(told)}", file=sys.stderr)
        return 1 if isinstance(error, TrainingError | DeviceMemoryError) else 2
    except KeyboardInterrupt:
        print("corll: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone (`corll draft … | head`); nothing may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
