"""POST /v1/completions where a model is looked at: held to the plain model, and kept nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from planted import PLANTED
from transformers import AutoModelForCausalLM, AutoTokenizer

from corll import Policy
from running_service import RunningService, running_service, settings_for

TEXTS = ["The parcel is late.", "Dear Ms Lopez, we are sorry", "Hello, größer 😀"]


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """One service: nothing of this is a database's."""
    folder = tmp_path_factory.mktemp("evaluations")
    with running_service(settings_for(tiny_model_folder, folder, learn=False)) as running:
        yield running


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_model_folder)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32).eval()


def complete(service: RunningService, **body: Any) -> dict[str, Any]:
    return service.post("completions", {"model": "corll", "temperature": 0, **body})


def refused(service: RunningService, **body: Any) -> str:
    answer = service.http.post("/v1/completions", json={"model": "corll", **body})
    assert answer.status_code == 400, answer.text
    message: str = answer.json()["error"]["message"]
    return message


def token_logprobs(model: Any, ids: list[int]) -> list[float]:
    """By transformers, of each id but the first."""
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return [float(logprobs[place, token]) for place, token in enumerate(ids[1:])]


@pytest.mark.parametrize("as_ids", [False, True])
@pytest.mark.parametrize("max_tokens", [0, 1, 5])
def test_an_echo_holds_the_log_probability_of_each_token_by_transformers(
    service: RunningService, model: Any, tokenizer: Any, as_ids: bool, max_tokens: int
) -> None:
    rows = [tokenizer(text)["input_ids"] for text in TEXTS]
    prompt = rows if as_ids else TEXTS
    reply = complete(service, prompt=prompt, echo=True, max_tokens=max_tokens, logprobs=3)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    for text, ids, choice in zip(TEXTS, rows, reply["choices"], strict=True):
        assert choice["text"].startswith(text)
        told = choice["logprobs"]
        assert (told["token_logprobs"][0], told["top_logprobs"][0]) == (None, None)
        expected = token_logprobs(model, ids)
        assert told["token_logprobs"][1 : len(ids)] == pytest.approx(expected, abs=1e-4)
        assert max_tokens == 5 or len(told["tokens"]) == len(ids) + max_tokens
        for token, own, top in list(zip(*[told[n] for n in NAMES], strict=True))[1:]:
            assert top[token] == own
            assert max(top.values()) >= own
    assert reply["usage"]["prompt_tokens"] == sum(map(len, rows))


NAMES = ("tokens", "token_logprobs", "top_logprobs")


def test_greedy_continuations_of_a_list_are_those_of_generate(
    service: RunningService, model: Any, tokenizer: Any
) -> None:
    reply = complete(service, prompt=TEXTS, max_tokens=8, n=2)
    assert [choice["index"] for choice in reply["choices"]] == list(range(6))
    for number, text in enumerate(TEXTS):
        given = tokenizer(text, return_tensors="pt")
        made = model.generate(**given, do_sample=False, max_new_tokens=8)[0]
        expected = tokenizer.decode(made[given["input_ids"].shape[1] :], skip_special_tokens=True)
        for choice in reply["choices"][2 * number : 2 * number + 2]:
            assert choice["text"] == expected


def test_a_token_that_ends_a_text_is_counted_and_is_no_part_of_it(
    service: RunningService, tokenizer: Any
) -> None:
    """EleutherAI's harness cuts off the one token that it asked for beside the echo."""
    end = tokenizer.eos_token_id
    reply = complete(
        service, prompt=TEXTS[0], echo=True, max_tokens=1, logprobs=1, logit_bias={str(end): 100}
    )
    (choice,) = reply["choices"]
    assert choice["text"] == TEXTS[0]
    assert choice["logprobs"]["tokens"][-1] == tokenizer.eos_token
    assert len(choice["logprobs"]["tokens"]) == len(tokenizer(TEXTS[0])["input_ids"]) + 1
    assert choice["finish_reason"] == "stop"


def test_the_best_of_several_is_the_likeliest_by_token(
    service: RunningService, tiny_model_folder: Path
) -> None:
    body = {"prompt": TEXTS[0], "seed": 4, "temperature": 1.0, "max_tokens": 6, "logprobs": 0}
    best = complete(service, **body, best_of=6, n=2)
    texts = [choice["text"] for choice in best["choices"]]
    every = complete(service, **body, n=6)["choices"]

    def mean(choice: Any) -> float:
        numbers = choice["logprobs"]["token_logprobs"]
        return float(sum(numbers) / len(numbers))

    assert len({choice["text"] for choice in every}) > 2
    ranked = sorted(every, key=lambda c: (c["finish_reason"] == "stop", mean(c)), reverse=True)
    assert set(texts) <= {choice["text"] for choice in ranked}
    assert mean(best["choices"][0]) >= mean(best["choices"][1]) - 1e-4


