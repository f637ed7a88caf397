"""The report of a replay: one page in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corll.config import CoactiveConfig
from corll.replay.intervals import LEAST
from corll.replay.scores import ReplayArm
from corll.replay.summary import ArmSummary, Counts, Found

_ARMS: dict[ReplayArm, str] = {
    "base": "the base alone",
    "memory": "the base behind the user's last letters",
    "sft": "weights learned by supervision on the edits",
    "coactive": "weights learned by the default learner",
    "both": "these weights behind the last letters",
}
_MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Told:
    """The head of a report: of which log it is, and how that was replayed.

    `model` names the base with its dtype. `figure` is the name of the PNG beside the page.
    """

    log: str
    form: str
    model: str
    memory: str
    config: CoactiveConfig
    figure: str | None


def report(told: Told, counts: Counts, arms: Sequence[ArmSummary]) -> str:
    """Return the page."""
    figure = [f"![The difference so far, edit by edit]({told.figure})", ""] if told.figure else []
    parts = [
        f"# Replay of {told.log}",
        "",
        _what(told, counts),
        "",
        *_table(arms),
        "",
        _in_words(arms),
        "",
        *figure,
        "## How to read this",
        "",
        *_explained(counts, [one.arm for one in arms]),
    ]
    return "\n".join(parts) + "\n"


def _what(told: Told, counts: Counts) -> str:
    config = told.config
    said = [
        f"{_many(counts.edits, 'edit')} of {_many(counts.users, 'user')} (form: {told.form}) "
        "were scored, each before anything had learned from it, user by user in order of time."
    ]
    if counts.deletions:
        said.append(f"{counts.deletions} of them only delete and have no surprisal.")
    if counts.accepted:
        said.append(f"{_many(counts.accepted, 'draft')} sent as they were teach nothing.")
    if counts.unfit:
        said.append(f"{counts.unfit} were not learned from: gibberish, or going round in a loop.")
    if counts.left_out:
        reasons = list(counts.left_out)
        shown = " ".join(reasons[:_MOST_REASONS]) + (" …" if len(reasons) > _MOST_REASONS else "")
        said.append(f"{sum(counts.left_out.values())} were left out: {shown}")
    said.append(
        f"Base: {told.model}. Memory: {told.memory}. Learning: {config.preferences_per_step} "
        f"preferences a step, {config.replay_per_step} replayed, rate {config.learning_rate:g}, "
        f"β {config.beta:g}, seed {config.seed}."
    )
    return " ".join(said)


def _table(arms: Sequence[ArmSummary]) -> list[str]:
    rows = [
        "| arm | surprisal | against base (95 %) | | R_π prefers what was sent (95 %) | |",
        "|---|---|---|---|---|---|",
    ]
    for one in arms:
        surprisal = "–" if one.surprisal is None else f"{one.surprisal:.3f}"
        if one.arm == "base":
            cells = [surprisal, "–", "", "not defined", "R of the base is 0"]
        else:
            lower = {"less": "lower than base", "more": "higher than base"}
            better = {"less": "worse than chance", "more": "better than chance"}
            cells = [
                surprisal,
                _number(one.difference, "{:+.3f}"),
                _said(one.difference, lower),
                _number(one.accuracy, "{:.0%}"),
                _said(one.accuracy, better),
            ]
        rows.append(f"| {one.arm} | {' | '.join(cells)} |")
    return rows


def _number(found: Found | None, form: str) -> str:
    if found is None:
        return "–"
    mean = form.format(found.mean)
    if found.interval is None:
        return mean
    return f"{mean} ({form.format(found.interval.low)} to {form.format(found.interval.high)})"


def _said(found: Found | None, words: dict[str, str]) -> str:
    return "" if found is None else words.get(found.verdict, found.verdict)


def _in_words(arms: Sequence[ArmSummary]) -> str:
    """Say what the table shows of what was inserted."""
    by_verdict: dict[str, list[str]] = {}
    for one in arms:
        if one.difference is not None:
            by_verdict.setdefault(one.difference.verdict, []).append(one.arm)
    words = {
        "less": "found what users inserted likelier than the base did",
        "more": "found what users inserted less likely than the base did",
        "no difference shown": "no difference shown",
        "too few edits": f"too few edits to say anything (fewer than {LEAST})",
    }
    said = [f"{', '.join(by_verdict[v])}: {words[v]}." for v in words if v in by_verdict]
    return " ".join(said) or "No edit inserted anything, so there is nothing to compare."


def _explained(counts: Counts, arms: Sequence[ReplayArm]) -> list[str]:
    users = (
        "There is one user, so the intervals are of these edits alone, drawn in blocks of "
        "neighbours; they do not speak for other users."
        if counts.users == 1
        else "Intervals draw users first and then each user's edits in blocks of neighbours, so "
        "they speak for users like these; with few users they are wide, and two show little."
    )
    told = "; ".join(f"{arm}, {_ARMS[arm]}" for arm in arms)
    several = f" {len(arms) - 1} arms are compared and the intervals do not correct for that."
    return [
        f"- Arms: {told}. Weights start anew for each user.",
        "- *Surprisal* is −log π of the tokens that the user inserted, in nats a token; less is "
        "nearer to what the user writes. What the draft brought is not counted: it would favour "
        "whoever drafted it.",
        "- *R_π* = β log π(y)/π_0(y) prefers the sent text to its draft or not, before the arm "
        "learned from the pair; a tie counts half, and 50 % is chance.",
        "- This is no saving of edits. Nothing was drafted anew, since a sent text is anchored on "
        "the draft that it was made of; whether drafts get cheaper, only drafts can tell "
        "(`corll serve`, which finds out by a coin).",
        "- The log's drafts are off-policy: another model, or another state of this one, wrote "
        "them. Learning on one's own drafts may bring more or less.",
        f"- {users}{several if len(arms) > 2 else ''}",
    ]


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
