"""Which sections of which documents are generated."""

from __future__ import annotations

from collections.abc import Callable

from clients_table import recipes, tried
from corll.config import PRESETS, CoactiveConfig, LoraConfig
from measured_tables import editors, other_work, service_speeds, steps, study
from module_tree import CLIENT, tree
from settings_tables import command_line, configuration
from writers_table import writers

SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    "library.md": {
        "CoactiveConfig": lambda: configuration(CoactiveConfig, PRESETS["paper"]),
        "LoraConfig": lambda: configuration(LoraConfig),
        "writers": writers,
    },
    "cli.md": {"commands": command_line},
    "architecture.md": {"tree": tree, "client tree": lambda: tree(CLIENT)},
    "clients.md": {"clients": tried, "recipes": recipes},
    "benchmarks.md": {"steps": steps, "other work": other_work, "service": service_speeds},
    "results.md": {
        "editors": editors,
        "named contrast": study("imdb-tiny-again"),
        "small rate, 135M": study("imdb-mini-slow"),
        "small rate, 4.6M": study("imdb-tiny-mended"),
    },
}
"""The generated sections of each document of `docs/` by name."""
