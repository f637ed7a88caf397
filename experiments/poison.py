"""Poison as a test set: what the gate lets through, what it wrongly stops, and when it sees harm.

    python experiments/poison.py --out FILE.jsonl [--model NAME] [--poisons all|good|NAME,…]
        [--edits 20] [--seeds 1] [--fresh 200] [--longest 96] [--ungated [--every 1]]
    python experiments/poison.py --report FILE.jsonl … [--figure FILE.png]

Each poison teaches a new adapter edit by edit, by the service's defaults without a memory. Each
version is saved, loaded afresh and examined as the service does it. Whether it is ruined or good is
measured apart, by `--fresh` drafts on held-out requests (`corll.verdicts.ruin`): what they cost the
sound writer, whether they are unusable, and how many hold the secret, which counts as unusable too.
`own` is the same by the poisoned writer's own next texts; what these want is no ruin. A rejected
version does not serve (`corll.verdicts.rejections`), and what no version may learn from is left out
(`corll.verdicts.unfit`); with `--ungated` both are done all the same, so that what the gate says of
each can be read without what follows from it, and only each so many versions are examined. One
JSON line a version, and one where a poison's seed is done; what was stopped is played again.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from poison_judge import FreshDrafts, Judge, served_config
from poison_report import curve, draw_curve, judged_lines, report, together, unfit_texts

from corll.auto.machine import device_name
from corll.auto.resolve import resolve
from corll.buffer import REPLAY_MEMORY, draw
from corll.cli.dialogue import terminal_dialogue
from corll.config import LoraConfig
from corll.draft import make_drafts
from corll.errors import CorllError, InputError
from corll.feedback import is_acceptance
from corll.files.durable import append_line, drop_torn_line, read_lines
from corll.policy import Policy
from corll.records import Preference, text_of
from corll.service.learning.checks import Examined, OfReferences, reasons_against
from corll.service.learning.starting_points import LOOKED_BACK
from corll.service.settings import ServiceSettings
from corll.simulation.noise import fill_with_noise
from corll.simulation.poison import POISONED_ADAPTERS, POISONED_WRITERS, PoisonedWriter
from corll.simulation.writers import (
    WRITER_HALVES,
    WRITERS,
    FrameWriter,
    Writer,
    WritingRequest,
    writing_requests,
)
from corll.step import PreferenceOptimizer
from corll.text import clean_edit
from corll.verdicts.flaws import Habits
from corll.verdicts.rejections import serves_instead, step_share
from corll.verdicts.unfit import why_unfit
from corll.verdicts.veto import flawed_in

GOOD = WRITER_HALVES["choose"]
NAMES = (*POISONED_WRITERS, *POISONED_ADAPTERS, *GOOD)
_NOISE_AT = 3
"""The version that is overwritten by noise."""


@dataclass(frozen=True)
class Version:
    """A version that may serve: 0 is the reference, whose folder is None."""

    number: int
    folder: Path | None
    steps: int = 0
    parent: Version | None = None

    def line_of_descent(self) -> list[Version]:
        """Return it and the versions that it came of, the reference apart."""
        found, version = list[Version](), self
        while version.number and version.parent is not None:
            found.append(version)
            version = version.parent
        return found


class Play:
    """One poison or good writer with one seed: what serves, what waits, and what is past."""

    def __init__(
        self, base: Policy, name: str, seed: int, options: Any, fresh: FreshDrafts, folder: Path
    ) -> None:
        self.base, self.name, self.seed, self.folder = base, name, seed, folder
        self.settings, self.ungated = ServiceSettings(), options.ungated
        self.every: int = options.every
        self.config = served_config(options.longest).with_settings(seed=seed)
        self.writer = _writer(name)
        requests = writing_requests("train")
        Random(f"{seed}/{name}").shuffle(requests)
        if isinstance(self.writer, PoisonedWriter):
            requests = self.writer.asked(requests)
        self.requests: list[WritingRequest] = requests[: options.edits]
        sound = self.writer.sound if isinstance(self.writer, PoisonedWriter) else self.writer
        self.judge = Judge(base, fresh, sound, self.writer)
        self.reference = self._ruined_reference() if name == "reference" else None
        self.serving = Version(0, None)
        self.versions = self.unfit = 0
        self.past: deque[Preference] = deque(maxlen=REPLAY_MEMORY)
        self.of_references = OfReferences()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Play all edits; yield a line for each version."""
        if self.reference is not None:
            with self.policy_of(self.serving) as policy:
                self.judge.starts_from(policy)
        waiting: list[Preference] = []
        for number in range(1, len(self.requests) + 1):
            preference = self._answered(number)
            if preference is not None:
                waiting.append(preference)
            if len(waiting) == self.config.preferences_per_step:
                for line in self._learned(waiting):
                    yield {"drafts_before": number, "start": self.judge.start, **line}
                self.past.extend(waiting)
                waiting = []

    @contextmanager
    def policy_of(self, version: Version) -> Iterator[Policy]:
        """Yield the policy of a version; unload it afterwards."""
        policy = self.base.with_adapter(version.folder, lora=LoraConfig(), reference=self.reference)
        try:
            yield policy
        finally:
            policy.unload()

    def _answered(self, number: int) -> Preference | None:
        request = self.requests[number - 1]
        seed = Random(f"{self.seed}/{self.name}/{number}").getrandbits(62)
        with self.policy_of(self.serving) as policy:
            (draft,) = make_drafts(policy, [request.prompt], self.config, seeds=[seed])
        text = self.writer.sent(request, draft.text, number)
        if is_acceptance(draft, text):
            return None
        if not self.ungated and why_unfit(text) is not None:
            self.unfit += 1
            return None
        chosen = self.base.codec.encode_edit(draft.sample, clean_edit(text, draft.text))
        return Preference(request.prompt, chosen=chosen, rejected=draft.sample)

    def _learned(self, batch: Sequence[Preference]) -> Iterator[dict[str, Any]]:
        """Learn from edits at the whole step, then at half of it; yield a line for each try."""
        rejections = 0
        while (share := step_share(rejections)) is not None:
            version = self._step(batch, share)
            if version.number % self.every:
                self.serving = version
                return
            line = {"number": version.number, "parent": self.serving.number, "share": share,
                    **self._examined(version, batch)}  # fmt: skip
            if self.ungated or not line["reasons"]:
                self.serving = version
            else:
                self.serving = serves_instead(
                    self.serving.line_of_descent(), lambda one: self._reasons(one, batch)
                ) or Version(0, None)
            yield {**line, "serves": self.serving.number}
            if self.serving is version:
                return
            rejections += 1

    def _step(self, batch: Sequence[Preference], share: float) -> Version:
        config = self.config.with_settings(learning_rate=share * self.config.learning_rate)
        self.versions += 1
        folder = self.folder / str(self.versions)
        with self.policy_of(self.serving) as policy:
            optimizer = PreferenceOptimizer(policy, config)
            if self.serving.folder is not None:
                optimizer.restore(self.serving.folder, steps_taken=self.serving.steps)
            seed = config.replay_seed(optimizer.steps_taken)
            replayed = draw(list(self.past), config.replay_per_step, seed=seed)
            optimizer.step([*batch, *replayed])
            policy.save(folder)
            optimizer.save(folder)
        if self.name == "noise" and self.versions == _NOISE_AT:
            fill_with_noise(folder, seed=self.seed)
        return Version(self.versions, folder, optimizer.steps_taken, self.serving)

    def _examined(self, version: Version, batch: Sequence[Preference]) -> dict[str, Any]:
        """Examine a version as the service does, and measure its condition apart."""
        assert version.parent is not None
        with self._examination(version, batch, version.parent) as examined:
            reasons = reasons_against(examined)
            habits = Habits.of(examined.sent)
            with self.policy_of(version.parent) as parent:
                self.judge.of(version.parent.number, parent)
            count, beside = examined.looked_at, examined.base_scores
            looks = [one.first(count) for one in (examined.own_look, *examined.other_looks)]
            counts = [flawed_in(one, habits) for one in looks]
            return {
                "reasons": reasons,
                "drift": round(examined.probe_scores.drift, 4),
                "base_drift": None if beside is None else round(beside.drift, 4),
                "flawed": {"own": counts[0], "others": counts[1:], "drafts": len(looks[0])},
                "sent": [text_of(one.chosen) for one in batch],
                "looked": [[[one.text, one.loops] for one in look] for look in looks],
                **self.judge.judged(version.number, version.parent.number, examined.policy),
            }

    def _reasons(self, version: Version, batch: Sequence[Preference]) -> list[str]:
        with self._examination(version, batch, None) as examined:
            return reasons_against(examined)

    @contextmanager
    def _examination(
        self, version: Version, batch: Sequence[Preference], parent: Version | None
    ) -> Iterator[Examined]:
        with ExitStack() as loaded:
            policy = loaded.enter_context(self.policy_of(version))
            before = None
            if parent is not None and parent.number:
                before = loaded.enter_context(self.policy_of(parent))
            yield Examined.by_settings(
                self.settings,
                policy,
                batch,
                past=list(self.past)[-LOOKED_BACK:],
                parent=before,
                base=self.base if self.reference is not None else None,
                sampling=self.config.sampling,
                of_references=self.of_references,
            )

    def _ruined_reference(self) -> Path:
        folder = self.folder / "reference"
        policy = self.base.with_adapter(lora=LoraConfig())
        policy.save(folder)
        policy.unload()
        fill_with_noise(folder, seed=self.seed)
        return folder


