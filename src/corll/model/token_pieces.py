"""The bytes that single tokens stand for, so that together they make up a text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")
_SPACE = "▁"


def _byte_letters() -> dict[str, int]:
    """Return the letters by which byte-level BPE writes bytes, as GPT-2 chose them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTES = _byte_letters()


@dataclass(frozen=True)
class TokenPieces:
    """The pieces of text of a tokenizer's ids. A control token has its name."""

    tokenizer: Any

    def bytes_of(self, token_id: int, *, first: bool = False) -> bytes:
        """Return the UTF-8 bytes of a token, of a character perhaps only some.

        The `first` token of a text may lack a space that it has elsewhere.
        """
        name: str | None = self.tokenizer.convert_ids_to_tokens(token_id)
        if name is None:  # an id of the output layer's padding
            return b""
        if byte := _BYTE_TOKEN.fullmatch(name):
            return bytes([int(byte[1], 16)])
        if token_id in self._added:
            return name.encode()
        if self._is_byte_level:
            letters = [_BYTES.get(letter) for letter in name]
            return name.encode() if None in letters else bytes(b for b in letters if b is not None)
        if self._has_spaces:
            text = name.replace(_SPACE, " ")
            lacks = first and text.startswith(" ") and not self._decoded(token_id).startswith(" ")
            return text[lacks:].encode()
        return self._decoded(token_id).encode()

    def _decoded(self, token_id: int) -> str:
        text: str = self.tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
        return text

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(getattr(self.tokenizer, "added_tokens_decoder", {}))

    @cached_property
    def _is_byte_level(self) -> bool:
        vocabulary = self.tokenizer.get_vocab()
        return sum(letter in vocabulary for letter in _BYTES) > len(_BYTES) // 2 and (
            "Ġ" in vocabulary or "Ċ" in vocabulary
        )

    @cached_property
    def _has_spaces(self) -> bool:
        return any(_SPACE in token for token in self.tokenizer.get_vocab())


def name_of(piece: bytes) -> str:
    """Return how a token is called: its text, or its bytes where these are no whole characters."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)
