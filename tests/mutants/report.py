"""The counts of a run: killed, survived and judged, survived and not judged yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mutants.operators import Mutant

TARGET = 0.95
"""The share of the mutants that matter that must be killed."""


@dataclass
class Count:
    """The numbers of a module's mutants, by what became of them."""

    tried: int = 0
    killed: int = 0
    judged: int = 0
    unjudged: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return the share killed of those that matter; 1 where none does."""
        matter = self.killed + len(self.unjudged)
        return self.killed / matter if matter else 1.0


def counts(
    outcomes: Iterable[tuple[Path, Mutant, str]], judgements: Mapping[tuple[str, str], object]
) -> dict[str, Count]:
    """Count the mutants of each module by outcome; what did not survive was killed."""
    found: defaultdict[str, Count] = defaultdict(Count)
    for path, mutant, outcome in outcomes:
        module = module_of(path)
        count = found[module]
        count.tried += 1
        if outcome != "survived":
            count.killed += 1
        elif (module, mutant.key) in judgements:
            count.judged += 1
        else:
            count.unjudged.append(f"{mutant.key}  (line {mutant.lines[0]})")
    return dict(found)


def module_of(path: Path) -> str:
    """Return a module's name in the table and among the judgements, such as `model/tokens`."""
    return "/".join(path.with_suffix("").parts[2:])


def total(found: Mapping[str, Count]) -> Count:
    """Add up the counts of all modules."""
    unjudged = [f"{name}: {one}" for name, count in found.items() for one in count.unjudged]
    tried, killed, judged = (
        sum(getattr(count, name) for count in found.values())
        for name in ("tried", "killed", "judged")
    )
    return Count(tried, killed, judged, unjudged)


def table(found: Mapping[str, Count]) -> str:
    """Write a line a module, a line for all, and then the survivors that nobody has judged."""
    head = f"{'module':34}{'tried':>7}{'killed':>8}{'judged':>8}{'open':>6}{'of what matters':>17}"
    whole = total(found)
    rows = [
        f"{name:34}{count.tried:7}{count.killed:8}{count.judged:8}{len(count.unjudged):6}"
        f"{count.share:16.1%}"
        for name, count in [*found.items(), ("all", whole)]
    ]
    return "\n".join(
        [head, *rows, *(["", "Not judged:"] if whole.unjudged else []), *whole.unjudged]
    )
