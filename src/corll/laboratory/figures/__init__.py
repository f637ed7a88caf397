"""The figures of a grid: the paper's panels 1a to 2e, and what it does not show.

style.py      colours, names of arms, axes, files
curves.py     metrics over preferences or costs, bands over seeds
frontier.py   the reward over the KL that it took
factorial.py  the area under `reward` in each cell of the factorial
panels.py     which panels there are, and what each is drawn from
"""

from __future__ import annotations

from corll.laboratory.figures.panels import PANELS, Panel, draw_all, levels_of

__all__ = ["PANELS", "Panel", "draw_all", "levels_of"]
