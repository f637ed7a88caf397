"""The tables of a check: each arm against the base and against memory alone, and the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from check_arms import ARMS, DEFAULTS
from corll.errors import InputError
from paired import Estimate, difference, mean_estimate, median_estimate, ratio

Line = Mapping[str, Any]
ArmKey = tuple[str, str]

PART = 20
"""Edits of a part, of which none may be much worse than the base."""

_EARLIER, _BY = range(31, 41), range(51, 61)
"""The edits before a taste changes at 40, and those by which its cost must be back."""

_HEAD = """\
Ratios of seconds to send, pair by pair, with 95 % intervals by bootstrap: of edits within a seed,
and of seeds where there are several. An interval is "above" a bound that all of it is above."""

_NO = "not measured"


class Drafts:
    """The drafts of a check, by writer and arm."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._by: dict[tuple[str, ArmKey, bool], list[Line]] = {}
        for line in lines:
            key = line["writer"], (line["arm"], line["label"]), line.get("held_out", False)
            self._by.setdefault(key, []).append(line)
        self.writers = list(dict.fromkeys(writer for writer, _, _ in self._by))
        arms = dict.fromkeys(arm for _, arm, _ in self._by)
        order = list(ARMS)
        self.arms = sorted(arms, key=lambda arm: (arm[1] != DEFAULTS, arm[1], order.index(arm[0])))

    def of(self, writer: str, arm: ArmKey, *, held_out: bool = False) -> list[Line]:
        """Return a writer's drafts in an arm, while learning or after it; none where none is."""
        return self._by.get((writer, arm, held_out), [])

    def beside(self, writer: str, arm: ArmKey, other: str, *, held_out: bool = False) -> list[Line]:
        """Return drafts of another arm by the same label, or by the defaults where it has none."""
        own = self.of(writer, (other, arm[1]), held_out=held_out)
        return own or self.of(writer, (other, DEFAULTS), held_out=held_out)

    def compare(
        self,
        writer: str,
        arm: ArmKey,
        other: str,
        how: Callable[..., Estimate | None] = ratio,
        measure: Callable[[Line], float] | None = None,
        *,
        edits: range | None = None,
        held_out: bool = False,
    ) -> Estimate | None:
        """Compare an arm with another; None where there are no pairs that say the measure."""
        own, base = (
            [line for line in lines if edits is None or line["edit"] in edits]
            for lines in (
                self.of(writer, arm, held_out=held_out),
                self.beside(writer, arm, other, held_out=held_out),
            )
        )
        if not own or not base:
            return None
        try:
            return how(own, base, measure or _seconds)
        except KeyError:
            return None


def report(lines: Iterable[Line], *, judged: str) -> str:
    """Return the tables of all arms, and the targets of the one that is judged, ARM or ARM:LABEL.

    *Raises*: InputError where that arm is none.
    """
    drafts = Drafts(lines)
    name, _, label = judged.partition(":")
    if name not in ARMS:
        raise InputError(f"There is no arm {name!r}; there are {', '.join(ARMS)}.")
    arm = name, label or DEFAULTS
    parts = [_HEAD, _by_writer(drafts)]
    if arm in drafts.arms:
        parts += [_scope(drafts, arm), _targets(drafts, arm)]
    else:
        there = ", ".join(map(_named, drafts.arms))
        parts.append(f"No targets: there is no draft of {_named(arm)}; there are {there}.")
    return "\n\n".join(parts)


def parts_of(lines: Iterable[Line]) -> list[range]:
    """Return the parts in which edits are looked at, twenty each and the last what is left."""
    last = max((line["edit"] for line in lines), default=0)
    return [range(first, min(first + PART, last + 1)) for first in range(1, last + 1, PART)]


