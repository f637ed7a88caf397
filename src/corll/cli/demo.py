"""`corll demo`: a simulated writer drafts, edits and sends, while you watch the edits get fewer.

The writer follows a rule, and is a client of the public API like any other, under a user of its own
that says what it is. The service runs in a process beside it, on a folder of the demo's own.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

from pydantic import Field
from rich.console import Console

from corll.cli.dialogue import terminal_dialogue
from corll.cli.parsing import parse
from corll.cli.settings import RUNS, WHICH_MODEL, YES, OptionalFolder
from corll.config import AUTO, EditorName
from corll.configuring import Config
from corll.errors import ConfigError, RunFolderError
from corll.records import Draft, Sample
from corll.simulation import EDITORS, own_words, writing_prompts

if TYPE_CHECKING:
    from corll.client import Corll

_STARTS_WITHIN_S, _LEARNS_WITHIN_S = 120, 180
_LONGEST = 128
"""Tokens of a draft; the writer's prompts ask for a few sentences."""

_RECENT = 16
"""The number of latest answers that the running figure is about."""


class DemoSettings(Config):
    """Watch the service learn from a simulated writer, on screen, within minutes."""

    writer: EditorName = Field("letter", description="The rule that the simulated writer follows.")
    rounds: int = Field(128, ge=1, description="Drafts that the writer answers.")
    data_dir: OptionalFolder = Field(
        None, description=f"Folder of the demo's service; by default a new one under {RUNS}/."
    )
    model: str = Field(
        default_factory=lambda: os.environ.get("CORLL_MODEL") or AUTO,
        description=f"{WHICH_MODEL}; {AUTO}: what suits this machine.",
    )
    yes: bool = Field(False, description=YES)
    pause_s: float = Field(0.0, ge=0, description="Seconds that the writer rests between drafts.")


def main(arguments: Sequence[str]) -> None:
    settings = parse(DemoSettings, arguments, command="demo")
    console = Console(highlight=False)
    folder = settings.data_dir or RUNS / time.strftime("demo-%Y%m%d-%H%M%S")
    with _service(folder, _model_here(settings, folder)) as (url, key), _client(url, key) as client:
        writer = f"simulated {settings.writer} writer"
        link: Any = client.post("/links", body={"user": writer}, cast_to=object)
        client.consent.update(user=writer, store=True, learn=True)
        console.print(f"Watch at [bold]{url}{link['path']}[/] (then: Learning)", soft_wrap=True)
        console.print(f"A {writer} drafts and edits; nobody real is behind it. Stop with Ctrl-C.")
        for line in _write(client, writer, settings):
            console.print(line, soft_wrap=True)
        console.print(f"Everything is in {folder}.", soft_wrap=True)


def _write(client: Corll, writer: str, settings: DemoSettings) -> Iterator[str]:
    """Play the writer; yield a line whenever a new version drafts, and at the end."""
    editor = EDITORS[settings.writer](own_words=own_words())
    prompts = writing_prompts("train")
    costs: deque[float] = deque(maxlen=_RECENT)
    version: object = None
    for number in range(settings.rounds):
        if number == settings.rounds - 1:
            _learn_all(client, writer)
        prompt = prompts[number % len(prompts)]
        reply = client.chat.completions.create(
            model="corll",
            messages=[{"role": "user", "content": prompt}],
            safety_identifier=writer,
            seed=number,
            max_completion_tokens=_LONGEST,
        )
        text = reply.choices[0].message.content or ""
        sent = editor.edit(Draft(prompt, (Sample(text, (), None, True),)))
        if sent is not None:
            costs.append(client.edits.create(draft_id=reply.id, text=sent).edit_cost)
        drafted_by = _drafted_by(reply)
        if drafted_by != version or number == settings.rounds - 1:
            version = drafted_by
            mean = sum(costs) / max(1, len(costs))
            yield (
                f"after {number + 1} drafts: version {version or 0}, edit cost of the last "
                f"{len(costs)}: {mean:.3f}"
            )
        time.sleep(settings.pause_s)


def _learn_all(client: Corll, writer: str) -> None:
    """Have all that was sent be learned before the last draft, unless that takes long."""
    client.post("/learn", body={"user": writer}, cast_to=object)
    end = time.monotonic() + _LEARNS_WITHIN_S
    while time.monotonic() < end:
        user: Any = client.get(f"/users/{quote(writer)}", cast_to=object)
        if not user["waiting"]:
            return
        time.sleep(0.5)


def _drafted_by(reply: Any) -> object:
    return reply.corll.get("version")


def _model_here(settings: DemoSettings, folder: Path) -> str:
    """Return the name of a model that is here; `auto` where the folder knows its own."""
    if settings.model == AUTO and (folder / "corll.db").exists():
        return AUTO
    # Choosing needs torch, and --help must not wait for it.
    from corll.auto.resolve import resolve

    return resolve(settings.model, terminal_dialogue(yes=settings.yes))


@contextmanager
def _service(folder: Path, model: str) -> Iterator[tuple[str, str]]:
    """Start a service of the demo's own, with its learner; yield its address and its key.

    *Raises*: RunFolderError where it does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    key = secrets.token_urlsafe(24)
    environment = {**os.environ, "CORLL_ADMIN_KEY": key, "CORLL_LOG_LEVEL": "error"}
    flags = ["--port", str(port), "--data-dir", str(folder), "--model", model]
    command = [sys.executable, "-c", "from corll.cli import main; main()", "serve", *flags]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url)
            yield url, key
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        # The connection is refused, or gets no answer, until the service listens.
        with suppress(OSError), urlopen(f"{url}/readyz", timeout=5) as answer:
            if json.load(answer)["learner"] == "ready":
                return
        time.sleep(0.2)
    raise RunFolderError("The demo's service did not start; `corll serve` shows why.")


@contextmanager
def _client(url: str, key: str) -> Iterator[Corll]:
    try:
        from corll.client import Corll
    except ModuleNotFoundError as error:
        raise ConfigError(f"The demo needs the package {error.name}: pip install openai") from error
    with Corll(base_url=url, api_key=key, timeout=600) as client:
        yield client
