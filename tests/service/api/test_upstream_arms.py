"""What stands before an upstream's requests, which of its drafts is shown, and by which coin."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from scripted_upstream import ScriptedUpstream, answers, scripted_upstream

from corll.policy import Policy
from corll.service.base_model import load_base
from corll.service.learning.trainer import Trainer
from corll.service.learning.worker import Worker
from corll.service.store import accounts, lineages
from corll.service.store.database import Database
from running_service import ADMIN_KEY, RunningService, running_service, settings_for

ASKED = "Is the red one in stock?"
TEXTS = ["It is. Anna", "Sorry, it is sold out.", "Yes, two of them."]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with scripted_upstream() as scripted:
        yield scripted


@contextmanager
def fronting(
    model: Path, data: Path, scripted: ScriptedUpstream, /, **changes: Any
) -> Iterator[RunningService]:
    fields = {
        "learn": False,
        "upstream": scripted.url,
        "upstream_model": "big-one",
        "upstream_timeout": 5.0,
        "memory": "last",
        "serving": "auto",
        **changes,
    }
    with running_service(settings_for(model, data, **fields)) as service:
        yield service


@pytest.fixture(scope="module")
def remembering(
    roomy_model_folder: Path, tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> Iterator[RunningService]:
    data = tmp_path_factory.mktemp("remembering")
    with fronting(roomy_model_folder, data, upstream, upstream_memory=True) as service:
        yield service


def consent(service: RunningService, user: str, **switches: Any) -> None:
    service.put(f"users/{user}/consent", {"store": True, "learn": True, **switches})


def send(service: RunningService, user: str, prompt: str, text: str, **fields: Any) -> str:
    draft = service.draft(prompt, user=user, memory="none", **fields)
    return str(service.post("edits", {"draft_id": draft["id"], "text": text})["id"])


def told(upstream: ScriptedUpstream) -> list[str]:
    """What the messages of the latest call say."""
    return [message["content"] for message in upstream.asked[-1]["messages"]]


class TestMemory:
    def test_letters_go_along_only_once_their_user_agrees_and_until_they_withdraw(
        self, upstream: ScriptedUpstream, remembering: RunningService
    ) -> None:
        upstream.will(answers("Yes."))
        consent(remembering, "ada")
        letter = send(remembering, "ada", "Tea?", "Gladly. Ada")
        reply = remembering.draft(ASKED, user="ada", seed=1)
        assert (told(upstream), "memory" in reply["corll"]) == ([ASKED], False)
        consent(remembering, "ada", upstream=True)
        reply = remembering.draft(ASKED, user="ada", seed=1)
        assert told(upstream) == ["Tea?", "Gladly. Ada", ASKED]
        assert (reply["corll"]["memory"], reply["corll"]["arm"]) == ([letter], "memory")
        for switch in ("upstream", "learn", "store"):
            consent(remembering, "ada", upstream=True)
            remembering.put("users/ada/consent", {switch: False})
            assert "memory" not in remembering.draft(ASKED, user="ada", seed=1)["corll"]
            assert told(upstream) == [ASKED]

    @pytest.mark.parametrize("asks", [{}, {"memory": "last"}, {"memory": "nearest"}])
    @pytest.mark.parametrize("arm", ["auto", "memory", "both"])
    def test_no_letter_goes_along_without_consent_whatever_is_asked_for(
        self, upstream: ScriptedUpstream, remembering: RunningService, arm: str, asks: Any
    ) -> None:
        upstream.will(answers("Yes."))
        consent(remembering, "gus", arm=arm)
        if not remembering.get("users/gus/memory")["data"]:
            send(remembering, "gus", "Tea?", "Gladly. Gus")
        remembering.draft(ASKED, user="gus", **asks)
        assert told(upstream) == [ASKED]

    def test_nobody_elses_letters_do(
        self, upstream: ScriptedUpstream, remembering: RunningService
    ) -> None:
        upstream.will(answers("Yes."))
        for user in ("bob", "cleo"):
            consent(remembering, user, upstream=True)
            send(remembering, user, "Tea?", f"Gladly. {user}")
        remembering.draft(ASKED, user="bob", seed=1)
        assert told(upstream) == ["Tea?", "Gladly. bob", ASKED]
        remembering.draft(ASKED, user="cleo", seed=1)
        assert told(upstream) == ["Tea?", "Gladly. cleo", ASKED]

    def test_a_request_may_say_none_and_what_is_forgotten_goes_along_no_more(
        self, upstream: ScriptedUpstream, remembering: RunningService
    ) -> None:
        upstream.will(answers("Yes."))
        consent(remembering, "dan", upstream=True)
        send(remembering, "dan", "Tea?", "Gladly. Dan")
        remembering.draft(ASKED, user="dan", memory="none")
        assert told(upstream) == [ASKED]
        remembering.ask("DELETE", "users/dan/memory")
        remembering.draft(ASKED, user="dan", seed=1)
        assert told(upstream) == [ASKED]

    def test_a_leak_is_drawn_anew_without_its_letter_and_a_streamed_one_is_marked(
        self, upstream: ScriptedUpstream, remembering: RunningService
    ) -> None:
        def leaks_what_it_is_told(call: Any) -> None:
            letters = json.dumps(call.body["messages"])
            answers("Ring 0171 4455667." if "4455667" in letters else "Yes.")(call)

        upstream.will(answers("Yes."))
        consent(remembering, "eve", upstream=True, arm="memory")  # no coin decides
        letter = send(remembering, "eve", "Your number?", "It is 0171 4455667. Eve")
        upstream.will(leaks_what_it_is_told)
        reply = remembering.draft(ASKED, user="eve")
        assert reply["choices"][0]["message"]["content"] == "Yes."
        assert reply["corll"]["thrown_away"] == 1
        assert "memory" not in reply["corll"]
        assert len(upstream.asked) == 2
        body = {"model": "corll", "user": "eve", "stream": True}
        body["messages"] = [{"role": "user", "content": ASKED}]
        answer = remembering.http.post("/v1/chat/completions", json=body).text
        (facts,) = [json.loads(e[6:])["corll"] for e in answer.split("\n\n") if '"corll":{' in e]
        assert facts["memory"] == [letter]
        assert [leak["memory"] for leak in facts["leaks"]] == [letter]

    def test_the_desk_is_told_where_letters_may_go(self, remembering: RunningService) -> None:
        about = remembering.get("users/me")
        assert (about["sends_letters_to"], about["consent"]["upstream"]) == ("big-one", False)

    def test_consent_is_in_the_audit_trail(self, remembering: RunningService) -> None:
        consent(remembering, "fay", upstream=True)
        answer = remembering.http.get("/v1/users/fay/export")
        lines = [json.loads(line) for line in answer.text.splitlines()]
        (entry,) = [line for line in lines if line["record"] == "audit"]
        assert entry["details"]["upstream"] == [False, True]


@pytest.fixture(scope="module")
def bare(
    roomy_model_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    upstream: ScriptedUpstream,
) -> Iterator[RunningService]:
    with fronting(roomy_model_folder, tmp_path_factory.mktemp("bare"), upstream) as service:
        yield service


class TestWithoutTheSwitches:
    def test_no_letters_go_along_whatever_a_user_agreed_to(
        self, upstream: ScriptedUpstream, bare: RunningService
    ) -> None:
        upstream.will(answers("Yes."))
        consent(bare, "ada", upstream=True)
        send(bare, "ada", "Tea?", "Gladly. Ada")
        reply = bare.draft(ASKED, user="ada")
        assert (told(upstream), reply["corll"]["arm"]) == ([ASKED], "base")
        assert "blind" not in reply["corll"]
        assert bare.get("users/me")["sends_letters_to"] is None

    def test_a_request_cannot_have_them_sent(
        self, upstream: ScriptedUpstream, bare: RunningService
    ) -> None:
        upstream.will(answers("Never."))
        body = {"model": "corll", "messages": [{"role": "user", "content": "a"}], "memory": "last"}
        refused = bare.http.post("/v1/chat/completions", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "memory")
        assert upstream.asked == []


def learn_from(service: RunningService) -> None:
    """Takes the step that waits, as the learner's process does."""
    settings = service.settings
    database = Database.open(settings.database, settings.data_dir)
    inbox: Any = SimpleNamespace(
        take_asked=set, stopping=False, news=threading.Event(), send=lambda _: None
    )
    assert Worker(Trainer(load_base(settings), database, settings), inbox, inbox)._round()
    database.close()


