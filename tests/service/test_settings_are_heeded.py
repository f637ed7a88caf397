"""No setting of `corll serve` is taken and then ignored: each is asked for where it has to act."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scripted_upstream import scripted_upstream
from starlette.testclient import TestClient
from teaching import add_edit
from tyro.conf import Suppress
from vllm_double import vllm_double

from corll.config import LoraConfig
from corll.configuring import Config
from corll.service import server
from corll.service.base_model import load_base
from corll.service.learning.trainer import Trainer
from corll.service.learning.worker import Worker
from corll.service.settings import ServedConfig, ServiceSettings
from corll.service.store import accounts, lineages
from corll.service.store.database import Database
from running_service import ADMIN_KEY, settings_for

SERVER = """
    host port data_dir database model dtype device backend int8_drafts threads admin_key
    trusted_proxies failed_tries_per_minute cors_origins log_file
    tls_certificate tls_key behind_proxy learn max_waiting longest_wait max_branches max_adapters
    max_body_kb max_import_mb max_adapter_mb requests_per_minute log_level log_format traces lora_r
    lora_alpha lora_dropout lora_target_modules lora_seed memory_limit_gb yes enable_thinking
    model_sampling upstream upstream_model upstream_key upstream_timeout versions version_cache_gb
    engine engine_url engine_timeout
"""
DRAFTING = """
    public_hosts store_by_default guards max_choices max_output_tokens log_texts temperature top_k
    top_p num_candidates selection beta allow_unfinished max_prompt_length max_completion_length
    memory memory_texts memory_tokens examples serving default_user
    upstream_memory upstream_candidates
"""
LEARNING = """
    data_dir database model dtype device backend lora_r lora_alpha lora_dropout lora_target_modules
    lora_seed memory_limit_gb flush_after_hours max_drift veto_drafts weigh_edits
    max_loosening keep_texts replay_slack learner learn_with_memory distil_texts distil_teacher
    preferences_per_step replay_per_step beta loss_type label_smoothing preference_weight
    sft_weight sft_tokens keep_weight learning_rate lr_scheduler_type warmup_steps warmup_ratio
    total_steps adam_beta1 adam_beta2 max_grad_norm seed enable_thinking mask
"""
HEEDED = {
    place: set(names.split())
    for place, names in {"server": SERVER, "drafting": DRAFTING, "learning": LEARNING}.items()
}

Read = dict[str, set[str]]


def exposed() -> set[str]:
    """What a flag or a variable of `corll serve` can set."""
    # test_fleet.py asks the port for health of `corll learner`, which alone has one.
    own = set(ServiceSettings.model_fields) - {"coactive", "lora", "health_port"}
    served = {n for n, f in ServedConfig.model_fields.items() if Suppress not in f.metadata}
    return own | served | set(LoraConfig.model_fields)


@contextmanager
def noted(read: set[str]) -> Iterator[None]:
    """Notes the settings that are asked for by name; to validate or to copy them asks for none."""
    kinds = (ServiceSettings, ServedConfig, LoraConfig)

    def asked(self: Config, name: str) -> Any:
        by = sys._getframe(1).f_code
        is_checked = by.co_name in ("_safe", "_draftable", "_grows_old", "_consistent", "printable")
        is_checked = is_checked or by.co_name == "_reaches_versions"
        if type(self) in kinds and name in type(self).model_fields and not is_checked:
            read.add(name)
        return object.__getattribute__(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "__getattribute__", asked)
        yield


@pytest.fixture(scope="module")
def read(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """What each part of a service asks for while it starts, learns and drafts."""
    coactive = {
        "num_candidates": 2,
        "replay_per_step": 2,
        "warmup_steps": None,
        "warmup_ratio": 0.5,
        "total_steps": 10,
    }
    data = tmp_path_factory.mktemp("heeded")
    settings = settings_for(
        tiny_model_folder, data, learn=False, port=0, coactive=coactive, memory="last"
    )
    found: Read = {place: set() for place in HEEDED}
    distilling = settings.coactive.with_settings(learner="distil", replay_per_step=0)
    with noted(found["learning"]):
        letters = learn(settings)
        learn(settings.with_settings(coactive=distilling), behind=letters)
    serve_a_draft(settings, found)
    with scripted_upstream() as upstream:
        asked: dict[str, Any] = {
            "upstream": upstream.url,
            "upstream_model": "big-one",
            "upstream_key": "sk-1",
        }
        asked |= {"upstream_memory": True, "upstream_candidates": 2}
        serve_a_draft(settings.with_settings(**asked), found)
    with vllm_double(load_base(settings)) as double:
        # Ann's versions are none that it knows; she would be told so.
        settings = settings.with_settings(data_dir=data / "new")
        serve_a_draft(settings.with_settings(engine="vllm", engine_url=(double.url,)), found)
    return found


def learn(settings: ServiceSettings, *, behind: Sequence[str] = ()) -> list[str]:
    """As the learner's process does, once, for two edits of ann's, whose ids it returns.

    Their drafts were drawn `behind` earlier ones.
    """
    database = Database.open(settings.database, settings.data_dir)
    trainer = Trainer(load_base(settings), database, settings)
    user = database.write(
        lambda db: accounts.get_or_create_user(
            db, accounts.LOCAL_NAMESPACE, "ann", store=True, learn=True, now=time.time()
        )
    )
    edits = [
        add_edit(
            trainer, user, f"Sorry about parcel {number}.", number=number, memory=list(behind)
        ).id
        for number in range(2)
    ]
    heard: list[Any] = []
    inbox: Any = SimpleNamespace(
        take_asked=set, stopping=False, news=threading.Event(), send=heard.append
    )
    assert Worker(trainer, inbox, inbox)._round()
    with database.read() as db:
        serving = lineages.serving_version(db, user.id)
    assert serving is not None
    assert serving.number == (2 if behind else 1)
    database.close()
    return edits


def serve_a_draft(settings: ServiceSettings, found: Read) -> None:
    """All of `corll serve`, but that it answers a page, a new user and ann, and ends."""

    def answer(self: server._Server, **_: Any) -> None:
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        with noted(found["drafting"]), TestClient(self.config.app, headers=headers) as client:
            assert client.get("/", headers={"host": "localhost"}).status_code == 200
            for user in ("ann", "new"):
                messages = [{"role": "user", "content": "The parcel is late."}]
                body = {"model": "corll", "messages": messages, "user": user}
                answer = client.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200, answer.text

    with noted(found["server"]), pytest.MonkeyPatch.context() as patch:
        patch.setattr(server._Server, "run", answer)
        server.serve(settings, say=lambda _: None)


def test_each_setting_has_a_place_where_it_acts() -> None:
    assert exposed() == set().union(*HEEDED.values())


@pytest.mark.parametrize("place", HEEDED)
def test_each_setting_is_asked_for_where_it_acts(read: Read, place: str) -> None:
    assert HEEDED[place] - read[place] == set()
