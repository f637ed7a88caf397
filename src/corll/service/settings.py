"""What `corll serve` can be told: by flags, else by variables CORLL_*, one definition for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from corll.config import LoraConfig
from corll.configuring import checked_together
from corll.memory.choosing import MemoryChoice, MemorySettings
from corll.memory.masking import Mask
from corll.schemas.states import ArmChoice
from corll.service.collector import TracesAddress
from corll.service.durations import OptionalAge
from corll.service.process_settings import ProcessSettings, from_anywhere, with_commas
from corll.service.served_config import ServedConfig as ServedConfig
from corll.service.setting_kinds import (
    LogFormat,
    OptionalFile,
    OptionalNumber,
    OptionalSlack,
    OptionalText,
    Role,
)
from corll.service.upstream import OptionalSecret, check_address, check_engine


class ServiceSettings(ProcessSettings):
    """Serve drafts by the OpenAI API, learn from the edits that come back, and serve what was
    learned. One command, nothing else to start.

    Each flag has a variable: --data-dir is CORLL_DATA_DIR. A flag wins. CORLL_ADMIN_KEY sets the
    first key. With --print-config the settings are printed, and nothing is served.
    """

    learn: bool = Field(True, description="Whether the learner runs.")
    health_port: OptionalNumber = Field(
        None,
        ge=0,
        le=65535,
        description="Of `corll learner` alone: port of /healthz and /metrics; by default none.",
    )
    store_by_default: bool | None = Field(
        None,
        description="Whether texts of new users are kept before they say so; by default on this "
        "machine alone.",
    )
    keep_texts: OptionalAge = Field(
        None,
        description="How old texts may grow, such as 90d, 36h or 12w, a day at least: the learner "
        "deletes older ones as `corll forget` does, once a day; by default they stay.",
    )
    replay_slack: OptionalSlack = Field(
        None,
        ge=0,
        description="How many more steps than came after a text its deletion may replay, as a "
        "share. Of a user with 1,000 versions 0.05 keeps up to 115 states, 1 up to 17, each three "
        "times as large as an adapter; by default 4 are kept, and an older text costs all steps.",
    )
    flush_after_hours: float = Field(
        24.0, gt=0, description="Fewer than N edits are learned from once the first is this old."
    )
    max_waiting: int = Field(
        128,
        ge=1,
        description="Drafts in the queue; of one user half, of one key 3/4; beyond it a 429.",
    )
    longest_wait: float = Field(
        30.0,
        gt=0,
        description="Seconds that a draft may wait; one that would wait longer gets a 429.",
    )
    max_branches: int = Field(
        64,
        ge=1,
        description="Responses drawn at the same time; of one user half, of one key 3/4.",
    )
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
    mask: Mask = Field(
        "none",
        description="What is masked before it is learned from, of users who did not choose: "
        "numbers of four digits and more, addresses of mail and web, both, none. What they sent is "
        "kept as it is.",
    )
    serving: ArmChoice = Field(
        "auto",
        description="What drafts for users who did not choose: the base alone, with letters of "
        "--memory, what was learned, or both; auto: a coin, blindly, finds out for each user which "
        "saves most.",
    )
    engine: Literal["own", "vllm"] = Field(
        "own",
        description="Who draws drafts: this process, or replicas of vLLM with the plugin "
        "corll-vllm, which have the same base. What several candidates are ranked by is computed "
        "here.",
    )
    engine_url: tuple[str, ...] = Field(
        (), description="With --engine vllm: URLs of its replicas, up to their /v1, with commas."
    )
    engine_timeout: float = Field(
        120.0, gt=0, description="Seconds that a replica has for a draft; then the answer is 504."
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
    failed_tries_per_minute: int = Field(
        60,
        ge=1,
        description="Wrong keys, sessions and links that an address may try; then it waits (429).",
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
        "info", description="What is logged."
    )
    log_file: OptionalFile = Field(
        None,
        description="Where the log goes; by default to stderr or, where that is a terminal, to "
        "server.log in the data folder. /dev/stderr shows it there too.",
    )
    log_format: LogFormat = Field(
        "json", description="How: JSON lines for programs, or plain lines for people."
    )
    log_texts: bool = Field(
        False,
        description="Whether the log holds the prompts, drafts and edits of users who let them be "
        "stored, and what errors quote of texts. Without it there is no text in the log.",
    )
    traces: TracesAddress = Field(
        None,
        description="Address of a collector that is sent traces by OTLP over HTTP, without texts; "
        "`environment` takes that of OTEL_EXPORTER_OTLP_ENDPOINT. Needs the extra `traces`.",
    )
    coactive: ServedConfig = Field(
        default_factory=ServedConfig,
        description="How drafts are made and edits learned from.",
    )
    lora: LoraConfig = Field(default_factory=LoraConfig, description="The adapters that learn.")

    @field_validator("engine_url", mode="before")
    @classmethod
    def _urls(cls, given: Any) -> Any:
        return with_commas(given)

    @field_validator("log_file")
    @classmethod
    def _log_from_anywhere(cls, path: Path | None) -> Path | None:
        return None if path is None else from_anywhere(path)

    @checked_together
    def _reaches_versions(self) -> Self:
        if self.learn and (self.versions or "").startswith("memory://"):
            raise ValueError(
                f"versions={self.versions} is in the memory of one process, and the learner is "
                "another: give file:///FOLDER, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"
            )
        return self

    @checked_together
    def _draftable(self) -> Self:
        most = max(self.coactive.num_candidates, self.upstream_candidates)
        if most > self.max_choices:
            name = "num" if most == self.coactive.num_candidates else "upstream"
            raise ValueError(
                f"{name}_candidates is {most}, more than max_choices ({self.max_choices}) allows; "
                "raise that too"
            )
        return self

    @checked_together
    def _remembers(self) -> Self:
        MemorySettings(self.memory, self.memory_texts, self.memory_tokens)
        return self

    @checked_together
    def _teachable(self) -> Self:
        if self.coactive.learner == "distil" and self.memory == "none" and not self.examples:
            raise ValueError(
                "learner='distil' learns from what stands before a request, and nothing does: give "
                "memory='last' or memory='nearest', or choose another learner"
            )
        if self.coactive.learner == "distil" and self.mask != "none":
            raise ValueError(
                f"mask={self.mask!r}: the learner distil learns what a memory says, and would "
                "learn to write placeholders; choose another learner, or mask none"
            )
        return self

    @checked_together
    def _grows_old(self) -> Self:
        if self.keep_texts is not None and not self.learn:
            raise ValueError(
                "keep_texts is the learner's work, which learn=False switches off: leave one out"
            )
        return self

    @checked_together
    def _has_upstream(self) -> Self:
        check_address(self.upstream, self.upstream_model, self.upstream_key)
        check_engine(self.engine, self.engine_url, upstream=self.upstream)
        switched_on = self.upstream_memory or self.upstream_candidates > 1
        if self.upstream is None and switched_on:
            raise ValueError(
                "upstream_memory and upstream_candidates need an upstream; give upstream=URL"
            )
        if self.upstream_memory and self.memory == "none":
            raise ValueError(
                "upstream_memory sends letters, which memory=none leaves out; choose another"
            )
        return self

    @property
    def longest_draft(self) -> int:
        """Most tokens of a draft whose request does not say how many. *Units*: tokens."""
        default, most = self.coactive.max_completion_length, self.max_output_tokens
        return default if most is None else min(default, most)

    @property
    def stores_by_default(self) -> bool:
        """Consent to keep texts, of users who have not said."""
        if self.store_by_default is not None:
            return self.store_by_default
        return self.is_loopback and not self.behind_proxy

    @property
    def role(self) -> Role:
        """What a process does that has these settings."""
        return "serve"

    def printable(self) -> dict[str, Any]:
        """Return the settings as plain data, without what is secret."""
        fields = self.model_dump(mode="json", exclude={"admin_key", "upstream_key"})
        if self.database is not None:
            from corll.service.store.urls import without_password

            fields["database"] = without_password(self.database)
        return fields
