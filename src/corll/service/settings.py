"""What `corll serve` can be told: by flags, else by variables CORLL_*, one definition for both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from tyro.conf import Suppress, arg

from corll.config import AUTO, CoactiveConfig, Config, LoraConfig
from corll.errors import ConfigError
from corll.memory.choosing import MemoryChoice, MemorySettings
from corll.schemas.states import ArmChoice
from corll.service.upstream import OptionalSecret, check_address

OptionalFile = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
OptionalText = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
OptionalNumber = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
DType = Literal["float32", "bfloat16", "float16"]
OptionalDType = Annotated[
    DType | None, arg(metavar="{float32,bfloat16,float16}", help_behavior_hint="")
]

PREFIX = "CORLL_"
_NOT_OF_THE_SERVER = frozenset(
    {"CORLL_CACHE", "CORLL_CPU_KERNELS", "CORLL_API_KEY", "CORLL_BASE_URL"}
)
_SHORTEST_KEY, _LONGEST_KEY = 20, 200


def default_data_dir() -> Path:
    """Return where the service keeps everything, by the XDG convention."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "corll"


class ServedConfig(CoactiveConfig):
    """Algorithm 1 as a service plays it."""

    drafts_from: Annotated[Literal["policy"], Suppress] = Field(
        "policy", description="A service drafts from what it learned; `base` and holdback do not."
    )
    max_completion_length: int = Field(
        512,
        ge=1,
        description="Longest response where a request does not say, in tokens; less where the "
        "context leaves less.",
    )
    memory_limit_gb: float = Field(
        1.0, gt=0, description="Working memory of drafts, and of steps, beside the weights."
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="Of replay and dropout; a draft's seed comes with its request, or by chance.",
    )


