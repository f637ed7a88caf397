"""Tables of what was measured, from the results that are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sections import ROOT, table

SPEEDS = ROOT / "benchmarks" / "results"
STUDIES = ROOT / "experiments" / "results"


def steps() -> str:
    """Return the table of a step of DPO against TRL."""
    heading = [
        "8 pairs, tokens of prompt / response",
        "corll",
        "TRL 1.16",
        "ratio (range)",
        "both with freed memory kept",
        "share of the floor",
        "peak memory",
        "ratio with AMX",
    ]
    names = {
        "64 / 64": "64 / 64",
        "256 / 64": "256 / 64",
        "462 / 50": "462 / 50",
        "continuation edits": "text added at the end",
        "greeting edits": "first words changed",
        "people's edits": "people's edits of film reviews",
        "64 / 64, float32": "64 / 64 in float32",
    }
    rows = []
    for case, name in names.items():
        line, other = _speed(f"dpo_step: {case}")
        memory = f"{line['peak_memory_ratio']:.2f}×" if "peak_memory_ratio" in line else "–"
        rows.append(
            [
                name,
                _time(line["ours"], "s"),
                _time(line["peer"], "s"),
                _ratio(line),
                f"{line['ratio_pages_kept']:.1f}×",
                f"{line['floor_share']:.0%}".replace("%", " %"),
                memory,
                f"{other['ratio']:.1f}×",
            ]
        )
    return table(heading, rows)


def other_work() -> str:
    """Return the table of drafting, scoring, rounds and adapters against their peers."""
    names = {
        "drafting: 1 × 1": "64-token drafts, 1 prompt × 1",
        "drafting: 1 × 8": "1 prompt × 8",
        "drafting: 4 × 8": "4 prompts × 8",
        "drafting: 16 × 8": "16 prompts × 8",
        "scoring: 4 prompts × 4 candidates": "rewards of 4 × 4 candidates",
        "scoring: 4 prompts × 16 candidates": "rewards of 4 × 16 candidates",
        "round: 1 at a time": "a round (k = 4), one prompt at a time",
        "round: 16 at a time": "a round, 16 prompts at a time",
        "adapters: cold load": "an adapter loaded from its folder",
        "adapters: switch": "another adapter switched to (11 MB each)",
        "mixed_adapters: 64-token drafts of 4 users": "64-token drafts of 4 users at once",
        "mixed_adapters: 64-token drafts of 16 users": "of 16 users",
        "mixed_adapters: steps of 32 users, a pair each": "steps of 32 users, a pair each",
        "mixed_adapters: steps of 32 users, 8 pairs each": "steps of 32 users, 8 pairs each",
    }
    rows = []
    for case, name in names.items():
        if not _is_measured(case):
            continue
        line, other = _speed(case)
        share = f"{line['floor_share']:.0%}".replace("%", " %") if "floor_share" in line else "–"
        peer = line["peer_name"].replace("generate", "`generate`")
        rows.append(
            [
                name,
                _time(line["ours"], line["unit"]),
                f"{peer}: {_time(line['peer'], line['unit'])}",
                _ratio(line),
                share,
                f"{_number(other['ratio'])}×",
            ]
        )
    return table(
        ["work", "corll", "peer", "ratio (range)", "share of the floor", "ratio with AMX"], rows
    )


def service_speeds() -> str:
    """Return the table of the service's speeds."""
    names = {
        "start to ready": "from the command to ready to draft",
        "registered to serving": "from a version's commit to a reply that it drafted",
        "edits, 16 clients": "edits of 16 clients, each answered after a durable commit",
        "edits to be learned from, 16 clients": "the same of users who are learned from",
        "draft of 32 tokens, idle": "a draft of 32 tokens, nothing else to do",
        "draft of 32 tokens, while learning": "the same while the learner works",
    }
    rows = []
    for case, name in names.items():
        line, _ = _speed(f"service: {case}")
        p95 = _time(line["p95"], "s") if "p95" in line else "–"
        rows.append([name, _time(line["ours"], line["unit"]), p95])
    return table(["", "measured", "95th percentile"], rows)


def _is_measured(case: str) -> bool:
    return (SPEEDS / f"{case.partition(':')[0]}.jsonl").exists()


def _speed(case: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the newest line of a case, and the newest one of the machine with AMX."""
    file = SPEEDS / f"{case.partition(':')[0]}.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line["case"] == case]
    with_amx = [line for line in lines if "Xeon" in line["machine"]]
    return lines[-1], with_amx[-1] if with_amx else lines[-1]


def _ratio(line: Mapping[str, Any]) -> str:
    ratio, low, high = (_number(line[f"ratio{end}"]) for end in ("", "_min", "_max"))
    return f"{ratio}× ({low}–{high})"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _time(value: float, unit: str) -> str:
    return f"{value:.2g} {unit}" if value < 10 else f"{value:.3g} {unit}"


def editors() -> str:
    """Return the table of `corll learn` with each simulated writer."""
    lines = (STUDIES / "editors.jsonl").read_text(encoding="utf-8").splitlines()
    rows = []
    for run in map(json.loads, lines):
        before, after = run["before"], run["after"]
        mean, low, high = (f"{value:+.0%}".replace("%", " %") for value in run["edit_cost_change"])
        rows.append(
            [
                f"`{run['user']}`",
                str(run["seed"]),
                f"{before['edit_cost'][0]:.2f} → {after['edit_cost'][0]:.2f}",
                f"{mean} ({low} to {high})".replace("-", "−"),
                *(
                    f"{before[name][0]:.0%} → {after[name][0]:.0%}".replace("%", " %")
                    for name in ("accepted", "content_kept")
                ),
                f"{before['words'][0]:.0f} → {after['words'][0]:.0f}",
            ]
        )
    return table(
        [
            "`--user`",
            "seed",
            "edit cost",
            "change (95 % interval)",
            "accepted as is",
            "content kept",
            "words",
        ],
        rows,
    )


def study(name: str) -> Callable[[], str]:
    """Return what writes the arms and contrasts of a grid of the laboratory."""

    def write() -> str:
        from corll.laboratory.columns import COLUMNS
        from corll.laboratory.contrasts import contrast_rows
        from corll.laboratory.report import signed, summary_rows
        from corll.laboratory.statistics import load_evaluations

        shown = ["area", "reward", "n_50", "kl", "kl_drawn", "distinct_2", "mislabelled"]
        arms = ("coactive-alpha-0.6", "dueling", "sft-edit")
        lines = [line for line in load_evaluations(STUDIES / name) if line["arm"] in arms]
        summaries = summary_rows(lines)
        shown = [key for key in shown if any(row[key] is not None for row in summaries)]
        arms_table = table(
            ["arm", *(COLUMNS[key].heading for key in shown)],
            [[row["label"], *(COLUMNS[key].text(row) for key in shown)] for row in summaries],
        )
        labels = {row["arm"]: row["label"] for row in summaries}
        contrasts = table(
            ["difference of areas, paired by seed", "mean", "95 % interval", "seeds"],
            [
                [
                    f"{labels[row['first']]} − {labels[row['second']]}",
                    signed(row["mean"]),
                    f"{signed(row['low'])} to {signed(row['high'])}",
                    str(row["n"]),
                ]
                for row in contrast_rows(lines)
            ],
        )
        return f"{arms_table}\n\n{contrasts}"

    return write
