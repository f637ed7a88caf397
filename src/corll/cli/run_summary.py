"""The summary of a run at its end: before and after, two drafts, and where everything is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from corll.cli.terminal_user import visible
from corll.evaluation import Evaluation, Interval, compare, first_samples, question
from corll.feedback import User

_ROWS = {
    "edit_cost": ("edit cost", "less is better"),
    "accepted": ("accepted as is", "more is better"),
    "content_kept": ("content kept", "of what was asked"),
    "distinct_2": ("distinct-2", "1 prose, 0 repeats"),
    "words": ("words", "of the draft"),
    "finished": ("finished", "by an end of its own"),
}
_SHARES = frozenset({"accepted", "content_kept", "finished"})


def print_comparison(
    console: Console, before: Evaluation, after: Evaluation, *, judge: User, seed: int
) -> None:
    """Print held-out drafts before and after: each mean with its interval, and two drafts in full.

    `judge` also edits the first of each draft's k samples, which shows what one sample is worth.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(f"{len(before.edits)} held-out prompts")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("", style="dim")
    old, new = before.summary(seed=seed), after.summary(seed=seed)
    for name, (label, meaning) in _ROWS.items():
        table.add_row(label, _show(name, old[name]), _show(name, new[name]), meaning)
    num_candidates = len(before.edits[0].draft.candidates)
    if num_candidates > 1:
        singles = [first_samples(evaluation, judge) for evaluation in (before, after)]
        costs = [_show("edit_cost", one.summary(seed=seed)["edit_cost"]) for one in singles]
        table.add_row("  of one sample", *costs, f"not the best of {num_candidates}")
    console.print(Padding(table, (1, 0)))
    _print_change(console, "Edit cost", compare(before, after, seed=seed))
    if num_candidates > 1:
        _print_change(console, "Of one sample, it", compare(*singles, seed=seed))
    _print_drafts(console, before, after)


def _print_change(console: Console, what: str, change: Interval | None) -> None:
    if change is None:
        console.print("The drafts needed no edits before, so there is no change to measure.")
        return
    console.print(
        f"{what} changed by {change.mean:+.0%} "
        f"(95 % interval {change.low:+.0%} to {change.high:+.0%}, paired by prompt)."
    )


def print_answers(console: Console, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Print what a person's own answers say: the first quarter of them beside the last."""
    answered = [line for line in metrics if "edit_cost" in line]
    if len(answered) < 8:
        return
    size = len(answered) // 4
    first, last = (
        (sum(line[name] for line in part) / size for name in ("edit_cost", "accepted"))
        for part in (answered[:size], answered[-size:])
    )
    (old_cost, old_accepted), (new_cost, new_accepted) = first, last
    console.print(
        f"Your first {size} answers → your last {size}: edit cost {old_cost:.2f} → {new_cost:.2f}, "
        f"accepted {old_accepted:.0%} → {new_accepted:.0%}."
    )


def print_whereabouts(
    console: Console, *, adapter: Path, model: str, curve: Path | None, run: Path, ends: bool
) -> None:
    """Print where everything is, and how to use it; `ends`: whether rounds are counted."""
    console.print()
    if curve is not None:
        _line(console, "learning curve", str(curve))
    _line(console, "adapter (PEFT)", str(adapter))
    _line(console, "draft with it", f'corll draft "…" --adapter {adapter}')
    _line(console, "in Python", f'PeftModel.from_pretrained(base, "{adapter}")  # base: {model}')
    _line(console, "its preferences", f"corll export {run} --format trl")
    _line(console, "go on", f"corll learn --resume {run}" + " --rounds …" * ends)


def _print_drafts(console: Console, before: Evaluation, after: Evaluation) -> None:
    """Print the first held-out prompt's drafts, whichever way they went: nothing is picked."""
    old, new = before.edits[0].draft, after.edits[0].draft
    console.print(Text(f"\nPrompt: {visible(question(old.prompt))}", style="dim"))
    sides = Table.grid(expand=True, padding=(0, 1))
    sides.add_column(ratio=1)
    sides.add_column(ratio=1)
    sides.add_row(
        Panel(
            Text(visible(old.text)), title="draft before", title_align="left", border_style="dim"
        ),
        Panel(Text(visible(new.text)), title="draft after", title_align="left", border_style="dim"),
    )
    console.print(sides)


def _show(name: str, interval: Interval) -> str:
    form = "{:.0%}" if name in _SHARES else "{:.0f}" if name == "words" else "{:.2f}"
    mean, low, high = (form.format(value) for value in interval)
    return f"{mean} ({low}–{high})"


def _line(console: Console, label: str, text: str) -> None:
    # Not wrapped, so that a path or a command can be copied in one piece.
    console.print(Text.assemble((f"{label:<16}", "dim"), text), soft_wrap=True)
