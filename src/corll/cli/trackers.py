"""Trackers, which send metrics to TensorBoard or Weights & Biases, beside the run's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from corll.errors import ConfigError

ReportTo = Literal["none", "tensorboard", "wandb"]


class Tracker(Protocol):
    """A place where the metrics of a round go."""

    def log(self, metrics: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def open_tracker(
    report_to: ReportTo, folder: Path, *, config: Mapping[str, Any], first_round: int
) -> Tracker:
    """Open the tracker that is asked for; drop what it holds of later rounds than `first_round`.

    *Raises*: ConfigError where its package is not installed.
    """
    if report_to == "tensorboard":
        return _TensorBoard(folder, first_round=first_round)
    if report_to == "wandb":
        return _WandB(folder, config=config)
    return _Nowhere()


class _Nowhere:
    def log(self, metrics: Mapping[str, Any]) -> None:
        """Do nothing: the run's folder has all metrics."""

    def close(self) -> None:
        """Do nothing: no file is open."""


class _TensorBoard:
    def __init__(self, folder: Path, *, first_round: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "report_to is 'tensorboard', which is not installed: pip install tensorboard"
            ) from error
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_round)

    def log(self, metrics: Mapping[str, Any]) -> None:
        for name, value in _numbers(metrics).items():
            self._writer.add_scalar(name, value, metrics["round"])

    def close(self) -> None:
        self._writer.close()


class _WandB:
    def __init__(self, folder: Path, *, config: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ConfigError(
                "report_to is 'wandb', which is not installed: pip install wandb"
            ) from error
        self._run = wandb.init(
            project="corll", name=folder.name, dir=str(folder), config=dict(config)
        )

    def log(self, metrics: Mapping[str, Any]) -> None:
        self._run.log(_numbers(metrics), step=metrics["round"])

    def close(self) -> None:
        self._run.finish()


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if name != "round"}