def implicit_rewards(service: RunningService, user: str) -> list[float]:
    """R_π of TEXTS by a user's serving version."""
    settings = service.settings
    database = Database.open(settings.database, settings.data_dir)
    with database.read() as db:
        found = accounts.find_user_by_name(db, accounts.LOCAL_NAMESPACE, user)
        assert found is not None
        version = lineages.serving_version(db, found.id)
    database.close()
    assert version is not None
    assert version.folder is not None
    policy = Policy.load(settings.model, dtype="float32").with_adapter(
        settings.data_dir / version.folder
    )
    prompt = [{"role": "user", "content": ASKED}]
    beta = settings.coactive.beta
    return policy.implicit_rewards([prompt] * 3, TEXTS, beta=beta).tolist()


@pytest.fixture(scope="module")
def reranking(
    roomy_model_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    upstream: ScriptedUpstream,
) -> Iterator[RunningService]:
    """Ada's version has learned from edits of the upstream's drafts; bob has none."""
    data = tmp_path_factory.mktemp("reranking")
    more = {"upstream_candidates": 3, "serving": "both"}
    with fronting(roomy_model_folder, data, upstream, **more) as service:
        upstream.will(answers("It is there."))
        consent(service, "ada")
        consent(service, "bob")
        for number in range(2):
            send(service, "ada", f"Number {number}?", "Sorry, sold out. Anna")
        learn_from(service)
        yield service