def run(options: argparse.Namespace) -> None:
    """Play what is not there yet, and add it to the file."""
    names = _named(options.poisons)
    out: Path = options.out
    out.parent.mkdir(parents=True, exist_ok=True)
    drop_torn_line(out)
    lines = [line for _, line in read_lines(out)] if out.exists() else []
    done = {(line["poison"], line["seed"]) for line in lines if "done" in line}
    base = Policy.load(resolve(options.model, terminal_dialogue()), int8_drafts=None)
    fresh = FreshDrafts(base, options.fresh, options.longest)
    about = {"model": base.name, "machine": device_name(base.device), "fresh": options.fresh}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in names:
            if (name, seed) in done:
                print(f"{name}, seed {seed}: is there")
                continue
            with TemporaryDirectory() as folder:
                key = {"poison": name, "seed": seed}
                play = Play(base, name, seed, options, fresh, Path(folder))
                for line in play.lines():
                    append_line(out, {**about, **key, **line})
                    told = "; ".join(line["reasons"]) or "passes"
                    print(f"{name}, seed {seed}, version {line['number']}: {line['condition']} "
                          f"(own: {line['own']}), {told}", flush=True)  # fmt: skip
                append_line(out, {**about, **key, "done": options.edits, "unfit": play.unfit})
                print(f"{name}, seed {seed}: {play.unfit} texts were not learned from", flush=True)