def test_tokens_and_bytes_make_up_the_text(service: RunningService, tokenizer: Any) -> None:
    """Also where a token is a part of a character."""
    (echo,) = complete(service, prompt=TEXTS[2], echo=True, max_tokens=0, logprobs=0)["choices"]
    pieces = [
        bytes.fromhex(token[6:].replace("\\x", ""))
        if token.startswith("bytes:")
        else token.encode()
        for token in echo["logprobs"]["tokens"]
    ]
    assert any(token.startswith("bytes:") for token in echo["logprobs"]["tokens"])
    assert b"".join(pieces).decode() == echo["text"] == TEXTS[2]
    offsets = echo["logprobs"]["text_offset"]
    assert offsets == sorted(offsets)
    assert offsets[-1] < len(TEXTS[2])
    chat = service.draft(TEXTS[2], seed=2, temperature=1.5, top_k=0, logprobs=True, top_logprobs=2)
    (choice,) = chat["choices"]
    content = choice["logprobs"]["content"]
    drawn = b"".join(bytes(token["bytes"]) for token in content)
    assert drawn.decode(errors="replace") == choice["message"]["content"]
    for token in content:
        (itself,) = [one for one in token["top_logprobs"] if one["token"] == token["token"]]
        assert itself["logprob"] == token["logprob"]


def test_nothing_of_it_is_kept_and_an_edit_is_refused_with_the_reason(
    service: RunningService, tokenizer: Any
) -> None:
    service.put("users/eva/consent", {"store": True, "learn": True})
    text = f"My {PLANTED} is late."
    ways: list[dict[str, Any]] = [
        {"prompt": text, "echo": True},
        {"prompt": [text, text]},
        {"prompt": tokenizer(text)["input_ids"]},
        {"prompt": text, "max_tokens": 0},
    ]
    for way in ways:
        reply = complete(service, user="eva", **way)
        assert reply["corll"]["stored"] is False
        assert reply["corll"]["not_stored_because"] == "request"
        edit = {"draft_id": reply["id"], "text": f"Your {PLANTED}."}
        answer = service.http.post("/v1/edits", json=edit)
        assert answer.status_code == 403
        assert "is no draft" in answer.json()["error"]["message"]
    assert service.get("users/eva/drafts")["data"] == []
    files = [path for path in service.settings.data_dir.rglob("*") if path.is_file()]
    assert [path for path in files if PLANTED.encode() in path.read_bytes()] == []


def test_one_text_alone_stays_a_draft(service: RunningService) -> None:
    reply = complete(service, prompt=[TEXTS[0]], user="eve", best_of=2)
    assert reply["corll"]["stored"] is True
    edit = {"draft_id": reply["id"], "text": "It comes on Friday."}
    assert service.post("edits", edit)["state"] == "recorded"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prompt": [10**6]}, "no token of this model (1000000)"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ""}, "The prompt is empty"),
        ({"prompt": [5] * 600, "echo": True}, "prompt is too long"),
        ({"prompt": "Hi", "echo": True, "stream": True}, "leave stream out"),
        ({"prompt": "Hi", "best_of": 1, "n": 2}, "best_of must be at least n"),
        ({"prompt": "Hi", "best_of": 2, "num_candidates": 2}, "not both"),
        ({"prompt": "Hi", "best_of": 99}, "best_of is 99; this server allows"),
        ({"prompt": "Hi", "suffix": "there"}, "a text goes on at its end alone"),
        ({"prompt": {"a": 1}}, "prompt: must be a text or a list"),
    ],
)
def test_what_cannot_be_read_is_refused(
    service: RunningService, body: dict[str, Any], said: str
) -> None:
    assert said in refused(service, **body)


def test_the_named_policys_numbers_are_told(
    service: RunningService, tiny_model_folder: Path
) -> None:
    policy = Policy.load(tiny_model_folder, dtype="float32")
    ids = policy.codec.encode_response(TEXTS[0]).token_ids[:-1]
    reply = complete(service, model="base", prompt=list(ids), echo=True, max_tokens=0, logprobs=1)
    told = reply["choices"][0]["logprobs"]["token_logprobs"][1:]
    expected = policy.score([ids[:1]], [ids[1:]]).item()
    assert sum(told) == pytest.approx(expected, abs=1e-4)
