"""The command line: `python -m mutants [MODULE …]`, with `tests` on Python's path."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mutants import report
from mutants.journal import Journal, digest, digest_of_code, read_judgements, sample
from mutants.operators import Mutant, mutants_of, mutated
from mutants.subjects import ROOT, Subject, chosen
from mutants.trial import Baseline, BrokenTestsError, Process, Sandbox, import_libraries

JUDGED = Path(__file__).with_name("judged.toml")


class Run:
    """Tries the mutants that the journal does not know yet, several at once."""

    def __init__(self, journal: Journal, folder: Path, *, jobs: int, seed: int) -> None:
        self._journal = journal
        self._seed = seed
        import_libraries()
        self._sandboxes = [Sandbox(ROOT, folder / str(n)) for n in range(jobs)]

    def play(self, subject: Subject, source: Path, most: int) -> None:
        """Try the sample of a module's mutants. *Raises*: BrokenTestsError."""
        # The copy is what is tried, whatever is written into the checkout meanwhile.
        root = self._sandboxes[0].folder
        hashes = _hashes(subject, source, root)
        tests = subject.test_files()
        text = (root / source).read_text(encoding="utf-8")
        mutants = sample(mutants_of(text), most, module=report.module_of(source), seed=self._seed)
        left = [one for one in mutants if self._journal.find(source, one, **hashes) is None]
        if not left:
            return
        survey = self._journal.find_survey(source, **hashes)
        if survey is None:
            survey = self._sandboxes[0].survey(source, tests)
            self._journal.add_survey(source, survey, **hashes)
        print(f"{source}: {len(left)} to try, {survey.wall_s:.0f} s unchanged", flush=True)
        self._try_all(source, text, left, tests, survey, hashes)

    def _try_all(
        self,
        source: Path,
        text: str,
        left: Sequence[Mutant],
        tests: Sequence[str],
        survey: Baseline,
        hashes: dict[str, str],
    ) -> None:
        waiting = list(reversed(left))
        running: dict[int, tuple[Mutant, Process]] = {}
        try:
            while waiting or running:
                for n, sandbox in enumerate(self._sandboxes):
                    if n not in running and waiting:
                        mutant = waiting.pop()
                        changed = mutated(text, mutant.number)
                        first = survey.first_for(mutant.lines)
                        running[n] = (
                            mutant,
                            sandbox.begin(source, changed, tests, first, limit_s=survey.limit_s),
                        )
                    elif n in running and running[n][1].ended():
                        mutant, process = running.pop(n)
                        result = sandbox.finish(process, source, text)
                        self._journal.add(source, mutant, result, **hashes)
                        print(
                            f"  {result.outcome:9}{result.wall_s:6.1f} s  {mutant.key}", flush=True
                        )
                time.sleep(0.02)
        finally:
            for _, process in running.values():
                process.end()


def _hashes(subject: Subject, source: Path, root: Path = ROOT) -> dict[str, str]:
    tests = [root / name for name in subject.test_files()]
    code = digest_of_code((root / source).read_text(encoding="utf-8"))
    return {"source": code, "tests": digest(tests)}


def outcomes(
    subjects: Sequence[Subject], journal: Journal, *, seed: int, most: int | None
) -> Iterator[tuple[Path, Mutant, str]]:
    """Yield what the journal knows of the subjects' samples as they are today."""
    for subject in subjects:
        for source in subject.sources():
            text = (ROOT / source).read_text(encoding="utf-8")
            hashes = _hashes(subject, source)
            count = most or subject.sample
            module = report.module_of(source)
            for mutant in sample(mutants_of(text), count, module=module, seed=seed):
                entry = journal.find(source, mutant, **hashes)
                if entry is not None:
                    yield source, mutant, entry.outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="modules of the table; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--most", type=int, help="mutants a module, instead of the table's number")
    parser.add_argument("--report", action="store_true", help="only count what is in the journal")
    parser.add_argument("--journal", type=Path, default=ROOT / "runs" / "mutants")
    return parser


def _play_all(
    subjects: Sequence[Subject], journal: Journal, asked: argparse.Namespace
) -> list[str]:
    """Try the mutants of all subjects; return a line for each module whose tests fail unchanged."""
    broken = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        run = Run(journal, Path(folder), jobs=asked.jobs, seed=asked.seed)
        for subject in subjects:
            for source in subject.sources():
                try:
                    run.play(subject, source, asked.most or subject.sample)
                except BrokenTestsError as error:
                    broken.append(f"{source}: its tests fail unchanged, so none was tried")
                    print(f"{broken[-1]}\n{error}", flush=True)
    return broken


def main() -> int:
    """Try what is left and print the counts; return 1 where too few of what matters are killed."""
    asked = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that trials and copies go too
    subjects, journal = chosen(asked.modules), Journal(asked.journal)
    broken = [] if asked.report else _play_all(subjects, journal, asked)
    tried = outcomes(subjects, journal, seed=asked.seed, most=asked.most)
    found = report.counts(tried, read_judgements(JUDGED))
    print("\n".join([report.table(found), *broken]))
    return 0 if not broken and report.total(found).share >= report.TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