class TestReranking:
    def test_edits_of_its_drafts_make_a_version_that_serves(
        self, reranking: RunningService
    ) -> None:
        assert reranking.get("users/ada")["serving"] == 1
        assert reranking.get("users/bob")["serving"] is None

    def test_the_version_shows_what_it_likes_best(
        self, upstream: ScriptedUpstream, reranking: RunningService
    ) -> None:
        rewards = implicit_rewards(reranking, "ada")
        best = rewards.index(max(rewards))
        # Whatever comes first, the same is shown.
        for turn in range(3):
            upstream.will(answers(*TEXTS[turn:], *TEXTS[:turn]))
            with openai.OpenAI(base_url=f"{reranking.url}/v1", api_key=ADMIN_KEY) as client:
                reply = client.chat.completions.create(
                    model="corll", messages=[{"role": "user", "content": ASKED}], user="ada"
                )
            assert reply.choices[0].message.content == TEXTS[best]
            facts = reply.corll  # type: ignore[attr-defined]
            assert facts["implicit_reward"] == pytest.approx(max(rewards), abs=1e-4)
            told_of = (facts["version"], facts["arm"], facts["candidates"], facts["drafted_by"])
            assert told_of == (1, "weights", 3, "upstream")
            assert [asked["n"] for asked in upstream.asked] == [3]
        assert len(set(rewards)) == 3

    def test_a_stream_of_it_is_told_at_once(
        self, upstream: ScriptedUpstream, reranking: RunningService
    ) -> None:
        rewards = implicit_rewards(reranking, "ada")
        upstream.will(answers(*TEXTS))
        with openai.OpenAI(base_url=f"{reranking.url}/v1", api_key=ADMIN_KEY) as client:
            stream = client.chat.completions.create(
                model="corll",
                messages=[{"role": "user", "content": ASKED}],
                user="ada",
                stream=True,
            )
            pieces = [c.choices[0].delta.content for c in stream if c.choices]
        assert [piece for piece in pieces if piece] == [TEXTS[rewards.index(max(rewards))]]

    def test_without_a_version_it_draws_one(
        self, upstream: ScriptedUpstream, reranking: RunningService
    ) -> None:
        upstream.will(answers(*TEXTS))
        reply = reranking.draft(ASKED, user="bob")
        assert reply["choices"][0]["message"]["content"] == TEXTS[0]
        assert (reply["corll"]["arm"], reply["corll"]["candidates"]) == ("base", 1)
        assert "n" not in upstream.asked[0]

    def test_who_withdraws_consent_to_learn_gets_the_bare_upstream(
        self, upstream: ScriptedUpstream, reranking: RunningService
    ) -> None:
        upstream.will(answers(*TEXTS))
        consent(reranking, "ada", learn=False)
        reply = reranking.draft(ASKED, user="ada")
        consent(reranking, "ada")
        assert (reply["corll"]["arm"], reply["corll"]["version"]) == ("base", None)

    def test_what_the_version_cannot_read_is_shown_as_it_came(
        self, upstream: ScriptedUpstream, reranking: RunningService
    ) -> None:
        control = load_base(reranking.settings).codec._control_texts[0]
        upstream.will(answers(f"Here: {control}.", *TEXTS[1:]))
        reply = reranking.draft(ASKED, user="ada")
        assert reply["choices"][0]["message"]["content"] == f"Here: {control}."
        assert reply["corll"]["implicit_reward"] is None


