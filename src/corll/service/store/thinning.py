"""Which states of a lineage a replay needs to begin at, so that a deletion costs what was said.

A replay begins at the last version before the deleted text that has its weights and its optimiser.
So states may lie the further apart the older they are.
"""

from __future__ import annotations

from collections.abc import Sequence


def needed_states(ends: Sequence[int], has_state: Sequence[bool], slack: float) -> list[int]:
    """Return the places of the versions whose states stay, the newest first.

    `ends` are the steps that each version of an ancestry had taken, the newest first, and
    `has_state` says of which the state is there. The reference, before the oldest, always is. With
    the states that stay, a text with so many `after` it in the line, in steps, is replayed in
    `after * (1 + slack)` steps at most, plus the steps of the version that learned it. This holds
    for the line however it grows, as long as these states were there before.
    """
    ages = [ends[0] - end for end in ends] + [ends[0]] if ends else [0]
    last = len(ends)
    place = next((n for n, has in enumerate(has_state) if has), last)
    kept = []
    while place < last:
        kept.append(place)
        place = _next_state(ages, has_state, slack, place)
    return kept


def _next_state(ages: Sequence[int], has_state: Sequence[bool], slack: float, place: int) -> int:
    """Return the oldest state that can follow the one at `place`; the next where none can.

    `ages` are the steps since each state, the last of the reference.
    """
    last = len(ages) - 1
    most, found = float("inf"), None
    for older in range(place + 1, last + 1):
        # The costliest text of the version between these two states is that of its last step.
        newer = older - 1
        most = min(most, ages[newer] + slack * ages[newer] + (ages[older] - ages[newer]))
        if older == last or has_state[older]:
            if ages[older] <= most or found is None:
                found = older
            if ages[older] > most:
                break
    assert found is not None
    return found
