"""Which model suits a machine: `--model auto`, as arithmetic on what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from corll.catalog import entries
from corll.catalog.entries import CatalogModel, Hub, Wheels
from corll.catalog.needs import LONGEST_DRAFT_S, Machine, Needs, needs_of

_GB = 1e9


@dataclass(frozen=True)
class Verdict:
    """What speaks against a model on a machine: nothing where `reasons` is empty."""

    model: CatalogModel
    needs: Needs
    reasons: tuple[str, ...]

    @property
    def suits(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    def __str__(self) -> str:
        return "suits this machine" if self.suits else "; ".join(self.reasons)


def judge(
    machine: Machine, *, hub: bool, is_here: Callable[[CatalogModel], bool] = lambda _: False
) -> list[Verdict]:
    """Return what speaks against each model of the catalogue, the better model first.

    `hub` says whether the Hugging Face hub can be reached; what `is_here` needs no hub.
    """
    return [_verdict(model, machine, hub=hub, here=is_here(model)) for model in entries.CATALOG]


def order(verdicts: Sequence[Verdict]) -> list[CatalogModel]:
    """Return the models to try, the best first: those that suit, then the smallest at any rate.

    The smallest comes last even where it is slow: some model must answer.
    """
    suited = [verdict.model for verdict in verdicts if verdict.suits]
    smallest = min(verdicts, key=lambda verdict: verdict.model.shape.parameters).model
    return suited if smallest in suited else [*suited, smallest]


def _verdict(model: CatalogModel, machine: Machine, *, hub: bool, here: bool) -> Verdict:
    needs = needs_of(model.shape, machine)
    reasons = []
    if model.for_gpus and not machine.gpu:
        reasons.append("for GPUs")
    if needs.to_learn > machine.memory:
        reasons.append(
            f"needs {needs.to_learn / _GB:.1f} GB of memory to draft and learn, and "
            f"{machine.memory / _GB:.1f} GB are free"
        )
    if isinstance(model.source, Wheels) and not here and needs.to_convert > machine.system_memory:
        reasons.append(
            f"needs {needs.to_convert / _GB:.1f} GB of memory to be converted, and "
            f"{machine.system_memory / _GB:.1f} GB are free"
        )
    if needs.draft_s > LONGEST_DRAFT_S:
        reasons.append(f"a draft would take {needs.draft_s:.0f} s, over {LONGEST_DRAFT_S:.0f} s")
    if isinstance(model.source, Hub) and not (hub or here):
        reasons.append("the hub cannot be reached")
    return Verdict(model, needs, tuple(reasons))
