"""What a simulated fleet assumes: tables that its reader can change, each with its source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from corll.configuring import Config
from corll.errors import ConfigError, InputError
from corll.untrusted import MOST_TEXT_BYTES, read_bounded

HOURS_A_DAY, SECONDS_AN_HOUR, DAYS_A_MONTH = 24, 3600, 365 / 12
SECONDS_A_DAY = HOURS_A_DAY * SECONDS_AN_HOUR

_WHERE = "Where the numbers come from."


class Users(Config):
    """Who writes, how much, and when."""

    source: str = Field(description=_WHERE)
    number: int = Field(ge=1, le=20_000_000, description="Users.")
    zipf_exponent: float = Field(ge=0, le=5, description="How quickly activity falls.")
    head_share: float = Field(gt=0, le=1, description="Share of about equally busy users.")
    drafts_a_day: float = Field(gt=0, le=1000, description="Drafts of a user, on average.")
    edited_share: float = Field(ge=0, le=1, description="Share of the drafts that are edited.")
    learning_share: float = Field(ge=0, le=1, description="Share of the users who agreed.")
    edit_delay_s: float = Field(gt=0, description="Median time from a draft to its edit.")
    edit_delay_spread: float = Field(ge=0, le=3, description="Of the logarithm of that time.")
    by_hour: tuple[float, ...] = Field(
        min_length=HOURS_A_DAY, max_length=HOURS_A_DAY, description="Drafts in each hour."
    )


class Drafting(Config):
    """The engines that draw drafts."""

    source: str = Field(description=_WHERE)
    replicas: int = Field(ge=0, description="Engines; 0: as many as are needed.")
    slots: int = Field(ge=1, description="Responses that a replica draws at the same time.")
    prompt_tokens: float = Field(ge=0, description="Of a request.")
    draft_tokens: float = Field(gt=0, description="Of a draft, on average.")
    draft_spread: float = Field(ge=0, le=3, description="Of the logarithm of a draft's length.")
    prompt_tokens_a_second: float = Field(gt=0, description="How quickly prompts are read.")
    tokens_a_second: float = Field(gt=0, description="Of one response in a full batch.")
    most_wait_s: float = Field(gt=0, description="95 % of drafts are to begin within it.")
    headroom: float = Field(ge=1, description="Times as many replicas as Erlang C needs.")
    routing: Literal["by user", "anywhere"] = Field(description="Which replica draws.")


class Adapters(Config):
    """Versions: what they take, and what is kept where."""

    source: str = Field(description=_WHERE)
    megabytes: float = Field(gt=0, description="Of a version.")
    optimizer_megabytes: float = Field(ge=0, description="Of a user's latest version.")
    versions_kept: float = Field(ge=1, description="Of a user.")
    memory_gb: float = Field(ge=0, description="For adapters in a replica's memory.")
    disk_gb: float = Field(ge=0, description="For adapters on a replica's disk.")
    disk_megabytes_a_second: float = Field(gt=0, description="How quickly the disk is read.")
    store_megabytes_a_second: float = Field(gt=0, description="How quickly the store is read.")
    store_latency_s: float = Field(ge=0, description="Until the store begins to answer.")


class Learning(Config):
    """The fleet of learners."""

    source: str = Field(description=_WHERE)
    learners: int = Field(ge=0, description="Learners; 0: as many as are needed.")
    edits_a_step: int = Field(ge=1, description="Edits of a user that make a step due.")
    most_steps: int = Field(ge=1, description="Steps of one version.")
    flush_after_hours: float = Field(gt=0, description="Age at which fewer edits are enough.")
    load_s: float = Field(ge=0, description="To load a user's version.")
    step_s: float = Field(ge=0, description="Each step.")
    examine_s: float = Field(ge=0, description="To examine a version.")
    publish_s: float = Field(ge=0, description="To publish a version.")
    spread: float = Field(ge=0, le=3, description="Of the logarithm of these times.")
    serve_s: float = Field(ge=0, description="From a version's row to its first draft.")
    most_wait_s: float = Field(gt=0, description="95 % are to wait no longer for a learner.")
    headroom: float = Field(ge=1, description="Times as many learners as Erlang C needs.")


class Limits(Config):
    """How much one of a kind can do, where there is one of it."""

    source: str = Field(description=_WHERE)
    database_writes_a_second: float = Field(gt=0, description="One writer at a time.")
    database_gb: float = Field(gt=0, description="On one server.")
    queue_looks_a_second: float = Field(gt=0, description="Questions of what waits.")
    gateway_requests_a_second: float = Field(gt=0, description="Of one gateway.")
    store_puts_a_second: float = Field(gt=0, description="Of one prefix.")
    store_gets_a_second: float = Field(gt=0, description="Of one prefix.")


class DatabaseUse(Config):
    """What the database is asked to keep and to do."""

    source: str = Field(description=_WHERE)
    kilobytes_a_draft: float = Field(ge=0, description="Of a draft's row.")
    kilobytes_an_edit: float = Field(ge=0, description="Of an edit's row.")
    kept_days: float = Field(gt=0, description="How long texts are kept.")
    writes_a_version: float = Field(ge=0, description="Transactions of a version.")
    looks_a_second: float = Field(gt=0, description="How often a learner asks what waits.")


class Prices(Config):
    """What machines and storage cost."""

    source: str = Field(description=_WHERE)
    currency: str = Field(min_length=1, max_length=10, description="Of all prices.")
    replica_hour: float = Field(ge=0, description="A machine that draws drafts.")
    learner_hour: float = Field(ge=0, description="A machine that learns.")
    gateway_hour: float = Field(ge=0, description="A machine in front.")
    database_hour: float = Field(ge=0, description="The database, with its standby.")
    store_gb_month: float = Field(ge=0, description="A gigabyte in the store.")
    store_put_million: float = Field(ge=0, description="A million of writes.")
    store_get_million: float = Field(ge=0, description="A million of reads.")


class Assumptions(Config):
    """All that a simulated fleet assumes."""

    users: Users = Field(description="Who writes.")
    drafting: Drafting = Field(description="Who drafts.")
    adapters: Adapters = Field(description="What versions take.")
    learning: Learning = Field(description="Who learns.")
    limits: Limits = Field(description="What there is one of.")
    database: DatabaseUse = Field(description="What the database keeps.")
    prices: Prices = Field(description="What all of it costs.")


def default_text() -> str:
    """Return the file of defaults, to be copied and changed."""
    return files("corll.fleet").joinpath("assumptions.toml").read_text(encoding="utf-8")


def read_assumptions(path: Path | None = None, *, users: int | None = None) -> Assumptions:
    """Read the defaults, and in their place what a file or `users` says otherwise.

    *Raises*: InputError where the file cannot be read; ConfigError for what it must not say.
    """
    tables = tomllib.loads(default_text())
    if path is not None:
        tables = _merged(tables, _read(path), str(path))
    if users is not None:
        tables["users"] = {**tables["users"], "number": users}
    return Assumptions(**tables)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = read_bounded(path, MOST_TEXT_BYTES).decode("utf-8")
        return tomllib.loads(content)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{path} cannot be read as assumptions ({why}). `corll simulate-fleet "
            "--print-assumptions` prints a file to begin with."
        ) from error


def _merged(tables: dict[str, Any], changes: Mapping[str, Any], name: str) -> dict[str, Any]:
    for table, values in changes.items():
        if table not in tables or not isinstance(values, Mapping):
            raise ConfigError(f"{name}: there is no table [{table}]; there are {', '.join(tables)}")
        tables[table] = {**tables[table], **values}
    return tables
