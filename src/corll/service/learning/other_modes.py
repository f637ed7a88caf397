"""Steps that are taken again by the instructions that took them before: in a process of their own.

The process (`in_another_mode`) has the variables of that mode from its start. The base model is in
memory twice meanwhile; its weights lie in a file that both map.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from corll.errors import CorllError
from corll.schemas.deletions import Receipt
from corll.service.learning.kernel_modes import Mode, environment_of, told
from corll.service.settings import ServiceSettings
from corll.service.store.leases import Lease

_PROGRAM = "corll.service.learning.in_another_mode"
NOT_HERE = 3
"""The exit code of a process whose machine has not got the mode."""
WAIT, GO_ON = "wait\n", "go on\n"
"""What such a process is told while drafts are drawn, and after them."""
_LOOKED_AT_EVERY_S = 0.02
_SECRETS = {"admin_key", "upstream_key"}


class ModeError(CorllError):
    """A mode cannot be imposed on a process of this machine."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a process in another mode does: steps of a user's replay, or a receipt's verification.

    With a lease, what it writes is refused once another learner took the user over.
    """

    settings: ServiceSettings
    mode: Mode
    user_id: str | None = None
    lease: Lease | None = None
    receipt: Receipt | None = None

    def to_json(self) -> str:
        """Return it in a line, without what is secret."""
        names = set(ServiceSettings.model_fields) - _SECRETS
        return json.dumps(
            {
                "settings": self.settings.model_dump(mode="json", include=names),
                "mode": dict(self.mode),
                "user_id": self.user_id,
                "lease": None if self.lease is None else asdict(self.lease),
                "receipt": None if self.receipt is None else self.receipt.model_dump(mode="json"),
            }
        )

    @classmethod
    def of_json(cls, line: str) -> Task:
        """Return the task of a line."""
        given = json.loads(line)
        lease, receipt = given["lease"], given["receipt"]
        return cls(
            ServiceSettings(**given["settings"]),
            given["mode"],
            given["user_id"],
            None if lease is None else Lease(**lease),
            None if receipt is None else Receipt.model_validate(receipt),
        )


def run(
    task: Task,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    is_drafting: Callable[[], bool] = lambda: False,
) -> Any:
    """Do a task in its mode, which gives way while `is_drafting`; return what it came to.

    *Raises*: ModeError where this machine has not got the mode; CorllError where the process fails;
    SystemExit once `is_stopping` says so, and the process is ended.
    """
    environment = environment_of(task.mode, os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    answers: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        encoding="utf-8",
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{task.to_json()}\n")
            stdin.flush()
            reading = threading.Thread(target=lambda: answers.append(stdout.read()), daemon=True)
            reading.start()
            waits = False
            while reading.is_alive():
                reading.join(_LOOKED_AT_EVERY_S)
                if is_stopping():
                    raise SystemExit
                if waits != is_drafting():
                    waits = not waits
                    stdin.write(WAIT if waits else GO_ON)
                    stdin.flush()
        except OSError:
            process.kill()  # It has ended already, and its code says how.
        except BaseException:
            process.kill()
            raise
    if process.returncode == NOT_HERE:
        raise ModeError(f"this machine cannot compute with {told(task.mode)}")
    if process.returncode != 0:
        raise CorllError(
            f"the process that computes with {told(task.mode)} ended with {process.returncode}"
        )
    return json.loads(answers[0])
