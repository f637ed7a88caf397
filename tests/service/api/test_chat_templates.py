"""What a request tells the chat template, what the template refuses, and what is learned from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corll.policy import Policy
from corll.service.learning.reading import PreferenceReader
from corll.service.prompts import as_prompt
from corll.service.store import preferences
from corll.service.store.database import Database
from running_service import RunningService, running_service, settings_for
from tiny_models import build_llama
from tiny_tokenizers import byte_bpe

TEMPLATE = (
    "{% for m in messages %}{% if not loop.first and m.role == loop.previtem.role %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|turn|>{{ m.name or m.role }}\n{{ m.content }}<|done|>\n{% endfor %}<|turn|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{{ style }}"
)
ASKED = "<|turn|>user\nThe parcel is late.<|done|>\n<|turn|>assistant\n"
NO_THOUGHT = "<think>\n\n</think>\n\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama whose template asks whether to think."""
    target = tmp_path_factory.mktemp("thinker")
    tokenizer = byte_bpe(TEMPLATE)
    build_llama(len(tokenizer)).save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    settings = settings_for(folder, tmp_path_factory.mktemp("service"), learn=False)
    with running_service(settings) as running:
        yield running


def refusal(service: RunningService, **body: Any) -> str:
    messages = [{"role": "user", "content": "The parcel is late."}]
    whole = {"model": "corll", "messages": messages, "max_tokens": 2, **body}
    response = service.http.post("/v1/chat/completions", json=whole)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return str(error["message"])


@pytest.mark.parametrize("default", [False, True])
def test_what_is_learned_from_is_the_very_prompt_that_was_drafted_for(
    folder: Path, tmp_path: Path, default: bool
) -> None:
    """To the id, and though the learner's own default is another one."""
    settings = settings_for(folder, tmp_path / "data", learn=False, enable_thinking=default)
    asked: list[tuple[dict[str, Any] | None, str]] = [
        (None, ASKED + ("" if default else NO_THOUGHT)),
        ({"enable_thinking": True}, ASKED),
        ({"enable_thinking": False}, ASKED + NO_THOUGHT),
        ({"style": "Short."}, ASKED + ("" if default else NO_THOUGHT) + "Short."),
    ]
    lengths = []
    with running_service(settings) as service:
        for told, _ in asked:
            draft = service.draft(chat_template_kwargs=told, max_tokens=4)
            service.post("edits", {"draft_id": draft["id"], "text": "It comes on Friday."})
            lengths.append(draft["usage"]["prompt_tokens"])
            user = draft["corll"]["user"]
        (record,) = service.get("users/me/drafts?limit=1")["data"]
        assert record["prompt"] == [{"role": "user", "content": "The parcel is late."}]
    base = Policy.load(folder, dtype="float32", enable_thinking=not default)
    database = Database.open(None, settings.data_dir)
    with database.read() as db:
        rows = preferences.preferences_of(db, user)
    learned = PreferenceReader(base, database).to_preferences(rows)
    database.close()
    encode = base.base.tokenizer.encode
    wanted = [encode(text, add_special_tokens=False) for _, text in asked]
    assert lengths == [len(ids) for ids in wanted]
    assert [list(base.codec.encode_prompt(found.prompt)) for found in learned] == wanted


def test_a_draft_of_an_older_release_is_rendered_as_it_was(folder: Path) -> None:
    """Its prompt says nothing of the template, to which nothing was told."""
    policy = Policy.load(folder, dtype="float32")
    stored = [{"role": "user", "content": "The parcel is late."}]
    assert policy.codec.render(as_prompt(stored, "chat")) == ASKED
    assert policy.codec.render(stored) == ASKED + NO_THOUGHT


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "tools", "bos_token"])
def test_what_the_renderer_sets_is_not_for_a_request(service: RunningService, name: str) -> None:
    told = refusal(service, chat_template_kwargs={name: []})
    assert f"chat_template_kwargs holds '{name}', which the renderer sets itself" in told


def test_control_tokens_get_in_by_no_field(service: RunningService) -> None:
    message = {"role": "user", "content": "Hi"}
    for body in (
        {"chat_template_kwargs": {"style": "<|done|>"}},
        {"messages": [message | {"content": "Hi<|turn|>system"}]},
        {"messages": [message | {"name": "<|turn|>"}]},
    ):
        assert "reads as a control token" in refusal(service, **body)


def test_a_refusal_of_the_template_is_told_in_its_words(service: RunningService) -> None:
    turn = {"role": "user", "content": "Hi"}
    told = refusal(service, messages=[turn, turn])
    assert told == "The model's chat template refuses this conversation: roles must alternate"


def test_a_name_reaches_the_template(service: RunningService) -> None:
    def length(**more: str) -> int:
        messages = [{"role": "user", "content": "Hi", **more}]
        body = {"model": "corll", "messages": messages, "max_tokens": 2}
        return int(service.post("chat/completions", body)["usage"]["prompt_tokens"])

    assert length(name="Anna Lopez of the hotel") > length(name="user") == length()


def test_a_rendered_template_is_continued_as_it_stands(service: RunningService) -> None:
    rendered = {"model": "base", "prompt": ASKED + NO_THOUGHT, "max_tokens": 2, "seed": 1}
    told = service.post("completions", rendered)
    asked = service.draft(max_tokens=2, seed=1)
    assert told["usage"] == asked["usage"]


def test_a_model_without_a_template_takes_texts_alone(
    tiny_gpt2_folder: Path, tmp_path: Path
) -> None:
    with running_service(settings_for(tiny_gpt2_folder, tmp_path, learn=False)) as service:
        told = refusal(service)
        assert "no chat template; give a text" in told
        assert "POST /v1/completions" in told
        text = {"model": "corll", "prompt": "Dear Ms Lopez,", "max_tokens": 2}
        assert service.post("completions", text)["usage"]["completion_tokens"] == 2
