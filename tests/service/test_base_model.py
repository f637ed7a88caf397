"""How a model says that it is to be sampled, and what of that the service heeds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corll.catalog.entries import get_model
from corll.cli import main
from corll.config import EMBEDDED_MODEL
from corll.policy import Policy
from corll.service import base_model
from corll.service.base_model import models_sampling, with_models_sampling
from running_service import running_service, settings_for

OWN = {"temperature": 0.6, "top_k": 20, "top_p": 0.8}


def saying(folder: Path, copy: Path, **generation: Any) -> Path:
    """A copy of the model whose generation_config says more."""
    shutil.copytree(folder, copy)
    file = copy / "generation_config.json"
    said = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**said, **generation}))
    return copy


@pytest.fixture
def model(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return saying(tiny_model_folder, tmp_path / "model", do_sample=True, **OWN)


def sampling_of(model: Path, **changes: Any) -> dict[str, Any]:
    base = Policy.load(model, dtype="float32")
    settings = settings_for(model, Path("unused"), **changes)
    return with_models_sampling(settings, base).coactive.sampling.model_dump()


def test_what_a_model_says_takes_the_place_of_defaults(model: Path) -> None:
    assert sampling_of(model) == OWN
    assert sampling_of(model, coactive={"temperature": 1.1}) == {**OWN, "temperature": 1.1}
    ours = settings_for(model, Path("unused")).coactive.sampling.model_dump()
    assert sampling_of(model, model_sampling=False) == ours != OWN


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"temperature": 0.6},
        {"do_sample": False, **OWN},
        {"do_sample": True, "temperature": 0.0},
    ],
)
def test_what_says_nothing_of_sampling_leaves_our_defaults(
    tiny_model_folder: Path, tmp_path: Path, said: dict[str, Any]
) -> None:
    model = saying(tiny_model_folder, tmp_path / "model", **said)
    assert models_sampling(Policy.load(model, dtype="float32")) == {}


def test_for_a_model_that_says_nothing_the_catalogue_does(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = saying(tiny_model_folder, tmp_path / "silent")
    outspoken = saying(tiny_model_folder, tmp_path / "outspoken", do_sample=True, **OWN)
    known = replace(get_model(EMBEDDED_MODEL), sampling={"top_k": 7})
    monkeypatch.setattr(base_model, "find_model", lambda name: known)
    assert models_sampling(Policy.load(silent, dtype="float32")) == {"top_k": 7}
    assert models_sampling(Policy.load(outspoken, dtype="float32")) == OWN


def test_a_service_draws_by_it_unless_the_request_says_otherwise(
    model: Path, tmp_path: Path
) -> None:
    with running_service(settings_for(model, tmp_path / "data", learn=False)) as service:
        user = service.draft(user="ann")["corll"]["user"]
        service.draft(user="ann", top_p=0.5)
        lines = service.http.get(f"/v1/users/{user}/export").text.splitlines()
    drafts = [row for row in map(json.loads, lines) if row["record"] == "draft"]
    samplings = sorted((row["sampling"] for row in drafts), key=lambda one: one["top_p"])
    assert samplings == [{**OWN, "top_p": 0.5}, OWN]


def test_a_check_of_a_model_tells(
    model: Path, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, said in (
        (model, "temperature 0.6, top_k 20, top_p 0.8"),
        (tiny_model_folder, "the"),
    ):
        assert main(["models", "--check", str(folder), "--dtype", "float32"]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        rows = dict(line.split(maxsplit=1) for line in lines if not line.startswith(" "))
        assert rows["sampling"].startswith(said)
