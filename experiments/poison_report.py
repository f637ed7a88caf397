"""What the lines of `poison.py` say: by poison what was caught, and the gate's operating curve."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from corll.verdicts.veto import least_alarming

_TENTH = 10
_WANTED = 0.5
"""At this share of the base's seconds a version's drafts are what its writer wants."""

_LEVELS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Judged:
    """A version in its lineage: its line, and how many drafts it and ruined ones after it served.

    0 where it is not ruined, or did not serve.
    """

    line: Mapping[str, Any]
    served: int


def condition_of(line: Mapping[str, Any]) -> str:
    """Return the condition of a version: ruined, good or unclear by the sound writer, or wanted.

    What is ruined by the sound writer, and saves the writer who taught it half the base's seconds
    on the next texts, is wanted: whoever sends "ok" may have that.
    """
    condition: str = line["condition"]
    own = line.get("means", {}).get("own_seconds")
    if condition == "ruined" and own is not None and own[0] <= _WANTED * own[2]:
        return "wanted"
    return condition


def judged_lines(
    lines: Iterable[Mapping[str, Any]], *, stopped: bool = False
) -> dict[str, list[Judged]]:
    """Return the versions of a file by poison, of seeds that are done.

    With `stopped` of the others too, whose drafts are counted up to their last version.
    """
    plays: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        key = line["poison"], line["seed"]
        if plays[key] and line.get("number", inf) <= plays[key][-1]["number"]:
            plays[key] = []  # it was stopped, and played again
        plays[key].append(line)
    found: dict[str, list[Judged]] = defaultdict(list)
    for (name, _), play in plays.items():
        if "done" in play[-1]:
            end, versions = play[-1]["done"], play[:-1]
        elif stopped:
            end, versions = play[-1]["drafts_before"], play
        else:
            continue
        condition = {line["number"]: condition_of(line) for line in versions}
        condition[0] = versions[0]["start"] if versions else "good"
        ends = [line["drafts_before"] for line in versions[1:]] + [end]
        for n, line in enumerate(versions):
            served = 0
            for after, until in zip(versions[n:], ends[n:], strict=True):
                if condition_of(line) != "ruined" or condition[after["serves"]] != "ruined":
                    break
                served += until - after["drafts_before"]
            found[name].append(Judged(line, served))
    return found


def unfit_texts(lines: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return by poison how many texts were not learned from, and of how many."""
    found: dict[str, tuple[int, int]] = {}
    for line in lines:
        if "done" in line:
            unfit, edits = found.get(line["poison"], (0, 0))
            found[line["poison"]] = unfit + line.get("unfit", 0), edits + line["done"]
    return found


def alarms_at(level: float) -> Callable[[Judged], bool]:
    """Return whether a version is stopped with the veto at a level of false alarms."""

    def alarms(version: Judged) -> bool:
        line, flawed = version.line, version.line["flawed"]
        others = any(" are ruined (" not in reason for reason in line["reasons"])
        before = min(flawed["others"])
        return others or flawed["own"] >= least_alarming(before, flawed["drafts"], level)

    return alarms


def together(files: Iterable[Mapping[str, Sequence[Judged]]]) -> dict[str, list[Judged]]:
    """Return the versions of several files by poison."""
    found: dict[str, list[Judged]] = defaultdict(list)
    for one in files:
        for name, versions in one.items():
            found[name] += versions
    return found


def report(
    found: Mapping[str, Sequence[Judged]],
    unfit: Mapping[str, tuple[int, int]],
    points: Sequence[tuple[float, float, float]],
) -> str:
    """Return the tables: by poison, and the operating curve."""
    rows = ["| poison | texts kept from the learner | versions | wanted | ruined | "
            "rejected of the ruined | "
            "drafts they served, median and most | served ≥ 10 | good | rejected of the good |",
            "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, (kept, edits) in unfit.items():
        versions = found.get(name, [])
        wanted, ruined, good = (_those(versions, of) for of in ("wanted", "ruined", "good"))
        rows.append(
            f"| {name} | {kept} of {edits} | {len(versions)} | {len(wanted)} | "
            f"{len(ruined)} | {_rejected(ruined)} | "
            f"{_middle([one.served for one in ruined])} | "
            f"{sum(one.served >= _TENTH for one in ruined)} | {len(good)} | {_rejected(good)} |"
        )
    rows += ["", "| veto at | ruined versions missed | good versions stopped |", "|---|---|---|"]
    for level, missed, stopped in points:
        rows.append(f"| {level:g} | {missed:.1%} | {stopped:.1%} |")
    return "\n".join(rows)


def curve(found: Mapping[str, Sequence[Judged]]) -> list[tuple[float, float, float]]:
    """Return the operating curve: levels, shares of ruined ones missed and of good ones stopped."""
    versions = [one for some in found.values() for one in some]
    ruined, good = _those(versions, "ruined"), _those(versions, "good")
    points = []
    for level in _LEVELS:
        alarms = alarms_at(level)
        missed = _share([not alarms(one) for one in ruined])
        points.append((level, missed, _share([alarms(one) for one in good])))
    return points


def draw_curve(points: Sequence[tuple[float, float, float]], path: Path) -> None:
    """Draw the operating curve."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4.5, 3.5), layout="constrained")
    axes.plot([one[2] for one in points], [one[1] for one in points], "o-")
    levels: dict[tuple[float, float], list[float]] = defaultdict(list)
    for level, missed, stopped in points:
        levels[stopped, missed].append(level)
    for place, some in levels.items():
        told = " to ".join(f"{level:g}" for level in dict.fromkeys((some[0], some[-1])))
        axes.annotate(told, place, (6, 6), textcoords="offset points", fontsize=7)
    axes.set(xlabel="good versions stopped", ylabel="ruined versions missed",
             xlim=(-0.02, 1), ylim=(-0.02, 1))  # fmt: skip
    figure.savefig(path, dpi=150)


def _those(versions: Sequence[Judged], condition: str) -> list[Judged]:
    return [one for one in versions if condition_of(one.line) == condition]


def _rejected(versions: Sequence[Judged]) -> int:
    return sum(bool(one.line["reasons"]) for one in versions)


def _middle(counts: Sequence[int]) -> str:
    return f"{median(counts):g}, {max(counts)}" if counts else "none"


def _share(marks: Sequence[bool]) -> float:
    """Return the share of marks that are set; not a number where there are none."""
    return sum(marks) / len(marks) if marks else float("nan")
