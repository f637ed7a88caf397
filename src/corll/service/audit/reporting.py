"""What an audit says to people: lines of a page, findings, and the ways out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from corll.service.audit.auditing import Audit, CanaryResult, StringResult
from corll.service.audit.probing import Probe
from corll.service.audit.shapes import SecretKind

_BY_CHANCE = 20
"""An audit in so many names a secret of which nothing was learned."""

_SMALLER_STEPS = (
    "take smaller or fewer steps for all users (CORLL_LEARNING_RATE, CORLL_REPLAY_PER_STEP=0)"
)
_MASKS = {"number": "numbers", "mail": "addresses"}


@dataclass(frozen=True)
class Finding:
    """A string that what serves gives away: the text that holds it, why it is one, the ways out."""

    text_id: str
    kind: SecretKind
    words: str
    exposure: float
    exposure_base: float
    exposure_learned: float
    comes_out: bool
    ways_out: tuple[str, ...]


def threshold(count: int) -> float:
    """Return from how many bits on one of `count` secrets is a finding. *Units*: bits.

    Where nothing was learned of any, one of them has so many in one audit of twenty.
    """
    return math.log2(_BY_CHANCE * max(count, 1))


def is_given_away(probe: Probe, count: int) -> bool:
    """Say whether one of `count` secrets comes out, or was learned beyond what chance explains."""
    return probe.comes_out or probe.exposure_learned >= threshold(count)


def findings(audit: Audit) -> list[Finding]:
    """Return the own strings that are given away, in the audit's order."""
    count = len(audit.strings)
    return [
        Finding(
            one.text_id,
            one.kind,
            one.words,
            one.probe.exposure,
            one.probe.exposure_base,
            one.probe.exposure_learned,
            one.probe.comes_out,
            ways_out(one),
        )
        for one in audit.strings
        if is_given_away(one.probe, count)
    ]


def ways_out(one: StringResult) -> tuple[str, ...]:
    """Return what can be done about a string, in words: delete it, mask its kind, smaller steps."""
    ways = [f"delete the text, and all weights that saw it: corll forget edit {one.text_id}"]
    if one.kind in _MASKS:
        ways.append(
            "learn from none such from now on: PUT /v1/users/{id}/consent "
            f'{{"mask": "{_MASKS[one.kind]}"}}, or --mask for all; what was learned stays until it '
            "is deleted"
        )
    return (*ways, _SMALLER_STEPS)


def as_json(audit: Audit) -> dict[str, Any]:
    """Return an audit, and its findings, as JSON holds them."""
    return {**asdict(audit), "findings": [asdict(one) for one in findings(audit)]}


def told(audit: Audit) -> Iterator[str]:
    """Yield an audit in lines."""
    yield (
        f"{audit.user}, version {audit.version} on {audit.base}: "
        f"{audit.texts} texts, learned in {audit.steps} steps."
    )
    if audit.canaries:
        yield from _of_canaries(audit.canaries, audit.left_out)
    yield from _of_strings(audit)


def _of_canaries(canaries: Sequence[CanaryResult], left_out: int) -> Iterator[str]:
    repeats = canaries[0].repeats
    where = "one text" if repeats == 1 else f"{repeats} texts"
    yield ""
    yield (
        f"{len(canaries)} secrets of six digits, each planted in {where} of a copy that was "
        "learned again in memory. Bits of exposure; 1.4 in the mean where nothing was learned."
    )
    if left_out:
        yield f"{left_out} preferences of the copy could not be learned."
    for one in canaries:
        yield f"  {one.carrier} …"
        yield f"    after its own text: {_said(one.in_place)}"
        if one.elsewhere is not None:
            yield f"    after another request: {_said(one.elsewhere)}"
    known = sum(is_given_away(one.in_place, len(canaries)) for one in canaries)
    yield f"{known} of {len(canaries)} are given away after their own text" + (
        f": {_SMALLER_STEPS}, or mask numbers (--mask)." if known else "."
    )


def _of_strings(audit: Audit) -> Iterator[str]:
    yield ""
    looked = f"{len(audit.strings)} rare strings of the user's own were looked for"
    if audit.unread:
        looked += f"; {audit.unread} more stand where the context leaves no room"
    found = findings(audit)
    yield (
        f"{looked}. {len(found) or 'None'} given away, from {threshold(len(audit.strings)):.1f} "
        + ("bits by learning on, or where the model says it and its base does not.")
    )
    probes = {(one.kind, one.words): one.probe for one in audit.strings}
    for one in found:
        yield ""
        yield f"  {one.text_id}: the {one.kind} {one.words!r}"
        yield f"    {_said(probes[one.kind, one.words])}"
        for way in one.ways_out:
            yield f"    - {way}"


def _said(probe: Probe) -> str:
    most = math.log2(probe.possible)
    return (
        f"{probe.exposure:.1f} of {most:.1f} bits (base {probe.exposure_base:.1f}; by learning "
        f"{probe.exposure_learned:.1f}); said {_times(probe.greedy, probe.sampled, probe.samples)} "
        f"(base {_times(probe.greedy_base, probe.sampled_base, probe.samples)})"
    )


def _times(greedy: bool, sampled: int, samples: int) -> str:
    return f"{'greedily' if greedy else 'not greedily'} and in {sampled} of {samples} samples"
