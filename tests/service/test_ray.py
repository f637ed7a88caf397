"""`corll learner --ray` on a cluster of two nodes on this machine, of which one is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from corll.cli import main
from corll.service.store import fleet
from corll.service.store.database import Database
from fleets import Fleet, agree, edited, learned
from patience import PATIENCE_S
from postgres_server import new_database
from running_service import free_port, until

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'corll[ray]'")

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@dataclass
class OnRay:
    """Two nodes with room for a learner each, and a gateway."""

    cluster: Any
    second: Any
    fleet: Fleet


@pytest.fixture(scope="module")
def on_ray(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, tiny_model_folder: Path
) -> Iterator[OnRay]:
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("ray")
    with new_database(postgres_url) as url, ExitStack() as stack:
        head = {**NODE, "include_dashboard": False}
        try:
            cluster = Cluster(initialize_head=True, head_node_args=head)
        except Exception as error:
            pytest.skip(f"Ray cannot start a cluster on this machine: {error}")
        stack.callback(cluster.shutdown)
        second = cluster.add_node(**NODE)
        opened = Database.open(url, folder / "looking", f"file://{folder}/shared")
        stack.callback(opened.close)
        made = Fleet(tiny_model_folder, folder, url, opened, stack)
        made.start("gateway", "gateway")
        made.start("learner", "learner", ray=cluster.address, fewest_learners=2, most_learners=2)
        until(lambda: made.is_ready("gateway"))
        until(lambda: learners(made) == 2)
        yield OnRay(cluster, second, made)


def learners(made: Fleet) -> int:
    with made.opened.read() as db:
        return fleet.count_learners(db)


def test_nodes_learn_and_a_lost_one_costs_no_edit(on_ray: OnRay) -> None:
    gateway = on_ray.fleet.service("gateway")
    users = [agree(on_ray.fleet, gateway, name) for name in ("ann", "bob")]
    for number in range(2):
        for user in users:
            edited(gateway, user.name, number)
    for user in users:
        assert learned(on_ray.fleet, gateway, user)
    # Each learner has a folder of its own.
    assert {path.name for path in (on_ray.fleet.folder / "learner").iterdir()} >= {"ray-0", "ray-1"}
    on_ray.cluster.remove_node(on_ray.second, allow_graceful=False)
    for number in range(2, 4):
        for user in users:
            edited(gateway, user.name, number)
    for user in users:
        line = learned(on_ray.fleet, gateway, user)
        assert gateway.draft(user=user.name)["corll"]["version"] == line[0].number
        assert len(line) >= 2


def test_told_to_stop_it_lets_its_learners_end(on_ray: OnRay) -> None:
    process = on_ray.fleet.processes["learner"]
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    # One that was lost counts for 30 s more.
    until(lambda: learners(on_ray.fleet) == 0)


def test_a_head_that_is_gone_is_said(
    on_ray: OnRay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"DATA_DIR": tmp_path, "DATABASE": on_ray.fleet.url, "MODEL": on_ray.fleet.model}
    for name, value in {**given, "VERSIONS": on_ray.fleet.versions}.items():
        monkeypatch.setenv(f"CORLL_{name}", str(value))
    code = main(["learner", "--ray", f"127.0.0.1:{free_port()}"])
    assert code == 2
    assert "Start its head by `ray start --head`" in capsys.readouterr().err
