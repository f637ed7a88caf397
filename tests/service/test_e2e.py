"""The service on the embedded model, over HTTP, as an engineer would use it (`make e2e`)."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from corll.errors import ModelNotFoundError
from corll.model.loading import EMBEDDED_MODEL, locate
from corll.records import Draft, Sample
from corll.service.settings import ServiceSettings
from corll.simulation.editor import RuleEditor
from corll.simulation.letter import LetterEditor
from corll.simulation.writing_prompts import own_words, writing_prompts
from running_service import (
    ADMIN_KEY,
    RunningService,
    free_port,
    running_service,
    start_server,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    try:
        locate(EMBEDDED_MODEL)
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    settings = ServiceSettings(
        data_dir=tmp_path_factory.mktemp("e2e"),
        admin_key=ADMIN_KEY,
        log_level="warning",
        requests_per_minute=100_000,  # these tests ask often how far it is
    )
    with running_service(settings) as running:
        until(lambda: httpx.get(f"{running.url}/readyz").json()["learner"] == "ready")
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=ADMIN_KEY, timeout=300) as made:
        yield made


def draft(client: openai.OpenAI, prompt: str, user: str, seed: int, model: str = "corll") -> Any:
    return client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        safety_identifier=user,
        seed=seed,
    )


def edited(editor: RuleEditor, prompt: str, text: str) -> str:
    answer = editor.edit(Draft(prompt, (Sample(text, (0,), None, True),)))
    return text if answer is None else answer


def live(
    service: RunningService, client: openai.OpenAI, user: str, editor: RuleEditor, count: int
) -> list[float]:
    """A user who drafts and edits, and the cost of each edit."""
    costs = []
    for number, prompt in enumerate(writing_prompts("train")[:count]):
        reply = draft(client, prompt, user, number)
        text = edited(editor, prompt, reply.choices[0].message.content)
        costs.append(service.post("edits", {"draft_id": reply.id, "text": text})["edit_cost"])
        until(lambda: service.get(f"users/{user}")["waiting"] < 16, within=300)
    return costs


def held_out_cost(client: openai.OpenAI, user: str, editor: RuleEditor, model: str) -> float:
    from corll.edits import edit_cost
    from corll.text import same_text

    costs = []
    for number, prompt in enumerate(writing_prompts("held_out")[:16]):
        text = draft(client, prompt, user, number, model).choices[0].message.content
        better = edited(editor, prompt, text)
        costs.append(0.0 if same_text(text, better) else edit_cost(text, better))
    return statistics.mean(costs)


def agree(service: RunningService, client: openai.OpenAI, user: str) -> None:
    draft(client, "Hello", user, 0, "base")
    service.put(f"users/{user}/consent", {"learn": True})


def learned(service: RunningService, user: str) -> int:
    until(lambda: service.get(f"users/{user}")["waiting"] < 2, within=600)
    return int(service.get(f"users/{user}")["serving"])


def test_a_user_who_edits_needs_to_edit_less(
    service: RunningService, client: openai.OpenAI
) -> None:
    agree(service, client, "letters")
    editor = LetterEditor(own_words=own_words())
    live(service, client, "letters", editor, 64)
    version = learned(service, "letters")
    before = held_out_cost(client, "letters", editor, "base")
    after = held_out_cost(client, "letters", editor, f"letters@{version}")
    print(f"\nheld-out edit cost {before:.3f} → {after:.3f} after 64 edits, version {version}")
    assert after < 0.8 * before


def test_two_users_of_opposite_rules_draft_at_once_and_get_drafts_of_their_own(
    service: RunningService, client: openai.OpenAI
) -> None:
    """One signs as Anna, the other as Bo: neither name ever stands under the other's draft."""
    signatures = {"anna": "Warm regards,\nAnna", "bo": "Cheers,\nBo"}

    def live_as(user: str) -> list[str]:
        signature = signatures[user]
        for number, prompt in enumerate(writing_prompts("train")[:64]):
            reply = draft(client, prompt, user, number)
            text = reply.choices[0].message.content or ""
            if not text.endswith(signature):
                text = f"{text.strip()}\n\n{signature}"
            service.post("edits", {"draft_id": reply.id, "text": text})
            until(lambda: service.get(f"users/{user}")["waiting"] < 8, within=300)
        learned(service, user)
        held_out = writing_prompts("held_out")[:12]
        return [
            draft(client, prompt, user, number).choices[0].message.content or ""
            for number, prompt in enumerate(held_out)
        ]

    for user in signatures:
        agree(service, client, user)
    with ThreadPoolExecutor(2) as pool:
        anna, bo = pool.map(live_as, signatures)
    own = [sum("Anna" in text for text in anna), sum("Bo" in text.split() for text in bo)]
    print(f"\nsigned as they sign: {own} of 12 each")
    assert not any("Bo" in text.split() for text in anna)
    assert not any("Anna" in text for text in bo)
    assert min(own) >= 6


