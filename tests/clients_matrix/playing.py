"""A client drafts and sends an edit; the service says whether it has both, and learns from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from clients_matrix.catalogue import HERE, Client, Outcome
from clients_matrix.environments import PATH, command, environment, versions
from corll.version import __version__
from running_service import RunningService, until

_PATIENCE_S = 300

_SUITE_SETTINGS = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
"""
"""One event loop for all tests: a framework may keep its connections from one test to the next."""


def play(client: Client, service: RunningService, *, fresh: bool = False) -> Outcome:
    """Run a client as a user of its own who agrees to be learned from.

    *Raises*: NotInstalledError.
    """
    folder = environment(client, fresh=fresh)
    key = service.post("keys", {"scope": "user", "user": client.name})["key"]
    service.with_key(key).put("users/me/consent", {"store": True, "learn": True})
    # Of a framework's own tests the model is the same every time: nothing is learned yet.
    suite = _suite(client, folder, service, key) if client.suite else None
    done = _run(command(client, folder, client.recipe), folder, service, key)
    drafts = service.with_key(key).get("users/me/drafts")["data"]
    edits = [edit for draft in drafts for edit in draft["edits"]]
    problem = None if done.returncode == 0 else _last_words(done)
    learned = bool(edits) and _is_learned(service, edits[0]["id"])
    return Outcome(
        versions=versions(client, folder),
        drafted=bool(drafts),
        edited=bool(edits),
        learned=learned,
        suite=suite,
        problem=problem,
        corll=__version__,
        day=datetime.now(UTC).date().isoformat(),
    )


def _is_learned(service: RunningService, edit: str) -> bool:
    """Wait until a version that learned from an edit serves; False where none comes of it."""

    def look() -> str | None:
        state: str = service.get(f"edits/{edit}")["state"]
        return None if state == "recorded" else state

    try:
        return until(look, within=_PATIENCE_S, every=0.5) in ("learned", "serving")
    except AssertionError:
        return False


def _run(
    arguments: list[str], folder: Path, service: RunningService, key: str
) -> subprocess.CompletedProcess[str]:
    url = f"{service.url}/v1"
    own = {"OPENAI_BASE_URL": url, "OPENAI_API_BASE": url, "OPENAI_API_KEY": key}
    own["TOKENIZER"] = str(service.settings.model)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**kept, **own, "PATH": PATH, "LLM_USER_PATH": str(folder), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def _suite(client: Client, folder: Path, service: RunningService, key: str) -> str:
    """Run a framework's own tests, and return how many passed and failed, and which failed."""
    # Beside our own tests their configuration would hold for it.
    suite = folder / "test_suite.py"
    shutil.copyfile(HERE / "recipes" / str(client.suite), suite)
    settings = folder / "pytest.ini"
    settings.write_text(_SUITE_SETTINGS, encoding="utf-8")
    pytest = [str(folder / "bin" / "python"), "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = _run([*pytest, "-c", str(settings), str(suite)], folder, service, key)
    counts = re.findall(r"(\d+) (passed|failed|skipped|xfailed|error)", done.stdout)
    told = ", ".join(f"{number} {what}" for number, what in counts) or _last_words(done)
    failed = re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)", done.stdout, re.MULTILINE)
    return ": ".join([told, *([", ".join(failed)] if failed else [])])


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines() or [
        f"it ended with {done.returncode}"
    ]
    told = [line for line in lines if re.search(r"Error|error", line)]
    return (told or lines)[-1].strip()[:300]
