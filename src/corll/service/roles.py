"""The settings of `corll gateway` and `corll learner`: those of `corll serve`, and their needs."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from corll.configuring import checked_together
from corll.errors import ConfigError
from corll.service.setting_kinds import OptionalText, Role
from corll.service.settings import ServiceSettings
from corll.service.store.urls import is_postgresql


class GatewaySettings(ServiceSettings):
    """Answer the OpenAI API, draft, and take edits; learn nothing. Needs `corll learner` elsewhere.

    As many as you like share one PostgreSQL database and one store of versions. The settings are
    those of `corll serve`, and so are the variables.
    """

    @property
    def role(self) -> Role:
        return "gateway"


class LearnerSettings(ServiceSettings):
    """Learn from the edits that gateways take, until told to stop; answer no requests.

    As many as you like share one PostgreSQL database and one store of versions. The settings are
    those of `corll serve`, and so are the variables. With --ray it computes nothing itself: nodes
    of that cluster learn, as many learners as the queue asks for.
    """

    ray: OptionalText = Field(
        None,
        description="Address of a Ray cluster that learns: auto, HOST:6379 or ray://HOST:10001; by "
        "default this process does.",
    )
    fewest_learners: int = Field(1, ge=0, description="On Ray: learners that run in any case.")
    most_learners: int = Field(4, ge=1, description="On Ray: learners at the same time.")
    users_per_learner: int = Field(
        8,
        ge=1,
        description="On Ray: users with something to be learned, for whom a further learner runs.",
    )
    learner_cpus: float = Field(1.0, gt=0, description="On Ray: processors that a learner takes.")
    learner_gpus: float = Field(
        0.0, ge=0, description="On Ray: share of a GPU, or GPUs, that a learner takes."
    )

    @property
    def role(self) -> Role:
        return "learner"

    @checked_together
    def _fewest_are_fewer(self) -> Self:
        if self.fewest_learners > self.most_learners:
            raise ValueError(
                f"fewest_learners is {self.fewest_learners}, more than most_learners "
                f"({self.most_learners})"
            )
        return self


def check_role(settings: ServiceSettings) -> None:
    """Check that a process of its role can share what it has to. *Raises*: ConfigError."""
    if settings.role == "serve":
        return
    if not is_postgresql(settings.database):
        raise ConfigError(
            f"corll {settings.role} shares a database with other processes: give --database "
            "postgresql://USER@HOST/NAME, or use `corll serve`, which is both on one machine."
        )
    if settings.versions is None or settings.versions.startswith("memory://"):
        raise ConfigError(
            f"corll {settings.role} shares the versions with other processes: give --versions "
            "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, or file:///FOLDER of a file system that all "
            "of them mount."
        )
    if settings.role == "learner" and not settings.learn:
        raise ConfigError("A learner that does not learn has nothing to do: leave learn out.")