class TestTheCoin:
    def test_letters_are_tried_against_the_bare_upstream(
        self, roomy_model_folder: Path, tmp_path: Path, upstream: ScriptedUpstream
    ) -> None:
        """By chance, blindly; what the edits cost is told by arm."""
        upstream.will(answers("It is there."))
        random.seed(3)
        with fronting(roomy_model_folder, tmp_path, upstream, upstream_memory=True) as service:
            consent(service, "ada", upstream=True)
            send(service, "ada", "Tea?", "Gladly. Ada")
            behind = []
            for number in range(12):
                draft = service.draft(f"Number {number}?", user="ada")
                assert draft["corll"]["blind"]
                assert "arm" not in draft["corll"]
                behind.append(len(told(upstream)) > 1)
                service.post("edits", {"draft_id": draft["id"], "text": f"It is {number}. Ada"})
            assert 0 < sum(behind) < 12
            records = service.get("users/ada/drafts")["data"][:12]
            drafted = [record["arm"] == "memory" for record in reversed(records)]
            assert drafted == behind
            arms = service.get("users/ada/learning")["arms"]
            assert (arms["serving"], arms["challenger"], arms["share"]) == ("memory", "base", 0.3)
            counts = {figure["arm"]: figure["count"] for figure in arms["costs"]}
            assert counts == {"memory": sum(behind), "base": 12 - sum(behind)}
            # Other arms are to be had from then on: the trial begins anew.
            consent(service, "ada", upstream=False)
            assert service.get("users/ada/learning")["arms"]["costs"] == []

    def test_begins_anew_where_another_model_drafts(
        self, roomy_model_folder: Path, tmp_path: Path, upstream: ScriptedUpstream
    ) -> None:
        upstream.will(answers("It is there."))

        def trial(**changes: Any) -> tuple[str, int]:
            more = {"upstream_memory": True, **changes}
            with fronting(roomy_model_folder, tmp_path, upstream, **more) as service:
                consent(service, "ada", upstream=True)
                arms = service.get("users/ada/learning")["arms"]
                if not arms["costs"]:
                    send(service, "ada", "Tea?", "Gladly. Ada")
                    draft = service.draft(ASKED, user="ada")
                    service.post("edits", {"draft_id": draft["id"], "text": "Yes. Ada"})
                return arms["serving"], sum(figure["count"] for figure in arms["costs"])

        assert trial() == ("memory", 0)
        assert trial() == ("memory", 1)
        assert trial(upstream_model="bigger-one") == ("memory", 0)
        assert trial(upstream_model="bigger-one") == ("memory", 1)
        own = {"upstream": None, "upstream_model": None, "upstream_memory": False}
        assert trial(**own) == ("both", 0)
