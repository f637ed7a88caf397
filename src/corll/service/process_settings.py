"""Settings of a process of the service: where it listens, what it keeps where, how it computes."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator
from tyro.conf import Suppress

from corll.config import AUTO
from corll.configuring import Config, checked_together
from corll.service.addresses import Networks, Origins
from corll.service.setting_kinds import (
    PRIVATE_NETWORKS,
    OptionalDType,
    OptionalFile,
    OptionalNumber,
    OptionalText,
    OptionalUser,
    check_key,
    default_data_dir,
)
from corll.service.version_store.opening import CACHE_GB, OptionalVersions


def with_commas(given: Any) -> Any:
    """Return what a text with commas lists; anything else as it is."""
    return tuple(one for one in given.split(",") if one) if isinstance(given, str) else given


def from_anywhere(path: Path) -> Path:
    """Return a path that holds in another working directory, which the learner may have."""
    return path.expanduser().absolute()


class ProcessSettings(Config):
    """What a process is told of its machine: addresses, folders, the model, and how it computes."""

    host: str = Field("127.0.0.1", description="Address to listen on; this machine alone.")
    port: int = Field(8377, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Folder of the database and all versions."
    )
    database: OptionalText = Field(
        None, description="URL of a PostgreSQL database; by default SQLite in the data folder."
    )
    versions: OptionalVersions = Field(
        None,
        description="URL of a store of versions that machines share: file:///FOLDER, s3:// or "
        "gs://BUCKET/FOLDER (memory:// for tests); by default the data folder.",
    )
    version_cache_gb: float = Field(
        CACHE_GB,
        gt=0,
        description="Of --versions: how much of the store is kept on this machine, the versions "
        "used last (GiB); what was used in the last five minutes stays anyway.",
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
    trusted_proxies: Networks = Field(
        PRIVATE_NETWORKS,
        description="With --behind-proxy: addresses and networks from which forwarded headers are "
        "believed; by default this machine and private networks.",
    )
    public_hosts: tuple[str, ...] = Field(
        (), description="Names under which browsers reach this server, besides --host."
    )
    cors_origins: Origins = Field(
        (),
        description="Origins of web pages, such as https://app.example.org, whose scripts may ask "
        "this server with a key; * for all. Cookies are never taken from them.",
    )
    default_user: OptionalUser = Field(
        None,
        description="Who is meant where a key that speaks for many users names none; by default "
        "nobody, and the answer is 400 user_required.",
    )

    @field_validator("public_hosts", "trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _hosts(cls, given: Any) -> Any:
        return with_commas(given)

    @field_validator("data_dir")
    @classmethod
    def _from_anywhere(cls, path: Path) -> Path:
        return from_anywhere(path)

    @checked_together
    def _safe(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; give both")
        if not (self.is_loopback or self.tls_certificate or self.behind_proxy):
            raise ValueError(
                f"host={self.host} can be reached by others, who could read along: give "
                "tls_certificate and tls_key, or say behind_proxy where a proxy does TLS"
            )
        check_key(self.admin_key)
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
