"""`corll models`: the models that can be loaded here, and how to get others."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from rich.console import Console
from rich.table import Table

from corll.cli.parsing import parse
from corll.cli.settings import OptionalDType, OptionalName
from corll.config import Config


class ModelsSettings(Config):
    """List the models that are here, and how to get more.

    --model also takes the folder of any causal language model in Hugging Face's form, a .gguf
    file, and the name of a model on the hub.
    """

    check: OptionalName = Field(
        None, description="Load this model and tell which path each part of it takes here."
    )
    dtype: OptionalDType = Field(
        None, description="With --check: the precision; by default what suits the device."
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    settings = parse(ModelsSettings, arguments, command="models")
    if settings.check is None:
        _list()
    else:
        _check(settings.check, settings.dtype)


def _check(name: str, dtype: str | None) -> None:
    """Print how a model is computed on this machine, and what it takes."""
    from corll.policy import Policy
    from corll.service.base_model import models_sampling

    policy = Policy.load(name, dtype=dtype)
    table = Table("part", "path", box=None, header_style="bold", pad_edge=False)
    for part, path in policy.describe().items():
        table.add_row(part, path)
    table.add_row("prompts", "chat template" if policy.codec.chat else "plain text")
    own = ", ".join(f"{name} {value:g}" for name, value in models_sampling(policy).items())
    table.add_row("sampling", f"{own} (its own, in the service)" if own else "the service's")
    table.add_row("memory", str(policy.working_set()))
    Console().print(table, highlight=False)


def _list() -> None:
    # The models are found with torch, and --help must not wait for it.
    from corll.model.loading import available_models

    table = Table("model", "state", "where", box=None, header_style="bold", pad_edge=False)
    for model in available_models():
        table.add_row(model.name, model.state, model.source)
    console = Console()
    console.print(table)
    console.print(
        "\n--model also takes a folder, a .gguf file, or the name of a model on the hub.",
        style="dim",
        highlight=False,
    )
