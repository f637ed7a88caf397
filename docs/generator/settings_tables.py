"""Tables of every setting and every flag, from the same definitions as the flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from corll.cli import (
    COMMANDS,
    adapters,
    audit,
    backup,
    consent,
    demo,
    doctor,
    draft,
    experiment,
    export,
    forget,
    imports,
    keys,
    link,
    mcp,
    models,
    replay,
    restore,
    simulate_fleet,
    switch,
    verify_deletion,
)
from corll.cli.learn_settings import LearnSettings
from corll.config import CoactiveConfig, LoraConfig
from corll.configuring import Config
from corll.service.roles import GatewaySettings, LearnerSettings
from corll.service.setting_kinds import default_data_dir
from corll.service.settings import ServedConfig, ServiceSettings
from sections import table

SETTINGS: dict[str, type[Config]] = {
    "learn": LearnSettings,
    "draft": draft.DraftSettings,
    "replay": replay.ReplaySettings,
    "export": export.ExportSettings,
    "experiment run": experiment.RunSettings,
    "experiment tune": experiment.TuneSettings,
    "experiment status": experiment.FolderSettings,
    "experiment plot": experiment.PlotSettings,
    "experiment report": experiment.ReportSettings,
    "experiment canary": experiment.CanarySettings,
    "serve": ServiceSettings,
    "gateway": GatewaySettings,
    "learner": LearnerSettings,
    "demo": demo.DemoSettings,
    "import": imports.ImportSettings,
    "link": link.LinkSettings,
    "mcp": mcp.McpSettings,
    "keys create": keys.CreateKeySettings,
    "keys list": keys.ListKeysSettings,
    "keys revoke": keys.RevokeKeySettings,
    "consent show": consent.ShowConsentSettings,
    "consent give": consent.GiveConsentSettings,
    "consent withdraw": consent.WithdrawConsentSettings,
    "adapters list": adapters.ListAdaptersSettings,
    "adapters show": adapters.ShowAdapterSettings,
    "adapters rollback": adapters.RollbackSettings,
    "adapters prune": adapters.PruneSettings,
    "adapters import": adapters.ImportAdapterSettings,
    "adapters start": adapters.StartSettings,
    "forget": forget.ForgetSettings,
    "verify-deletion": verify_deletion.VerifyDeletionSettings,
    "audit": audit.AuditSettings,
    "backup": backup.BackupSettings,
    "restore": restore.RestoreSettings,
    "doctor": doctor.DoctorSettings,
    "simulate-fleet": simulate_fleet.SimulateFleetSettings,
    "models list": models.ListModelsSettings,
    "models recommend": models.RecommendSettings,
    "models fetch": models.FetchModelSettings,
    "models remove": models.RemoveModelSettings,
    "models switch": switch.SwitchModelSettings,
    "models check": models.CheckModelSettings,
}
"""The settings of each command; `experiment list` has none."""

_ELSEWHERE: dict[type[Config], str] = {
    CoactiveConfig: "each setting of [`CoactiveConfig`](library.md#coactiveconfig)",
    ServedConfig: "each setting of [`CoactiveConfig`](library.md#coactiveconfig) but "
    "`drafts_from`, with `memory_limit_gb` 1",
    LoraConfig: "each setting of [`LoraConfig`](library.md#loraconfig)",
}


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
    if issubclass(settings, ServiceSettings) and settings is not ServiceSettings:
        shared = "The flags are those of [`corll serve`](#corll-serve)."
        return f"{heading}\n\n{_about(settings)}\n\n{shared}"
    return f"{heading}\n\n{_about(settings)}\n\n{flags(settings)}".rstrip()


def _about(settings: type[Config]) -> str:
    """Return the paragraphs of a docstring, a line each."""
    paragraphs = str(settings.__doc__).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def flags(settings: type[Config]) -> str:
    """Return the table of a command's flags, and where its other settings are told."""
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
