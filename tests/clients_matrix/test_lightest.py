"""The lightest clients of others draft, edit and are learned from; their environments are kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients_matrix.catalogue import Client, clients
from clients_matrix.environments import PATH, NotInstalledError
from clients_matrix.playing import play
from running_service import RunningService, running_service, settings_for

LIGHTEST = [client for client in clients() if client.lightest]


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    coactive = {"preferences_per_step": 1}
    folder = tmp_path_factory.mktemp("clients")
    with running_service(
        settings_for(tiny_model_folder, folder, learn=True, coactive=coactive)
    ) as running:
        yield running


@pytest.mark.parametrize("client", LIGHTEST, ids=lambda client: client.name)
def test_it_works_as_its_recipe_says(client: Client, service: RunningService) -> None:
    if client.is_javascript and shutil.which("npm", path=PATH) is None:
        pytest.skip("there is no npm on the path")
    try:
        outcome = play(client, service)
    except NotInstalledError as error:
        pytest.skip(f"a client's packages cannot be installed here: {error}")
    assert outcome.problem is None
    assert (outcome.drafted, outcome.edited, outcome.learned) == (True, True, True)


def test_every_client_has_a_recipe_of_about_ten_lines() -> None:
    for client in clients():
        lines = [line for line in client.recipe.read_text(encoding="utf-8").splitlines() if line]
        assert 5 <= len(lines) <= 14, client.name
