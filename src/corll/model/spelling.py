"""Ids that spell a text to the letter, and where in the text each of them ends.

Tokenizers are lossy in small ways: a dummy space before the first word that decoding takes off
again, a normal form of Unicode, characters that stand for others. Whatever is spelled here is
decoded first, and another spelling is tried where it does not give the text.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from tokenizers.pre_tokenizers import ByteLevel

Decode = Callable[[Sequence[int]], str]

log = logging.getLogger(__name__)

_CUT_SHORT = "\N{REPLACEMENT CHARACTER}"
_DUMMY_SPACE = "▁"
_BYTE_TOKEN = re.compile("<0x[0-9A-F]{2}>")


class Spelling(NamedTuple):
    """Ids, and for each of them whether a pre-token begins with it: a word, more or less."""

    ids: tuple[int, ...]
    begins_word: tuple[bool, ...]

    def after(self, count: int) -> Spelling:
        """Return the spelling without its first ids."""
        return Spelling(self.ids[count:], self.begins_word[count:])


@dataclass(frozen=True)
class Speller:
    """Spells the texts of responses in a tokenizer's ids.

    `before` is a prompt after which responses begin, "" where that is not known; `space` is what
    stands between it and a response that is part of the prompt's text.
    """

    tokenizer: Any
    before: str = ""
    space: str = ""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; control tokens have none."""
        shown = [token_id for token_id in ids if token_id not in self.control_ids]
        text: str = self.tokenizer.decode(shown, clean_up_tokenization_spaces=False)
        return text

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """The ids of what the tokenizer calls special, whether or not it has a name for it.

        Byte tokens are text, though tokenizers exist that list them there too.
        """
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        special = {i for i, token in added.items() if token.special}
        named = set(self.tokenizer.all_special_ids)
        texts = {i: str(self.tokenizer.convert_ids_to_tokens(i)) for i in special | named}
        return frozenset(i for i, text in texts.items() if not _BYTE_TOKEN.fullmatch(text))

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids that the tokenizer itself gives a text, with nothing added."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def spell(self, text: str, *, like: Sequence[int] = ()) -> Spelling:
        """Return ids that decode to a text exactly, as the tokenizer spells it after a prompt.

        Whether they begin with the dummy space of a SentencePiece model goes by the ids `like`. A
        text that no ids of this tokenizer spell gets those that the tokenizer gives it.
        """
        wanted = self._has_dummy_space(like) if like else None
        found: Spelling | None = None
        for spelling in self._candidates(text):
            if self.decode(spelling.ids) != text:
                continue
            if wanted is None or self._has_dummy_space(spelling.ids) == wanted:
                return spelling
            found = found or spelling
        return found or self._repaired(text) or self._encoded(text)

    def ends(self, ids: Sequence[int]) -> list[int | None] | None:
        """Return where in the text of `ids` each of them ends; None for one inside a character.

        Return None in place of a list where the text is not made of pieces one after another.
        """
        whole = self.decode(ids)
        pieces = self._alone(ids)
        if "".join(pieces) == whole and not any(_CUT_SHORT in piece for piece in pieces):
            return list(accumulate(map(len, pieces)))
        for start_of_window in (_last_piece, _beginning):
            ends = self._ends(ids, whole, start_of_window)
            if ends is not None:
                return ends
        return None

    def _alone(self, ids: Sequence[int]) -> list[str]:
        """Return the text that each id has by itself."""
        known = self._pieces
        for token_id in ids:
            if token_id not in known:
                known[token_id] = self.decode([token_id])
        return [known[token_id] for token_id in ids]

    @cached_property
    def _pieces(self) -> dict[int, str]:
        return {}

    def _ends(
        self, ids: Sequence[int], whole: str, start_of_window: Callable[[int], int]
    ) -> list[int | None] | None:
        """Return the ends, each found in a window of ids that begins at a piece before."""
        ends: list[int | None] = []
        settled, start, read, before = 0, 0, 0, ""
        for count in range(1, len(ids) + 1):
            text = self.decode(ids[start:count])
            if count < len(ids) and text.endswith(_CUT_SHORT):
                ends.append(None)
                continue
            piece = text[len(before) :]
            if not (text.startswith(before) and whole.startswith(piece, settled)):
                return None
            settled += len(piece)
            ends.append(settled)
            start, read = start_of_window(read), count
            before = self.decode(ids[start:read])
        return ends if settled == len(whole) else None

    def _candidates(self, text: str) -> Iterator[Spelling]:
        """Yield spellings of a text, the most natural first; not all of them decode to it."""
        if self.before:
            yield from self._continued(self.before.rstrip(" "), self.space + text)
            yield from self._continued(self.before, text)
        yield self._encoded(text)
        yield from self._continued("\n", text)
        yield self._encoded(" " + text)

    def _continued(self, before: str, text: str) -> Iterator[Spelling]:
        """Yield the ids of a text after another one, where no id is of both."""
        first, both = self.encode(before), self._encoded(before + text)
        if both.ids[: len(first)] == first:
            yield both.after(len(first))

    def _encoded(self, text: str) -> Spelling:
        encoding = self.tokenizer(text, add_special_tokens=False)
        ids = tuple(encoding["input_ids"])
        if not self._splits_words:
            return Spelling(ids, (True,) * len(ids))
        words = encoding.word_ids()
        return Spelling(ids, tuple(n == 0 or words[n - 1] != words[n] for n in range(len(ids))))

    @cached_property
    def _splits_words(self) -> bool:
        """Whether the tokenizer cuts texts into words first; SentencePiece's mostly do not."""
        if not self.tokenizer.is_fast:
            return False
        return len(set(self.tokenizer("a b c", add_special_tokens=False).word_ids())) > 1

    def _has_dummy_space(self, ids: Sequence[int]) -> bool:
        if not ids:
            return False
        return str(self.tokenizer.convert_ids_to_tokens(ids[0])).startswith(_DUMMY_SPACE)

    def _repaired(self, text: str) -> Spelling | None:
        """Return the tokenizer's spelling with bytes in place of what it does not give back."""
        spelled = [self._bytes_of(text), self._bytes_of(" " + text)]
        spellings = [Spelling(ids, (True,) * len(ids)) for ids in spelled]
        if self.tokenizer.is_fast:
            spellings.insert(0, self._with_bytes(text))
        return next((one for one in spellings if self.decode(one.ids) == text), None)

    def _with_bytes(self, text: str) -> Spelling:
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spelling, offsets = self._encoded(text), encoding["offset_mapping"]
        ids: list[int] = []
        begins: list[bool] = []
        if not offsets:  # its normal form is empty
            return spelling
        # Ids that share a character, such as its bytes, are one piece.
        firsts = [n for n, (start, _) in enumerate(offsets) if n == 0 or start >= offsets[n - 1][1]]
        for first, following in zip(firsts, [*firsts[1:], len(offsets)], strict=True):
            start = 0 if first == 0 else offsets[first][0]
            end = len(text) if following == len(offsets) else offsets[following][0]
            piece = spelling.ids[first:following]
            context = ids[-1:]
            if self.decode([*context, *piece]) != self.decode(context) + text[start:end]:
                piece = self._bytes_of(text[start:end]) or piece
            ids += piece
            begins += [spelling.begins_word[first], *(False for _ in piece[1:])]
        return Spelling(tuple(ids), tuple(begins))

    def _bytes_of(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text's bytes, one each; none where the tokenizer has no bytes."""
        vocabulary = self._vocabulary
        of_bytes = tuple(vocabulary.get(f"<0x{byte:02X}>", -1) for byte in text.encode())
        if -1 not in of_bytes:
            return of_bytes
        pieces = _BYTES.pre_tokenize_str(text)
        letters = tuple(vocabulary.get(letter, -1) for piece, _ in pieces for letter in piece)
        return () if -1 in letters else letters

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return dict(self.tokenizer.get_vocab())


_BYTES = ByteLevel(add_prefix_space=False, use_regex=False)
"""Writes each byte of a text as one letter, as byte-level BPE does."""


_ANY_TEXT = "Dear Ms Lopez,\nit’s 3 €."
"""A text with what is in many: capitals, a new line, and characters beyond ASCII."""


def warn_of_losses(speller: Speller) -> None:
    """Say in the log where a tokenizer has no ids for what is in many texts."""
    if (spelled := speller.decode(speller.spell(_ANY_TEXT).ids)) != _ANY_TEXT:
        log.warning(
            "This model's tokenizer does not spell every text: %r is learned as %r.",
            _ANY_TEXT,
            spelled,
        )


def is_unspaced(character: str) -> bool:
    """Say whether a character is a letter without case: many such scripts put no spaces."""
    return unicodedata.category(character) == "Lo"


def _last_piece(read: int) -> int:
    return read


def _beginning(read: int) -> int:
    return 0