def test_a_hundred_past_texts_make_a_personal_version(
    service: RunningService, client: openai.OpenAI
) -> None:
    agree(service, client, "history")
    editor = LetterEditor(own_words=own_words())
    prompts = writing_prompts("train")[:100]
    random.Random(0).shuffle(prompts)

    def past(number: int) -> dict[str, str]:
        reply = draft(client, prompts[number], "author", number, "base")
        text = reply.choices[0].message.content or ""
        return {"prompt": prompts[number], "sent": edited(editor, prompts[number], text)}

    with ThreadPoolExecutor(16) as pool:
        items = list(pool.map(past, range(len(prompts))))
    started = time.monotonic()
    row = service.post("imports", {"items": items, "user": "history"})

    def done() -> Any:
        found = service.get(f"imports/{row['id']}")
        assert found["state"] != "failed", found["error"]
        return found if found["state"] == "done" else None

    result = until(done, within=1500)["result"]
    seconds = time.monotonic() - started
    print(f"\n{len(items)} texts in {seconds:.0f} s: {result}")
    assert seconds < 600
    assert result["surprisal_change"]["high"] < 0
    before = held_out_cost(client, "history", editor, "base")
    after = held_out_cost(client, "history", editor, f"history@{result['version']}")
    print(f"edit cost of their next drafts: {before:.3f} → {after:.3f}")
    assert after < before


def test_a_server_killed_right_after_an_edits_answer_learns_from_it_once(tmp_path: Path) -> None:
    def client_of(port: int) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key=ADMIN_KEY, timeout=300, max_retries=0
        )

    def ready(port: int) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").json()["learner"] == "ready"
        except httpx.TransportError:
            return False

    def told(client: openai.OpenAI, path: str) -> Any:
        return client.get(path, cast_to=object)

    port = free_port()
    edits: list[Any] = []
    with start_server(EMBEDDED_MODEL, tmp_path, port, {}) as process, client_of(port) as client:
        try:
            until(lambda: ready(port))
            draft(client, "Hello", "kim", 0, "base")
            client.put("/users/kim/consent", body={"learn": True}, cast_to=object)
            replies = [draft(client, prompt, "kim", 1) for prompt in writing_prompts("train")[:2]]
            for reply in replies:
                text = f"Hello,\n\n{reply.choices[0].message.content}\n\nKind regards, Kim"
                body = {"draft_id": reply.id, "text": text}
                edits.append(client.post("/edits", body=body, cast_to=object))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    port = free_port()
    with start_server(EMBEDDED_MODEL, tmp_path, port, {}) as process, client_of(port) as client:
        try:
            until(lambda: ready(port))
            until(lambda: told(client, "/users/kim")["serving"] == 1, within=300)
            time.sleep(5)
            versions = told(client, "/users/kim/adapters")["data"]
            assert [version["number"] for version in versions] == [1]
            for edit in edits:
                found = told(client, f"/edits/{edit['id']}")
                assert (found["text"], found["version"]["number"]) == (edit["text"], 1)
        finally:
            process.terminate()


def test_the_public_client_of_the_readme(service: RunningService, tmp_path: Path) -> None:
    from corll.client import Corll

    with Corll(base_url=service.url, api_key=ADMIN_KEY) as corll:
        reply = corll.chat.completions.create(
            model="corll", messages=[{"role": "user", "content": "Thank Ola for the flowers."}]
        )
        edit = corll.edits.create(draft_id=reply.id, text="Dear Ola, thank you for the flowers.")
        assert corll.edits.retrieve(edit.id).text == "Dear Ola, thank you for the flowers."
