"""What is asked of the drafting engine, and what it tells while it works. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeAlias

from corll.config import CoactiveConfig, SamplingConfig
from corll.errors import CorllError
from corll.memory.exchanges import Exchange, with_memory
from corll.memory.leaks import Leak, LeakFinder, OwnFrame
from corll.records import Prompt, Sample

NOTHING_OWN = OwnFrame()

MOST_REDRAWS = 2
"""How often a candidate that nobody can use is drawn anew."""

SECONDS_A_DRAFT = 4
"""What a waiting client is told to expect, for each draft before it."""


class EngineBusyError(CorllError, RuntimeError):
    """The queue of drafts is full. *Units*: `retry_after` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many drafts are waiting; ask again in {retry_after} s.")
        self.retry_after = retry_after

    @classmethod
    def behind(cls, waiting: int) -> EngineBusyError:
        """Return the error of a request behind so many others."""
        return cls(1 + SECONDS_A_DRAFT * waiting // 8)


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A version of a user's adapter: what it is called, and where it lies.

    `reference` is the folder of the adapter that is its π_0, None where that is the base. A
    reference that itself drafts is its own.
    """

    id: str
    folder: Path
    reference: Path | None = None

    @property
    def is_reference(self) -> bool:
        """Whether it is π_0 itself, for which R_π is 0."""
        return self.folder == self.reference


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """Responses wanted for one prompt from one version; None is the plain base.

    `config` says how they are drawn, how many candidates there are (at least `choices`), and which
    of them are shown. `top_logprobs` is None where no log-probabilities are wanted; `tells` says
    whether anybody reads the text before its end; `scored`, whether R_π is wanted though nothing is
    ranked by it; `blind`, that nothing may tell a version from π_0, so that π_0 draws as many.
    `beginning` is the text of a response that is gone on with: it is a part of each candidate, but
    not of what is told. `shortens` says that fewer than `max_new_tokens` are drawn where the
    context has no room for as many. `memory` stands as turns before the prompt, the latest exchange
    last; where the context has no room, earlier ones are left out. `own` is what recurs in the
    user's texts, so that it is no leak of a past one. `guarded` says whether candidates that nobody
    can use are stopped and, where nobody saw them, thrown away and drawn anew.
    `passed_on` is what an upstream is told beside the messages; it draws then, and `version` only
    says which of its candidates are shown. None: the engine draws.
    """

    prompt: Prompt
    version: VersionFolder | None
    max_new_tokens: int
    seed: int
    config: CoactiveConfig
    choices: int = 1
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    tells: bool = True
    scored: bool = False
    blind: bool = False
    beginning: str = ""
    shortens: bool = False
    guarded: bool = False
    memory: tuple[Exchange, ...] = ()
    own: OwnFrame = NOTHING_OWN
    passed_on: Mapping[str, Any] | None = None

    @property
    def whole_prompt(self) -> Prompt:
        """The prompt behind its memory, as it is drafted for."""
        return with_memory(self.prompt, self.memory)

    @property
    def sampling(self) -> SamplingConfig:
        """How each response is drawn."""
        return self.config.sampling

    @property
    def branches(self) -> int:
        """Responses to be drawn: as many as are shown where nothing tells one from another.

        That is where nothing is ranked, and by R_π, which is 0 for π_0 itself.
        """
        by, reference = self.config.selection, self.version is None or self.version.is_reference
        if by == "first" or (by == "implicit_reward" and reference and not self.blind):
            return self.choices
        return max(self.choices, self.config.num_candidates)

    @property
    def streams(self) -> bool:
        """Whether its text can be shown while it is drawn, since nothing has to be chosen."""
        return self.branches == self.choices

    @property
    def is_seen(self) -> bool:
        """Whether somebody reads its text before its end."""
        return self.tells and self.streams


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token that was drawn, its log-probability, and the likeliest ones in its place.

    *Units*: nats, of the full distribution at temperature 1.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A further piece of a choice."""

    choice: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the candidates are drawn."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that is drawn.

    `text` is that of `sample` without what a response began with. `ended` says that it came to an
    end of its own or at a stop sequence, `looped` that it was stopped since it repeated itself.
    `leaks` are facts of past letters in it.
    """

    sample: Sample
    text: str
    ended: bool
    looped: bool = False
    logprobs: tuple[TokenLogprob, ...] = ()
    leaks: tuple[Leak, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """The end of a request: all candidates, and which of them are shown, the best first.

    `scores` are what `selection` maximises, None where nothing was ranked and none were wanted.
    `memory` names the exchanges that stood before the prompt, and `leaks` are facts of them in each
    choice. `cut` are the choices that ended at their longest; `cancelled` says that nobody waited
    for the end. Each candidate begins with `beginning`, where a response was gone on with; its ids
    are among the tokens of the prompt. `looped` are the choices that were stopped since they
    repeated themselves, `thrown_away` counts candidates that guards threw away unseen, and `seed`
    is that of the latest draw. `upstream` names the model of another service that drew: its
    candidates have no ids, and `counted` are the tokens of all of them, as it counts.
    """

    candidates: tuple[Sample, ...]
    shown: tuple[int, ...]
    scores: tuple[float, ...] | None
    prompt_tokens: int
    logprobs: tuple[tuple[TokenLogprob, ...], ...] = ()
    cut: frozenset[int] = frozenset()
    cancelled: bool = False
    beginning: Sample | None = None
    looped: tuple[int, ...] = ()
    thrown_away: int = 0
    seed: int = 0
    memory: tuple[str, ...] = ()
    leaks: tuple[tuple[Leak, ...], ...] = ()
    upstream: str | None = None
    counted: int | None = None

    def text(self, choice: int) -> str:
        """Return what was drawn of a choice, without what it began with."""
        begun = 0 if self.beginning is None else len(self.beginning.text)
        return self.candidates[self.shown[choice]].text[begun:]

    @property
    def completion_tokens(self) -> int:
        """Count the tokens that were drawn of all choices."""
        if self.counted is not None:
            return self.counted
        begun = 0 if self.beginning is None else len(self.beginning.token_ids)
        return sum(len(self.candidates[shown].token_ids) - begun for shown in self.shown)


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of a request that could not be answered; `drawn` is what was told before."""

    error: Exception
    drawn: Drawn | None = None


DraftEvent: TypeAlias = Delta | Progress | Drawn | Failed


@dataclass(eq=False)
class DraftJob:
    """A request under way. `on_event` is called from the engine's thread, its end last.

    `prompt_ids` are those of the prompt, its memory and the request's `beginning`, which is None
    for none; so many of them as `earlier_tokens` says stand before the prompt's last message.
    `leaking` names exchanges of which facts were found in a candidate. `kept` are candidates of
    earlier draws, where others of them were thrown away. `seen` is what was told of a draft of
    which the rest is drawn anew; its ids are among the prompt's.
    """

    request: DraftRequest
    prompt_ids: tuple[int, ...]
    on_event: Callable[[DraftEvent], None]
    beginning: Sample | None = None
    earlier_tokens: int = 0
    cancelled: bool = field(default=False, init=False)
    kept: list[Candidate] = field(default_factory=list, init=False)
    redraws: int = field(default=0, init=False)
    thrown_away: int = field(default=0, init=False)
    leaking: set[str] = field(default_factory=set, init=False)
    seen: Sample | None = field(default=None, init=False)
    _finder: tuple[DraftRequest, LeakFinder] | None = field(default=None, init=False)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, and of what a response began with."""
        return len(self.prompt_ids) - self._seen_tokens

    @property
    def max_new_tokens(self) -> int:
        """Most tokens that are still to be drawn of each candidate."""
        return self.request.max_new_tokens - self._seen_tokens

    @property
    def begun(self) -> Sample | None:
        """What candidates go on with: the request's beginning, and what was told already."""
        if self.beginning is None or self.seen is None:
            return self.beginning or self.seen
        return joined(self.beginning, self.seen)

    @property
    def seen_text(self) -> str:
        """What was told of a draft of which the rest is drawn anew."""
        return "" if self.seen is None else self.seen.text

    @property
    def _seen_tokens(self) -> int:
        return 0 if self.seen is None else len(self.seen.token_ids)

    def leaks(self, text: str) -> tuple[Leak, ...]:
        """Return facts of the memory in a draft, which its prompt and the user's frame lack.

        `text` follows on what was told already. Stretches of words alone are none: a letter may be
        worded as another.
        """
        if not self.request.memory:
            return ()
        found = self._leak_finder.find(self.seen_text + text)
        return tuple(leak for leak in found if leak.kind != "phrase")

    def searched_to(self, text: str) -> int:
        """Return up to where a growing text holds no leak that is not whole yet.

        `text` follows on what was told already.
        """
        return max(0, self._leak_finder.may_begin(self.seen_text + text) - len(self.seen_text))

    @property
    def _leak_finder(self) -> LeakFinder:
        request = self.request
        if self._finder is None or self._finder[0] is not request:
            self._finder = request, LeakFinder(request.prompt, request.memory, request.own)
        return self._finder[1]

    @property
    def branches(self) -> int:
        """Candidates that are still to be drawn."""
        return self.request.branches - len(self.kept)

    @property
    def seed(self) -> int:
        """The seed of the present draw: the request's, then others that follow from it."""
        if not self.redraws:
            return self.request.seed
        return Random(f"{self.request.seed}/{self.redraws}").getrandbits(62)

    @property
    def can_redraw(self) -> bool:
        """Whether a candidate that nobody can use may be thrown away: unseen, and not for ever."""
        request = self.request
        return request.guarded and not request.is_seen and self.redraws < MOST_REDRAWS

    @property
    def holds_back(self) -> bool:
        """Whether the latest words are told once they were searched for facts of past letters."""
        request = self.request
        searched = request.guarded and request.is_seen and bool(request.memory)
        return searched and request.branches == 1 and request.top_logprobs is None

    @property
    def can_resume(self) -> bool:
        """Whether what was not told yet may be thrown away, and be drawn anew."""
        return self.holds_back and self.redraws < MOST_REDRAWS

    def cancel(self) -> None:
        """Say that nobody waits any more; what was drawn so far still arrives, as cancelled."""
        self.cancelled = True


def joined(beginning: Sample, drawn: Sample) -> Sample:
    """Return a whole response: no policy sampled all of it."""
    ids = beginning.token_ids + drawn.token_ids
    return Sample(beginning.text + drawn.text, ids, None, drawn.finished)


class Drafter(Protocol):
    """The engine, as the API sees it."""

    model: str
    """Name of the base model."""

    fingerprint: str
    """Of its weights."""

    has_chat_template: bool
    """Whether conversations can be drafted for."""

    needs_memory: bool
    """Whether the service learns from drafts behind a memory alone."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has as a turn of a conversation."""
        ...

    def settled(self, prompt: Prompt, template_kwargs: Mapping[str, Any]) -> Prompt:
        """Return a prompt with all that its rendering depends on, as it is drafted for and kept."""
        ...

    def check_edit(self, text: str) -> None:
        """Check that a text may be an edit. *Raises*: InputError where it holds a control token."""
        ...

    def why_not_learnable(self, prompt: Prompt, drafted: Sample, text: str) -> str | None:
        """Return why an edit of a draft could not be learned from; None where it can."""
        ...

    def submit(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> DraftJob:
        """Put a request in the queue. *Raises*: EngineBusyError, InputError, PromptTooLongError."""
        ...

    def try_adapter(self, folder: Path) -> None:
        """Load an adapter and let go of it. *Raises*: AdapterError where it does not fit."""
        ...

    @property
    def alive(self) -> bool:
        """Whether drafts can be drawn."""
        ...

    @property
    def under_way(self) -> int:
        """Requests that are waiting or being answered."""
        ...
