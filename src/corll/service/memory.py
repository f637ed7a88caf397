"""What stands before a request: the user's past letters, and until there are any, examples.

Whoever agreed to be learned from is remembered. The texts are chosen among those that were sent in
answer to the same kind of request: in the same frame, or without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from corll.evaluation import question
from corll.frames import FRAMES, FrameName, Framing
from corll.memory.choosing import MemoryChoice, MemorySettings, stand_before
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange, is_single
from corll.memory.leaks import OwnFrame, own_frame
from corll.records import Prompt
from corll.service.drafting.requests import NOTHING_OWN, DraftRequest, VersionFolder
from corll.service.settings import ServiceSettings
from corll.service.store.accounts import User
from corll.service.store.remembered import past_exchanges
from corll.verdicts.unfit import why_unfit

_SHOW_THE_FRAME = 50
"""From so many of the latest letters is read what recurs in most of them."""

_MOST_READ: dict[MemoryChoice, int] = {"last": _SHOW_THE_FRAME, "nearest": 2_000, "similar": 200}
"""Of so many of the latest letters some are chosen."""

_ANYTHING = "~"


@dataclass(frozen=True, slots=True)
class Recalled:
    """What stands before a request, and what recurs in the texts of its user."""

    memory: tuple[Exchange, ...] = ()
    own: OwnFrame = NOTHING_OWN
    has_letters: bool = False


class Recall:
    """Finds what stands before requests, by the settings of the service.

    `remembers` says of whom anything may stand there.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        count_tokens: Callable[[str], int],
        *,
        remembers: Callable[[User], bool] = lambda user: user.is_remembered,
    ) -> None:
        self._settings, self._count_tokens, self._remembers = settings, count_tokens, remembers

    @classmethod
    def for_upstream(cls, settings: ServiceSettings, count_tokens: Callable[[str], int]) -> Recall:
        """Return what finds letters for an upstream: of users who let them leave this machine.

        Worked examples are for small models, and stand before none of its requests.
        """
        memory = settings.memory if settings.upstream_memory else "none"
        own = settings.model_copy(update={"memory": memory, "examples": False})
        return cls(own, count_tokens, remembers=lambda user: user.sends_letters)

    def before(
        self,
        db: Connection,
        user: User | None,
        framing: Framing,
        prompt: Prompt,
        choice: MemoryChoice | None = None,
    ) -> Recalled:
        """Return what stands before a prompt of a user; None for one who is not remembered.

        `choice` takes the place of the setting. A conversation under way has letters neither
        before it nor among them: what was said in it is before it already. *Raises*: InputError
        for a choice whose model is not installed.
        """
        choice = self._settings.memory if choice is None else choice
        if user is None or not self._remembers(user) or choice == "none" or not is_single(prompt):
            return self.examples_for(framing)
        most = self._settings.memory_texts
        read = max(_MOST_READ[choice], 2 * most)
        past = past_exchanges(db, user.id, framing.frame, most=read, in_steps_of=most)
        letters = [one for one in past.exchanges if is_single(one.prompt)]
        pinned = [one for one in letters if one.id in past.pinned]
        others = [one for one in letters if one.id not in past.pinned]
        memory = self._chosen(choice, framing, prompt, others, pinned)
        while unfit := [one for one in memory if one in others and why_unfit(one.text)]:
            others = [one for one in others if one not in unfit]
            memory = self._chosen(choice, framing, prompt, others, pinned)
        latest = [one.text for one in letters[-_SHOW_THE_FRAME:]]
        own = {one.id for one in letters}
        has_letters = any(one.id in own for one in memory)
        return Recalled(memory, own_frame(latest), has_letters=has_letters)

    def examples_for(self, framing: Framing) -> Recalled:
        """Return what stands before a prompt where no letter may, or none can be read."""
        return Recalled(self._examples(framing))

    def _chosen(
        self,
        choice: MemoryChoice,
        framing: Framing,
        prompt: Prompt,
        letters: Sequence[Exchange],
        pinned: Sequence[Exchange],
    ) -> tuple[Exchange, ...]:
        """Return what stands before a prompt of these letters, by the settings."""
        settings = self._settings
        return stand_before(
            question(prompt),
            letters,
            MemorySettings(choice, settings.memory_texts, settings.memory_tokens),
            self._count_tokens,
            pinned=pinned,
            examples=self._examples(framing),
        )

    def request(
        self, recalled: Recalled, prompt: Prompt, version: VersionFolder | None
    ) -> DraftRequest:
        """Return a request as the service makes one where nothing else is said."""
        return DraftRequest(
            prompt=prompt,
            version=version,
            max_new_tokens=self._settings.longest_draft,
            seed=0,
            config=self._settings.coactive,
            shortens=True,
            memory=recalled.memory,
        )

    def usual_requests(self) -> list[DraftRequest]:
        """Return a request in each frame, which begins as most requests of new users do."""
        return [self._usual(frame) for frame in FRAMES]

    def _usual(self, frame: FrameName) -> DraftRequest:
        framing = Framing(frame, name=_ANYTHING)
        prompt: Prompt = [{"role": "user", "content": framing.around(_ANYTHING)}]
        return self.request(Recalled(self._examples(framing)), prompt, None)

    def _examples(self, framing: Framing) -> tuple[Exchange, ...]:
        return worked_examples(framing) if self._settings.examples else ()
