"""Requests to the drafting engine, and what it tells of them."""

from __future__ import annotations

import threading
from dataclasses import replace

from corll.config import CoactiveConfig, SamplingConfig
from corll.service.drafting.requests import Delta, DraftEvent, DraftRequest, Drawn, Failed
from patience import PATIENCE_S

PLAIN = CoactiveConfig(**SamplingConfig().model_dump())
PROMPTS = ["The parcel is late.", "Write to Ms Lopez about the kettle, please.", "Hello"]


def request(prompt: str = PROMPTS[0], **changes: object) -> DraftRequest:
    made = DraftRequest(prompt, None, 12, seed=3, config=PLAIN)
    return replace(made, **changes)  # type: ignore[arg-type]


class Listener:
    """What the engine told of one request, and a way to wait for its end."""

    def __init__(self) -> None:
        self.events: list[DraftEvent] = []
        self.has_told = threading.Event()
        self.ended = threading.Event()

    def __call__(self, event: DraftEvent) -> None:
        self.events.append(event)
        if isinstance(event, Delta):
            self.has_told.set()
        if isinstance(event, Drawn | Failed):
            self.ended.set()

    @property
    def drawn(self) -> Drawn:
        assert self.ended.wait(PATIENCE_S)
        last = self.events[-1]
        if isinstance(last, Failed):
            raise last.error
        assert isinstance(last, Drawn)
        return last

    @property
    def failed(self) -> Exception:
        assert self.ended.wait(PATIENCE_S)
        last = self.events[-1]
        assert isinstance(last, Failed)
        return last.error

    def told(self, choice: int = 0) -> str:
        found = [e for e in self.events if isinstance(e, Delta) and e.choice == choice]
        return "".join(event.text for event in found)
