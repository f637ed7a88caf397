"""A double of vLLM on a free port: answers that vLLM gave, with ids that a tiny policy draws.

tests/data/vllm_answers.json has the answers, and says from which vLLM they were recorded, or that
they were not. Statuses, messages and the shape of a completion are from there, the ids and
log-probabilities of drafts are the policy's. No stream was recorded: events have the fields that
vLLM's `CompletionStreamResponse` has.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from corll.config import SamplingConfig
from corll.policy import Policy
from documents import ROOT

_OF_EVENTS = ("id", "object", "created", "model")

ANSWERS: dict[str, Any] = json.loads(
    (ROOT / "tests" / "data" / "vllm_answers.json").read_text(encoding="utf-8")
)["answers"]


@dataclass
class VllmDouble:
    """Where it is, what it can draft by, and what it was asked."""

    url: str
    base: Policy
    versions: dict[str, Policy] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    unloaded: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """What is drawn next in place of what the policy draws."""
    may_answer: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)
    """Waited for in a stream once `holds_after` tokens of a candidate were sent."""
    holds_after: int | None = None
    breaks_after: int | None = None
    """After so many tokens a stream ends in the middle."""
    left: int = 0
    """Streams whose client went before their end."""
    computing: threading.Lock = field(default_factory=threading.Lock)

    def policy_of(self, model: str) -> Policy | None:
        """Return what draws by a name; None where the engine does not know it."""
        name = ANSWERS["models"]["body"]["data"][0]["id"]
        return self.base if model == name else self.versions.get(model)

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns what is answered to a request for completions."""
        policy = self.policy_of(body["model"])
        if policy is None:
            return dict(ANSWERS["unknown"])
        if "prompt_logprobs" in body:
            return self._scored(policy, body)
        answer = copy.deepcopy(ANSWERS["likely tokens" if body["logprobs"] else "version"])
        template = answer["body"]["choices"][0]
        answer["body"]["model"] = body["model"]
        answer["body"]["choices"] = [
            {**copy.deepcopy(template), "index": number, **choice}
            for number, choice in enumerate(self._choices(policy, body))
        ]
        return answer

    def stream(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the events of a stream: a token of each candidate in turn."""
        whole = self.complete(body)["body"]
        about = {name: whole[name] for name in _OF_EVENTS}
        whole = whole["choices"]
        for number in range(max(len(choice["token_ids"]) for choice in whole)):
            if number == self.breaks_after:
                return
            if number == self.holds_after:
                self.may_go_on.wait(60)
            for choice in whole:
                if number < len(choice["token_ids"]):
                    yield {**about, "choices": [_piece_of(choice, number)]}

    def _choices(self, policy: Policy, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        sampling = SamplingConfig(**{n: body[n] for n in ("temperature", "top_k", "top_p")})
        prompt, size = tuple(body["prompt"]), (body["n"], body["max_tokens"])
        with self.computing:
            rows = policy.continuations([prompt], *size, [body["seed"]], sampling=sampling)
            for branch in rows[0]:
                ids, finished = branch.token_ids, branch.finished
                if self.texts:
                    ids = policy.codec.encode_response(self.texts.pop(0)).token_ids
                    finished = len(ids) <= body["max_tokens"]
                    ids = ids[: body["max_tokens"]]
                told = {"token_logprobs": [-0.5] * len(ids), "top_logprobs": None}
                if body["logprobs"]:
                    told["top_logprobs"] = [{f"token_id:{one}": -0.5} for one in ids]
                yield {
                    "token_ids": list(ids),
                    "finish_reason": "stop" if finished else "length",
                    "stop_reason": ids[-1] if finished else None,
                    "logprobs": told,
                }

    def _scored(self, policy: Policy, body: dict[str, Any]) -> dict[str, Any]:
        answer = copy.deepcopy(ANSWERS["prompt log-probabilities"])
        ids = tuple(body["prompt"])
        with self.computing, policy.as_reference():
            at = [float(policy.score([ids[:n]], [ids[n : n + 1]])[0]) for n in range(1, len(ids))]
        places = [{str(one): {"logprob": p}} for one, p in zip(ids[1:], at, strict=True)]
        answer["body"]["choices"][0]["prompt_logprobs"] = [None, *places]
        return answer


def _piece_of(choice: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a token of a candidate as an event's choice, which says at the end why it ended."""
    told = {
        name: None if values is None else values[number : number + 1]
        for name, values in choice["logprobs"].items()
    }
    ends = number == len(choice["token_ids"]) - 1
    return {
        "index": choice["index"],
        "text": "",
        "logprobs": told,
        "finish_reason": choice["finish_reason"] if ends else None,
        "stop_reason": choice["stop_reason"] if ends else None,
        "prompt_token_ids": None,
        "token_ids": choice["token_ids"][number : number + 1],
    }


@contextmanager
def vllm_double(base: Policy) -> Iterator[VllmDouble]:
    """Serves until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(ANSWERS["models"])

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path.endswith("/unload_lora_adapter"):
                known = double.versions.pop(body["lora_name"], None) is not None
                double.unloaded.append(body["lora_name"])
                self.answer(ANSWERS["unload" if known else "unload: unknown"])
                return
            double.asked.append(body)
            double.may_answer.wait(60)
            if not body.get("stream"):
                self.answer(double.complete(body))
            elif double.policy_of(body["model"]) is None:
                self.answer(ANSWERS["unknown"])
            else:
                self.stream(double.stream(body))

        def stream(self, events: Iterator[dict[str, Any]]) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream; charset=utf-8")
            self.end_headers()
            try:
                for event in events:
                    self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                if double.breaks_after is None:
                    self.wfile.write(b"data: [DONE]\n\n")
            except OSError:
                double.left += 1

        def answer(self, told: dict[str, Any]) -> None:
            body = told["body"]
            text = body if isinstance(body, str) else json.dumps(body)
            content = text.encode()
            self.send_response(told["status"])
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double = VllmDouble(f"http://127.0.0.1:{server.server_address[1]}/v1", base)
    double.may_answer.set()
    double.may_go_on.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.may_answer.set()
        double.may_go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
