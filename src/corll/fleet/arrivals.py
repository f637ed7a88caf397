"""When users ask for drafts, and when their edits come: Zipf's law over users, a day's hours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corll.fleet.assumptions import SECONDS_A_DAY, SECONDS_AN_HOUR, Users
from corll.fleet.closed_forms import Floats

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Events:
    """What users do, in the order of time. *Units*: seconds. *Shapes*: both n."""

    times: Floats
    users: Ints

    def __len__(self) -> int:
        return len(self.times)

    def between(self, start: float, end: float) -> Events:
        """Return the events from `start` to before `end`."""
        first, last = np.searchsorted(self.times, [start, end])
        return Events(self.times[first:last], self.users[first:last])


def activity(users: Users) -> Floats:
    """Return each user's share of all drafts, the busiest first. *Shapes*: N, of sum 1.

    It falls by Zipf's law with an offset of so many users as `head_share` says (Mandelbrot's).
    """
    offset = users.head_share * users.number
    weights = (np.arange(1, users.number + 1) + offset) ** -users.zipf_exponent
    shares: Floats = weights / weights.sum()
    return shares


def busiest_hour(users: Users) -> float:
    """Return how many times as busy as an hour on average the busiest one is."""
    return max(users.by_hour) / (sum(users.by_hour) / len(users.by_hour))


def draw_drafts(users: Users, rng: np.random.Generator, *, days: int) -> Events:
    """Draw the drafts of so many days, each a Poisson process over users and hours."""
    mean = activity(users) * users.number * users.drafts_a_day * days
    who = np.repeat(np.arange(users.number), rng.poisson(mean))
    hours = np.concatenate([[0.0], np.cumsum(users.by_hour)])
    edges = np.arange(len(hours)) * float(SECONDS_AN_HOUR)
    day = rng.integers(days, size=len(who)) * float(SECONDS_A_DAY)
    times = day + np.interp(rng.random(len(who)) * hours[-1], hours, edges)
    return _sorted(times, who)


def draw_edits(users: Users, drafts: Events, rng: np.random.Generator) -> Events:
    """Draw which drafts are edited and when, of the users who agreed to be learned from."""
    agreed = rng.random(users.number) < users.learning_share
    edited = (rng.random(len(drafts)) < users.edited_share) & agreed[drafts.users]
    delays = users.edit_delay_s * np.exp(
        users.edit_delay_spread * rng.standard_normal(int(edited.sum()))
    )
    return _sorted(drafts.times[edited] + delays, drafts.users[edited])


def _sorted(times: Floats, users: Ints) -> Events:
    order = np.argsort(times, kind="stable")
    return Events(times[order], users[order])
