"""The tables of a trial: each arm after so many edits, beside the base and beside imitation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from corll.errors import InputError
from corll.evaluation import Interval
from corll.files.cell_lines import is_about
from corll.files.durable import read_lines
from edit_estimates import Values, estimate
from edit_trial import ARMS, DEFAULTS, CellKey

Line = Mapping[str, Any]
Measure = Callable[[Line], float | None]
ArmKey = tuple[str, str]

_HEAD = """\
**Off-policy in every arm**: the drafts are texts that people wrote, and people edited them. No row
says who edited, so nothing here is about one person's taste. Intervals are 95 % by bootstrap over
held-out edits, and over seeds where there are several; each difference is paired by held-out edit
and seed. Many are shown, and none is corrected for that."""

_SAID = """\
*Surprisal* is −log π of the tokens that the editor inserted, in nats a token; below the base is
better. *R_π right* is the share of held-out edits with R_π(edit) > R_π(original), where a tie
counts half; for the base it is 0.5 by definition. *Score* is the probability, by a scorer that saw
none of these texts, that a fresh draft is {wanted}; *kept* the F1 of its words with the original's,
which a copy has at 1; *cost* the character operations to the human edit, per character of it."""


class Measured(NamedTuple):
    """The lines of a data set and model: what its cells are, and what was measured."""

    data: str
    model: str
    about: dict[CellKey, Line]
    lines: dict[tuple[ArmKey, int], list[Line]]

    @property
    def arms(self) -> list[ArmKey]:
        """Return the arms that were measured, the defaults first, in the order of `ARMS`."""
        order = list(ARMS)
        found = {arm for arm, _ in self.lines}
        return sorted(found, key=lambda arm: (arm[1] != DEFAULTS, arm[1], order.index(arm[0])))

    def marks(self, arm: ArmKey) -> list[int]:
        """Return after how many edits an arm was measured."""
        return sorted({edits for one, edits in self.lines if one == arm})

    def values(self, arm: ArmKey, edits: int, measure: Measure) -> dict[tuple[int, int], float]:
        """Return what an arm measures after so many edits, by seed and held-out edit."""
        found = {
            (line["seed"], line["item"]): measure(line) for line in self.lines.get((arm, edits), [])
        }
        return {place: value for place, value in found.items() if value is not None}

    def beside(self, arm: ArmKey, other: str) -> ArmKey:
        """Return another arm by the same label, or by the defaults where it has none."""
        own = other, arm[1]
        return own if own in self.arms else (other, DEFAULTS)

    def mean(self, arm: ArmKey, edits: int, measure: Measure) -> Interval | None:
        """Return the mean of a measure with its interval; None where there is none."""
        return estimate(_matrix(self.values(arm, edits, measure)))

    def difference(self, arm: ArmKey, edits: int, other: str, measure: Measure) -> Interval | None:
        """Return by how much a measure is higher than another arm's, paired; None without pairs.

        The base does not learn, so it is compared as it was before the first edit.
        """
        beside = self.beside(arm, other)
        others = self.values(beside, 0 if other == "base" else edits, measure)
        own = self.values(arm, edits, measure)
        return estimate(_matrix({p: own[p] - others[p] for p in own.keys() & others.keys()}))


def read_measured(paths: Iterable[Path]) -> list[Measured]:
    """Return the lines of files by data set and model; of a cell in several files those of one.

    Cells that are not finished are left out. *Raises*: InputError where none is.
    """
    found: dict[tuple[str, str], Measured] = {}
    for path in paths:
        rows = [row for _, row in read_lines(path)]
        abouts = {CellKey.of(row): row for row in rows if is_about(row)}
        for key, about in abouts.items():
            own = [row for row in rows if CellKey.of(row) == key and not is_about(row)]
            name = key.data, about["model"]
            measured = found.setdefault(name, Measured(*name, {}, {}))
            if len(own) != about["cell"]["lines"] or key in measured.about:
                continue
            measured.about[key] = about
            for line in own:
                arm = key.arm, key.label
                measured.lines.setdefault((arm, line["edits"]), []).append(line)
    whole = [measured for measured in found.values() if measured.about]
    if not whole:
        raise InputError(
            f"{', '.join(map(str, paths))}: no cell is finished; play some with --out FILE."
        )
    return whole


def report(measured: Sequence[Measured]) -> str:
    """Return the tables of data sets and models."""
    return "\n\n".join([_HEAD, *(part for one in measured for part in _parts(one))])


def difference_of_surprisal(line: Line) -> float | None:
    """Return by how much more the inserted tokens surprised an arm than the base."""
    own, base = line["surprisal"], line["base_surprisal"]
    return None if own is None or base is None else own - base


def right(line: Line) -> float | None:
    """Return whether R_π prefers the edit, 1 or 0, and ½ for a tie; None for the base."""
    margin = line["margin"]
    return None if margin is None else (float(np.sign(margin)) + 1) / 2


def named(measure: str) -> Measure:
    """Return the measure of a draft by its name; None where no draft was drawn."""

    def value(line: Line) -> float | None:
        found = line.get(measure)
        return None if found is None else float(found)

    return value


def _parts(one: Measured) -> list[str]:
    cell = next(iter(one.about.values()))
    about = cell["cell"]["data"]
    seeds = sorted({key.seed for key in one.about})
    left_out = ", ".join(f"{count} × {reason}" for reason, count in about["left_out"].items())
    title = (
        f"## {one.data}, {one.model}\n\n{about['learned_from']} edits to learn from, "
        f"{about['held_out']} held out, seeds {', '.join(map(str, seeds))}; left out: "
        f"{left_out or 'none'}. {cell['machine']}, {cell['dtype']}, corll {cell['corll']}. The "
        f"scorer ({about['scorer']}, {about['scorer_texts']} other texts) is right for "
        f"{about['scorer_on_held_out']:.1%} of the held-out originals and edits, and in "
        f"{about['scorer_in_pairs']:.1%} of their pairs."
    )
    said = _SAID.format(wanted=about["wanted"])
    return [title, said, _scored(one), _drafted(one)]


def _scored(one: Measured) -> str:
    rows = [
        "| arm | edits | surprisal | − base (95 %) | − sft (95 %) | R_π right (95 %) | "
        "learned in |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in one.arms:
        for edits in one.marks(arm):
            surprisal = one.mean(arm, edits, named("surprisal"))
            cells = [
                _called(arm),
                str(edits),
                "–" if surprisal is None else f"{surprisal.mean:.3f}",
            ]
            if arm[0] == "base":
                cells += ["", "", "0.5 by definition", ""]
            else:
                lines = one.lines[arm, edits]
                cells += [
                    _text(one.mean(arm, edits, difference_of_surprisal), "+.3f"),
                    _beside_sft(one, arm, edits, named("surprisal"), "+.3f"),
                    _text(one.mean(arm, edits, right), ".2f"),
                    f"{np.mean([line['learn_s'] for line in lines]):.0f} s",
                ]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _drafted(one: Measured) -> str:
    rows = [
        "| fresh drafts of | edits | score | − base (95 %) | − sft (95 %) | kept | − base (95 %) | "
        "cost | − base (95 %) | copies | empty | loops | cut |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    drawn = [(arm, edits) for arm in one.arms for edits in one.marks(arm)]
    drawn = [place for place in drawn if one.values(*place, named("score"))]
    if not drawn:
        return "No drafts were drawn."
    for name, fields in (
        ("the originals", ("original_score", None, "original_cost")),
        ("the human edits", ("edit_score", "edit_kept", None)),
    ):
        means = [one.mean(*drawn[0], named(field)) if field else None for field in fields]
        fixed = [None, 1.0, None] if name == "the originals" else [None, None, 0.0]
        score, kept, cost = (
            "–" if value is None else f"{value:.2f}"
            for value in (m.mean if m else f for m, f in zip(means, fixed, strict=True))
        )
        rows.append(f"| *{name}* | | {score} | | | {kept} | | {cost} | | | | | |")
    for arm, edits in drawn:
        cells = [_called(arm), str(edits)]
        for field in ("score", "kept", "cost"):
            mean = one.mean(arm, edits, named(field))
            cells.append("–" if mean is None else f"{mean.mean:.2f}")
            learned = arm[0] != "base"
            difference = one.difference(arm, edits, "base", named(field)) if learned else None
            cells.append(_text(difference, "+.2f"))
            if field == "score":
                cells.append(_beside_sft(one, arm, edits, named(field), "+.2f"))
        for flaw in ("copy", "empty", "loop", "cut"):
            share = one.mean(arm, edits, named(flaw))
            cells.append("–" if share is None else f"{share.mean:.0%}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _beside_sft(one: Measured, arm: ArmKey, edits: int, measure: Measure, form: str) -> str:
    if arm[0] in ("base", "sft"):
        return ""
    return _text(one.difference(arm, edits, "sft", measure), form)


def _matrix(values: Mapping[tuple[int, int], float]) -> Values:
    """Return values by seed and held-out edit. *Shapes*: S × I, not a number where none is."""
    seeds, items = (sorted({place[n] for place in values}) for n in (0, 1))
    found = np.full((len(seeds), len(items)), np.nan)
    for (seed, item), value in values.items():
        found[seeds.index(seed), items.index(item)] = value
    return found


def _text(found: Interval | None, form: str) -> str:
    if found is None:
        return ""
    if isnan(found.low):
        return f"{found.mean:{form}} (too few)"
    return f"{found.mean:{form}} ({found.low:{form}} to {found.high:{form}})"


def _called(arm: ArmKey) -> str:
    return arm[0] if arm[1] == DEFAULTS else f"{arm[0]}, {arm[1]}"
