"""Makes sheets for people who read drafts by RUBRIC.md, and counts what they found.

    python experiments/drafts/judge_drafts.py sheet DIR/MODEL.jsonl … --reader NAME --out SHEET
    python experiments/drafts/judge_drafts.py count SHEET …

A sheet has a line for each draft, in a random order of the reader's own. The reader fills in
`verdict` and `reasons`, and may write into `sent` what they would send instead.
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

from sklearn.metrics import cohen_kappa_score

from check_drafts import add_together, group_of, prompt_of, share, table, together
from corll.edits import edit_cost
from corll.errors import CorllError, InputError
from corll.files.durable import read_lines, write_lines
from draft_prompts import PROMPTS, DraftPrompt, Key, key_of, read_drafts, read_prompts

VERDICTS = ("useless", "worth editing", "sendable")
"""From the worst to the best, which is the order that the weighted κ goes by."""

_KEY = ("prompt", "model", "frame", "guards", "seed")


def sheet_of(
    drafts: Sequence[Mapping[str, Any]], prompts: Mapping[str, DraftPrompt], reader: str
) -> list[dict[str, Any]]:
    """Return the lines that a reader fills in. *Raises*: InputError."""
    lines = []
    for draft in drafts:
        prompt = prompt_of(draft, prompts)
        to_read = {"message": prompt.message, "hint": prompt.hint, "sign_as": prompt.sign_as}
        to_fill_in = {"reader": reader, "verdict": "", "reasons": "", "sent": None}
        key = {name: draft[name] for name in _KEY}
        lines.append({**to_read, "text": draft["text"], **to_fill_in, **key})
    random.Random(reader).shuffle(lines)
    return lines


def read_judgements(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Read the lines of sheets that are judged. *Raises*: InputError, RecordError."""
    judged: dict[tuple[str, Key], dict[str, Any]] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"There is no file {path}; `judge_drafts.py sheet` writes one.")
        for number, line in read_lines(path):
            where = f"{path}, line {number}"
            if missing := [name for name in (*_KEY, "reader", "verdict") if name not in line]:
                raise InputError(f"{where}: no judgement, it has no {missing[0]}.")
            if not line["verdict"]:
                continue
            if line["verdict"] not in VERDICTS:
                raise InputError(
                    f"{where}: the verdict is {line['verdict']!r}; it is {', '.join(VERDICTS)}, or "
                    "empty where the draft was not read yet."
                )
            key = line["reader"], key_of(line)
            if key in judged:
                raise InputError(f"{where}: {line['reader']} judged this draft before; leave one.")
            judged[key] = line
    if not judged:
        raise InputError("No draft is judged yet; fill in `verdict` on the lines of a sheet.")
    return list(judged.values())


def counts(judgements: Sequence[Mapping[str, Any]], prompts: Mapping[str, DraftPrompt]) -> str:
    """Return the table of verdicts: a row for each model, frame, prompts, guards and reader.

    What is sendable is also worth editing. The edit cost is the mean over the drafts of which the
    reader wrote what they would send, and over those that they would send as they are.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for line in judgements:
        key = *group_of(line, prompt_of(line, prompts)), line["reader"]
        groups.setdefault(key, []).append(line)
    rows = []
    for (*row, guards, reader), lines in sorted(groups.items()):
        verdicts = [line["verdict"] for line in lines]
        sendable, useless = verdicts.count("sendable"), verdicts.count("useless")
        costs = [cost for line in lines if (cost := _cost(line)) is not None]
        rows.append(
            [*row, "on" if guards else "off", reader, str(len(lines)),
             share(sendable, len(lines)), share(len(lines) - useless, len(lines)),
             share(useless, len(lines)), f"{mean(costs):.2f} of {len(costs)}" if costs else "–"]
        )  # fmt: skip
    head = ["model", "frame", "prompts", "guards", "reader", "drafts", "sendable",
            "worth editing or better", "useless", "edit cost"]  # fmt: skip
    return table(head, rows)


def _cost(line: Mapping[str, Any]) -> float | None:
    sent = line.get("sent")
    if sent:
        return edit_cost(line["text"], sent)
    return 0.0 if line["verdict"] == "sendable" else None


def agreement(judgements: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of how far each two readers agree on the drafts that both judged.

    κ is Cohen's; the weighted one counts a step between neighbouring verdicts as half a
    disagreement. Where both readers gave all drafts one and the same verdict there is none.
    """
    of_reader: dict[str, dict[Key, str]] = {}
    for line in judgements:
        of_reader.setdefault(line["reader"], {})[key_of(dict(line))] = line["verdict"]
    rows = []
    for one, other in combinations(sorted(of_reader), 2):
        both = sorted(of_reader[one].keys() & of_reader[other].keys())
        if not both:
            continue
        first = [of_reader[one][key] for key in both]
        second = [of_reader[other][key] for key in both]
        alike = sum(a == b for a, b in zip(first, second, strict=True))
        rows.append(
            [f"{one}, {other}", str(len(both)), share(alike, len(both)),
             _number(kappa(first, second)), _number(kappa(first, second, weights="linear"))]
        )  # fmt: skip
    if not rows:
        return "No two readers judged the same draft, so there is no agreement to be computed."
    return table(["readers", "drafts", "agree", "κ", "weighted κ"], rows)


def kappa(
    first: Sequence[str], second: Sequence[str], *, weights: str | None = None
) -> float | None:
    """Return Cohen's κ of two readers' verdicts; None where neither ever varied."""
    if len({*first, *second}) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = cohen_kappa_score(first, second, labels=list(VERDICTS), weights=weights)
    return float(value)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _write_sheet(options: argparse.Namespace) -> None:
    if options.out.exists():
        raise InputError(f"{options.out} is there already, perhaps with verdicts; name another.")
    lines = sheet_of(read_drafts(options.files), read_prompts(options.prompts), options.reader)
    write_lines(options.out, lines)
    print(f"{options.out}: {len(lines)} drafts to be read by {options.reader}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    sheet = commands.add_parser("sheet", help="write the lines that a reader fills in")
    sheet.add_argument("files", type=Path, nargs="+")
    sheet.add_argument("--reader", required=True)
    sheet.add_argument("--out", type=Path, required=True)
    sheet.add_argument("--prompts", type=Path, default=PROMPTS)
    count = commands.add_parser("count", help="count verdicts, and how far readers agree")
    count.add_argument("files", type=Path, nargs="+")
    count.add_argument("--prompts", type=Path, default=PROMPTS)
    add_together(count)
    options = parser.parse_args(arguments)
    if options.command == "sheet":
        _write_sheet(options)
    else:
        judgements = read_judgements(options.files)
        rows = together(judgements, options.together)
        print(f"{counts(rows, read_prompts(options.prompts))}\n\n{agreement(judgements)}")


if __name__ == "__main__":
    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")
