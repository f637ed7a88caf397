"""The columns of a table of arms: how the numbers of a row are written, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from corll.laboratory.contrasts import Row


class Column(NamedTuple):
    """A column of a table of arms: its heading, what it means, and how a row fills it."""

    heading: str
    meaning: str
    text: Callable[[Row], str]


def _number(metric: str, row: Row, *, form: str = ".3f") -> str:
    value, error = row[metric], row[f"{metric}_error"]
    if value is None:
        return "—"
    spread = "" if error is None else f" ± {error:{form}}"
    return f"{value:{form}}{spread}".replace("-", "−")


def _preferences(row: Row) -> str:
    low, high = row["preferences"], row["most_preferences"]
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _n_50(row: Row) -> str:
    if row["n_50_until"] is None:
        return "—"
    return f"> {row['n_50_until']:,.0f}" if row["n_50"] is None else f"{row['n_50']:,.0f}"


def _quarter(row: Row) -> str:
    if not row["quarter_of"]:
        return "—"
    there, of = row["quarter_reached"], row["quarter_of"]
    return f"{row['quarter']:,.0f} ({there} of {of})" if there else f"never ({of})"


def _measured(metric: str, heading: str, meaning: str, form: str = ".3f") -> Column:
    return Column(heading, meaning, partial(_number, metric, form=form))


LEARNED = {
    "seeds": Column("seeds", "cells of the arm", lambda row: str(row["seeds"])),
    "preferences": Column("preferences", "seen so far", _preferences),
    "objective_less_expert": _measured(
        "objective_less_expert",
        "J",
        "E[R*] − β·KL of the sampler to π₀, less that of the expert's own sampler, at the end",
    ),
    "area_objective": _measured(
        "area_objective", "area of J", "its mean over the curve, from 0 as far as all arms got"
    ),
    "quarter": Column(
        "¼ left",
        "preferences to a quarter of the first KL to the expert, and in how many",
        _quarter,
    ),
    "kl_to_expert": _measured(
        "kl_to_expert", "KL to π*", "of the sampler to all of π*, nats a response", ".2f"
    ),
    "objective_per_token": _measured(
        "objective_per_token", "J a token", "J of the policy's sampler, by its tokens", ".4f"
    ),
    "reward": _measured("reward", "reward", "held-out R* at the end, one sample a prompt"),
    "reward_argmax": _measured("reward_argmax", "best of k", "the same, best of k by R_π"),
    "share_to_expert": _measured(
        "share_to_expert", "of the way", "from π₀'s reward to the expert's", ".0%"
    ),
    "area": _measured("area", "area", "mean reward over the curve, from 0 as far as all arms got"),
    "n_50": Column("n₅₀", "preferences to half of the way, isotonic fit of the mean", _n_50),
    "log_positive": _measured(
        "log_positive", "log Pr(positive)", "of prompt and response, by the classifier, nats", ".2f"
    ),
    "log_positive_independent": _measured(
        "log_positive_independent",
        "the same, independent",
        "by a classifier that had no part in the expert",
        ".2f",
    ),
    "kl_sampler": _measured(
        "kl_sampler", "KL of the sampler", "to all of π₀, nats a response", ".2f"
    ),
    "kl": _measured("kl", "KL", "to π₀, log π/π₀ of the samples, nats a response", ".2f"),
    "kl_drawn": _measured(
        "kl_drawn", "KL drawn", "to π₀, exact among the tokens that can be drawn, nats", ".2f"
    ),
    "kl_given_memory": _measured(
        "kl_given_memory", "KL behind m", "to π₀ behind the same memory m, nats a response", ".2f"
    ),
    "reward_alone": _measured("reward_alone", "reward alone", "the same without the memory"),
    "kl_alone": _measured("kl_alone", "KL alone", "to π₀, both without the memory", ".2f"),
    "memory_texts": _measured(
        "memory_texts", "texts", "before a held-out prompt, the last time", ".1f"
    ),
    "memory_tokens": _measured("memory_tokens", "their tokens", "with those around them", ".0f"),
    "length": _measured("length", "length", "tokens of a response", ".1f"),
    "finished": _measured("finished", "finished", "responses that ended by themselves", ".0%"),
    "distinct_2": _measured("distinct_2", "distinct-2", "distinct bigrams of a response", ".2f"),
    "prompts": _measured("prompts", "prompts", "consumed", ",.0f"),
    "sampled_tokens": _measured("sampled_tokens", "sampled", "tokens", ",.0f"),
    "edited_characters": _measured("edited_characters", "edited", "characters", ",.0f"),
}
FEEDBACK = {
    "gain": _measured("gain", "gain", "R*(chosen) − R*(rejected)"),
    "mislabelled": _measured("mislabelled", "mislabelled", "chosen has the lower R*", ".1%"),
    "estimated_alpha": _measured(
        "estimated_alpha", "α̂", "share realised of the gain that the expert's samples allow", ".2f"
    ),
    "left_out": _measured("left_out", "left out of α̂", "rounds where no sample is better", ".0%"),
    "premise_violated": _measured(
        "premise_violated", "premise violated", "preferences with R_π(draft) < R_π(edit)", ".0%"
    ),
    "accepted": _measured("accepted", "accepted", "edits that equal their draft", ".1%"),
    "edit_length": _measured("edit_length", "edit's length", "tokens", ".1f"),
    "edit_surprisal": _measured(
        "edit_surprisal", "edit's surprisal", "nats a token, under π₀", ".2f"
    ),
    "share_changed": _measured("share_changed", "changed", "share of the text", ".0%"),
    "logps_chosen": _measured("logps_chosen", "log π(chosen)", "at the step, nats", ".1f"),
    "logps_rejected": _measured("logps_rejected", "log π(rejected)", "at the step, nats", ".1f"),
}
COLUMNS: dict[str, Column] = {**LEARNED, **FEEDBACK}
"""The columns of a table of arms, by the keys of its rows: what was learned, and from what."""
