"""What is learned from, read out of the store: preferences as the learner takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from corll.errors import InputError
from corll.gradient import encode_pair
from corll.policy import Policy
from corll.records import Preference, ReferenceLogprobs, Sample
from corll.service.prompts import as_prompt
from corll.service.store import comparisons, drafts, preferences
from corll.service.store.database import Database
from corll.service.store.drafts import Origin
from corll.service.store.preferences import PreferenceRow


class PreferenceReader:
    """Reads stored preferences as a base model's token ids; `base` lends its tokenizer."""

    def __init__(self, base: Policy, database: Database) -> None:
        self.base, self.database = base, database

    def find(self, ids: Sequence[str]) -> dict[str, Preference]:
        """Return the preferences of those ids, in order, without those that cannot be read."""
        with self.database.read() as db:
            rows = preferences.find_preferences(db, ids)
        kept = [one for one in ids if one in rows]
        found = self.to_preferences([rows[one] for one in kept])
        pairs = zip(kept, found, strict=True)
        return {one: preference for one, preference in pairs if isinstance(preference, Preference)}

    def to_preferences(self, rows: Sequence[PreferenceRow]) -> list[Preference | InputError]:
        """Return what is learned from: the draft's ids and the edit's; or why nothing can be."""
        with self.database.read() as db:
            preferred = comparisons.chosen_drafts(db, [row.id for row in rows])
            sides = [row.draft_id for row in rows] + list(preferred.values())
            origins = drafts.origins_of_complete(db, sides)
        found: list[Preference | InputError] = []
        for row in rows:
            chosen_draft = preferred.get(row.id, row.draft_id)
            try:
                found.append(
                    self._to_preference(row, origins.get(row.draft_id), origins.get(chosen_draft))
                )
            except InputError as error:
                found.append(error)
        return found

    def _to_preference(
        self, row: PreferenceRow, draft: Origin | None, chosen_draft: Origin | None
    ) -> Preference:
        """*Raises*: InputError where the edit cannot be encoded, or is the draft to the id."""
        if draft is None or chosen_draft is None:
            raise InputError("A draft was cancelled before its end.")
        rejected = self._sample(row.rejected, draft)
        if "token_ids" in row.chosen:
            chosen = self._sample(row.chosen, chosen_draft)
        else:
            chosen = self.base.codec.encode_edit(rejected, row.chosen["text"])
        scored = None if row.reference is None else ReferenceLogprobs.from_dict(row.reference)
        preference = Preference(as_prompt(row.prompt, draft.kind), chosen, rejected, scored)
        encode_pair(self.base, preference)
        return preference

    def _sample(self, fields: Mapping[str, Any], draft: Origin) -> Sample:
        """Return a stored sample: by its ids, or by its text where another base has drawn it.

        *Raises*: InputError where that text cannot be encoded.
        """
        sample = Sample.from_dict(fields)
        if drafts.holds_ids_of(self.base.base.fingerprint, draft.base_fingerprint):
            return sample
        return self.base.codec.encode_edit(replace(sample, token_ids=()), sample.text)
