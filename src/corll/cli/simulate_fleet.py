"""`corll simulate-fleet`: what a million users would cost, and what would give way first."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator
from tyro.conf import arg

from corll.cli.parsing import parse
from corll.cli.settings import OptionalFile, OptionalNumber
from corll.configuring import Config
from corll.fleet.assumptions import default_text, read_assumptions
from corll.fleet.measured import SmallEnd, play_measured, read_measured


class SimulateFleetSettings(Config):
    """Play a day of many users, and tell cost, waits, cache hits, and what gives way first.

    Everything it assumes stands in a table: print it, change it, and give it back. The same seed
    gives the same day. Nothing is drafted or learned, and no model is needed.
    """

    users: OptionalNumber = Field(
        None, ge=1, description="How many users; by default as the assumptions say, a million."
    )
    seed: int = Field(0, ge=0, description="Seed of the day.")
    assumptions: OptionalFile = Field(
        None, description="A TOML file with what you know better; the rest keeps its default."
    )
    print_assumptions: bool = Field(
        False, description="Print the assumptions, to be copied and changed, and end."
    )
    measured: OptionalFile = Field(
        None,
        description="A JSON file of a run of a few learners: play that in place of a day, with its "
        "own service times, and compare (form: docs/scale.md).",
    )
    figure: OptionalFile = Field(None, description="Draw the day to this .png or .svg.")
    as_json: Annotated[bool, arg(name="json")] = Field(
        False, description="Print the numbers as JSON, for programs."
    )

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        if self.figure is not None and self.figure.suffix not in (".png", ".svg"):
            raise ValueError(f"figure is {self.figure}; its name must end in .png or .svg")
        return self


def main(arguments: Sequence[str]) -> None:
    """Run the command. *Raises*: ConfigError, InputError, RunFolderError."""
    settings = parse(SimulateFleetSettings, arguments, command="simulate-fleet")
    if settings.print_assumptions:
        print(default_text(), end="")
        return
    if settings.measured is not None:
        end = play_measured(read_measured(settings.measured), seed=settings.seed)
        _tell_small_end(end, as_json=settings.as_json)
        return
    _simulate(settings)


def _simulate(settings: SimulateFleetSettings) -> None:
    from corll.fleet.day import play_day
    from corll.fleet.report import lines_of, summary_of

    assumed = read_assumptions(settings.assumptions, users=settings.users)
    day = play_day(assumed, seed=settings.seed, say=_say)
    if settings.as_json:
        told = {**summary_of(day), "seed": settings.seed, "assumptions": assumed.model_dump()}
        print(json.dumps(_finite(told), ensure_ascii=False, indent=1))
    else:
        print("\n".join(lines_of(day)))
    if settings.figure is not None:
        from corll.fleet.figure import draw_day

        draw_day(day, settings.figure)


def _tell_small_end(end: SmallEnd, *, as_json: bool) -> None:
    if as_json:
        shown = {name: getattr(end, name) for name in end.__dataclass_fields__}
        print(json.dumps({**shown, "off": end.off}, indent=1))
        return
    print(f"simulated: median {end.simulated_median:.2f} s, p95 {end.simulated_p95:.2f} s")
    if end.measured_p95 is not None:
        print(f"measured:  median {end.measured_median:.2f} s, p95 {end.measured_p95:.2f} s")
        print(f"the simulated p95 is off by {end.off:+.0%}")


def _finite(value: object) -> object:
    """Return the same with null in place of infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _say(line: str) -> None:
    print(line, file=sys.stderr)
