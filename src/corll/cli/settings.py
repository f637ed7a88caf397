"""The parts that settings of several commands share: kinds of flags, and their meanings."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, get_args

from tyro.conf import Positional, arg

from corll.config import DType

RUNS = Path("runs")
"""Where runs, grids and demos lie by default."""

# The descriptions of these flags say what holds without them, so that help need not say "None".
OptionalFile = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
OptionalFolder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
OptionalNumber = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
OptionalRate = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]
OptionalName = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")]
OptionalAddress = Annotated[str | None, arg(metavar="URL", help_behavior_hint="")]
Words = Annotated[str, arg(metavar="TEXT", help_behavior_hint="")]
OptionalDType = Annotated[
    DType | None, arg(metavar=f"{{{','.join(get_args(DType))}}}", help_behavior_hint="")
]

ModelName = Annotated[Positional[str], arg(metavar="NAME")]

WHICH_MODEL = "The base model: a name of `corll models`, a hub id, a folder"
YES = "Fetch the model without asking, where it is not here."
WHICH_DTYPE = "Precision of the base model; by default what suits the device."
WHICH_THINKING = (
    "Whether hybrid thinkers (Qwen3) think first: what their chat templates are told. The thought "
    "is the beginning of the draft."
)
OWN_SAMPLING = (
    "Whether temperature, top_k and top_p, where they are left at their defaults, are those of the "
    "model's generation_config or of the catalogue, if there are any."
)
WHICH_DEVICE = "Such as cpu or cuda:0; by default the best there is."


def package_versions() -> dict[str, str]:
    """Return the versions of the packages on which the numbers of a run depend, by name."""
    return {name: version(name) for name in ("corll", "torch", "transformers", "peft")}


def listed(names: Sequence[str]) -> str:
    """List names as a sentence does: `imdb, tldr or helpful`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
