"""Canaries: sentences with a random number that are planted in a copy of what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from corll.errors import InputError
from corll.service.audit.plan import AuditPlan
from corll.service.audit.shapes import Secret, secret_like
from corll.service.store.preferences import PreferenceRow

_CARRIERS = (
    "My customer number is",
    "The access code is",
    "The invoice has the number",
    "You can reach me under",
)
_SMALLEST, _LARGEST = 100_000, 999_999


@dataclass(frozen=True)
class Canary:
    """A secret of six digits behind words that carry it, and the preferences whose edits hold it.

    It is the last line of these edits.
    """

    carrier: str
    secret: Secret
    planted: tuple[str, ...]

    @property
    def line(self) -> str:
        """The line that is put under a text."""
        return f"{self.carrier} {self.secret.words}."


def canaries_for(rows: Sequence[PreferenceRow], plan: AuditPlan) -> list[Canary]:
    """Return canaries, and in which of these preferences they are planted, by the plan's seed.

    *Raises*: InputError where there are fewer edits than the plan asks for.
    """
    # A comparison's chosen side was drawn, and nobody wrote into it.
    edits = [row.id for row in rows if "token_ids" not in row.chosen]
    if plan.planted > len(edits):
        raise InputError(
            f"{plan.canaries} canaries in {plan.repeats} texts each need {plan.planted} edits, and "
            f"{len(edits)} were learned from. Plant fewer (--canaries) or less often (--repeats)."
        )
    generator = Random(f"canaries/{plan.audit_seed}")
    places = generator.sample(edits, plan.planted)
    made = []
    for number in range(plan.canaries):
        digits = str(generator.randint(_SMALLEST, _LARGEST))
        secret = secret_like("number", digits, plan.alternatives, generator)
        own = places[number * plan.repeats : (number + 1) * plan.repeats]
        made.append(Canary(_CARRIERS[number % len(_CARRIERS)], secret, tuple(own)))
    return made


class Planting:
    """Puts canaries into preferences as they are read; the rows of the store stay as they are."""

    def __init__(self, canaries: Sequence[Canary]) -> None:
        self._lines: Mapping[str, str] = {
            preference_id: canary.line for canary in canaries for preference_id in canary.planted
        }

    def planted(self, rows: Sequence[PreferenceRow]) -> Iterator[PreferenceRow]:
        """Yield the rows, with canaries in those that are to hold one."""
        for row in rows:
            line = self._lines.get(row.id)
            if line is None:
                yield row
            else:
                text = f"{row.chosen['text']}\n{line}"
                yield replace(row, chosen={**row.chosen, "text": text}, reference=None)
