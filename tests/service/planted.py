"""A word that is written into every field of the API that takes a text, to be found elsewhere."""

from __future__ import annotations

from running_service import RunningService

PLANTED = "xylophone"


def texts_planted_everywhere(service: RunningService) -> list[str]:
    """Write into every field that takes a text; return the texts of the drafts."""
    http, name = service.http, f"{PLANTED}-ann"
    service.put(f"users/{name}/consent", {"store": True, "learn": True})
    headers = {"user-agent": PLANTED, "x-request-id": PLANTED, "referer": f"http://{PLANTED}/"}
    turns = [
        {"role": "system", "content": f"Speak of a {PLANTED}."},
        {"role": "user", "content": f"Where is my {PLANTED}?", "name": PLANTED},
    ]
    plain = {"model": "corll", "messages": turns, "stop": [PLANTED], "safety_identifier": name}
    framed = {
        **plain,
        "messages": turns[1:],
        "frame": "reply",
        "hint": f"yes, the {PLANTED}",
        "sign_as": PLANTED.title(),
        "frame_template": f"{PLANTED}: {{message}} {{hint}} {{name}}",
    }
    named = {**plain, "metadata": {"corll_ref": f"{PLANTED} 7"}}
    texts = []
    for body in (plain, framed, named):
        answer = http.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        drafted = answer.json()
        texts.append(drafted["choices"][0]["message"]["content"])
        edit = {
            "draft_id": drafted["id"],
            "text": f"Your {PLANTED} comes.",
            "idempotency_key": f"{PLANTED}-{drafted['id']}",
        }
        assert http.post("/v1/edits", json=edit, headers=headers).status_code == 200
    texts += _planted_responses(service, name, headers)
    refused = [
        ("POST", "/v1/edits", {"draft_id": PLANTED, "text": PLANTED}),
        ("POST", "/v1/chat/completions", {**plain, "model": PLANTED}),
        ("POST", "/v1/chat/completions", {**plain, PLANTED: PLANTED}),
        ("GET", f"/v1/users/{PLANTED}", None),
        ("GET", f"/{PLANTED}", None),
        (PLANTED.upper(), "/v1/models", None),
    ]
    for method, path, body in refused:
        assert http.request(method, path, json=body, headers=headers).status_code >= 400
    http.get(f"/v1/users/{name}/drafts", params={"q": PLANTED})
    http.post("/v1/keys", json={"scope": "user", "user": name, "label": PLANTED})
    http.post("/v1/imports", json={"items": [{"prompt": PLANTED, "sent": PLANTED}], "user": name})
    return texts


def _planted_responses(service: RunningService, name: str, headers: dict[str, str]) -> list[str]:
    """Write into every field of a response, and into one that follows it."""
    texts: list[str] = []
    previous: dict[str, str] = {}
    for number in range(2):
        body = {
            "model": "corll",
            "input": f"Where is my {PLANTED}?",
            "instructions": f"Speak of a {PLANTED}.",
            "metadata": {PLANTED: PLANTED, "corll_ref": f"{PLANTED} {number}"},
            "safety_identifier": name,
            **previous,
        }
        answer = service.http.post("/v1/responses", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        previous = {"previous_response_id": answer.json()["id"]}
        texts.append(answer.json()["output"][0]["content"][0]["text"])
        sent = {"user": name, "ref": f"{PLANTED} {number}", "text": f"Your {PLANTED} comes."}
        assert service.http.post("/v1/edits", json=sent, headers=headers).status_code == 200
    return texts
