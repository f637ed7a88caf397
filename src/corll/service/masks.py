"""Which mask a user's texts have, and what of an edit it hides from the learner."""

from __future__ import annotations

from sqlalchemy import Connection

from corll.memory.masking import Mask, masked
from corll.service.store import accounts, lineages
from corll.service.store.accounts import User
from corll.service.store.drafts import EditRow
from corll.service.store.preferences import PreferenceRow

DISTIL_SEES_ALL = (
    "the learner distil learns what a memory says, and would learn to write placeholders: nothing "
    "can be masked"
)
"""Why nothing can be masked for the learner `distil`: its teacher would write placeholders."""


def mask_of(user: User | None, default: Mask) -> Mask:
    """Return what a user chose to have masked, else what the service is set to."""
    return default if user is None or user.mask is None else user.mask


def masked_words(
    db: Connection, edit: EditRow, expressed: PreferenceRow | None, default: Mask
) -> tuple[str, ...]:
    """Return the words of an edit that its learner does not see, in order.

    `expressed` is the preference that it expressed. Of a learned edit these are the words that were
    masked then; of one that waits, those that are by what its user has chosen now. Nothing is
    masked of what is not learned.
    """
    if expressed is None or expressed.state not in ("waiting", "learned"):
        return ()
    mask = mask_of(accounts.find_user(db, edit.user_id), default)
    if expressed.version_id is not None:
        version = lineages.find_version(db, expressed.version_id)
        recipe = {} if version is None or version.recipe is None else version.recipe
        mask = recipe.get("masks", {}).get(expressed.id, "none")
    return tuple(part.words for part in masked(edit.text, mask).parts)
