"""The whole loop over HTTP, with the learner in its own process: draft, edit, version, draft."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from patience import PATIENCE_S
from running_service import (
    ADMIN_KEY,
    COACTIVE,
    RunningService,
    free_port,
    running_service,
    settings_for,
    start_server,
    until,
)


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    settings = settings_for(tiny_model_folder, tmp_path_factory.mktemp("loop"))
    with running_service(settings) as running:
        until(lambda: httpx.get(f"{running.url}/readyz").json()["learner"] == "ready")
        yield running


def agree(service: RunningService, user: str) -> None:
    service.draft(user=user)
    service.put(f"users/{user}/consent", {"learn": True})


def teach(service: RunningService, user: str, text: str, *, edits: int = 2) -> list[dict[str, Any]]:
    """Drafts that are all edited to the same text."""
    answers = []
    for number in range(edits):
        draft = service.draft(f"Parcel {number} is late.", user=user)
        answers.append(service.post("edits", {"draft_id": draft["id"], "text": text}))
    return answers


def serving(service: RunningService, user: str, *, at_least: int = 1) -> int:
    def number() -> int | None:
        found = service.get(f"users/{user}")["serving"]
        return found if found is not None and found >= at_least else None

    return int(until(number))


def test_edits_become_a_version_that_drafts(service: RunningService) -> None:
    agree(service, "ann")
    edits = teach(service, "ann", "Dear customer, we are sorry.")
    assert [edit["will_learn"] for edit in edits] == [True, True]
    assert serving(service, "ann") == 1
    edit = service.get(f"edits/{edits[0]['id']}")
    assert (edit["state"], edit["version"]) == ("serving", {"number": 1, "state": "serving"})
    draft = service.draft(user="ann", num_candidates=3, seed=2)
    assert draft["corll"]["version"] == 1
    assert draft["corll"]["candidates"] == 3
    assert draft["corll"]["implicit_reward"] is not None
    named = {"model": "ann@1", "messages": [{"role": "user", "content": "x"}]}
    assert service.post("chat/completions", named)["corll"]["version"] == 1
    assert [m["id"] for m in service.get("models?user=ann")["data"]] == ["corll", "base", "ann@1"]


def test_distil_learns_from_drafts_that_were_drawn_behind_letters(
    roomy_model_folder: Path, tmp_path: Path
) -> None:
    text = "Dear customer, we are sorry. Anna"
    settings = settings_for(
        roomy_model_folder, tmp_path, memory="last", guards=False, coactive={"learner": "distil"}
    )
    with running_service(settings) as service:
        agree(service, "ann")
        edits = teach(service, "ann", text, edits=3)
        assert [edit["will_learn"] for edit in edits] == [False, True, True]
        found = until(lambda: learned_from(service, edits))
        serving(service, "ann")
    alone, behind_the_first = found
    assert alone["state"] == "set_aside"
    assert "this one had none before it" in alone["reason"]
    assert behind_the_first["state"] in ("learned", "serving")


def learned_from(service: RunningService, edits: list[dict[str, Any]]) -> Any:
    """The first two edits once nothing of them waits."""
    found = [service.get(f"edits/{edit['id']}") for edit in edits[:2]]
    return None if any(edit["state"] == "recorded" for edit in found) else found


def test_a_version_drafts_for_its_own_user_alone(service: RunningService) -> None:
    """Whoever may see both users cannot give the one the weights of the other."""
    messages = [{"role": "user", "content": "x"}]
    of_ann = {"model": "ann@1", "messages": messages}
    for other in ("ben", "nobody-yet"):
        asked = {**of_ann, "safety_identifier": other}
        assert service.http.post("/v1/chat/completions", json=asked).status_code == 404
    own = service.post("chat/completions", {**of_ann, "safety_identifier": "ann"})["corll"]
    unnamed = service.post("chat/completions", of_ann)["corll"]
    assert own["user"] == unnamed["user"] == service.get("users/ann")["id"]
    backend = service.post("keys", {"scope": "backend", "label": "s", "namespace": "s"})
    person = service.post("keys", {"scope": "user", "user": "ben", "label": "b"})
    for key in (backend, person):
        stranger = service.with_key(key["key"])
        assert stranger.http.post("/v1/chat/completions", json=of_ann).status_code == 404
        assert stranger.http.get("/v1/models/ann@1").status_code == 404


def test_a_single_draft_of_a_version_says_its_reward_where_asked(service: RunningService) -> None:
    about = service.draft(user="ann", seed=3, implicit_reward=True)["corll"]
    assert (about["version"], about["candidates"]) == (1, 1)
    assert about["implicit_reward"] is not None


def test_with_several_candidates_a_stream_says_how_many_are_drawn(service: RunningService) -> None:
    body = {"model": "ann@1", "messages": [{"role": "user", "content": "x"}], "stream": True}
    with service.http.stream(
        "POST", "/v1/chat/completions", json={**body, "num_candidates": 4}
    ) as response:
        lines = [line for line in response.iter_lines() if line]
    comments = [line for line in lines if line.startswith(": ")]
    assert comments[-1] == ": 4/4"
    assert lines[-1] == "data: [DONE]"


def test_withdrawing_consent_serves_the_base_at_once_and_rollback_undoes(
    service: RunningService,
) -> None:
    service.put("users/ann/consent", {"learn": False})
    assert service.draft(user="ann")["corll"]["version"] is None
    named = {"model": "ann@1", "messages": [{"role": "user", "content": "x"}]}
    assert service.http.post("/v1/chat/completions", json=named).status_code == 404
    service.put("users/ann/consent", {"learn": True})
    assert service.draft(user="ann")["corll"]["version"] == 1
    answer = service.post("users/ann/adapters/rollback", {"to": 0})
    assert answer["serving"] is None
    assert service.draft(user="ann")["corll"]["version"] is None
    assert service.post("users/ann/adapters/requeue", {})["preferences"] == 2
    assert serving(service, "ann") == 2


def test_two_users_of_opposite_taste_get_drafts_of_their_own(service: RunningService) -> None:
    texts = {"kind": "Dear friend, thank you.", "rude": "No. Go away."}
    for name, text in texts.items():
        agree(service, name)
        teach(service, name, text, edits=16)
    for name in texts:
        until(lambda name=name: service.get(f"users/{name}")["waiting"] == 0)
        serving(service, name)
    found: dict[str, list[str]] = {"kind": [], "rude": []}
    for number in range(6):
        for name in texts:
            draft = service.draft("Parcel 0 is late.", user=name, temperature=0, seed=number)
            assert draft["corll"]["version"] is not None
            found[name].append(draft["choices"][0]["message"]["content"])
    assert set(found["kind"]).isdisjoint(found["rude"])
    assert len(set(found["kind"])) == len(set(found["rude"])) == 1


def test_a_step_can_be_asked_for(service: RunningService) -> None:
    agree(service, "one")
    teach(service, "one", "Sorry.", edits=1)
    time.sleep(1)
    assert service.get("users/one")["serving"] is None
    assert service.post("learn", {"user": "one"}) == {
        "object": "learn",
        "queued": True,
        "waiting": 1,
        "learner": "ready",
    }
    assert serving(service, "one") == 1


def test_a_blind_holdback_measures_what_learning_is_worth(service: RunningService) -> None:
    service.put("users/kind/consent", {"holdback": 0.5})
    for number in range(12):
        draft = service.draft(user="kind", seed=number, num_candidates=3)
        assert draft["corll"]["blind"] is True
        assert "version" not in draft["corll"]
        assert draft["corll"]["candidates"] == 3  # of whoever drafts
        assert service.get("users/kind/drafts?limit=1")["data"][0]["version"] is None
        service.post("edits", {"draft_id": draft["id"], "text": f"Dear friend {number}."})
    learning = service.get("users/kind/learning")
    assert 0 < learning["edit_cost_held_back"]["count"] < 12
    benefit = learning["benefit"]  # of these twelve alone, though more were answered before
    assert benefit["held_back"] == learning["edit_cost_held_back"]
    assert benefit["learned"]["count"] + benefit["held_back"]["count"] == 12
    difference = benefit["difference"]
    assert difference["mean"] == pytest.approx(
        benefit["learned"]["mean"] - benefit["held_back"]["mean"]
    )
    assert difference["low"] <= difference["mean"] <= difference["high"]
    service.put("users/kind/consent", {"holdback": 0})


def test_a_coin_finds_out_which_arm_saves_a_user_edits(service: RunningService) -> None:
    assert service.get("users/kind")["arm"] == "both"
    assert service.draft(user="kind", seed=1)["corll"]["arm"] == "weights"
    service.put("users/kind/consent", {"arm": "auto"})
    assert service.draft(user="kind", seed=1)["corll"]["arm"] == "weights"  # it can be repeated
    before = service.get("users/kind/learning")
    assert (before["arms"]["costs"], before["arms"]["difference"]) == ([], None)
    for number in range(24):
        draft = service.draft(user="kind")
        assert draft["corll"]["blind"] is True
        assert {"arm", "version"}.isdisjoint(draft["corll"])
        (unsent,) = service.get("users/kind/drafts?limit=1")["data"]
        assert (unsent["arm"], unsent["version"]) == (None, None)
        service.post("edits", {"draft_id": draft["id"], "text": f"Dear friend {number}."})
    learning = service.get("users/kind/learning")
    arms = learning["arms"]
    told = (arms["choice"], arms["serving"], arms["challenger"], arms["share"])
    assert told == ("auto", "weights", "base", 0.3)
    assert arms["verdict"] in ("better", "worse", "not known yet")
    assert (arms["learned"], arms["letters"]) == ("not known yet",) * 2
    costs = {figure["arm"]: figure for figure in arms["costs"]}
    assert costs["base"]["count"] + costs["weights"]["count"] == 24
    difference = arms["difference"]["mean"]
    assert difference == pytest.approx(costs["base"]["mean"] - costs["weights"]["mean"])
    assert learning["benefit"] == before["benefit"]
    drafted_by = [answer["arm"] for answer in learning["answers"][-24:]]
    listed = service.get("users/kind/drafts?limit=24")["data"]
    assert [row["arm"] for row in listed] == drafted_by[::-1]
    assert drafted_by.count("base") == costs["base"]["count"]
    lines = service.http.get("/v1/users/kind/export").text.splitlines()
    assert [json.loads(line)["serving"] for line in lines if '"coin"' in line] == ["weights"]
    refused = service.http.put("/v1/users/kind/consent", json={"arm": "best"})
    assert refused.status_code == 400
    service.put("users/kind/consent", {"arm": "both"})


def test_past_texts_are_learned_from_and_measured(service: RunningService) -> None:
    agree(service, "old")
    items = [
        {"prompt": f"Parcel {number} is late.", "sent": "Dear friend, thank you."}
        for number in range(15)
    ]
    items[0]["draft"] = "Go away."
    row = service.post("imports", {"items": items, "user": "old"})
    assert (row["state"], row["total"]) == ("waiting", 15)

    def done() -> dict[str, Any] | None:
        found = service.get(f"imports/{row['id']}")
        assert found["state"] != "failed", found["error"]
        return found if found["state"] == "done" else None

    result = until(done)["result"]
    assert result["held_out"] == 4
    assert result["version"] == serving(service, "old")
    assert result["edit_cost_before"]["low"] <= result["edit_cost_before"]["mean"]
    # All were sent alike, so those that it never saw are what it has learned to expect.
    assert result["surprisal_after"]["mean"] < result["surprisal_before"]["mean"]
    assert result["surprisal_change"]["high"] < 0
    # Imported texts are no part of the live figures.
    assert service.get("users/old/learning")["answers"] == []
    agree(service, "none")
    service.put("users/none/consent", {"learn": False})
    refused = service.http.post("/v1/imports", json={"items": items, "user": "none"})
    assert refused.status_code == 403


def test_drafts_go_on_while_the_learner_is_dead_and_it_comes_back(service: RunningService) -> None:
    processes = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "spawn_main"], capture_output=True, text=True
    ).stdout.split()
    assert processes
    for process in processes:
        os.kill(int(process), signal.SIGKILL)
    until(lambda: httpx.get(f"{service.url}/readyz").json()["learner"] == "down")
    assert httpx.get(f"{service.url}/readyz").status_code == 200
    assert service.draft(user="ann")["choices"]
    agree(service, "late")
    teach(service, "late", "Sorry.")
    assert serving(service, "late") == 1


@contextmanager
def served(model: Path, data_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`corll serve` as a user runs it, in a process of its own."""
    port = free_port()
    with start_server(model, data_dir, port, {**COACTIVE, "max_drift": 50}) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: _answers(url))
            yield process, url
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").json()["learner"] == "ready"
    except httpx.TransportError:
        return False


