"""Measures of an edit: what it cost, what it kept, whether a text repeats itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from os.path import commonprefix
from typing import Any, Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

from corll.moved import from_elsewhere

# Words that carry no content of their own. The second group only gives instructions: it keeps
# "write a short reply of two sentences" from counting as content that a reply must repeat.
_FUNCTION_WORDS = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each either else ever few for from
    further had has have having he her here hers him his how i if in into is it its itself just
    let me more most my myself no nor not now of off on once only or other our ours out over own
    per same shall she should so some such than that the their theirs them then there these they
    this those through to too under until up upon us very was we were what when where which while
    who whom why will with would you your yours
    ain't can't cannot couldn't didn't doesn't don't hadn't hasn't haven't he's i'd i'll i'm i've
    isn't it's let's she's shouldn't that's there's they're they've wasn't we'd we'll we're we've
    weren't what's won't wouldn't you'd you'll you're you've
    """.split()
)
_INSTRUCTION_WORDS = frozenset(
    """
    answer brief briefly compose draft email keep letter line lines mail message note paragraph
    please reply respond response review sentence sentences short text three two write
    """.split()
)
_MOST_PAIRS = 400_000_000
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def edit_cost(draft: str, edited: str) -> float:
    """Return the Levenshtein distance over the length of the edit.

    *Units*: character operations per character of the edit; 0 for an acceptance. It exceeds 1
    where more was deleted than remains.
    """
    return Levenshtein.distance(draft, edited) / max(len(edited), 1)


def content_words(text: str) -> frozenset[str]:
    """Return the distinct content words of a text: lower case, plain plurals and tenses folded."""
    words = (word.replace("’", "'").lower() for word in _WORD.findall(text))
    return frozenset(
        _stem(word)
        for word in words
        if word not in _FUNCTION_WORDS and word not in _INSTRUCTION_WORDS
    )


def content_kept(source: str, text: str) -> float:
    """Return the share of the content words of `source` that `text` still holds; 1 if it has none.

    With a draft and its edit it says what the editor left standing; with a prompt and a draft it
    says how much of what was asked the draft still speaks of, so that edits saved by empty text
    do not pass for learning.
    """
    wanted = content_words(source)
    return len(wanted & content_words(text)) / len(wanted) if wanted else 1.0


def distinct_2(text: str) -> float:
    """Return distinct word pairs over word pairs: near 1 for prose, near 0 for repetition.

    A text of fewer than two words has no pair, hence 0: it says nothing.
    *Source*: Li et al. 2016 (arXiv 1510.03055).
    """
    words = [word.lower() for word in _WORD.findall(text)]
    pairs = list(pairwise(words))
    return len(set(pairs)) / len(pairs) if pairs else 0.0


class Change(NamedTuple):
    """A run of text that an edit kept, deleted or inserted."""

    kind: Literal["keep", "delete", "insert"]
    text: str


def word_diff(draft: str, edited: str) -> Iterator[Change]:
    """Yield what turns `draft` into `edited`, word by word; kept and inserted make the edit."""
    before, after = _words_and_spaces(draft), _words_and_spaces(edited)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for operation, a0, a1, b0, b1 in matcher.get_opcodes():
        if operation == "equal":
            yield Change("keep", "".join(before[a0:a1]))
            continue
        if a1 > a0:
            yield Change("delete", "".join(before[a0:a1]))
        if b1 > b0:
            yield Change("insert", "".join(after[b0:b1]))


class Stretch(NamedTuple):
    """What draft and edit share: where it begins in each, and how long it is."""

    in_draft: int
    in_edit: int
    length: int


def shared_stretches(draft: str, edited: str) -> list[Stretch]:
    """Return what two texts share, in order: beginning and end first, then the most between.

    Where much is between in both, that is not looked at: a byte is taken for four pairs of theirs.
    """
    beginning = len(commonprefix([draft, edited]))
    rest, edited_rest = draft[beginning:], edited[beginning:]
    end = len(commonprefix([rest[::-1], edited_rest[::-1]]))
    rest, edited_rest = rest[: len(rest) - end], edited_rest[: len(edited_rest) - end]
    stretches = [Stretch(0, 0, beginning)]
    if len(rest) * len(edited_rest) <= _MOST_PAIRS:
        between = Levenshtein.editops(rest, edited_rest).as_matching_blocks()
        stretches += [Stretch(beginning + b.a, beginning + b.b, b.size) for b in between]
    stretches.append(Stretch(len(draft) - end, len(edited) - end, end))
    return [one for one in stretches if one.length]


def shared_runs(draft: Sequence[int], edit: Sequence[int]) -> list[Stretch]:
    """Return the runs of ids that two texts share, in order: the common beginning first."""
    beginning = len(commonprefix([list(draft), list(edit)]))
    matcher = SequenceMatcher(None, draft[beginning:], edit[beginning:], autojunk=False)
    runs = [Stretch(0, 0, beginning)]
    runs += [
        Stretch(beginning + b.a, beginning + b.b, b.size) for b in matcher.get_matching_blocks()
    ]
    return [one for one in runs if one.length]


def _words_and_spaces(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)


def _stem(word: str) -> str:
    """Fold plain inflections: Harman's S-stemmer with -ing and -ed, never below 3 letters."""
    word = word.removesuffix("'s")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for suffix, least in (("ing", 6), ("ed", 5), ("es", 5), ("s", 4)):
        if word.endswith(suffix) and not word.endswith("ss") and len(word) >= least:
            word = word[: -len(suffix)]
            break
    return word.removesuffix("e") if len(word) > 3 else word


def __getattr__(name: str) -> Any:
    return from_elsewhere(__name__, name)
