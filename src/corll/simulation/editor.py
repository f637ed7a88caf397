"""Step 2 of Algorithm 1 without a person: an editor that follows a rule.

A rule is given by its offences: spans of a draft that break it, each with what a person would write
there instead. Everything else follows from the offences, and is the same for every editor: the
rewrite repairs them and leaves the rest of the text to the letter, the utility counts them, and a
spoiled text has more of them.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from corll.errors import ConfigError
from corll.evaluation import question
from corll.records import Draft, messages_of
from corll.text import repair_controls, same_text

_MOST_PASSES = 1000


class Offence(NamedTuple):
    """A span of a text that breaks the rule, and what belongs there; an empty span is a gap."""

    start: int
    end: int
    replacement: str


class RuleEditor(ABC):
    """A user who edits by a rule, and whose satisfaction with a text is therefore known.

    A draft is accepted where 1 - utility is at most `tolerance`; with n offences, where n <=
    tolerance / (1 - tolerance). `error_probability` is ε, the chance that an edit makes the draft
    worse. `seed` decides the errors; an answer depends on seed, prompt and draft alone, not on the
    drafts before it. `own_words` says, by prompt, what the user writes in place of a draft that
    says nothing.
    *Raises*: ConfigError where a number is out of range.
    """

    def __init__(
        self,
        *,
        tolerance: float = 0.0,
        error_probability: float = 0.0,
        seed: int = 0,
        own_words: Mapping[str, str] | None = None,
    ) -> None:
        shares = {"tolerance": tolerance, "error_probability": error_probability}
        for name, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} must lie in [0, 1], not {value}.")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigError(f"seed must be a whole number, not {seed!r}.")
        self.tolerance = tolerance
        self.error_probability = error_probability
        self.seed = seed
        self.own_words = own_words or {}

    @abstractmethod
    def find_offences(self, text: str) -> Iterable[Offence]:
        """Find what breaks the rule, most important first; of two that overlap the first counts.

        The repair of all of them must bring the text closer to one without offences.
        """

    @abstractmethod
    def find_spoilings(self, text: str) -> Iterable[str]:
        """Propose texts with one local change for the worse, the most natural first."""

    def has_content(self, text: str) -> bool:
        """Return whether a text says anything: whether it holds a letter or a digit."""
        return any(character.isalnum() for character in text)

    def rewrite(self, text: str) -> str:
        """Repair every offence of a text; return an empty text where nothing of it is left.

        The function is idempotent: a rewritten text has no offences.
        """
        text = repair_controls(text)
        for _ in range(_MOST_PASSES):
            if not self.has_content(text):
                return ""
            offences = self._offences(text)
            if not offences:
                return text
            text = repaired(text, offences)
        raise AssertionError(f"{type(self).__name__} undoes its own repairs: {text!r}")

    def utility(self, text: str) -> float:
        """Return 1 / (1 + the number of offences), which is 1 where there is nothing to fix.

        It is 0 for a text of which the rewrite leaves nothing, such as a blank one.
        """
        if not self.rewrite(text):
            return 0.0
        return 1.0 / (1.0 + len(self._offences(repair_controls(text))))

    def spoil(self, text: str) -> str:
        """Make one local change for the worse; return the text where no change is worse."""
        utility = self.utility(text)
        for spoiled in map(repair_controls, self.find_spoilings(repair_controls(text))):
            if self.utility(spoiled) < utility:
                return spoiled
        return text

    def edit(self, draft: Draft) -> str | None:
        """Return the rewritten draft, or the draft itself where it is good enough.

        Where a draft says nothing that the editor could keep, the answer is the user's own words,
        by the same rule; it is None, which is no feedback, for a prompt to which they have none.
        Errors are edits, so a draft that is accepted is never spoiled.
        """
        text = draft.text
        rewritten = self.rewrite(text)
        if not rewritten:
            return self.rewrite(self.own_words.get(question(draft.prompt), "")) or None
        if 1.0 - self.utility(text) <= self.tolerance or same_text(text, rewritten):
            return text
        if self._chance(draft) < self.error_probability:
            return self.spoil(text)
        return rewritten

    def _offences(self, text: str) -> list[Offence]:
        """Return the offences that count, in order and without overlaps."""
        chosen: list[Offence] = []
        for offence in self.find_offences(text):
            if all(not _overlap(offence, other) for other in chosen):
                chosen.append(offence)
        return sorted(chosen)

    def _chance(self, draft: Draft) -> float:
        """Draw a number in [0, 1) from (seed, prompt, text of the draft) by hashing."""
        content = messages_of(draft.prompt)
        plain = content if isinstance(content, str) else [dict(message) for message in content]
        key = json.dumps([self.seed, plain, draft.text], sort_keys=True)
        digest = hashlib.sha256(key.encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


def _overlap(first: Offence, second: Offence) -> bool:
    if (first.start, first.end) == (second.start, second.end):
        return True
    return first.start < second.end and second.start < first.end


def repaired(text: str, offences: Iterable[Offence]) -> str:
    """Return a text with what belongs there in place of offences, which stand in order."""
    parts, position = [], 0
    for offence in offences:
        parts += [text[position : offence.start], offence.replacement]
        position = offence.end
    return "".join(parts) + text[position:]