class ServiceSettings(Config):
    """Serve drafts by the OpenAI API, learn from the edits that come back, and serve what was
    learned. One command, nothing else to start.

    Each flag has a variable: --data-dir is CORLL_DATA_DIR. A flag wins. CORLL_ADMIN_KEY sets the
    first key. With --print-config the settings are printed, and nothing is served.
    """

    host: str = Field("127.0.0.1", description="Address to listen on; this machine alone.")
    port: int = Field(8377, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Folder of the database and all versions."
    )
    database: OptionalText = Field(
        None, description="URL of a PostgreSQL database; by default SQLite in the data folder."
    )
    model: str = Field(
        AUTO,
        description="The base model: a name of `corll models`, a hub id, a folder; auto: the one "
        "that the data folder was served with, at first what suits this machine.",
    )
    yes: bool = Field(False, description="Fetch the model without asking, where it is not here.")
    dtype: OptionalDType = Field(
        None, description="Precision of the base model; by default what suits the device."
    )
    device: OptionalText = Field(
        None, description="Such as cpu or cuda:0; by default the best there is."
    )
    backend: OptionalText = Field(
        None,
        description="Who computes: plain, cpu, or package.module:attribute of a backend of your "
        "own; by default the quickest on the device.",
    )
    threads: OptionalNumber = Field(
        None,
        ge=1,
        description="Threads to draft and to learn with; by default as many as other programs "
        "leave processors free, looked at again and again.",
    )
    int8_drafts: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether drafts are drawn by the weights in int8: where that is quicker, "
        "always, never. The learner draws what it looks at so too, by auto if the model is small "
        "(2 GiB). Scores and steps are computed in --dtype.",
    )
    enable_thinking: bool = Field(
        False,
        description="What the chat templates of hybrid thinkers (Qwen3) are told, unless a "
        "request's chat_template_kwargs say it.",
    )
    model_sampling: bool = Field(
        True,
        description="Whether temperature, top_k and top_p, where they are left at their defaults, "
        "are those of the model's generation_config, if it has any.",
    )
    admin_key: Annotated[SecretStr | None, Suppress] = Field(
        None, description="The first key, from CORLL_ADMIN_KEY alone; else one is made and shown."
    )
    tls_certificate: OptionalFile = Field(None, description="PEM file, to serve HTTPS.")
    tls_key: OptionalFile = Field(None, description="PEM file of the certificate's key.")
    behind_proxy: bool = Field(
        False, description="Say that a proxy before us does TLS; its forwarded headers are trusted."
    )
    public_hosts: tuple[str, ...] = Field(
        (), description="Names under which browsers reach this server, besides --host."
    )
    learn: bool = Field(True, description="Whether the learner runs.")
    store_by_default: bool | None = Field(
        None,
        description="Whether texts of new users are kept before they say so; by default on this "
        "machine alone.",
    )
    flush_after_hours: float = Field(
        24.0, gt=0, description="Fewer than N edits are learned from once the first is this old."
    )
    max_waiting: int = Field(64, ge=1, description="Drafts in the queue; more are refused (429).")
    max_branches: int = Field(32, ge=1, description="Responses drawn at the same time.")
    max_adapters: int = Field(32, ge=1, description="Adapters kept in memory.")
    max_choices: int = Field(16, ge=1, description="Largest n, and largest number of candidates.")
    max_output_tokens: OptionalNumber = Field(
        None,
        ge=1,
        description="Most tokens that a request may ask for; beyond it a 400. By default the "
        "context alone limits it.",
    )
    guards: bool = Field(
        True,
        description="Whether drafts without a seed are stopped where they repeat themselves and, "
        "while nobody reads along, drawn anew, as are those that open as an AI's.",
    )
    memory: MemoryChoice = Field(
        "last",
        description="Which letters that a user sent before stand before a request, for the model "
        "to write alike: the last ones, the nearest to what is asked by words, those of similar "
        "meaning (needs the extra `meaning`), none. Only of users who agreed that corll learns "
        "from them.",
    )
    memory_texts: int = Field(
        3, ge=1, le=32, description="How many of these letters there are, with last up to twice."
    )
    memory_tokens: int = Field(
        1536, ge=1, description="Most tokens of these letters, with what was asked for each."
    )
    examples: bool = Field(
        True,
        description="Whether worked examples stand before a message in a frame until its user has "
        "three letters there: short ones of our own, which show the model what a frame asks for.",
    )
    serving: ArmChoice = Field(
        "auto",
        description="What drafts for users who did not choose: the base alone, with letters of "
        "--memory, what was learned, or both; auto: a coin, blindly, finds out for each user which "
        "saves most.",
    )
    upstream: OptionalText = Field(
        None,
        description="URL of an OpenAI-compatible API, up to its /v1: its model drafts what is "
        "asked of `corll` as a chat, and the user's own model learns from the edits.",
    )
    upstream_model: OptionalText = Field(
        None, description="The upstream's model, by the upstream's name for it."
    )
    upstream_key: OptionalSecret = Field(
        None,
        description="The upstream's key; better in CORLL_UPSTREAM_KEY, since other users of this "
        "machine can read flags. It is never shown.",
    )
    upstream_timeout: float = Field(
        120.0,
        gt=0,
        description="Seconds that the upstream has for a draft or, of a stream, for its next "
        "piece; then the answer is 504.",
    )
    upstream_memory: bool = Field(
        False,
        description="Whether letters of --memory stand before the upstream's requests, of users "
        "who agreed to that (consent: upstream): these texts leave this machine.",
    )
    upstream_candidates: int = Field(
        1,
        ge=1,
        description="Drafts of the upstream, of which the one is shown that the user's version "
        "likes best (R_π): reranking, off-policy. Without a version it draws one.",
    )
    max_body_kb: int = Field(2048, ge=16, description="Largest body of a request.")
    max_import_mb: int = Field(32, ge=1, description="Largest body of an import of past texts.")
    max_adapter_mb: int = Field(
        256, ge=1, description="Largest adapter that is uploaded as a reference."
    )
    requests_per_minute: int = Field(
        600, ge=1, description="Requests a key may make, unless it was given its own limit."
    )
    max_drift: float = Field(
        3.0,
        gt=0,
        description="Sanity budget of a version: nats a token by which texts of π_0, and of the "
        "base where π_0 is an uploaded adapter, may have become unlikelier.",
    )
    veto_drafts: int = Field(
        8,
        ge=0,
        le=64,
        description="Drafts of a version on recent prompts that are looked at before it serves: it "
        "is rejected where they loop, say nothing, or lost what was asked. 0: none.",
    )
    weigh_edits: bool = Field(
        True,
        description="Whether it is computed, once a version serves, what edits say of the one "
        "before it: where learning does harm, its strength is halved, and other arms are proposed "
        "to the coin.",
    )
    max_loosening: float = Field(
        2.0,
        gt=0,
        description="Nats by which a version's log-odds of refusing harmful requests may have "
        "fallen, where π_0 refuses them.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged, as JSON lines on stderr."
    )
    log_texts: bool = Field(False, description="Whether the log may hold prompts and texts.")
    coactive: ServedConfig = Field(
        default_factory=ServedConfig,
        description="How drafts are made and edits learned from.",
    )
    lora: LoraConfig = Field(default_factory=LoraConfig, description="The adapters that learn.")

    @field_validator("public_hosts", mode="before")
    @classmethod
    def _with_commas(cls, hosts: Any) -> Any:
        return tuple(h for h in hosts.split(",") if h) if isinstance(hosts, str) else hosts

    @field_validator("data_dir")
    @classmethod
    def _from_anywhere(cls, folder: Path) -> Path:
        # The learner is another process, and may have another working directory.
        return folder.expanduser().absolute()

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; give both")
        if not (self.is_loopback or self.tls_certificate or self.behind_proxy):
            raise ValueError(
                f"host {self.host} can be reached by others, who could read along: give "
                "tls_certificate and tls_key, or say behind_proxy where a proxy does TLS"
            )
        if self.admin_key is not None:
            secret = self.admin_key.get_secret_value()
            in_range = _SHORTEST_KEY <= len(secret) <= _LONGEST_KEY
            sendable = secret.isascii() and secret.isprintable() and secret == secret.strip()
            if not (in_range and sendable):
                raise ValueError(
                    f"CORLL_ADMIN_KEY must be {_SHORTEST_KEY} to {_LONGEST_KEY} printable "
                    "characters that a header can carry: ASCII, no space at either end"
                )
        return self

    @model_validator(mode="after")
    def _draftable(self) -> Self:
        most = max(self.coactive.num_candidates, self.upstream_candidates)
        if most > self.max_choices:
            name = "num" if most == self.coactive.num_candidates else "upstream"
            raise ValueError(
                f"{name}_candidates is {most}, more than max_choices ({self.max_choices}) allows; "
                "raise that too"
            )
        return self

    @model_validator(mode="after")
    def _remembers(self) -> Self:
        MemorySettings(self.memory, self.memory_texts, self.memory_tokens)
        return self

    @model_validator(mode="after")
    def _teachable(self) -> Self:
        if self.coactive.learner == "distil" and self.memory == "none" and not self.examples:
            raise ValueError(
                "learner='distil' learns from what stands before a request, and nothing does: set "
                "memory to last or nearest, or choose another learner"
            )
        return self

    @model_validator(mode="after")
    def _has_upstream(self) -> Self:
        check_address(self.upstream, self.upstream_model, self.upstream_key)
        switched_on = self.upstream_memory or self.upstream_candidates > 1
        if self.upstream is None and switched_on:
            raise ValueError("upstream_memory and upstream_candidates need an upstream; give one")
        if self.upstream_memory and self.memory == "none":
            raise ValueError("upstream_memory sends letters of memory, which is none; choose some")
        return self

    @property
    def longest_draft(self) -> int:
        """Most tokens of a draft whose request does not say how many. *Units*: tokens."""
        default, most = self.coactive.max_completion_length, self.max_output_tokens
        return default if most is None else min(default, most)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def stores_by_default(self) -> bool:
        """Consent to keep texts, of users who have not said."""
        if self.store_by_default is not None:
            return self.store_by_default
        return self.is_loopback and not self.behind_proxy

    def printable(self) -> dict[str, Any]:
        """Return the settings as plain data, without what is secret."""
        fields = self.model_dump(mode="json", exclude={"admin_key", "upstream_key"})
        if self.database is not None:
            from corll.service.store.urls import without_password

            fields["database"] = without_password(self.database)
        return fields

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ServiceSettings:
        """Return the defaults, as the variables CORLL_* change them.

        *Raises*: ConfigError for a variable that names no setting, or a value that does not fit.
        """
        own: dict[str, Any] = {}
        nested: dict[str, dict[str, Any]] = {"coactive": {}, "lora": {}}
        unknown = []
        for variable, value in environment.items():
            if not variable.startswith(PREFIX) or variable in _NOT_OF_THE_SERVER or not value:
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name in cls.model_fields and name not in nested:
                own[name] = value
            elif name in ServedConfig.model_fields:
                nested["coactive"][name] = value
            elif name in LoraConfig.model_fields:
                nested["lora"][name] = value
            else:
                unknown.append(variable)
        if unknown:
            raise ConfigError(
                f"{', '.join(sorted(unknown))}: no such setting. `corll serve --help` lists the "
                "flags; the variable of --data-dir is CORLL_DATA_DIR."
            )
        return cls(**own, **_resolved(nested))


def _resolved(nested: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    default = ServiceSettings.model_fields["coactive"].get_default(call_default_factory=True)
    changes: dict[str, Any] = {}
    if nested["coactive"]:
        changes["coactive"] = default.with_settings(**nested["coactive"])
    if nested["lora"]:
        changes["lora"] = LoraConfig(**nested["lora"])
    return changes
