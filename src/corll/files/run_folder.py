"""The folder of one run: every answered draft, what was learned from it, and the adapter.

    config.json        the resolved configuration of the whole run
    rounds.jsonl       the journal: a line per answered draft, on disk before it is learned from
    metrics.jsonl      a line per round: what the edit cost, and the metrics of the step if one fell
    adapter/           the adapter as a PEFT folder, and beside it what resuming needs
    preferences.jsonl  edit ≻ draft in TRL's form, rendered from the journal
    held_out.jsonl     the held-out drafts before and after
    curve.png          the learning curve

The journal is the truth. The adapter is the learner after some round r; on resuming, the journal's
rounds after r are learned from again, which gives the adapter of a run that never stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from corll.errors import RecordError, RunFolderError
from corll.evaluation import Measures
from corll.feedback import User, is_acceptance
from corll.files import durable
from corll.files.formats import to_trl
from corll.files.locking import lock_folder
from corll.records import Draft, Edit, Preference, Round
from corll.text import clean_edit


class RunFolder:
    """The files of one run. A context manager: while it is open, no other process runs there.

    `edits` is the journal in memory; `notices` say what a person should know about repairs.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.edits: list[Edit] = []
        self.notices: list[str] = []
        self.adapter = self.path / "adapter"
        self.curve = self.path / "curve.png"
        self._config = self.path / "config.json"
        self._journal = self.path / "rounds.jsonl"
        self._metrics = self.path / "metrics.jsonl"
        self._preferences = self.path / "preferences.jsonl"
        self._held_out = self.path / "held_out.jsonl"
        self._lock: FileLock | None = None

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any]) -> Self:
        """Create a folder for a new run, and lock it.

        *Raises*: RunFolderError where it cannot be written, is in use, or holds a run already.
        """
        folder = cls(path)
        with folder._locked():
            if folder._config.exists():
                raise RunFolderError(
                    f"{path} already holds a run. Go on with it by --resume {path}, or choose "
                    "another --output."
                )
            folder.write_config(config)
        return folder

    @classmethod
    def reopen(cls, path: str | Path) -> Self:
        """Open the folder of an earlier run, lock it, and repair what a crash left half-done.

        *Raises*: RunFolderError where there is no run or another process has it open; RecordError
        where the journal is damaged in its middle.
        """
        folder = cls(path)
        read_config(path)
        with folder._locked(), folder._writing("the folder could not be repaired"):
            durable.recover_folder(folder.adapter)
            if durable.drop_torn_line(folder._journal):
                folder.notices.append(
                    f"The last line of {folder._journal} was cut short by a crash and is dropped; "
                    "that draft will be asked again."
                )
            folder.edits = read_journal(path)
        return folder

    def write_config(self, config: Mapping[str, Any]) -> None:
        with self._writing(f"{self._config} could not be written"):
            durable.write_text(
                self._config, json.dumps(config, indent=2, ensure_ascii=False) + "\n"
            )

    def append(self, edit: Edit) -> None:
        """Write an answered draft to the journal, through to the disk, before it is used.

        *Raises*: InputError for a text that could not be learned from, which is not written.
        """
        if edit.text is not None and not is_acceptance(edit.draft, edit.text):
            clean_edit(edit.text)
        with self._writing(f"{self._journal} could not be written"):
            durable.append_line(self._journal, {"number": len(self.edits) + 1, **edit.to_dict()})
        self.edits.append(edit)

    def append_metrics(self, metrics: Mapping[str, Any]) -> None:
        with self._writing(f"{self._metrics} could not be written"):
            durable.append_line(self._metrics, metrics)

    def keep_metrics_until(self, *, rounds: int, steps: int) -> None:
        """Drop the metrics of later rounds and steps, which are about to be played again."""
        kept = [
            line for line in self.metrics() if line["round"] <= rounds and line["step"] <= steps
        ]
        with self._writing(f"{self._metrics} could not be written"):
            durable.write_lines(self._metrics, kept)

    def metrics(self) -> list[dict[str, Any]]:
        return [record for _, record in durable.read_lines(self._metrics)]

    def write_held_out(self, records: Iterable[Mapping[str, Any]]) -> None:
        with self._writing(f"{self._held_out} could not be written"):
            durable.write_lines(self._held_out, records)

    def held_out(self) -> list[dict[str, Any]]:
        return [record for _, record in durable.read_lines(self._held_out)]

    def checkpoint(self, save: Callable[[Path], None]) -> None:
        """Replace `adapter/` by what `save` writes, and render the preferences."""
        with self._writing(f"{self.adapter} could not be written"):
            durable.write_folder(self.adapter, save)
            durable.write_lines(self._preferences, map(to_trl, preferences_of(self.edits)))

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Take the lock; give it back only where the block fails."""
        self._lock = lock_folder(self.path)
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _writing(self, problem: str) -> Iterator[None]:
        try:
            yield
        except RunFolderError:
            raise
        except OSError as error:
            raise RunFolderError(
                f"{problem}: {error.strerror or error}. The first {len(self.edits)} answered "
                f"drafts are safe; make room or mend the folder, then --resume {self.path}"
            ) from error


class JournalingUser:
    """A `User` whose every answer is on disk before it is learned from.

    `check` raises for an answer that could not be learned from: once in the journal, it would stop
    the run again at each attempt to resume it.
    """

    def __init__(self, user: User, folder: RunFolder, *, check: Callable[[Edit], object]) -> None:
        self._user, self._folder, self._check = user, folder, check

    def edit(self, draft: Draft) -> str | None:
        edit = Edit(draft=draft, text=self._user.edit(draft))
        self._check(edit)
        self._folder.append(edit)
        return edit.text


def read_config(path: str | Path) -> dict[str, Any]:
    """Read the configuration of the run in a folder.

    *Raises*: RunFolderError where there is no run.
    """
    file = Path(path) / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFolderError(f"{path} holds no run: there is no {file.name} in it.") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}.") from error
    if not isinstance(config, dict):
        raise RunFolderError(f"{file} is not a JSON object, so the run cannot be read.")
    return config


def read_journal(path: str | Path) -> list[Edit]:
    """Read the answered drafts of a run, in order; a torn last line is left out.

    *Raises*: RecordError where any other line is not what the journal writes.
    """
    file = Path(path) / "rounds.jsonl"
    edits: list[Edit] = []
    for line, record in durable.read_lines(file):
        try:
            number, edit = record["number"], Edit.from_dict(record)
        except (KeyError, TypeError) as error:
            raise RecordError(file, line, f"not an answered draft ({error!r})") from error
        if number != len(edits) + 1:
            raise RecordError(file, line, f"must be {len(edits) + 1}, not {number}", field="number")
        edits.append(edit)
    return edits


def preferences_of(edits: Iterable[Edit]) -> list[Preference]:
    """Return the preferences among edits; acceptances and drafts without feedback give none."""
    return [
        Preference(
            edit.draft.prompt,
            chosen=clean_edit(edit.text, edit.draft.text),
            rejected=edit.draft.sample,
        )
        for edit in edits
        if edit.text is not None and not is_acceptance(edit.draft, edit.text)
    ]


def round_metrics(round_: Round, *, step: int) -> dict[str, Any]:
    """Return the line of a round in `metrics.jsonl`; `step` counts the steps taken so far."""
    measured = {} if round_.edit.text is None else asdict(Measures.of(round_.edit))
    return {"round": round_.number, "step": step, **measured, **(round_.step_metrics or {})}
