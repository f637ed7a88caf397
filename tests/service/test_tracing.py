"""Traces: spans of drafts, edits, steps, gates and swaps, which hold ids and never a text."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from planted import PLANTED, texts_planted_everywhere
from teaching import add_edit, add_user

from corll.errors import ConfigError, TrainingError
from corll.policy import Policy
from corll.service import spans
from corll.service.collector import endpoint_of, open_tracing
from corll.service.drafting.shared_decoding import Session
from corll.service.learning import checks
from corll.service.learning.trainer import Trainer
from corll.service.settings import ServiceSettings
from corll.service.spans import Recording
from corll.service.store.database import Database
from corll.service.tracing import NO_TRACING
from corll.step import PreferenceOptimizer
from running_service import RunningService, running_service, settings_for, until


@pytest.fixture
def kept() -> InMemorySpanExporter:
    """Where the spans of this process are kept."""
    return InMemorySpanExporter()


@pytest.fixture
def traced(
    kept: InMemorySpanExporter,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RunningService]:
    """A service without a learner whose spans are kept."""

    def recording(endpoint: str | None, *, process: str) -> Recording:
        assert endpoint == "http://127.0.0.1:4318/v1/traces"
        return Recording(SimpleSpanProcessor(kept), process=process)

    monkeypatch.setattr(spans, "traced_to", recording)
    settings = settings_for(
        tiny_model_folder, tmp_path, learn=False, traces="http://127.0.0.1:4318"
    )
    with running_service(settings) as service:
        yield service


def called(kept: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in kept.get_finished_spans() if span.name == name]


def one(kept: InMemorySpanExporter, name: str) -> ReadableSpan:
    found = until(lambda: called(kept, name))
    assert len(found) == 1
    return found[0]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


class TestRequests:
    def test_a_draft_and_its_edit_are_spans_that_name_each_other(
        self, traced: RunningService, kept: InMemorySpanExporter
    ) -> None:
        user = traced.put("users/me/consent", {"store": True, "learn": True})["id"]
        draft = traced.draft(num_candidates=2)
        edit = traced.post("edits", {"draft_id": draft["id"], "text": "It comes on Friday."})
        told = attributes(one(kept, "corll.draft"))
        assert told["corll.draft.id"] == draft["id"]
        assert told["corll.user.id"] == user
        assert told["gen_ai.usage.input_tokens"] == draft["usage"]["prompt_tokens"]
        assert told["gen_ai.usage.output_tokens"] == draft["usage"]["completion_tokens"]
        assert (told["corll.draft.choices"], told["corll.draft.status"]) == (1, "complete")
        told = attributes(one(kept, "corll.edit"))
        assert (told["corll.edit.id"], told["corll.draft.id"]) == (edit["id"], draft["id"])
        assert told["corll.edit.cost"] == edit["edit_cost"]
        assert told["corll.preference.id"].startswith("pref_")
        assert (told["corll.edit.new"], told["corll.edit.will_learn"]) == (True, True)

    def test_a_stream_and_a_comparison_are_spans_too(
        self, traced: RunningService, kept: InMemorySpanExporter
    ) -> None:
        body = {"model": "corll", "messages": [{"role": "user", "content": "Hi"}]}
        with traced.http.stream(
            "POST", "/v1/chat/completions", json={**body, "stream": True}
        ) as answer:
            lines = list(answer.iter_lines())
        first = json.loads(lines[0].removeprefix("data: "))["id"]
        second = traced.post("chat/completions", {**body, "seed": 7})["id"]
        compared = {"chosen": {"draft_id": first}, "rejected": {"draft_id": second}}
        traced.post("comparisons", compared)
        drafted = until(lambda: len(found := called(kept, "corll.draft")) == 2 and found)
        assert [attributes(span)["corll.draft.id"] for span in drafted] == [first, second]
        told = attributes(one(kept, "corll.comparison"))
        assert told["corll.draft.ids"] == (first, second)

    def test_the_trace_of_a_request_goes_on(
        self, traced: RunningService, kept: InMemorySpanExporter
    ) -> None:
        trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        answer = traced.http.post(
            "/v1/chat/completions",
            json={"model": "corll", "messages": [{"role": "user", "content": "Hi"}]},
            headers={"traceparent": f"00-{trace}-{parent}-01"},
        )
        request = one(kept, "POST /v1/chat/completions")
        draft = one(kept, "corll.draft")
        assert request.parent is not None
        assert f"{request.parent.span_id:016x}" == parent
        assert draft.parent is not None
        assert draft.parent.span_id == request.context.span_id
        assert {f"{span.context.trace_id:032x}" for span in (request, draft)} == {trace}
        told = attributes(request)
        assert told["corll.request.id"] == answer.headers["x-request-id"]
        assert (told["http.route"], told["http.response.status_code"]) == (
            "/v1/chat/completions",
            200,
        )

    def test_whoever_watches_is_no_span(
        self, traced: RunningService, kept: InMemorySpanExporter
    ) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert traced.http.get(path).status_code == 200
        traced.get("models")
        assert one(kept, "GET /v1/models")
        assert len(kept.get_finished_spans()) == 1

    def test_no_span_holds_a_text_whatever_it_was_planted_in(
        self,
        traced: RunningService,
        kept: InMemorySpanExporter,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        shown = texts_planted_everywhere(traced)
        monkeypatch.setattr(Session, "advance", broken)
        messages = [{"role": "user", "content": PLANTED}]
        body = {"model": "corll", "messages": messages}
        assert traced.http.post("/v1/chat/completions", json=body).status_code == 500
        failed = until(lambda: [s for s in called(kept, "corll.draft") if not s.status.is_ok])
        assert attributes(failed[0])["error.type"] == "RuntimeError"
        until(lambda: len(called(kept, "corll.draft")) == len(shown) + 1)
        assert len(called(kept, "corll.edit")) == 6
        written = " ".join(str(span.to_json()) for span in kept.get_finished_spans())
        assert PLANTED not in written.lower()
        assert not [text for text in shown if text in written]


def broken(*_: Any) -> Any:
    raise RuntimeError(f"it cannot be drawn: {PLANTED}")


class TestLearning:
    @pytest.fixture
    def trainer(
        self,
        policy: Policy,
        database: Database,
        kept: InMemorySpanExporter,
        tiny_model_folder: Path,
        tmp_path: Path,
    ) -> Trainer:
        recording = Recording(SimpleSpanProcessor(kept), process="learner")
        settings = settings_for(tiny_model_folder, tmp_path / "data")
        return Trainer(policy, database, settings, tracing=recording)

    def test_steps_name_what_they_learned_and_gate_and_swap_their_version(
        self, trainer: Trainer, database: Database, kept: InMemorySpanExporter
    ) -> None:
        ann, ben = add_user(database, "ann"), add_user(database, "ben")
        add_edit(trainer, ben, f"Nothing of bens {PLANTED}.")
        edits = [add_edit(trainer, ann, f"The {PLANTED} {n} comes.", number=n) for n in range(3)]
        version = trainer.learn(ann.id, all_that_waits=True)
        assert version is not None
        first, second = called(kept, "corll.step")
        learned = [attributes(span)["corll.preference.ids"] for span in (first, second)]
        ids = [edit.preference_id for edit in edits]
        assert learned == [tuple(ids[:2]), tuple(ids[2:])]
        assert attributes(first)["corll.draft.ids"] == tuple(edit.draft_id for edit in edits[:2])
        assert [attributes(span)["corll.step.number"] for span in (first, second)] == [1, 2]
        gate, swap = attributes(one(kept, "corll.gate")), attributes(one(kept, "corll.swap"))
        assert (gate["corll.version.id"], gate["corll.gate.reasons"]) == (version.id, 0)
        assert (swap["corll.version.id"], swap["corll.version.number"]) == (version.id, 1)
        assert swap["corll.version.state"] == "serving"
        whole = one(kept, "corll.learn")
        assert attributes(whole) == {"corll.user.id": ann.id, "corll.learn.batches": 2}
        for span in kept.get_finished_spans():
            assert span is whole or (span.parent and span.parent.span_id == whole.context.span_id)
            assert PLANTED not in str(span.to_json()).lower()

    def test_a_rejected_version_says_for_how_many_reasons(
        self,
        trainer: Trainer,
        database: Database,
        kept: InMemorySpanExporter,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(checks, "CHECKS", (lambda _: f"it writes of a {PLANTED}",))
        ann = add_user(database, "ann")
        add_edit(trainer, ann, f"The {PLANTED} comes.")
        version = trainer.learn(ann.id, all_that_waits=True)
        assert version is not None
        assert attributes(one(kept, "corll.gate"))["corll.gate.reasons"] == 1
        assert attributes(one(kept, "corll.swap"))["corll.version.state"] == "rejected"
        assert PLANTED not in " ".join(str(span.to_json()) for span in kept.get_finished_spans())

    def test_of_an_error_the_class_is_kept_and_not_the_message(
        self,
        trainer: Trainer,
        database: Database,
        kept: InMemorySpanExporter,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def diverge(*_: Any) -> Any:
            raise TrainingError(f"no finite loss of {PLANTED}")

        monkeypatch.setattr(PreferenceOptimizer, "step", diverge)
        ann = add_user(database, "ann")
        add_edit(trainer, ann, "It comes.")
        assert trainer.learn(ann.id, all_that_waits=True) is None
        step = one(kept, "corll.step")
        assert attributes(step)["error.type"] == "TrainingError"
        assert not step.status.is_ok
        assert step.events == ()
        assert PLANTED not in str(step.to_json())


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest], list[bytes]]]:
    """A receiver of OTLP over HTTP: its address, what it was sent, and the bytes of that."""
    received: list[ExportTraceServiceRequest] = []
    raw: list[bytes] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            assert self.headers["content-type"] == "application/x-protobuf"
            raw.append(body)
            received.append(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received, raw
        finally:
            server.shutdown()
            thread.join()


def as_sent(received: list[ExportTraceServiceRequest]) -> dict[str, list[dict[str, Any]]]:
    """The attributes of spans by their name, with those of their process."""
    found: dict[str, list[dict[str, Any]]] = {}
    for request in list(received):
        for of_process in request.resource_spans:
            resource = _plain(of_process.resource.attributes)
            for scope in of_process.scope_spans:
                for span in scope.spans:
                    told = {**resource, **_plain(span.attributes)}
                    found.setdefault(span.name, []).append(told)
    return found


def _plain(pairs: Any) -> dict[str, Any]:
    def value(of: Any) -> Any:
        kind = of.WhichOneof("value")
        return (
            [value(one) for one in of.array_value.values]
            if kind == "array_value"
            else getattr(of, kind)
        )

    return {pair.key: value(pair.value) for pair in pairs}


def test_a_collector_gets_the_spans_of_server_and_learner(
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with collector() as (address, received, raw):
        settings = settings_for(tiny_model_folder, tmp_path, traces=address, log_level="debug")
        with running_service(settings) as service:
            service.put("users/me/consent", {"store": True, "learn": True})
            for number in range(2):
                draft = service.draft(f"Where is my {PLANTED} {number}?")
                edit = {"draft_id": draft["id"], "text": f"The {PLANTED} {number} comes."}
                service.post("edits", edit)
            until(lambda: "corll.swap" in as_sent(received))
        sent = as_sent(received)
    (step,), (gate,), (swap,) = (sent[f"corll.{name}"] for name in ("step", "gate", "swap"))
    assert len(sent["corll.draft"]) == len(sent["corll.edit"]) == 2
    learned = [edit["corll.preference.id"] for edit in sent["corll.edit"]]
    assert step["corll.preference.ids"] == learned
    assert step["corll.draft.ids"] == [draft["corll.draft.id"] for draft in sent["corll.draft"]]
    assert gate["corll.version.id"] == swap["corll.version.id"]
    assert {one["corll.process"] for one in sent["corll.edit"]} == {"server"}
    assert step["corll.process"] == "learner"
    everywhere = {"service.name": "corll", "deployment.environment.name": "test"}
    assert all(told.items() >= everywhere.items() for told in (step, *sent["corll.draft"]))
    assert PLANTED.encode() not in b"".join(raw).lower()
    log = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["message"] for line in log if line["logger"].endswith("worker")] == [
        f"{step['corll.user.id']}: version 1 is serving"
    ]
    assert PLANTED not in json.dumps(log).lower()


def test_a_collector_that_is_away_keeps_nobody_waiting(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_SEND_WITHIN_S", 0.1)
    with collector() as (address, _, _):
        pass
    settings = settings_for(tiny_model_folder, tmp_path, learn=False, traces=address)
    with running_service(settings) as service:
        assert service.draft()["choices"]


class TestAddress:
    @pytest.mark.parametrize(
        ("address", "endpoint"),
        [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            (
                "https://collector.example/otlp/v1/traces",
                "https://collector.example/otlp/v1/traces",
            ),
            ("environment", None),
        ],
    )
    def test_it_is_completed(self, address: str, endpoint: str | None) -> None:
        assert ServiceSettings(traces=address).traces == address
        assert endpoint_of(address) == endpoint

    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("collector", "no address of a collector"),
            ("ftp://collector", "no address of a collector"),
            ("http://:4318", "no address of a collector"),
            ("http://collector:0", "no address of a collector"),
            ("http://collector:99999", "no address of a collector"),
            ("http://me:secret@collector", "OTEL_EXPORTER_OTLP_HEADERS"),
            ("http://collector/?key=secret", "OTEL_EXPORTER_OTLP_HEADERS"),
        ],
    )
    def test_what_cannot_be_one_is_refused(self, address: str, said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            ServiceSettings(traces=address)

    def test_the_environments_is_taken_where_it_is_meant(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with collector() as (address, received, _):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
            with open_tracing("environment", process="server") as tracing:
                tracing.begin("corll.draft").end()
            assert list(as_sent(received)) == ["corll.draft"]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "corll.service.spans", raising=False)
    with (
        pytest.raises(ConfigError, match=r"pip install 'corll\[traces\]'"),
        open_tracing("http://127.0.0.1:4318", process="server"),
    ):
        pass


def test_switched_off_it_needs_no_package_and_makes_no_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "corll.service.spans", raising=False)
    with open_tracing(None, process="server") as tracing, tracing.request([]) as span:
        assert tracing is NO_TRACING
        assert tracing.begin("a") is tracing.begin("b") is span
        span.note({"corll.draft.id": "chatcmpl-1"})
