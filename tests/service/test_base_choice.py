"""The base model of a data folder: recorded once, kept, and changed by `corll models switch`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corll.cli import main
from corll.config import LoraConfig
from corll.errors import ConfigError, ModelNotFoundError
from corll.model.loading import load_model
from corll.records import Sample
from corll.service.feedback import judge_edit
from corll.service.server import running_app
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, bases, drafts, lineages, preferences
from corll.service.store.database import Database
from running_service import RunningService, running_service, settings_for, until
from tiny_models import build_llama, build_tokenizer

FORMER = "/srv/corll/model"
"""Where the older folder's base lay when it was written."""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another base, with fewer tokens than the former has."""
    tokenizer = build_tokenizer(chat=True, vocab_size=300)
    folder = tmp_path / "other"
    build_llama(len(tokenizer), seed=3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings_of(model: Path | str, data_dir: Path, **changes: Any) -> ServiceSettings:
    settings = settings_for(Path("unused"), data_dir, lora=LoraConfig(lora_r=2), **changes)
    return settings.model_copy(update={"model": str(model)})


def served(data_dir: Path) -> tuple[str, str] | None:
    """The name of the base that is recorded, and why it was taken."""
    database = Database.open(None, data_dir)
    with database.read() as db:
        found = bases.served_base(db)
    database.close()
    return None if found is None else (found.name, found.reason)


def refusal(settings: ServiceSettings) -> str:
    with (
        pytest.raises((ConfigError, ModelNotFoundError)) as refused,
        running_app(settings),
    ):
        pass
    return str(refused.value)


class TestRecorded:
    def test_the_base_of_an_older_folder_is_the_one_it_had(self, older: Path) -> None:
        assert served(older / "data") == (FORMER, "found")
        database = Database.open(None, older / "data")
        with database.read() as db:
            fingerprint = bases.served_fingerprint(db)
            found = db.exec_driver_sql("SELECT DISTINCT base_fingerprint FROM drafts").scalars()
            assert list(found) == [fingerprint]
        database.close()
        assert FORMER in refusal(settings_of("auto", older / "data"))  # it lies elsewhere

    def test_auto_serves_what_was_served_whatever_would_suit_the_machine(
        self, older: Path, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        with running_service(settings_of(older / "model", older / "data", learn=False)):
            assert served(older / "data") == (str(older / "model"), "named")
        with running_service(settings_of("auto", older / "data", learn=False)) as service:
            assert service.get("models")["data"][0]["base"] == str(older / "model")
        assert served(older / "data") == (str(older / "model"), "named")

    def test_another_base_is_refused_where_somebody_has_learned(
        self, older: Path, other: Path
    ) -> None:
        said = refusal(settings_of(other, older / "data"))
        assert "3 users of this data folder learned on /srv/corll/model" in said
        assert f"corll models switch {other}" in said
        assert served(older / "data") == (FORMER, "found")

    def test_where_nobody_has_learned_another_base_may_be_named(
        self, tiny_model_folder: Path, other: Path, tmp_path: Path
    ) -> None:
        for model in (tiny_model_folder, other):
            with running_service(settings_of(model, tmp_path / "data", learn=False)):
                pass
        assert served(tmp_path / "data") == (str(other), "named")


def switch(model: Path, data_dir: Path, *more: str) -> int:
    return main(["models", "switch", str(model), "--data-dir", str(data_dir), *more])


class TestSwitch:
    def test_it_says_what_it_costs_and_does_nothing_unasked(
        self, older: Path, other: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert switch(other, older / "data") == 2
        said = capsys.readouterr()
        assert "3 users (6 versions) belong to /srv/corll/model" in said.out
        assert "waits to be learned again" in said.out
        assert "Nothing was changed" in said.err
        assert served(older / "data") == (FORMER, "found")

    def test_to_the_same_model_there_is_nothing_to_do(
        self, older: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert switch(older / "model", older / "data", "--yes") == 0
        assert "the same model" in capsys.readouterr().out

    def test_not_beside_a_server(
        self, older: Path, other: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with running_service(settings_of(older / "model", older / "data", learn=False)):
            assert switch(other, older / "data", "--yes") == 2
        assert "Another server uses" in capsys.readouterr().err

    def test_a_model_that_cannot_be_loaded_changes_nothing(self, older: Path) -> None:
        (older / "broken").mkdir()
        assert switch(older / "broken", older / "data", "--yes") == 2
        assert served(older / "data") == (FORMER, "found")

    def test_what_was_learned_is_learned_again_on_the_other_base_and_back(
        self, older: Path, other: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        facts = json.loads((older / "facts.json").read_text())
        database = Database.open(None, older / "data")
        with database.read() as db:
            before = {
                name: lineages.serving_version(db, about["id"])
                for name, about in facts["users"].items()
            }
        database.close()
        assert switch(other, older / "data", "--yes") == 0
        assert f"is served with {other} from now on" in capsys.readouterr().out
        with running_service(settings_of("auto", older / "data")) as service:
            # Anna's version 3 was rolled back; what only it was taught stays set aside or waits.
            until(lambda: (service.get("users/ben")["serving"] or 0) >= 4)
            until(lambda: service.get("users/ben")["waiting"] < 2)
            drafted = service.draft(user="ben", seed=7, max_tokens=12)
            assert drafted["corll"]["version"] >= 4
            # A version of the former base is not there to be asked for.
            named = [model["id"] for model in service.get("models?user=ben")["data"]]
            assert "ben@3" not in named
            assert f"ben@{drafted['corll']['version']}" in named
            body = {"model": "ben@3", "messages": [{"role": "user", "content": "Hello"}]}
            assert service.http.post("/v1/chat/completions", json=body).status_code == 404
        database = Database.open(None, older / "data")
        with database.read() as db:
            ben = accounts.find_user(db, facts["users"]["ben"]["id"])
            assert ben is not None
            version = lineages.serving_version(db, ben.id)
            assert version is not None
            reference = lineages.find_reference(db, version.reference_id)
            assert reference is not None
            assert reference.base_fingerprint == load_model(other).fingerprint
            states = {row.state for row in preferences.preferences_of(db, ben.id)}
            assert "set_aside" not in states
        database.close()
        # And back: the versions of the former base serve as if nothing had been.
        assert switch(older / "model", older / "data", "--yes") == 0
        database = Database.open(None, older / "data")
        with database.read() as db:
            for name, about in facts["users"].items():
                serving = lineages.serving_version(db, about["id"])
                assert (serving and serving.id) == (before[name] and before[name].id)
        database.close()
        with running_service(settings_of("auto", older / "data", learn=False)) as service:
            for name, text in facts["drafts"].items():
                assert _drafted(service, name) == text

    def test_an_edit_of_a_draft_of_the_former_base_is_learned_by_its_text(
        self, older: Path, other: Path
    ) -> None:
        with running_service(settings_of(older / "model", older / "data", learn=False)) as service:
            draft = service.draft(user="ben", seed=3, max_tokens=12)
        assert switch(other, older / "data", "--yes") == 0
        with running_service(settings_of("auto", older / "data", learn=False)) as service:
            edit = {"draft_id": draft["id"], "text": "Sorry, it is on its way."}
            assert service.post("edits", edit)["will_learn"] is True
        database = Database.open(None, older / "data")
        with database.read() as db:
            row = drafts.find_draft(db, draft["id"])
        database.close()
        assert row is not None
        judged = Judged()
        for fingerprint in (row.base_fingerprint, load_model(other).fingerprint):
            judged.fingerprint = str(fingerprint)
            judge_edit(judged, row, USER, "Sorry, it is on its way.")  # type: ignore[arg-type]
        (of_the_former, of_the_other) = judged.drafted
        assert of_the_former.token_ids
        assert (of_the_other.text, of_the_other.token_ids) == (of_the_former.text, ())


USER = accounts.User(
    id="u",
    namespace="local",
    name="u",
    store=True,
    learn=True,
    share=False,
    holdback=0.0,
    created_at=0.0,
)


class Judged:
    """A drafter of some base, who notes which draft is judged."""

    fingerprint = ""
    needs_memory = False

    def __init__(self) -> None:
        self.drafted: list[Sample] = []

    def check_edit(self, text: str) -> None:
        """Takes every text."""

    def why_not_learnable(self, prompt: Any, drafted: Sample, text: str) -> None:
        self.drafted.append(drafted)


def _drafted(service: RunningService, user: str) -> str:
    draft = service.draft(user=user, seed=7, max_tokens=12)
    text: str = draft["choices"][0]["message"]["content"]
    return text