def test_a_server_killed_right_after_an_edits_answer_keeps_it_and_learns_from_it_once(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    settings = settings_for(tiny_model_folder, tmp_path)
    with served(tiny_model_folder, tmp_path) as (process, url), _http(url) as http:
        service = RunningService(url, settings, http)
        agree(service, "ann")
        first, second = (service.draft(f"No. {n}", user="ann") for n in range(2))
        edits = [service.post("edits", {"draft_id": first["id"], "text": "Sorry."})]
        edits.append(service.post("edits", {"draft_id": second["id"], "text": "Sorry."}))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with served(tiny_model_folder, tmp_path) as (process, url), _http(url) as http:
        service = RunningService(url, settings, http)
        assert serving(service, "ann") == 1
        for edit in edits:
            assert service.get(f"edits/{edit['id']}")["version"]["number"] == 1
        time.sleep(2)
        versions = service.get("users/ann/adapters")["data"]
        assert [version["number"] for version in versions] == [1]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("versions" in path.parts for path in written)
    assert {oct(path.stat().st_mode & 0o077) for path in written} == {"0o0"}


def test_a_clean_stop_finishes_the_draft_under_way_and_takes_the_learner_along(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    with served(tiny_model_folder, tmp_path) as (process, url), _http(url) as http:
        body = {"model": "base", "prompt": "Once", "max_tokens": 300, "stream": True}
        with http.stream("POST", "/v1/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            process.terminate()
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"]
        assert process.wait(PATIENCE_S) == 0

    def nothing_left() -> bool:
        session = ["pgrep", "-r", "R,S,D", "-s", str(process.pid)]
        return subprocess.run(session, capture_output=True).returncode == 1

    until(nothing_left)


def _http(url: str) -> httpx.Client:
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    return httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S)
