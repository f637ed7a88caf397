"""Writes the parts of the documents that are made from the code and from results.

`python docs/generate.py` fills each section between `<!-- begin NAME -->` and `<!-- end NAME -->`;
a test holds that the files are as this leaves them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from corll.cli import (
    COMMANDS,
    adapters,
    demo,
    draft,
    experiment,
    export,
    imports,
    keys,
    link,
    models,
)
from corll.cli.settings import LearnSettings
from corll.config import PRESETS, CoactiveConfig, Config, LoraConfig
from corll.service.settings import ServedConfig, ServiceSettings, default_data_dir

ROOT = Path(__file__).resolve().parents[1]
SPEEDS = ROOT / "benchmarks" / "results"
STUDIES = ROOT / "experiments" / "results"

SETTINGS: dict[str, type[Config]] = {
    "learn": LearnSettings,
    "draft": draft.DraftSettings,
    "export": export.ExportSettings,
    "experiment run": experiment.RunSettings,
    "experiment tune": experiment.TuneSettings,
    "experiment status": experiment.FolderSettings,
    "experiment plot": experiment.PlotSettings,
    "experiment report": experiment.ReportSettings,
    "experiment canary": experiment.CanarySettings,
    "serve": ServiceSettings,
    "demo": demo.DemoSettings,
    "import": imports.ImportSettings,
    "link": link.LinkSettings,
    "keys create": keys.CreateKeySettings,
    "keys list": keys.ListKeysSettings,
    "keys revoke": keys.RevokeKeySettings,
    "adapters list": adapters.ListAdaptersSettings,
    "adapters show": adapters.ShowAdapterSettings,
    "adapters rollback": adapters.RollbackSettings,
    "adapters prune": adapters.PruneSettings,
    "adapters import": adapters.ImportAdapterSettings,
    "adapters start": adapters.StartSettings,
    "models": models.ModelsSettings,
}
"""The settings of each command; `experiment list` has none."""

_ELSEWHERE: dict[type[Config], str] = {
    CoactiveConfig: "each setting of [`CoactiveConfig`](library.md#coactiveconfig)",
    ServedConfig: "each setting of [`CoactiveConfig`](library.md#coactiveconfig) but "
    "`drafts_from`, with `memory_limit_gb` 1",
    LoraConfig: "each setting of [`LoraConfig`](library.md#loraconfig)",
}


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# The configuration


def configuration(config: type[Config], preset: Mapping[str, Any] | None = None) -> str:
    """Return a table of the fields of a configuration: default, preset where given, meaning."""
    heading = ["setting", "default", *(["`paper`"] if preset is not None else []), "meaning"]
    rows = []
    for name, field in config.model_fields.items():
        row = [f"`{name}`", _value(field.get_default(call_default_factory=True))]
        if preset is not None:
            row.append(_value(preset[name]) if name in preset else "")
        rows.append([*row, _meaning(field)])
    return table(heading, rows)


def _value(value: object) -> str:
    if value is None or value == () or value == "":
        return "–"
    if isinstance(value, float):
        return f"`{value:g}`"
    if value == default_data_dir():
        return "`~/.local/share/corll`"
    if isinstance(value, tuple):
        return f"`{' '.join(map(str, value))}`"
    return f"`{value}`"


def _meaning(field: FieldInfo) -> str:
    choices = ", ".join(f"`{choice}`" for choice in _choices(field.annotation))
    told = str(field.description).replace("|", r"\|")
    return f"{told} One of {choices}." if choices else told


def _choices(annotation: Any) -> tuple[object, ...]:
    """Return the values that a type allows, of None and a literal too; none for other types."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((found for part in get_args(annotation) if (found := _choices(part))), ())


# The command line


def command_line() -> str:
    """Return a section for each command, in the order of `corll --help`."""
    return "\n\n".join(section for name in COMMANDS for section in _command(name))


def _command(name: str) -> Iterator[str]:
    if name in SETTINGS:
        yield _section(f"## corll {name}", SETTINGS[name])
        return
    about = str(import_module(COMMANDS[name].module).__doc__).partition("\n\n")[2].strip()
    yield f"## corll {name}\n\n{COMMANDS[name].summary}\n\n```text\n{about}\n```"
    for full_name, settings in SETTINGS.items():
        if full_name.startswith(f"{name} "):
            yield _section(f"### corll {full_name}", settings)


def _section(heading: str, settings: type[Config]) -> str:
    return f"{heading}\n\n{_about(settings)}\n\n{_flags(settings)}".rstrip()


def _about(settings: type[Config]) -> str:
    """Return the paragraphs of a docstring, a line each."""
    paragraphs = str(settings.__doc__).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _flags(settings: type[Config]) -> str:
    rows: list[list[str]] = []
    others: list[str] = []
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            if field.annotation in _ELSEWHERE:
                others.append(_ELSEWHERE[field.annotation])
            else:
                rows += _rows(field.annotation.model_fields)
        else:
            rows += _rows({name: field})
    rows.sort(key=lambda row: row[0].startswith("`--"))  # what has no flag comes first
    parts = [table(["flag", "default", "meaning"], rows)] if rows else []
    if others:
        parts.append(f"Further flags: {'; '.join(others)}.")
    return "\n\n".join(parts)


def _rows(fields: Mapping[str, FieldInfo]) -> Iterator[list[str]]:
    for name, field in fields.items():
        markers = " ".join(map(str, field.metadata))
        if "Suppress" in markers:
            continue
        flag = next((m.name for m in field.metadata if getattr(m, "name", None)), name)
        default = field.get_default(call_default_factory=True)
        if "Positional" in markers:
            shown, default = f"`{name.upper()}`", None
        elif field.annotation is bool:
            shown = f"`--{'no-' if default else ''}{flag.replace('_', '-')}`"
            default = None
        else:
            shown = f"`--{flag.replace('_', '-')}`"
        yield [shown, _value(None if field.is_required() else default), _meaning(field)]


# Speed


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
    }
    rows = []
    for case, name in names.items():
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


# What was learned


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
        from corll.laboratory.contrasts import contrast_rows
        from corll.laboratory.report import COLUMNS, signed, summary_rows
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


SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    "library.md": {
        "CoactiveConfig": lambda: configuration(CoactiveConfig, PRESETS["paper"]),
        "LoraConfig": lambda: configuration(LoraConfig),
    },
    "cli.md": {"commands": command_line},
    "benchmarks.md": {"steps": steps, "other work": other_work, "service": service_speeds},
    "results.md": {
        "editors": editors,
        "named contrast": study("imdb-tiny-again"),
        "small rate, 135M": study("imdb-mini-slow"),
        "small rate, 4.6M": study("imdb-tiny-mended"),
    },
}
"""The generated sections of each document of this folder by name."""


def filled(text: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """Return a document with its sections written anew. *Raises*: ValueError where one lacks."""
    for name, write in sections.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"There is no section {name!r}: put {begin} and {end} where it goes.")
        section = f"{begin}\n\n{write()}\n\n{end}"
        text = pattern.sub(section.replace("\\", r"\\"), text)
    return text


def main() -> None:
    """Write every generated section."""
    for name, sections in SECTIONS.items():
        path = Path(__file__).parent / name
        path.write_text(filled(path.read_text(encoding="utf-8"), sections), encoding="utf-8")


if __name__ == "__main__":
    main()
