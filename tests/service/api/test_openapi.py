"""The API's own description, and requests made up from it: each ends as it is described, and none
in a 5xx.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import Phase, given, settings
from made_up_requests import operations, with_real
from store_samples import new_version, register

from corll.schemas.answers import Import, ImportResult
from corll.service.api.examples import EXAMPLES
from corll.service.store import accounts
from corll.service.store.database import Database
from patience import PATIENCE_S
from running_service import ADMIN_KEY, RunningService

CANNOT_SUCCEED = {
    "POST /v1/references",  # no made-up file is an adapter
    "GET /sign-in",  # no made-up word is a link's
    "GET /v1/session",  # a key is no browser
    "POST /v1/session/end",
}


def test_no_made_up_request_ends_in_a_5xx(service: RunningService) -> None:
    statuses = {name: ask(service, one, {}) for name, one in operations(service).items()}
    assert len(statuses) > 30
    assert statuses["GET /v1/edits/{edit_id}"] <= {400, 404}


def test_made_up_requests_for_real_things_reach_their_end(service: RunningService) -> None:
    """With the ids of what is there, a request gets past the search for it."""
    for name, operation in operations(service).items():
        statuses = ask(service, operation, real_things(service))
        assert name in CANNOT_SUCCEED or statuses & {200, 303}, (name, statuses)


def real_things(service: RunningService) -> dict[str, Any]:
    """The names and ids of things that are there, by what requests call them."""
    for name in ("default", "mia"):
        user = service.draft(user=name)["corll"]["user"]
        service.put(f"users/{user}/consent", {"store": True, "learn": True})
    drafted = service.draft(user="mia", n=2, metadata={"corll_ref": "real"})
    draft, (text, _) = drafted["id"], [one["message"]["content"] for one in drafted["choices"]]
    items = [{"prompt": "Is it in stock?", "sent": "It is."}]
    deletion = service.ask("DELETE", f"users/{user}/model")["receipt"]["id"]
    if not service.get(f"users/{user}/adapters")["data"]:
        add_version(service, user)
    response = service.post("responses", {"model": "corll", "input": "Hi", "user": "mia"})["id"]
    edit = service.post("edits", {"draft_id": draft, "text": "Sorry."})["id"]
    return {
        "choice": 0,
        "deletion_id": deletion,
        "chosen": {"draft_id": draft, "choice": 1},
        "draft_id": draft,
        "draft_text": text,
        "ref": "real",
        "edit_id": edit,
        "response_id": response,
        "previous_response_id": response,
        "exchange_id": edit,
        "import_id": service.post("imports", {"items": items, "user": "mia"})["id"],
        "messages": [
            {"role": "user", "content": "The parcel is late."},
            {"role": "assistant", "content": text},
        ],
        "key_id": service.post("keys", {"scope": "user", "user": "mia"})["id"],
        "model": "corll",
        "name": "corll",
        "number": 1,
        "reference": 1,
        "rejected": {"draft_id": draft},
        "safety_identifier": "mia",
        "to": 0,
        "user": "mia",
        "user_id": user,
    }


def add_version(service: RunningService, user_id: str) -> None:
    store = Database.open(service.settings.database, service.settings.data_dir)
    with store.read() as db:
        user = accounts.find_user(db, user_id)
    assert user is not None
    store.write(lambda db: register(db, new_version(db, user), serve=False))
    store.close()


def ask(service: RunningService, operation: Any, real: dict[str, Any]) -> set[int]:
    """The statuses of requests that were made up for an operation, each as it is described."""
    seen: set[int] = set()
    described = operation.definition.raw["responses"]
    short = {"max_tokens": 2, "max_completion_tokens": 2, "max_output_tokens": 2}

    @settings(max_examples=8, phases=[Phase.explicit, Phase.generate])
    @given(case=operation.as_strategy())
    def answers(case: Any) -> None:
        case.path_parameters = with_real(case.path_parameters, real)
        if isinstance(case.body, dict):
            body = {k: short.get(k) if k in short and v else v for k, v in case.body.items()}
            case.body = with_real(body, real)
        response = case.call(headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=PATIENCE_S)
        seen.add(response.status_code)
        assert response.status_code < 500, (case, response.text)
        assert str(response.status_code) in described, (case, response.text)
        if response.status_code >= 400:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}

    answers()
    return seen


def test_each_route_is_described(service: RunningService) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), f"{method} {path}"
            assert operation.get("description"), f"{method} {path}"
            for media in operation.get("requestBody", {}).get("content", {}).values():
                schema = media["schema"]
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                assert schema["examples"], schema["title"]


def test_errors_are_described_as_they_are(service: RunningService) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for methods in document["paths"].values():
        for operation in methods.values():
            assert "422" not in operation["responses"]
            assert "default" in operation["responses"]
    error = document["components"]["schemas"]["ErrorDetail"]
    real = service.http.post("/v1/edits", json={}).json()["error"]
    assert set(error["properties"]) == set(error["required"]) == set(real)
    answers = document["components"]["responses"]
    assert {"BadRequest", "Unauthorized", "NotFound", "TooManyRequests"} < set(answers)
    for name, answer in answers.items():
        (content,) = answer["content"].values()
        assert content["schema"] == {"$ref": "#/components/schemas/Error"}
        assert name == "Failure" or set(content["example"]["error"]) == set(real)


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        ("post /v1/edits", "200 400 401 403 404 409 413 429 500 503"),
        ("get /v1/users", "200 400 401 403 429 500 503"),
        ("get /v1/session", "200 400 401 403 429 500 503"),
        ("get /readyz", "200 503"),
        ("get /healthz", "200"),
    ],
)
def test_an_operation_says_which_errors_it_has(
    service: RunningService, operation: str, statuses: str
) -> None:
    method, path = operation.split()
    document = httpx.get(f"{service.url}/openapi.json").json()
    assert sorted(document["paths"][path][method]["responses"]) == [*statuses.split(), "default"]


def test_a_server_that_is_not_ready_is_described_as_it_is(service: RunningService) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    answers = document["paths"]["/readyz"]["get"]["responses"]
    for status in ("200", "503"):
        example = answers[status]["content"]["application/json"]["example"]
        assert set(example) == set(httpx.get(f"{service.url}/readyz").json())


def test_answers_by_example_have_the_fields_of_real_ones(service: RunningService) -> None:
    messages = [{"role": "user", "content": "The parcel is late."}]
    draft = service.post("chat/completions", {"model": "corll", "messages": messages, "n": 2})
    texts = [choice["message"]["content"] for choice in draft["choices"]]
    assert texts[0] != texts[1]
    sides = {
        side: {"draft_id": draft["id"], "choice": n}
        for n, side in enumerate(("chosen", "rejected"))
    }
    service.put(f"users/{draft['corll']['user']}/consent", {"learn": True})
    real = {
        ("post", "/v1/chat/completions"): draft,
        ("post", "/v1/completions"): service.post(
            "completions", {"model": "corll", "prompt": "Dear", "max_tokens": 2}
        ),
        ("post", "/v1/edits"): service.post("edits", {"draft_id": draft["id"], "text": "Sorry."}),
        ("post", "/v1/comparisons"): service.post("comparisons", sides),
        ("post", "/v1/learn"): service.post("learn", {}),
        ("get", "/v1/models"): service.get("models"),
    }
    items = [{"prompt": "Is the red one in stock?", "sent": "It is. Anna"}]
    begun = service.post("imports", {"items": items})
    real["post", "/v1/imports"] = begun
    # There is no learner here; what is measured is as the client reads it.
    result = {name: {"mean": 0.0, "low": 0.0, "high": 0.0} for name in ImportResult.model_fields}
    result |= {"held_out": None, "version": None, "taken_back": False}
    found = service.get(f"imports/{begun['id']}")
    real["get", "/v1/imports/{import_id}"] = {**found, "result": result}
    assert real.keys() == EXAMPLES.keys()
    for name, example in EXAMPLES.items():
        assert fields(example) == fields(real[name]), name
    Import.model_validate(EXAMPLES["get", "/v1/imports/{import_id}"])


def fields(value: Any) -> Any:
    """The names in an answer, at every depth; of a list, those of its first item."""
    if isinstance(value, dict):
        return {name: fields(part) for name, part in value.items()}
    return [fields(value[0])] if isinstance(value, list) and value else None
