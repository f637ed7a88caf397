"""The README's examples run as they are printed, on a tiny model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from corll.policy import Policy
from corll.records import Draft, Round
from running_service import ADMIN_KEY, running_service, settings_for

README = Path(__file__).parent.parent / "README.md"


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


class Shouting:
    def edit(self, draft: Draft) -> str:
        return "Hello, your parcel arrives on Friday. Kind regards, Anna"


def test_the_examples_of_the_readme_run(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second, third, _ = examples()
    names: dict[str, Any] = {}
    exec(first.replace("smollm2-135m", str(tiny_model_folder)), names)
    assert isinstance(names["policy"], Policy)
    assert (tmp_path / "my-adapter" / "adapter_config.json").exists()
    names |= {"prompts": ["Write to Anna.", "Write to Tom."], "user": Shouting()}
    exec(second, names)
    assert isinstance(names["played"], Round)
    assert names["played"].number == 3
    exec(third, names)
    assert isinstance(names["anna"], Policy)
    assert len(names["drafts"]) == 2


def test_the_example_of_the_service_runs(tiny_model_folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_model_folder, tmp_path, learn=False)
    with running_service(settings) as service:
        names: dict[str, Any] = {"KEY": ADMIN_KEY}
        exec(examples()[-1].replace("http://127.0.0.1:8377", service.url), names)
        names["client"].close()
    assert names["edit"].will_learn is False
    assert "not agreed" in names["edit"].reason
