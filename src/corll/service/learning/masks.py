"""What is masked of a preference: placeholders on both sides, and no loss on their tokens.

The placeholders make what is learned independent of what stood there. That their tokens are left
out of all losses keeps the model from learning to write placeholders: it neither prefers nor
supervises them, and holds them to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from corll.errors import InputError
from corll.memory.masking import (
    ONLY_MASKED,
    Mask,
    MaskedText,
    masked,
    masked_exchange,
    masked_prompt,
)
from corll.model.tokens import TokenCodec
from corll.records import Preference, Response, Sample
from corll.text import same_text


def masked_preference(codec: TokenCodec, preference: Preference, mask: Mask) -> Preference:
    """Return a preference with all that it says masked, of its prompt and its memory too.

    *Raises*: InputError where both sides are the same but for what is masked, and where the
    tokenizer does not tell which tokens stand for a placeholder.
    """
    if mask == "none":
        return preference
    rejected, of_rejected = _masked_side(codec, preference.rejected, preference.rejected, mask)
    chosen, of_chosen = _masked_side(codec, preference.chosen, rejected, mask)
    if (of_chosen or of_rejected) and same_text(chosen.text, rejected.text):
        raise InputError(ONLY_MASKED)
    return replace(
        preference,
        prompt=masked_prompt(preference.prompt, mask),
        chosen=chosen,
        rejected=rejected,
        memory=tuple(masked_exchange(one, mask) for one in preference.memory),
        masked_tokens=(of_chosen, of_rejected),
    )


def _masked_side(
    codec: TokenCodec, side: Response, like: Response, mask: Mask
) -> tuple[Sample, tuple[int, ...]]:
    """Return a side with placeholders, and the places of their tokens.

    Where nothing is masked it keeps its ids; else those of `like` wherever that has its text. It
    ends as it did, or is cut as it was.
    """
    sample = codec.encode_response(side)
    found = masked(sample.text, mask)
    if not found.parts:
        return sample, ()
    spelled = codec.encode_edit(codec.encode_response(like), found.text)
    ids = _without_end(codec, spelled.token_ids)
    end = sample.token_ids[len(_without_end(codec, sample.token_ids)) :]
    kept = replace(sample, text=found.text, token_ids=(*ids, *end), logprob=None)
    return kept, _tokens_of(codec, ids, found)


def _without_end(codec: TokenCodec, ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(takewhile(lambda i: i not in codec.end_ids, ids))


def _tokens_of(codec: TokenCodec, ids: Sequence[int], found: MaskedText) -> tuple[int, ...]:
    """Return the places of all tokens that any part of a placeholder is in.

    *Raises*: InputError where the tokenizer does not tell.
    """
    ends = codec.ends_in_text(ids)
    if ends is None or codec.decode(ids) != found.text:
        raise InputError(
            "This model's tokenizer does not tell which tokens stand for what is masked, so "
            "nothing can be learned from a text that holds any."
        )
    places, start = [], 0
    for place, end in enumerate(ends):
        # A token inside a character reaches to where the next whole one ends.
        until = next((one for one in ends[place:] if one is not None), len(found.text))
        if any(start < part.end and part.start < until for part in found.parts):
            places.append(place)
        start = start if end is None else end
    return tuple(places)
