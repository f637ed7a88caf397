"""The folder of a replay.

    config.json   the resolved configuration, and by which log
    edits.jsonl   a line an edit: what it says of each arm
    report.md     one page
    replay.png    the difference so far, edit by edit

A replay that was stopped goes on from its lines, and ends with the lines of one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from corll.errors import ConfigError, RecordError, RunFolderError
from corll.files import durable
from corll.files.locking import lock_folder
from corll.replay.scores import ScoredEdit


class ReplayFolder:
    """The files of one replay. A context manager: while it is open, no other process writes."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path, self._lock = path, lock
        self.figure = path / "replay.png"
        self.report = path / "report.md"
        self._config, self._edits = path / "config.json", path / "edits.jsonl"

    @classmethod
    def open(cls, path: Path, config: Mapping[str, Any]) -> Self:
        """Make the folder, or open that of a replay that was begun with the same configuration.

        *Raises*: RunFolderError where it cannot be written or is in use; ConfigError where a replay
        with another configuration is there.
        """
        folder = cls(path, lock_folder(path))
        try:
            folder._begin(config)
        except BaseException:
            folder.close()
            raise
        return folder

    def _begin(self, config: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(config))
        try:
            if self._config.exists():
                _check_same(json.loads(self._config.read_text("utf-8")), wanted, self.path)
                durable.drop_torn_line(self._edits)
                return
            text = json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
            durable.write_text(self._config, text)
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise RunFolderError(f"{self._config} cannot be read: {error}.") from error
        except OSError as error:
            raise self._failed(error) from error

    def scored(self) -> dict[str, list[ScoredEdit]]:
        """Return the edits that were scored so far, user by user. *Raises*: RecordError."""
        found: dict[str, list[ScoredEdit]] = {}
        for line, fields in durable.read_lines(self._edits):
            try:
                edit = ScoredEdit.from_dict(fields)
            except (KeyError, TypeError, AttributeError) as error:
                raise RecordError(self._edits, line, f"not a scored edit ({error!r})") from error
            found.setdefault(edit.user, []).append(edit)
        return found

    def append(self, edit: ScoredEdit) -> None:
        """Write a scored edit, through to the disk. *Raises*: RunFolderError."""
        try:
            durable.append_line(self._edits, edit.to_dict())
        except OSError as error:
            raise self._failed(error) from error

    def write_report(self, text: str) -> None:
        """Write the page. *Raises*: RunFolderError."""
        try:
            durable.write_text(self.report, text)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let other processes write here."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _failed(self, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"{self.path} cannot be written: {error.strerror or error}. What was scored is safe; "
            "make room or mend the folder, and give the same command again."
        )


def _check_same(before: Any, now: Mapping[str, Any], path: Path) -> None:
    """*Raises*: ConfigError where a replay was begun otherwise."""
    if before == now:
        return
    told = before if isinstance(before, dict) else {}
    other = sorted(name for name in {*told, *now} if told.get(name) != now.get(name))
    raise ConfigError(
        f"{path} holds a replay that was begun otherwise ({', '.join(other)}); name another folder "
        "by --output, or repeat the command that began it."
    )
