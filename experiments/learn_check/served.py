"""The arm `auto`: the service itself without HTTP, for one writer.

Its engine draws, guards and recalls, its coin chooses the arm, its store keeps drafts and edits,
and its trainer learns, examines and weighs.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from random import Random
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NamedTuple

from check_arms import Check
from corll.frames import Framing
from corll.policy import Policy
from corll.records import Draft, Prompt
from corll.service import feedback
from corll.service.arms import coin_of, who_drafts
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import DraftEvent, DraftRequest, Drawn, Failed
from corll.service.drafting.serving import Serving, serving_for
from corll.service.learning.trainer import Trainer
from corll.service.memory import Recall, Recalled
from corll.service.settings import ServedConfig, ServiceSettings
from corll.service.store import accounts, coins, drafts
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow
from corll.service.store.rows import new_id
from taught import Taught

_MOST_TRIES = 3
"""Versions made of an edit: one that is rejected is tried once more."""


class ServedDraft(NamedTuple):
    """A draft of the service, and what chose who drafts."""

    draft: Draft
    serving: Serving
    request: DraftRequest
    drawn: Drawn
    version: int


class Service:
    """A service with one user, who agreed to be learned from; closed, it leaves nothing behind.

    `key` names the stream of its coin.
    """

    def __init__(self, base: Policy, check: Check, key: str) -> None:
        self._folder = TemporaryDirectory(prefix="learn-check-")
        memory = check.memory
        given = check.config.model_dump(exclude={"drafts_from"})
        self.settings = ServiceSettings(
            data_dir=Path(self._folder.name),
            coactive=ServedConfig(**given),
            lora=check.lora,
            memory=memory.choice,
            memory_texts=memory.most,
            memory_tokens=memory.budget_tokens,
            veto_drafts=check.veto or 0,
        )
        self.database = Database.open(None, self.settings.data_dir)
        self._engine = Engine(base)
        self._trainer = Trainer(base, self.database, self.settings)
        self._recall = Recall(self.settings, self._engine.count_tokens)
        self._key, self._numbers = key, dict[str, str]()
        self._user = self.database.write(
            lambda db: accounts.get_or_create_user(
                db, accounts.LOCAL_NAMESPACE, "writer", store=True, learn=True, now=time.time()
            )
        )

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.close()
        self.database.close()
        self._folder.cleanup()

    def draft(self, prompt: Prompt, *, number: int, seed: int, tosses: bool = True) -> ServedDraft:
        """Return a draft as the service makes one that nobody reads before its end.

        `number` is that of the request, from which the coin's chance follows.
        """
        serving, recalled = self._who_drafts(prompt, number, tosses=tosses)
        request = self._request(prompt, serving, recalled, seed)
        drawn = self._drawn(request)
        # By the numbers of their edits, since ids of the store differ from run to run.
        by_id = {one.id: replace(one, id=self._numbers[one.id]) for one in recalled.memory}
        memory = tuple(by_id[name] for name in drawn.memory)
        sample = drawn.candidates[drawn.shown[0]]
        draft = Draft(prompt, (sample,), seed=drawn.seed, memory=memory)
        version = 0 if serving.version is None else serving.version.number
        return ServedDraft(draft, serving, request, drawn, version)

    def take(self, served: ServedDraft, sent: str) -> Taught:
        """Record what was sent in place of a draft, and learn from what waits."""
        start = time.perf_counter()
        row = self._kept(served)
        judged = feedback.judge_edit(self._engine, row, self._user, sent)
        recorded = self.database.write(lambda db: feedback.record_edit(db, judged, now=time.time()))
        self._numbers[recorded.edit.id] = str(len(self._numbers) + 1)
        made, rejected, metrics = None, list[str](), dict[str, float]()
        for _ in range(_MOST_TRIES):
            version = self._trainer.learn(self._user.id)
            if version is None:
                break
            made, metrics = version.number, dict(version.metrics)
            rejected += version.reasons
        end = time.perf_counter()
        return Taught(end - start, made, rejected, metrics=metrics)

    def standing(self) -> dict[str, Any]:
        """Return who serves and who is tried, and what is known of them."""
        with self.database.read() as db:
            coin = coin_of(db, self._user, self.settings)
            evidence = coins.evidence_of(db, self._user.id)
        return {
            "coin": [coin.serving, coin.challenger, coin.share, coin.trial],
            "evidence": [evidence.learned.verdict, evidence.letters.verdict],
        }

    def _who_drafts(self, prompt: Prompt, number: int, *, tosses: bool) -> tuple[Serving, Recalled]:
        with self.database.read() as db:
            return who_drafts(
                db,
                serving_for(db, self._user),
                self._recall,
                self.settings,
                Framing(),
                prompt,
                may_toss=tosses,
                chance=Random(f"{self._key}/coin/{number}").random,
            )

    def _request(
        self, prompt: Prompt, serving: Serving, recalled: Recalled, seed: int
    ) -> DraftRequest:
        return DraftRequest(
            prompt=prompt,
            version=serving.folder_in(self.database.versions),
            max_new_tokens=self.settings.longest_draft,
            seed=seed,
            config=self.settings.coactive,
            tells=False,
            blind=serving.blind,
            shortens=True,
            guarded=self.settings.guards,
            memory=recalled.memory,
            own=recalled.own,
        )

    def _drawn(self, request: DraftRequest) -> Drawn:
        events: SimpleQueue[DraftEvent] = SimpleQueue()
        self._engine.submit(request, events.put)
        return until_drawn(events)

    def _kept(self, served: ServedDraft) -> DraftRow:
        row = served.serving.row_of(
            served.request,
            served.drawn,
            draft_id=new_id("chatcmpl-"),
            key_id=None,
            kind="chat",
            model="corll",
            asked=None,
            created_at=time.time(),
        )
        self.database.write(lambda db: drafts.add_draft(db, row))
        return row


def until_drawn(events: SimpleQueue[DraftEvent]) -> Drawn:
    """Wait for the end of a request to the engine. *Raises*: what the engine could not do."""
    while True:
        event = events.get()
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Drawn):
            return event
