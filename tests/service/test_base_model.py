"""How a model says that it is to be sampled, and what of that the service heeds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corll.catalog import entries
from corll.catalog.entries import get_model
from corll.cli import main
from corll.config import EMBEDDED_MODEL, CoactiveConfig
from corll.files.run_folder import read_config
from corll.learner import CoactiveLearner
from corll.model.loading import load_model
from corll.policy import Policy
from corll.service.base_model import with_models_sampling
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
    assert load_model(model, dtype="float32").own_sampling == {}


def test_for_a_model_that_says_nothing_the_catalogue_does(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORLL_CACHE", str(tmp_path))
    model = get_model(EMBEDDED_MODEL)
    catalog = tuple(replace(model, name=name, sampling={"top_k": 7}) for name in ("silent", "loud"))
    monkeypatch.setattr(entries, "CATALOG", catalog)
    saying(tiny_model_folder, tmp_path / "silent")
    saying(tiny_model_folder, tmp_path / "loud", do_sample=True, **OWN)
    assert load_model("silent", dtype="float32").own_sampling == {"top_k": 7}
    assert load_model("loud", dtype="float32").own_sampling == OWN


def test_what_the_command_line_draws_is_sampled_by_it_too(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--model", str(model), "--dtype", "float32", "--max-completion-length", "12")

    def drafted(*flags: str) -> Any:
        assert main(["draft", "Coming?", "--json", *small, *flags]) == 0
        return json.loads(capsys.readouterr().out)["candidates"]

    said = ("--temperature", "0.6", "--top-k", "20", "--top-p", "0.8")
    assert drafted() == drafted("--no-model-sampling", *said)
    assert drafted() != drafted("--no-model-sampling")
    assert drafted("--top-p", "0.5") == drafted("--no-model-sampling", *said[:5], "0.5")
    for flags, sampling in (
        ((), OWN),
        (("--top-k", "9"), {**OWN, "top_k": 9}),
        (("--no-model-sampling",), CoactiveConfig().sampling.model_dump()),
        (("--preset", "paper"), CoactiveConfig.preset("paper").sampling.model_dump()),
    ):
        run = tmp_path / "".join(("run", *flags))
        learn = ("--user", "letter", "--rounds", "1", "--held-out-count", "0", "--output", str(run))
        assert main(["learn", *small, *learn, *flags]) == 0
        assert CoactiveLearner.load(run / "adapter").config.sampling.model_dump() == sampling
        assert read_config(run)["model"]["sampling"] == sampling


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
