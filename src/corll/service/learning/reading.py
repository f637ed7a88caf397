"""What is learned from, read out of the store: preferences as the learner takes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from corll.errors import InputError
from corll.frames import Framing
from corll.gradient import encode_pair
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange
from corll.memory.masking import Mask
from corll.policy import Policy
from corll.records import Preference, ReferenceLogprobs, Sample
from corll.service.learning.masks import masked_preference
from corll.service.masks import mask_of
from corll.service.prompts import as_prompt
from corll.service.store import accounts, comparisons, drafts, preferences
from corll.service.store.database import Database
from corll.service.store.drafts import Origin
from corll.service.store.preferences import PreferenceRow
from corll.service.store.remembered import still_remembered


def _nothing_more(_: Preference) -> None:
    """Take a preference that can be encoded."""


class PreferenceReader:
    """Reads stored preferences as a base model's token ids; `base` lends its tokenizer.

    `mask` is what is masked of users who did not choose.
    """

    def __init__(self, base: Policy, database: Database, mask: Mask = "none") -> None:
        self.base, self.database, self._mask = base, database, mask

    def mask_of(self, user_id: str) -> Mask:
        """Return what is masked of a user's texts before they are learned from."""
        with self.database.read() as db:
            user = accounts.find_user(db, user_id)
        return mask_of(user, self._mask)

    def find(
        self, ids: Sequence[str], check: Callable[[Preference], None] = _nothing_more
    ) -> dict[str, Preference]:
        """Return the preferences of those ids, in order, without those that cannot be used."""
        with self.database.read() as db:
            rows = preferences.find_preferences(db, ids)
        kept = [one for one in ids if one in rows]
        found = self.to_preferences([rows[one] for one in kept], check)
        pairs = zip(kept, found, strict=True)
        return {one: preference for one, preference in pairs if isinstance(preference, Preference)}

    def to_preferences(
        self,
        rows: Sequence[PreferenceRow],
        check: Callable[[Preference], None] = _nothing_more,
        mask: Mask | None = None,
    ) -> list[Preference | InputError]:
        """Return what is learned from: the draft's ids and the edit's; or why nothing can be.

        Each has the memory that its draft was drawn with: of a comparison, the rejected draft. What
        is remembered no more is missing from it. All of it is masked by `mask`, or by what its user
        chose. `check` raises InputError for a preference that its caller cannot use.
        """
        users = {row.user_id for row in rows}
        masks = {user_id: mask or self.mask_of(user_id) for user_id in users}
        with self.database.read() as db:
            preferred = comparisons.chosen_drafts(db, [row.id for row in rows])
            sides = [row.draft_id for row in rows] + list(preferred.values())
            origins = drafts.origins_of_complete(db, sides)
            memories = _memories(db, {row.draft_id for row in rows}, origins)
        found: list[Preference | InputError] = []
        for row in rows:
            chosen_draft = preferred.get(row.id, row.draft_id)
            sides_of = origins.get(row.draft_id), origins.get(chosen_draft)
            try:
                preference = self._to_preference(row, *sides_of, memories.get(row.draft_id, ()))
                preference = masked_preference(self.base.codec, preference, masks[row.user_id])
                encode_pair(self.base, preference)
                check(preference)
            except InputError as error:
                found.append(error)
            else:
                found.append(preference)
        return found

    def _to_preference(
        self,
        row: PreferenceRow,
        draft: Origin | None,
        chosen_draft: Origin | None,
        memory: tuple[Exchange, ...],
    ) -> Preference:
        """*Raises*: InputError where the edit cannot be encoded."""
        if draft is None or chosen_draft is None:
            raise InputError("A draft was cancelled before its end.")
        rejected = self._sample(row.rejected, draft)
        if "token_ids" in row.chosen:
            chosen = self._sample(row.chosen, chosen_draft)
        else:
            chosen = self.base.codec.encode_edit(rejected, row.chosen["text"])
        scored = None if row.reference is None else ReferenceLogprobs.from_dict(row.reference)
        prompt = as_prompt(row.prompt, draft.kind)
        return Preference(prompt, chosen, rejected, scored, memory)

    def _sample(self, fields: Mapping[str, Any], draft: Origin) -> Sample:
        """Return a stored sample: by its ids, or by its text where another model has drawn it.

        What an upstream drew, no policy of ours sampled: such a preference is off-policy.

        *Raises*: InputError where that text cannot be encoded.
        """
        sample = Sample.from_dict(fields)
        if drafts.holds_ids_of(self.base.base.fingerprint, draft):
            return sample
        return self.base.codec.encode_edit(replace(sample, token_ids=()), sample.text)


def _memories(
    db: Connection, draft_ids: Set[str], origins: Mapping[str, Origin]
) -> dict[str, tuple[Exchange, ...]]:
    """Return what stood before these drafts' prompts and may still stand there, by drafts."""
    drawn = {one: origin for one, origin in origins.items() if one in draft_ids and origin.memory}
    named: defaultdict[str, set[str]] = defaultdict(set)
    for origin in drawn.values():
        named[origin.user_id].update(origin.memory)
    letters = {user_id: still_remembered(db, user_id, ids) for user_id, ids in named.items()}
    return {
        draft_id: _memory_of(origin, letters[origin.user_id]) for draft_id, origin in drawn.items()
    }


def _memory_of(origin: Origin, letters: Mapping[str, Exchange]) -> tuple[Exchange, ...]:
    """Return a draft's memory: letters of its user, and examples in the words of its frame."""
    examples = {one.id: one for one in worked_examples(Framing.of(origin.asked))}
    known = {**examples, **letters}
    return tuple(known[one] for one in origin.memory if one in known)
