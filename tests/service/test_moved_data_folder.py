"""A data folder that is moved, or restored elsewhere, goes on to be used."""

from __future__ import annotations

from pathlib import Path

import httpx

from running_service import RunningService, running_service, settings_for, until


def text_of(service: RunningService, model: str = "corll") -> str:
    draft = service.draft(user="ann", seed=7, model=model)
    text: str = draft["choices"][0]["message"]["content"]
    return text


def teach(service: RunningService, number: int) -> None:
    """Two edits, and the version that they make."""
    for text in ("Sorry, it is on its way.", "It will be there on Friday."):
        draft = service.draft(f"Parcel {number} is late.", user="ann")
        service.post("edits", {"draft_id": draft["id"], "text": text})
    until(lambda: service.get("users/ann")["serving"] == number)


def test_its_versions_draft_and_learn_on(tiny_model_folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_model_folder, tmp_path / "here")
    with running_service(settings) as service:
        service.draft(user="ann")
        service.put("users/ann/consent", {"store": True, "learn": True})
        base = text_of(service)
        teach(service, 1)
        taught = text_of(service)
    assert taught != base
    (tmp_path / "here").rename(tmp_path / "there")
    moved = settings_for(tiny_model_folder, tmp_path / "there")
    with running_service(moved) as service:
        assert text_of(service) == taught
        until(lambda: httpx.get(f"{service.url}/readyz").json()["learner"] == "ready")
        teach(service, 2)
        assert text_of(service, "ann@1") == taught
    assert not (tmp_path / "here").exists()
