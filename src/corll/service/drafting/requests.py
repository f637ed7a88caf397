"""What is asked of the drafting engine, and what it tells while it works. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from corll.config import AdjustedSampling, CoactiveConfig, SamplingConfig
from corll.errors import AdapterError, CorllError
from corll.memory.exchanges import Exchange, with_memory
from corll.memory.leaks import Leak, LeakFinder, OwnFrame
from corll.records import Prompt, Sample
from corll.service.drafting.fairness import NOBODY, Owner

NOTHING_OWN = OwnFrame()

MOST_REDRAWS = 2
"""How often a candidate that nobody can use is drawn anew."""

_SECONDS_TO_START = 10
"""After so many seconds a service that is started again may answer."""


class EngineBusyError(CorllError, RuntimeError):
    """A draft would wait too long, or no more may wait. *Units*: `retry_after` in seconds."""

    def __init__(self, retry_after: int, reason: str = "Too many drafts are waiting") -> None:
        super().__init__(f"{reason}; ask again in {retry_after} s.")
        self.retry_after = retry_after

    @classmethod
    def stopping(cls) -> EngineBusyError:
        """Return the error of a request to a service that is being stopped."""
        return cls(_SECONDS_TO_START, "The service is stopping")


class NobodyWaitsError(CorllError):
    """Whoever asked for a draft has gone before any of it was drawn."""

    def __init__(self) -> None:
        super().__init__("Nobody waits for this draft any more.")


WAS_ERASED = "The version that was to draft saw a text that was deleted; ask again."


class VersionGoneError(AdapterError):
    """The version that was to draft went meanwhile; who asks again gets the one that serves."""


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A version of a user's adapter: what it is called, and where it lies.

    `reference` is the folder of the adapter that is its π_0, None where that is the base. A
    reference that itself drafts is its own. The folder must be that of the manifest with
    `manifest_sha256`, and the weights of the reference those with the SHA-256 `fingerprint`; None
    where it is not known.
    """

    id: str
    folder: Path
    reference: Path | None = None
    manifest_sha256: str | None = None
    fingerprint: str | None = None

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
    says which of its candidates are shown. None: the engine draws. `owner` takes turns with others.
    `adjustments` are penalties and biases, by the names that `AdjustedSampling` has for them.
    `prompt_ids` are drafted for in place of those that the prompt is encoded as. `tells_end` says
    that log-probabilities hold that of a token that ended a text.
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
    owner: Owner = NOBODY
    adjustments: Mapping[str, Any] = field(default_factory=dict)
    prompt_ids: tuple[int, ...] | None = None
    tells_end: bool = False

    @property
    def whole_prompt(self) -> Prompt:
        """The prompt behind its memory, as it is drafted for."""
        return with_memory(self.prompt, self.memory)

    @property
    def sampling(self) -> SamplingConfig:
        """How each response is drawn."""
        plain = self.config.sampling
        if not self.adjustments:
            return plain
        return AdjustedSampling(**plain.model_dump(), **self.adjustments)

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
    """A token, its log-probability, the bytes of its text, and the likeliest ones in its place.

    It is among these, where there are any. The log-probability is None for what nothing precedes.
    *Units*: nats, of the full distribution at temperature 1.
    """

    token: str
    logprob: float | None
    bytes: bytes
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """The beginning of a request's drawing; again where it is drawn anew. *Units*: seconds."""

    waited: float


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


DraftEvent: TypeAlias = Begun | Delta | Progress | Drawn | Failed


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
    arrived: float = field(default=0.0, init=False)
    cancelled: bool = field(default=False, init=False)
    kept: list[Candidate] = field(default_factory=list, init=False)
    redraws: int = field(default=0, init=False)
    thrown_away: int = field(default=0, init=False)
    leaking: set[str] = field(default_factory=set, init=False)
    seen: Sample | None = field(default=None, init=False)
    _finder: tuple[DraftRequest, LeakFinder] | None = field(default=None, init=False)

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return self.request.owner

    @cached_property
    def sampling(self) -> SamplingConfig:
        """How each response is drawn: asked for once, since it is compared often."""
        return self.request.sampling

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, and of what a response began with."""
        return len(self.prompt_ids) - self.seen_tokens

    @property
    def max_new_tokens(self) -> int:
        """Most tokens that are still to be drawn of each candidate."""
        return self.request.max_new_tokens - self.seen_tokens

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
    def seen_tokens(self) -> int:
        """How many tokens were told already: the last ones of `prompt_ids`."""
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
