"""The sender's own words in a mail: its text without quotes, signatures and footers.

Quotes are lines with ">", the line that announces them ("On Monday, Anna wrote:"), what stands
without marks under such a line, and all that stands under "-----Original Message-----" or a
repeated header, as Outlook writes them. A signature begins at a line "-- ".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from corll.past_texts.mail_marks import (
    QUOTE,
    announcement_above,
    announcement_at,
    footer_length,
    header_length,
    is_of_device,
    is_rule,
    names_original,
)

_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_ARMOURED = re.compile(r"-----(BEGIN|END) PGP [A-Z ,/0-9]{1,60}-----")


def own_words(body: str) -> str:
    """Return the text without quotes and their announcements, signatures, footers and armour."""
    kept: list[str] = []
    in_quote = False
    for line in _before_copy(_without_armour(body.split("\n"))):
        if _ends_text(line):
            break
        quoted = QUOTE.match(line) is not None
        if quoted and not in_quote:
            _drop_announcement(kept)
            # A paragraph ends where a quote stood.
            kept.append("")
        if not quoted:
            kept.append(line.rstrip())
        in_quote = quoted
    _drop_footers(kept)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def quoted_words(body: str) -> str:
    """Return what the mail quotes, in the words of whom it answers, without quotes of quotes."""
    lines = body.split("\n")
    quoted = [QUOTE.sub("", line, count=1) for line in lines if QUOTE.match(line)]
    if not quoted:
        quoted = lines[len(_before_copy(lines)) :]
    return own_words("\n".join(_without_heading(quoted)))


def _without_heading(lines: list[str]) -> list[str]:
    """Return a quote without what a program put above the mail: rules, who wrote it, its header."""
    start = 0
    while start < len(lines):
        rest = lines[start : start + 10]
        if not rest[0].strip() or is_rule(rest[0]):
            start += 1
        elif length := announcement_at(rest, 0) or header_length(rest, sender_first=False):
            start += length
        else:
            break
    return lines[start:]


def _before_copy(lines: list[str]) -> list[str]:
    """Return the lines before the mail that is copied under this one without marks."""
    for index, line in enumerate(lines):
        if (
            names_original(line)
            or header_length(lines[index : index + 10], sender_first=True)
            or _announces_unmarked(lines, index)
        ):
            before = lines[:index]
            while before and (not before[-1].strip() or is_rule(before[-1])):
                before.pop()
            return before
    return lines


def _announces_unmarked(lines: list[str], index: int) -> bool:
    """Return whether a quote without marks is announced; one with marks is told by these."""
    length = announcement_at(lines, index)
    if not length:
        return False
    below = range(index + length, len(lines))
    following = next((lines[place] for place in below if lines[place].strip()), "")
    return QUOTE.match(following) is None


def _without_armour(lines: list[str]) -> list[str]:
    """Return the lines without what PGP puts around a signed text, and without its other blocks.

    *Source*: RFC 9580, sections 6 and 7.
    """
    return list(_unarmoured(lines)) if any("-----BEGIN PGP" in line for line in lines) else lines


def _unarmoured(lines: list[str]) -> Iterator[str]:
    state = "outside"
    for line in lines:
        mark = line.strip()
        if mark == _SIGNED:
            state = "head"
        elif state == "head":
            state = "text" if not mark else state
        elif mark == _SIGNATURE or (state == "outside" and _begins_block(mark)):
            state = "block"
        elif state == "block":
            state = "outside" if mark.startswith("-----END PGP") else state
        else:
            yield line.removeprefix("- ") if state == "text" else line


def _begins_block(mark: str) -> bool:
    return mark.startswith("-----BEGIN") and _ARMOURED.fullmatch(mark) is not None


def _ends_text(line: str) -> bool:
    # Many programs strip the space of "-- ".
    return line.rstrip() == "--" and not line.startswith(" ")


def _drop_announcement(lines: list[str]) -> None:
    """Take "On Monday, Anna wrote:" off the end, even where it is broken into lines."""
    _drop_blank(lines)
    if length := announcement_above(lines):
        del lines[-length:]


def _drop_footers(lines: list[str]) -> None:
    """Take what programs write under a mail off the end: a list's footer, and a phone's line."""
    _drop_blank(lines)
    if length := footer_length(lines):
        del lines[-length:]
        _drop_blank(lines)
    while lines and is_of_device(lines[-1]):
        lines.pop()
        _drop_blank(lines)


def _drop_blank(lines: list[str]) -> None:
    while lines and not lines[-1].strip():
        lines.pop()
