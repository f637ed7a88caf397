"""`corll models`: what can be loaded here, and how to get what cannot."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from corll.cli.parsing import parse
from corll.config import Config


class ModelsSettings(Config):
    """List the models that are here, and how to get more.

    --model also takes the folder of any causal language model in Hugging Face's form, a .gguf
    file, and the name of a model on the hub.
    """


def main(arguments: Sequence[str]) -> None:
    parse(ModelsSettings, arguments, command="models")
    # Finding models needs torch, which --help must not wait for.
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
