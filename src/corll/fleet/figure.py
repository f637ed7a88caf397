"""The figure of a simulated day: its hours, its caches, what it costs, what gives way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from corll.fleet.arrivals import activity
from corll.fleet.assumptions import HOURS_A_DAY, SECONDS_AN_HOUR
from corll.fleet.caches import hit_rates
from corll.fleet.closed_forms import che_hit_rate
from corll.fleet.costs import by_hour, costs_of, limits_of
from corll.fleet.day import Day
from corll.laboratory.figures.style import INK, add_title, new_figure, style_axes, write_image

_COLOURS = ("#5e2b97", "#e0645c", "#2b6cb0")
_POINTS, _LARGEST_GB = 40, 2000.0


def draw_day(day: Day, path: Path) -> None:
    """Draw a day as a PNG or SVG. *Raises*: RunFolderError where it cannot be written."""
    figure = new_figure(10, 7)
    hours, caches, cost, limits = figure.subplots(2, 2).ravel()
    _draw_hours(hours, day)
    _draw_caches(caches, day)
    _draw_costs(cost, day)
    _draw_limits(limits, day)
    number = day.assumptions.users.number
    add_title(figure, f"{number:,} users on a simulated day; prices and times are assumptions")
    write_image(figure, path)


def _draw_hours(axes: Axes, day: Day) -> None:
    learned, hours = day.learned, np.arange(HOURS_A_DAY)
    axes.step(hours, by_hour(day.drafts) / 1e3, where="mid", color=_COLOURS[0], label="drafts")
    axes.step(
        hours, by_hour(day.edits) / 1e3, where="mid", color=_COLOURS[1], label="edits learned"
    )
    axes.set(xlabel="hour of the day", ylabel="thousands an hour")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    style_axes(axes)
    due = (learned.taken_at - learned.waited) // SECONDS_AN_HOUR
    p95 = [_p95(learned.due_to_serving[due == hour]) for hour in hours]
    beside = axes.twinx()
    beside.plot(hours, p95, color=_COLOURS[2], linestyle="--")
    beside.set_ylabel("p95, step due to serving (s)", color=_COLOURS[2])
    beside.set_ylim(bottom=0)
    beside.spines[["top", "left"]].set_visible(False)


def _p95(values: np.ndarray) -> float:
    return float(np.quantile(values, 0.95)) if len(values) else np.nan


def _draw_caches(axes: Axes, day: Day) -> None:
    adapters, drafting = day.assumptions.adapters, day.assumptions.drafting
    gigabytes = np.geomspace(max(1.0, adapters.megabytes / 1000), _LARGEST_GB, _POINTS)
    sizes = np.array([day.adapters_in(gb) for gb in gigabytes])
    axes.semilogx(gigabytes, hit_rates(day.distances, sizes), color=_COLOURS[0], label="this day")
    if drafting.routing == "by user":
        own = activity(day.assumptions.users)[:: day.sizes.replicas]
        shares = own[: max(1, round(len(own) * day.assumptions.users.learning_share))]
        still = [che_hit_rate(shares / shares.sum(), size) for size in sizes]
        axes.semilogx(gigabytes, still, "--", color=_COLOURS[2], label="if versions never changed")
    for gb, name in ((adapters.memory_gb, "memory"), (adapters.disk_gb, "disk")):
        axes.axvline(gb, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate(name, (gb, 0.02), fontsize=8, color=INK)
    axes.set(xlabel="GB for adapters on a replica", ylabel="share of drafts answered", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    style_axes(axes)


def _draw_costs(axes: Axes, day: Day) -> None:
    costs, number = costs_of(day), day.assumptions.users.number
    each = [cost.a_month / number for cost in costs]
    axes.barh([cost.part for cost in costs], each, color=_COLOURS[0])
    axes.invert_yaxis()
    currency = day.assumptions.prices.currency
    axes.set_xlabel(f"{currency} a user a month, {sum(each):.3f} in all")
    style_axes(axes)
    axes.grid(axis="y", visible=False)


def _draw_limits(axes: Axes, day: Day) -> None:
    limits = limits_of(day)
    axes.barh(
        [limit.part for limit in limits], [limit.breaks_at for limit in limits], color="#e0645c"
    )
    axes.invert_yaxis()
    axes.set_xscale("log")
    for users in (day.assumptions.users.number, 10 * day.assumptions.users.number):
        axes.axvline(users, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate(f"{users:,}", (users, -0.55), fontsize=8, color=INK, ha="center")
    axes.set_xlabel("users at which it gives way")
    style_axes(axes)
    axes.grid(axis="y", visible=False)
