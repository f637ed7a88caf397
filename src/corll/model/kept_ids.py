"""An edit keeps the ids of its draft wherever it keeps the draft's text.

The edit is spelled afresh, and each stretch of the draft that stands untouched puts its sampled
ids in the place of that spelling: from the first place in the stretch where a word of the edit and
an id of the draft both begin, to the last one. So no word mixes two spellings, and what touches a
change is spelled as the tokenizer would.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from corll.edits import Stretch, shared_stretches
from corll.model.spelling import Speller, is_unspaced


class _Kept(NamedTuple):
    """Ids of the draft, from `first` to `last`, for the edit's text from `start` to `end`."""

    first: int
    last: int
    start: int
    end: int


def ids_of_edit(speller: Speller, drafted: Sequence[int], edited: str) -> tuple[int, ...]:
    """Return ids that spell an edit, with the draft's own ids wherever its text stands.

    `drafted` are the draft's ids without its end.
    """
    draft = speller.decode(drafted)
    if draft == edited:
        return tuple(drafted)
    spelling = speller.spell(edited, like=drafted)
    if speller.decode(spelling.ids) != edited:
        return spelling.ids
    draft_ends, edit_ends = speller.ends(drafted), speller.ends(spelling.ids)
    if draft_ends is None or edit_ends is None:
        return spelling.ids
    in_draft, places = _Places.of(draft_ends), _Places.of(edit_ends)
    in_edit = _word_starts(edited, places, spelling.begins_word)
    lengths = len(draft), len(edited)
    found = [
        kept
        for stretch in shared_stretches(draft, edited)
        if (kept := _kept_of(stretch, in_draft, in_edit, lengths))
    ]
    for chosen in _choices(found):
        ids = _spliced(chosen, drafted, spelling.ids, places)
        if speller.decode(ids) == edited:
            return ids
    return spelling.ids


class _Places(NamedTuple):
    """Where in a text ids begin and end: how many of them lie before each such place.

    `after` counts those too that stand there and have no text, `before` does not.
    """

    before: Mapping[int, int]
    after: Mapping[int, int]

    @classmethod
    def of(cls, ends: Sequence[int | None]) -> _Places:
        before, after = {0: 0}, {0: 0}
        for count, end in enumerate(ends, start=1):
            if end is not None:
                before.setdefault(end, count)
                after[end] = count
        return cls(before, after)


def _word_starts(text: str, places: _Places, begins_word: Sequence[bool]) -> set[int]:
    """Return where in a text a word begins and an id with it, and where the text ends.

    In a script that puts no spaces between words, each id may begin one.
    """
    return {
        place
        for place, count in places.before.items()
        if place == len(text) or begins_word[count] or is_unspaced(text[place])
    }


def _kept_of(
    stretch: Stretch, in_draft: _Places, in_edit: set[int], lengths: tuple[int, int]
) -> _Kept | None:
    """Return what of a stretch is kept, if there is a place at which to begin and one to end."""
    shift = stretch.in_edit - stretch.in_draft
    places = list(in_draft.before)
    first = bisect_left(places, stretch.in_draft)
    last = bisect_right(places, stretch.in_draft + stretch.length)
    common = [place for place in places[first:last] if place + shift in in_edit]
    # Where a text begins an id may stand for a space that is not in it; elsewhere it would be.
    starts = [place for place in common if (place == 0) == (place + shift == 0)]
    if not starts or starts[0] == common[-1]:
        return None
    start, end = starts[0], common[-1]
    at_end = (end, end + shift) == lengths
    return _Kept(
        0 if start == 0 else in_draft.after[start],
        in_draft.after[end] if at_end else in_draft.before[end],
        start + shift,
        end + shift,
    )


def _choices(found: list[_Kept]) -> Iterator[list[_Kept]]:
    """Yield all, then fewer: bytes at a seam can, rarely, make another character together."""
    yield found
    yield found[1:]
    yield found[:-1]
    yield found[:1]
    yield found[-1:]


def _spliced(
    chosen: Sequence[_Kept],
    drafted: Sequence[int],
    spelled: Sequence[int],
    places: _Places,
) -> tuple[int, ...]:
    """Return the edit's spelling with kept ids of the draft in their places."""
    ids: list[int] = []
    done = 0
    for kept in chosen:
        ids += spelled[done : places.before[kept.start]]
        ids += drafted[kept.first : kept.last]
        done = places.before[kept.end]
    return (*ids, *spelled[done:])


def same_ending(draft: str, edited: str) -> bool:
    """Say whether the edit still ends with the draft's last word."""
    return bool(draft.split()) and draft.split()[-1] == "".join(edited.split()[-1:])
