"""Names that modules had in version 0.1; importing one works for one release, with a warning.

The finder is asked last, only for modules that nobody else finds, so it costs nothing else.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES = {
    "corll.adapters": "corll.model.adapters",
    "corll.attention": "corll.compute.cpu.attention",
    "corll.axes": "corll.simulation.axes",
    "corll.branching_cache": "corll.compute.branching_cache",
    "corll.cpu_kernels": "corll.compute.cpu.kernels",
    "corll.decoding": "corll.compute.decoding",
    "corll.divergence": "corll.laboratory.divergence",
    "corll.durable": "corll.files.durable",
    "corll.formats": "corll.files.formats",
    "corll.frozen_linear": "corll.compute.cpu.packed_linear",
    "corll.fused": "corll.compute.fused_layers",
    "corll.joined_linear": "corll.compute.joined_linear",
    "corll.linear": "corll.laboratory.linear_world",
    "corll.lora": "corll.compute.lora",
    "corll.mapped_weights": "corll.model.mapped_weights",
    "corll.models": "corll.model.loading",
    "corll.packing": "corll.compute.packing",
    "corll.run_folder": "corll.files.run_folder",
    "corll.saved_files": "corll.model.file_names",
    "corll.scoring": "corll.compute.scoring",
    "corll.service.api.bodies": "corll.schemas.completion_requests",
    "corll.service.api.completions": "corll.service.api.completion_routes",
    "corll.service.api.desk": "corll.service.api.desk_routes",
    "corll.service.api.drafts": "corll.service.api.draft_routes",
    "corll.service.api.errors": "corll.service.api.error_answers",
    "corll.service.api.events": "corll.service.api.event_routes",
    "corll.service.api.feedback": "corll.service.api.feedback_routes",
    "corll.service.api.health": "corll.service.api.health_routes",
    "corll.service.api.imports": "corll.service.api.import_routes",
    "corll.service.api.keys": "corll.service.api.key_routes",
    "corll.service.api.models": "corll.service.api.model_routes",
    "corll.service.api.references": "corll.service.api.reference_routes",
    "corll.service.api.sign_ins": "corll.service.api.sign_in_routes",
    "corll.service.api.users": "corll.service.api.user_routes",
    "corll.service.api.versions": "corll.service.api.version_routes",
    "corll.service.calls": "corll.client.calls",
    "corll.service.checks": "corll.service.learning.checks",
    "corll.service.client": "corll_client.client",
    "corll.service.engine": "corll.service.drafting.engine",
    "corll.service.history": "corll.service.learning.importing",
    "corll.service.learner_process": "corll.service.learning.worker",
    "corll.service.mail_html": "corll.past_texts.mail_html",
    "corll.service.mail_words": "corll.past_texts.mail_words",
    "corll.service.mailbox": "corll.past_texts.mailbox",
    "corll.service.past_texts": "corll.past_texts.reading",
    "corll.service.publishing": "corll.service.versions.publishing",
    "corll.service.references": "corll.service.versions.references",
    "corll.service.retention": "corll.service.versions.retention",
    "corll.service.sessions": "corll.service.drafting.shared_decoding",
    "corll.service.store.sessions": "corll.service.store.sign_ins",
    "corll.service.supervisor": "corll.service.learning.supervisor",
    "corll.side_by_side": "corll.compute.cpu.side_by_side",
    "corll.tiled_products": "corll.compute.cpu.tiled_products",
    "corll.tokens": "corll.model.tokens",
    "corll.whole_copies": "corll.model.whole_copies",
}
"""Old module → new module."""

NAMES: dict[str, dict[str, str]] = {
    "corll.edits": dict.fromkeys(("half_character", "normalize", "same_text"), "corll.text"),
    "corll.feedback": dict.fromkeys(("clean_edit",), "corll.text"),
    "corll.client.calls": dict.fromkeys(
        ("Consent", "ImportResult", "Interval"), "corll_client.answers"
    ),
    "corll.service.drafting": {
        **dict.fromkeys(
            (
                "Delta",
                "DraftEvent",
                "DraftJob",
                "DraftRequest",
                "Drawn",
                "EngineBusyError",
                "Failed",
                "Progress",
                "TokenLogprob",
                "VersionFolder",
            ),
            "corll.service.drafting.requests",
        ),
        "Drafter": "corll.service.drafting.drafter",
    },
    "corll.service.learning": dict.fromkeys(("Trainer",), "corll.service.learning.trainer"),
}
"""Module that is still there → the names that went from it → the modules where they are now."""


def from_elsewhere(module: str, name: str) -> Any:
    """Return what a module had under a name, with a warning; for that module's `__getattr__`.

    *Raises*: AttributeError for a name that it never had.
    """
    home = NAMES.get(module, {}).get(name)
    if home is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    _warn(f"{module}.{name}", f"{home}.{name}", stacklevel=4)
    return getattr(importlib.import_module(home), name)


def find_moved_modules() -> None:
    """Let the old names of modules be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import a module by its old name; None for every other name."""
        return ModuleSpec(fullname, _Loader()) if fullname in MODULES else None


class _Loader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        """Fill the old module with all that the new one has."""
        new = MODULES[module.__name__]
        _warn(module.__name__, new, stacklevel=2)
        found = vars(importlib.import_module(new))
        own = {"__name__", "__spec__", "__loader__", "__package__", "__file__", "__path__"}
        vars(module).update({name: value for name, value in found.items() if name not in own})


def _warn(old: str, new: str, *, stacklevel: int) -> None:
    warnings.warn(
        f"{old} is now {new}; the old name goes with the next release.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
