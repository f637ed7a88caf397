"""From a version's name to weights that an engine may read for as long as it lives."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import fsspec

from corll_vllm.pins import CONFIG, MANIFEST, WEIGHTS, BrokenVersionError, Pins, rank_of
from corll_vllm.places import Place, Places

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What the environment says: `versions` is a folder or an URL of fsspec.

    A copy of a pruned version is kept for `keep_s` seconds, so that whoever asked for it before
    gets its own drafts: longer than a gateway goes by what it knew (600 s) and waits for an engine.
    """

    database: str
    versions: str
    pins: Path
    most_rank: int
    look_s: float
    keep_s: float

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings | None:
        """Read the variables CORLL_*; None where they name no database."""
        data = environment.get("CORLL_DATA_DIR", "")
        database = environment.get("CORLL_DATABASE") or (
            f"sqlite:///{Path(data).absolute()}/corll.db" if data else ""
        )
        versions = environment.get("CORLL_VERSIONS") or data
        if not (database and versions):
            return None
        pins = environment.get("CORLL_VLLM_PINS") or f"{tempfile.gettempdir()}/corll-pins"
        return cls(
            database,
            versions,
            Path(pins),
            int(environment.get("CORLL_VLLM_MOST_RANK", "16")),
            float(environment.get("CORLL_VLLM_LOOK_S", "10")),
            float(environment.get("CORLL_VLLM_KEEP_S", "1800")),
        )


class PinnedVersions:
    """Versions by name, each copied once. A thread forgets what the database names no more."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._gone_since: dict[str, float] = {}
        self._places, self._pins = Places(settings.database), Pins(settings.pins)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def folder_of(self, name: str) -> Path | None:
        """Return the copy of a version; None for what may not draft here.

        *Raises*: OSError, SQLAlchemyError where store or database are away.
        """
        place = self._places.find(name)
        if place is None:
            return None
        if self._pins.is_empty(name):
            log.warning("%s was forgotten here, and is not taken again", name)
            return None
        try:
            folder = self._pins.pin(name, place, lambda to: self._copy(place, to))
            rank = rank_of(folder)
        except BrokenVersionError as error:
            log.warning("%s does not draft: %s", name, error)
            return None
        if rank > self._settings.most_rank:
            most = self._settings.most_rank
            log.warning("%s has rank %s, and this engine takes %s at most", name, rank, most)
            return None
        return folder

    def forget_what_is_gone(self) -> list[str]:
        """Fill the copies of versions that may draft no more with zeros; return their names.

        Those that were erased go at once, those that were only pruned after a while.
        """
        gone = [name for name in self._pins.names() if self._places.find(name) is None]
        now = self._clock()
        self._gone_since = {name: self._gone_since.get(name, now) for name in gone}
        kept = now - self._settings.keep_s
        due = [n for n in gone if self._gone_since[n] <= kept or self._places.is_erased(n)]
        for name in due:
            self._pins.empty(name)
            log.info("%s was forgotten", name)
        return due

    def watch(self) -> None:
        """Look again and again, in a thread, which copies are to be forgotten."""
        self._thread = threading.Thread(target=self._look, name="corll-pins", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(self._settings.look_s):
            try:
                self.forget_what_is_gone()
            except Exception as error:  # the database may be away, and comes back
                log.warning("copies of versions are looked at later: %s", type(error).__name__)

    def _copy(self, place: Place, to: Path) -> None:
        root = self._settings.versions.rstrip("/")
        system, path = fsspec.url_to_fs(f"{root}/{place.folder}")
        for name in (WEIGHTS, CONFIG, MANIFEST):
            source = f"{path.rstrip('/')}/{name}"
            if system.exists(source):
                system.get_file(source, os.fspath(to / name))
