"""Checks drafts by their words: names, what had to be said, what must not be there.

    python experiments/drafts/check_drafts.py DIR/MODEL.jsonl … [--together reply,write]
        [--lines FILE]

Prints two tables, a row for each model, frame, guards, and set of prompts: what the drafts say, and
what they cost. No model is needed. What a reader thinks of them is for judge_drafts.py.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from corll.errors import CorllError, InputError
from corll.files.durable import write_lines
from corll.guards import first_loop, is_disclaimer
from draft_prompts import PROMPTS, DraftPrompt, plain, read_drafts, read_prompts
from letter_names import PLACEHOLDER, LetterNames, letter_names

_TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]")
_OPENING = 240
"""Characters in which a refusal stands."""

_REFUSAL = re.compile(
    r"\b(?:i|we) (?:can't|cannot|can not|am unable to|'m unable to|am not able to|won't|will not)"
    r"(?: directly| actually)? (?:(?:assist|help)(?: you)? with (?:that|this|your request|the task)"
    r"|fulfil+ |comply|generate|(?:write|create|compose|draft) (?:a|an|the|this|that|your|such)\b"
    r"|(?:do|answer|respond to|reply to) (?:that|this)\b"
    r"|provide (?:assistance|that information|a (?:response|reply|draft)))"
    r"|\bi'm (?:unable|not able) to (?:assist|fulfil|comply|generate|write)",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"^\W*(?:(?:sure|certainly|of course|absolutely|okay|ok)\W[^\n]{0,80}?)?"
    r"\b(?:here(?:'s| is| are)|below is|this is) [^\n]{0,60}?"
    r"\b(?:reply|response|answer|draft|text|e-?mail|letter|message|note|version|example|template)s?\b"
    r"[^\n]{0,80}:\s*$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Check:
    """What a draft's words show. `said` are the facts that are found, of `facts`."""

    names: LetterNames
    said: tuple[bool, ...]
    placeholders: tuple[str, ...]
    loop: bool
    disclaimer: bool
    refusal: bool
    remark: bool
    cut: bool

    @property
    def says_all(self) -> bool:
        """Whether every fact is found."""
        return all(self.said)

    @property
    def is_clean(self) -> bool:
        """Whether names are right, all is said, and nothing is there that must not be."""
        faults = (
            self.placeholders,
            self.loop,
            self.disclaimer,
            self.refusal,
            self.remark,
            self.cut,
        )
        return self.names.verdict == "right" and self.says_all and not any(faults)


def check(text: str, prompt: DraftPrompt, *, finish: str = "stop") -> Check:
    """Return what the words of a draft show; `finish` is how it ended: stop, length or loop."""
    one_line = " ".join(plain(text).split())
    return Check(
        letter_names(text, prompt),
        tuple(any(pattern.search(one_line) for pattern in fact) for fact in prompt.must_say),
        tuple(found[0] for found in PLACEHOLDER.finditer(plain(text))),
        finish == "loop" or goes_round(text),
        is_disclaimer(text),
        _REFUSAL.search(plain(text)[:_OPENING]) is not None,
        _REMARK.match(plain(text)) is not None,
        finish == "length",
    )


def goes_round(text: str) -> bool:
    """Say whether a text is a loop by the service's rule, with words and marks as its tokens."""
    ids: dict[str, int] = {}
    numbered = [ids.setdefault(word, len(ids)) for word in _TOKEN.findall(text)]
    words = list(ids)
    return first_loop(numbered, lambda some: "".join(words[n] for n in some)) is not None


Group = tuple[str, str, str, bool]


def group_of(line: Mapping[str, Any], prompt: DraftPrompt) -> Group:
    """Return which row of the tables a draft belongs to."""
    which = "held out" if prompt.held_out else "tuning"
    return line["model"], line["frame"], which, line["guards"]


def together(lines: Iterable[Mapping[str, Any]], frames: str) -> list[Mapping[str, Any]]:
    """Return drafts with the frames that are named, by comma, as one: `reply+write`."""
    names = frames.split(",")
    joined = {"frame": "+".join(names)}
    return [{**line, **joined} if line["frame"] in names else line for line in lines]


def prompt_of(line: Mapping[str, Any], prompts: Mapping[str, DraftPrompt]) -> DraftPrompt:
    """Return the prompt of a draft. *Raises*: InputError where there is none of this id."""
    try:
        return prompts[line["prompt"]]
    except KeyError:
        raise InputError(
            f"A draft is of the prompt {line['prompt']!r}, which the file of prompts does not "
            "have; name the file that it was drawn with by --prompts."
        ) from None