def _by_writer(drafts: Drafts) -> str:
    rows = [
        "| writer | arm | drafts | s | all edits | by twenties | against memory | held out | "
        "empty or looping | leaks | rejected |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for writer in drafts.writers:
        anyone = next(drafts.of(writer, arm) for arm in drafts.arms if drafts.of(writer, arm))
        alone = np.mean([line["alone"] for line in anyone])
        base = drafts.of(writer, ("base", DEFAULTS)) or anyone
        itself = alone / np.mean([line["seconds"] for line in base])
        rows.append(f"| {writer} | writing it oneself | | {alone:.0f} | {itself:.2f} | | | | | | |")
        rows += [_row(drafts, writer, arm) for arm in drafts.arms if drafts.of(writer, arm)]
    return "\n".join(rows)


def _row(drafts: Drafts, writer: str, arm: ArmKey) -> str:
    lines = drafts.of(writer, arm)
    parts = [drafts.compare(writer, arm, "base", edits=part) for part in parts_of(lines)]
    cells = [
        writer,
        _named(arm),
        str(len(lines)),
        f"{np.mean([line['seconds'] for line in lines]):.0f}",
        _text(drafts.compare(writer, arm, "base")),
        "; ".join(map(_text, parts)),
        _text(drafts.compare(writer, arm, "memory")),
        _text(drafts.compare(writer, arm, "base", held_out=True)),
        _share(lines, _flawed),
        _share(lines, _leaks),
        _rejected(lines),
    ]
    blank = {"base": (4, 5, 6, 7), "memory": (6,)}
    for place in blank.get(arm[0], ()):
        cells[place] = ""
    return f"| {' | '.join(cells)} |"


class _Target(NamedTuple):
    """A target: what is wanted, what was found in words, and whether that is it; None: unknown."""

    quantity: str
    wanted: str
    found: str
    met: bool | None
    beyond: str = ""


def _scope(drafts: Drafts, arm: ArmKey) -> str:
    """Return what the targets are said of; they are meant for the judging half and five seeds."""
    lines = [line for writer in drafts.writers for line in drafts.of(writer, arm)]
    seeds, writers = ({line[name] for line in lines} for name in ("seed", "writer"))
    edits = max(line["edit"] for line in lines)
    return (
        f"Targets, of {_named(arm)}, by {len(writers)} writers, {len(seeds)} seed(s) and up to "
        f"{edits} edits:"
    )


def _targets(drafts: Drafts, arm: ArmKey) -> str:
    rows = ["| | target | found | | beyond |", "|---|---|---|---|---|"]
    words = {True: "**met**", False: "missed", None: _NO}
    for one in _all_targets(drafts, arm):
        cells = one.quantity, one.wanted, one.found or _NO, words[one.met], one.beyond
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _all_targets(drafts: Drafts, arm: ArmKey) -> list[_Target]:
    return [
        *_costs(drafts, arm),
        _against_memory(drafts, arm),
        _held_out(drafts, arm),
        _shares(drafts, arm, "empty or looping drafts while learning", _flawed),
        _shares(drafts, arm, "leaked facts, share of drafts", _leaks),
        _changed_taste(drafts, arm),
        _Target("ruined versions caught", "before their tenth draft in 95 %", "", None),
        _rejections(drafts, arm),
        _Target("edit to serving", "at most 5 s p95 with bf16, 15 s without", "", None),
    ]


def _costs(drafts: Drafts, arm: ArmKey) -> list[_Target]:
    whole = _of_writers(drafts, lambda writer: drafts.compare(writer, arm, "base"))
    above = [writer for writer, one in whole.items() if one.low > 1.0]
    reaching = [writer for writer, one in whole.items() if one.low <= 1.0 < one.high]
    harmful = []
    for writer in whole:
        for part in parts_of(drafts.of(writer, arm)):
            found = drafts.compare(writer, arm, "base", edits=part)
            if found is not None and found.low > 1.1:
                harmful.append(f"{writer} {part[0]}–{part[-1]}: {found}")
    quantity = "cost while learning, against the base"
    if not whole:
        return [_Target(quantity, "no interval above 1.0×, median ≤ 0.5×", "", None)]
    median = median_estimate(list(whole.values()))
    said = f"above: {_list(above)}; reaching above: {_list(reaching)}"
    return [
        _Target(quantity, "no writer's interval above 1.0×", said, not above),
        _Target("", "no twenty edits' interval above 1.1×", _list(harmful), not harmful),
        _Target("", "median ≤ 0.5×", str(median), median.value <= 0.5, "0.3×; 0.5B 0.15×"),
    ]


def _against_memory(drafts: Drafts, arm: ArmKey) -> _Target:
    found = _of_writers(drafts, lambda writer: drafts.compare(writer, arm, "memory"))
    quantity, wanted = "against memory alone", "better in half of the writers, above it in none"
    if not found or arm[0] == "memory":
        return _Target(quantity, wanted, "", None)
    better = [writer for writer, one in found.items() if one.value < 1]
    above = [writer for writer, one in found.items() if one.low > 1]
    median = median_estimate(list(found.values()))
    said = f"median {median}; better in {len(better)} of {len(found)}; above: {_list(above)}"
    return _Target(quantity, wanted, said, 2 * len(better) >= len(found) and not above)


def _held_out(drafts: Drafts, arm: ArmKey) -> _Target:
    found = _of_writers(drafts, lambda writer: drafts.compare(writer, arm, "base", held_out=True))
    if not found:
        return _Target("held out, against the base", "median ≤ 0.4×", "", None)
    median = median_estimate(list(found.values()))
    return _Target(
        "held out, against the base",
        "median ≤ 0.4×",
        str(median),
        median.value <= 0.4,
        "0.2×; 0.5B 0.1×",
    )


def _shares(
    drafts: Drafts, arm: ArmKey, quantity: str, measure: Callable[[Line], float]
) -> _Target:
    found = _of_writers(
        drafts, lambda writer: drafts.compare(writer, arm, "base", difference, measure)
    )
    wanted = "at most 1 % more than the base"
    if not found:
        return _Target(quantity, wanted, "", None, "base")
    mean = mean_estimate(list(found.values()))
    said = f"{mean.value:+.1%} ({mean.low:+.1%} to {mean.high:+.1%})"
    return _Target(quantity, wanted, said, mean.value <= 0.01, "base")


def _changed_taste(drafts: Drafts, arm: ArmKey) -> _Target:
    quantity, wanted = "a taste changed at edit 40", "within 1.2× of its earlier level by edit 60"
    before, after = (
        drafts.compare("changing", arm, "base", edits=edits) for edits in (_EARLIER, _BY)
    )
    if before is None or after is None:
        return _Target(quantity, wanted, "", None, "by edit 50")
    times = Estimate.of(after.value / before.value, after.draws / before.draws)
    said = f"{before} over 31–40, {after} over 51–60: {times}"
    return _Target(quantity, wanted, said, times.value <= 1.2, "by edit 50")


def _rejections(drafts: Drafts, arm: ArmKey) -> _Target:
    """Return how many versions were rejected, though their writers are sound."""
    lines = [line for writer in drafts.writers for line in drafts.of(writer, arm)]
    made = [line for line in lines if line.get("made")]
    quantity, wanted = "versions of these sound writers rejected", "at most 1 in 100"
    if not made:
        return _Target(quantity, wanted, "", None)
    rejected = sum(bool(line["rejected"]) for line in made)
    return _Target(quantity, wanted, f"{rejected} of {len(made)}", 100 * rejected <= len(made))


def _of_writers(drafts: Drafts, compare: Callable[[str], Estimate | None]) -> dict[str, Estimate]:
    found = {writer: compare(writer) for writer in drafts.writers}
    return {writer: one for writer, one in found.items() if one is not None}


def _seconds(line: Line) -> float:
    return float(line["seconds"])


def _flawed(line: Line) -> float:
    return float(line["empty"] or line["looping"])


def _leaks(line: Line) -> float:
    return float(bool(line["leaks"]))


def _share(lines: Sequence[Line], measure: Callable[[Line], float]) -> str:
    try:
        return f"{np.mean([measure(line) for line in lines]):.0%}"
    except KeyError:
        return _NO


def _rejected(lines: Sequence[Line]) -> str:
    made = [line for line in lines if line.get("made")]
    return f"{sum(bool(line['rejected']) for line in made)} of {len(made)}" if made else ""


def _named(arm: ArmKey) -> str:
    return arm[0] if arm[1] == DEFAULTS else f"{arm[0]}, {arm[1]}"


def _text(estimate: Estimate | None) -> str:
    return "–" if estimate is None else str(estimate)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
