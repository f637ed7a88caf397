"""How the server puts its parts together."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from corll.policy import Policy
from corll.service import server
from corll.service.settings import ServiceSettings
from running_service import settings_for


def test_the_thread_that_loads_the_base_keeps_no_processor_from_drafting(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaders = server.load_base, []

    def noting(settings: ServiceSettings) -> Policy:
        loaders.append(threading.current_thread())
        return load(settings)

    monkeypatch.setattr(server, "load_base", noting)
    settings = settings_for(tiny_model_folder, tmp_path, learn=False)
    with server.running_app(settings, say=lambda _: None):
        (loader,) = loaders
        assert loader is not threading.current_thread()
        assert not loader.is_alive()