def grouped(
    lines: Iterable[Mapping[str, Any]], prompts: Mapping[str, DraftPrompt]
) -> dict[Group, list[Mapping[str, Any]]]:
    """Return the drafts of each row, in the rows' order."""
    groups: dict[Group, list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault(group_of(line, prompt_of(line, prompts)), []).append(line)
    return dict(sorted(groups.items()))


def row_of(checks: Sequence[Check]) -> list[str]:
    """Return the cells of a row of the first table."""
    verdicts = [one.names.verdict for one in checks]
    facts = [said for one in checks for said in one.said]
    return [
        str(len(checks)),
        share(verdicts.count("right"), len(checks)),
        share(sum(one.names.are_both_there for one in checks), len(checks)),
        *(str(verdicts.count(kind)) for kind in ("swapped", "stranger", "placeholder")),
        share(sum(facts), len(facts)),
        share(sum(one.says_all for one in checks), len(checks)),
        str(sum(bool(one.placeholders) for one in checks)),
        str(sum(one.loop for one in checks)),
        str(sum(one.disclaimer for one in checks)),
        str(sum(one.refusal for one in checks)),
        str(sum(one.remark for one in checks)),
        str(sum(one.cut for one in checks)),
        share(sum(one.is_clean for one in checks), len(checks)),
    ]


def cost_of(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the cells of a row of the second table. *Units*: tokens and seconds a draft."""
    seconds = [line["seconds"] for line in lines]
    return [
        str(len(lines)),
        f"{mean(line['tokens'] for line in lines):.0f}",
        f"{mean(seconds):.1f}",
        f"{median(seconds):.1f}",
        f"{max(seconds):.1f}",
        str(sum(line["redraws"] for line in lines)),
        str(sum(line["redraws"] > 0 for line in lines)),
        "; ".join(sorted({line["machine"] for line in lines})),
    ]


def share(count: int, total: int) -> str:
    """Return a count with its percentage."""
    return f"{count} ({100 * count / total:.0f} %)" if total else "–"


_ROW = ["model", "frame", "prompts", "guards"]
_SAYS = [
    *_ROW, "drafts", "names right", "both named", "swapped", "stranger", "placeholder",
    "facts said", "all said", "with placeholders", "loops", "as an AI", "refusals", "remarks",
    "cut", "clean",
]  # fmt: skip
_COSTS = [
    *_ROW, "drafts", "tokens", "seconds", "median", "longest", "redraws", "drafts redrawn",
    "machine",
]  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def tables(lines: Iterable[Mapping[str, Any]], prompts: Mapping[str, DraftPrompt]) -> str:
    """Return both tables of drafts. *Raises*: InputError."""
    says, costs = [], []
    for (model, frame, which, guards), drafts in grouped(lines, prompts).items():
        row = [model, frame, which, "on" if guards else "off"]
        checks = [check(d["text"], prompts[d["prompt"]], finish=d["finish"]) for d in drafts]
        says.append([*row, *row_of(checks)])
        costs.append([*row, *cost_of(drafts)])
    return f"{table(_SAYS, says)}\n\n{table(_COSTS, costs)}"


def checked_line(line: Mapping[str, Any], prompt: DraftPrompt) -> dict[str, Any]:
    """Return a draft with what was found in it, to be read beside the text."""
    found = check(line["text"], prompt, finish=line["finish"])
    missing = [fact[0].pattern for fact, is_said in zip(prompt.must_say, found.said, strict=True)
               if not is_said]  # fmt: skip
    return {**line, "check": {**asdict(found), "verdict": found.names.verdict, "missing": missing}}


def add_together(parser: argparse.ArgumentParser) -> None:
    """Add the flag by which frames of replies and of other texts share a row."""
    parser.add_argument(
        "--together", default="", metavar="FRAME,FRAME", help="these frames share their rows"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of the files that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    add_together(parser)
    parser.add_argument("--lines", type=Path, help="write each draft with its check into this file")
    options = parser.parse_args(arguments)
    prompts, drafts = read_prompts(options.prompts), read_drafts(options.files)
    print(tables(together(drafts, options.together), prompts))
    if options.lines:
        write_lines(options.lines, (checked_line(d, prompt_of(d, prompts)) for d in drafts))


if __name__ == "__main__":
    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")