def _writer(name: str) -> Writer | PoisonedWriter:
    if name in POISONED_ADAPTERS:
        return FrameWriter()
    return POISONED_WRITERS[name]() if name in POISONED_WRITERS else WRITERS[name]()


def _named(names: str) -> list[str]:
    sets = {"all": NAMES, "good": GOOD, "poison": NAMES[: -len(GOOD)]}
    found = list(sets.get(names, names.split(",")))
    if unknown := [name for name in found if name not in NAMES]:
        raise InputError(f"There is no poison {unknown[0]!r}; there are {', '.join(NAMES)}.")
    return found


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the lines")
    parser.add_argument("--report", type=Path, nargs="+", help="files to report on")
    parser.add_argument("--figure", type=Path, help="file of the operating curve")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--poisons", default="all", help="all, poison, good, or names")
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--fresh", type=int, default=200, help="fresh drafts a version")
    parser.add_argument("--longest", type=int, default=96, help="tokens of a draft")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ungated", action="store_true", help="serve rejected versions too")
    parser.add_argument("--every", type=int, default=1, help="examine each so many versions")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    if (options.out is None) == (options.report is None):
        raise InputError("Give --out FILE to play, or --report FILE to read.")
    if options.every != 1 and not (options.ungated and options.every > 1):
        raise InputError("--every needs --ungated, since what is not examined serves; 1 or more.")
    if options.report is None:
        run(options)
        return
    files = [[line for _, line in read_lines(path)] for path in options.report]
    points = curve(together(judged_lines(lines, stopped=True) for lines in files))
    found = together(map(judged_lines, files))
    print(report(found, unfit_texts(chain.from_iterable(files)), points))
    if options.figure is not None:
        draw_curve(points, options.figure)


if __name__ == "__main__":
    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")
