"""`corll models`: the models of the catalogue, and those that are here.

list            the models, what they need, and which are here
recommend       what `--model auto` would take on this machine, and why
fetch NAME      brings a model here: shows what it takes, asks, checks what came
remove NAME     frees what a model takes on the disk
switch NAME     gives a data folder another base model, once it was said what that costs
check NAME      loads a model and tells which path each part of it takes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field
from rich.console import Console
from rich.table import Table

from corll.catalog import entries, here
from corll.catalog.entries import get_model
from corll.cli.dialogue import terminal_dialogue
from corll.cli.parsing import dispatch, parse
from corll.cli.settings import (
    WHICH_DEVICE,
    WHICH_DTYPE,
    WHICH_MODEL,
    YES,
    ModelName,
    OptionalDType,
    OptionalName,
)
from corll.cli.switch import switch
from corll.config import AUTO
from corll.configuring import Config
from corll.errors import ModelNotFoundError


class ListModelsSettings(Config):
    """List the models of the catalogue, and what is in the hub's cache.

    --model also takes the folder of any causal language model in Hugging Face's form, a .gguf
    file, and the name of a model on the hub.
    """


class RecommendSettings(Config):
    """Measure this machine for some seconds, and tell which model suits it, with the numbers."""

    device: OptionalName = Field(None, description=WHICH_DEVICE)
    dtype: OptionalDType = Field(None, description=WHICH_DTYPE)


class FetchModelSettings(Config):
    """Bring a model of the catalogue here. What was interrupted goes on where it was."""

    model_name: ModelName = Field(description="The model: a name of `corll models`, or auto.")
    yes: bool = Field(False, description=YES)


class RemoveModelSettings(Config):
    """Remove a model from the caches. A data folder that uses it needs it fetched again."""

    model_name: ModelName = Field(description="The model: a name of `corll models`.")


class CheckModelSettings(Config):
    """Load a model and tell which path each part of it takes here, and what memory it takes."""

    model_name: ModelName = Field(description=f"{WHICH_MODEL}.")
    dtype: OptionalDType = Field(None, description=WHICH_DTYPE)


def main(arguments: Sequence[str]) -> None:
    """Run the command; without one, list the models."""
    arguments = list(arguments) or ["list"]
    if arguments[0] == "--check":
        arguments[0] = "check"
    dispatch("models", __doc__, _COMMANDS, arguments)


def _list(arguments: Sequence[str]) -> None:
    parse(ListModelsSettings, arguments, command="models list")
    # What is in the hub's cache is found with torch loaded, and --help must not wait for it.
    from corll.model.loading import available_models

    columns = ("model", "state", "to fetch", "on disk", "license", "what it is")
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    about = {model.name: model for model in entries.CATALOG}
    for row in available_models():
        model = about.get(row.name)
        if model is None:
            table.add_row(row.name, row.state, "", "", "", "")
            continue
        fetched, disk = f"{model.size_bytes / 1e9:.2f} GB", f"{model.disk_bytes / 1e9:.1f} GB"
        table.add_row(row.name, row.state, fetched, disk, model.license, model.about)
    console = Console()
    console.print(table)
    console.print(
        "\n--model also takes a folder, a .gguf file, or the name of a model on the hub.\n"
        "`corll models recommend` tells which suits this machine, and why.",
        style="dim",
        highlight=False,
    )


def _recommend(arguments: Sequence[str]) -> None:
    settings = parse(RecommendSettings, arguments, command="models recommend")
    from corll.auto.machine import machine_here
    from corll.auto.resolve import judged
    from corll.catalog.choosing import order

    console = Console(highlight=False)
    with console.status("measuring this machine"):
        machine = machine_here(settings.device, settings.dtype)
        verdicts = judged(machine)
    console.print(str(machine), soft_wrap=True)
    columns = ("to draft", "to learn too", "a draft", "verdict")
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", no_wrap=True)
    for column in columns:
        table.add_column(column)
    for one in verdicts:
        needs = one.needs
        memory = f"{needs.to_draft / 1e9:.1f} GB", f"{needs.to_learn / 1e9:.1f} GB"
        table.add_row(one.model.name, *memory, f"{needs.draft_s:.0f} s", str(one))
    console.print(table)
    best = order(verdicts)[0]
    console.print(f"\n`--model auto` takes {best.name} ({here.state_of(best)}).")


def _fetch(arguments: Sequence[str]) -> None:
    settings = parse(FetchModelSettings, arguments, command="models fetch")
    if settings.model_name != AUTO and here.is_here(get_model(settings.model_name)):
        print(f"{settings.model_name} is here already.")
        return
    from corll.auto.resolve import resolve

    name = resolve(settings.model_name, terminal_dialogue(yes=settings.yes))
    print(f"{name} is here. Use it by --model {name}.")


def _remove(arguments: Sequence[str]) -> None:
    settings = parse(RemoveModelSettings, arguments, command="models remove")
    model = get_model(settings.model_name)
    if not here.is_here(model):
        raise ModelNotFoundError(f"{model.name} is not here; there is nothing to remove.")
    freed = here.remove(model)
    print(f"{model.name}: {freed / 1e9:.2f} GB are free again.")
    if here.is_here(model):
        print("Its wheel is installed and stays; `pip uninstall` removes that.")


def _check(arguments: Sequence[str]) -> None:
    """Print how a model is computed on this machine, and what it takes."""
    settings = parse(CheckModelSettings, arguments, command="models check")
    from corll.policy import Policy

    # As the service loads it.
    policy = Policy.load(settings.model_name, dtype=settings.dtype, int8_drafts=None)
    table = Table("part", "path", box=None, header_style="bold", pad_edge=False)
    for part, path in policy.describe().items():
        table.add_row(part, path)
    table.add_row("prompts", "chat template" if policy.codec.chat else "plain text")
    own = ", ".join(f"{name} {value:g}" for name, value in policy.base.own_sampling.items())
    table.add_row("sampling", f"{own} (its own)" if own else "the defaults")
    table.add_row("memory", str(policy.working_set()))
    Console().print(table, highlight=False)


_COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "list": _list,
    "recommend": _recommend,
    "fetch": _fetch,
    "remove": _remove,
    "switch": switch,
    "check": _check,
}
