"""One trial: the tests of a module run on a copy of the tree, in a process of their own.

The process is forked from one that has imported all libraries, so a trial costs little more than
its tests. It is given as long as the tests took unchanged, some times over.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mutants.plugin import Order, Survey, WithoutShrinking

LIBRARIES = (
    "torch",
    "numpy",
    "scipy.stats",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.qwen2.modeling_qwen2",
    "peft",
    "safetensors.torch",
    "hypothesis",
    "hypothesis.strategies",
    "rapidfuzz",
    "pydantic",
    "jinja2",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "uvicorn",
    "httpx",
    "sklearn.linear_model",
)
COPIED = ("src", "tests")
_LONGEST_S = 3600.0
MEMORY_LIMIT = 6 * 2**30
"""*Units*: bytes a trial may hold, so that a loop which never ends harms nobody else."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the unchanged tests of a module did: how long each took, and which lines it ran."""

    wall_s: float
    seconds: dict[str, float]
    reached: dict[str, list[int]]

    @property
    def limit_s(self) -> float:
        return 30 + 4 * self.wall_s

    def first_for(self, lines: tuple[int, int]) -> list[str]:
        """List the tests that run one of those lines, the quickest first."""
        wanted = set(range(lines[0], lines[1] + 1))
        reaching = [name for name, ran in self.reached.items() if wanted & set(ran)]
        return sorted(reaching, key=lambda name: self.seconds[name])


@dataclass(frozen=True, slots=True)
class Result:
    """How a trial ended: "killed", "survived" or "timeout"; `by` is the test that failed."""

    outcome: str
    by: str
    wall_s: float


class BrokenTestsError(Exception):
    """The tests fail on the unchanged source, so they can tell nothing."""


def import_libraries() -> None:
    """Import what the tests need from other projects, once for all trials."""
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


class Sandbox:
    """A copy of the source and of the tests; all else of the checkout is linked."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True)
        for entry in root.iterdir():
            if entry.name in COPIED:
                shutil.copytree(entry, folder / entry.name, symlinks=True)
            elif entry.name not in (".git", ".hypothesis", "runs"):
                (folder / entry.name).symlink_to(entry)

    def survey(self, source: Path, tests: Sequence[str]) -> Baseline:
        """Run the tests on the unchanged source. *Raises*: BrokenTestsError."""
        told = self.folder / "survey.json"
        begun = time.perf_counter()
        process = self._fork(tests, _LONGEST_S, survey=(str(self.folder / source), told))
        status = process.wait()
        if status != 0 or not told.exists():
            raise BrokenTestsError(f"{' '.join(tests)}:\n{self._tail()}")
        fields: dict[str, Any] = json.loads(told.read_text())
        told.unlink()
        return Baseline(time.perf_counter() - begun, **fields)

    def begin(
        self, source: Path, text: str, tests: Sequence[str], first: Sequence[str], *, limit_s: float
    ) -> Process:
        """Begin a trial with another text of that module; `finish` puts its own back."""
        path = self.folder / source
        path.write_text(text, encoding="utf-8")
        for stale in path.parent.glob(f"__pycache__/{path.stem}.*"):
            stale.unlink()
        return self._fork(tests, limit_s, first=first)

    def finish(self, process: Process, source: Path, text: str) -> Result:
        """Return how a trial ended, and put the module's own text back."""
        (self.folder / source).write_text(text, encoding="utf-8")
        if process.status is None:
            return Result("timeout", "", process.wall_s)
        if process.status == 0:
            return Result("survived", "", process.wall_s)
        return Result("killed", self._failed(), process.wall_s)

    def _fork(self, tests: Sequence[str], limit_s: float, **about: Any) -> Process:
        sys.stdout.flush()
        sys.stderr.flush()
        begun = time.perf_counter()
        if pid := os.fork():
            return Process(pid, begun, limit_s)
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Processor time beyond all measure ends it, should nobody be there to end it.
            seconds = int(2 * limit_s)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            status = self._run(tests, **about)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _run(
        self,
        tests: Sequence[str],
        *,
        first: Sequence[str] = (),
        survey: tuple[str, Path] | None = None,
    ) -> int:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
        os.chdir(self.folder)
        log = os.open(self.folder / "trial.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        os.environ.update(PYTHONPATH=str(self.folder / "src"), TMPDIR=str(scratch))
        sys.path[:] = [str(self.folder / "src"), *_without_this_package()]
        for name in [name for name in sys.modules if name.split(".")[0] in ("mutants", "corll")]:
            del sys.modules[name]
        # What was compiled for a survey is read again; of a changed module nothing is written.
        sys.dont_write_bytecode = survey is None
        plugins: list[object] = [WithoutShrinking()]
        noted = None if survey is None else Survey(survey[0])
        plugins.append(noted or Order(first))
        arguments = ["-x", "-p", "no:cacheprovider", "--tb=line", "-m", "not slow", *tests]
        # The libraries are there before pytest could rewrite the assertions of its own plugins.
        arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        arguments += ["--rootdir", str(self.folder), "--basetemp", str(scratch / "pytest")]
        status = int(pytest.main([*arguments, "-c", "pyproject.toml"], plugins=plugins))
        if survey is not None and noted is not None:
            fields = {"seconds": noted.seconds, "reached": noted.reached}
            survey[1].write_text(json.dumps(fields))
        return status

    def _failed(self) -> str:
        lines = (self.folder / "trial.log").read_text(errors="replace").splitlines()
        return next((one for one in lines if one.startswith(("FAILED", "ERROR"))), "")[:200]

    def _tail(self) -> str:
        return "\n".join((self.folder / "trial.log").read_text().splitlines()[-15:])


class Process:
    """A forked trial; `status` is None while it runs, and of one that took too long."""

    def __init__(self, pid: int, begun: float, limit_s: float) -> None:
        self.status: int | None = None
        self.wall_s = 0.0
        self._pid, self._begun, self._limit_s = pid, begun, limit_s

    def wait(self) -> int | None:
        """Wait until it ends or its time is over; return the exit status, or None then."""
        while not self.ended():
            time.sleep(0.05)
        return self.status

    def ended(self) -> bool:
        """Tell whether the trial has ended, by itself or because its time is over."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        self.wall_s = time.perf_counter() - self._begun
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
            self._end_its_children()
            return True
        if self.wall_s > self._limit_s:
            self.end()
            return True
        return False

    def end(self) -> None:
        """End the trial and all that it started."""
        self._end_its_children()
        os.waitpid(self._pid, 0)

    def _end_its_children(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)


def _without_this_package() -> list[str]:
    """Return the search path without the checkout's own `src` and `tests`."""
    return [path for path in sys.path if Path(path).name not in COPIED]
