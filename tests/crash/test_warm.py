"""The parent of servers takes what it forked along when whoever asked it is gone."""

from __future__ import annotations

from pathlib import Path

from crash import processes
from crash.service import Service, warm_parent
from patience import PATIENCE_S


def test_no_server_outlives_whoever_asked_for_it(tiny_model_folder: Path, tmp_path: Path) -> None:
    with warm_parent() as parent:
        service = Service(parent, tiny_model_folder, tmp_path / "data", {})
        service.start(settings={"learn": False})
        service.wait_until_ready()
    assert processes.wait_for_end(service.pid, within=PATIENCE_S)
    assert service.orphans() == []
    service.close()
