"""The sender's own words in a mail: its text without quotes, signatures and footers.

Quotes are lines with ">", the line that announces them ("On Monday, Anna wrote:"), what stands
without marks under such a line, and all that stands under "-----Original Message-----" or a
repeated header, as Outlook writes them. A signature goes from a line "-- " to the next quote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from corll.past_texts.mail_announcements import announcement_above, unmarked_announcement
from corll.past_texts.mail_footers import without_devices, without_footers
from corll.past_texts.mail_headers import (
    header_length,
    is_forwarded,
    is_introduction,
    leads_to_copy,
)
from corll.past_texts.mail_marks import NOT_QUOTED, QUOTE, bare, is_bare_rule, is_blank, is_rule

_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_ARMOURED = re.compile(r"-----(BEGIN|END) PGP [A-Z ,/0-9]{1,60}-----")
_WIDE_QUOTE = 60
"""Characters of a quoted line whose end a mail program may have broken off."""


def own_words(body: str) -> str:
    """Return the text without quotes and their announcements, signatures, footers and armour."""
    kept: list[str] = []
    in_quote = in_signature = False
    lines = _without_armour(body.split("\n"))
    lines = lines[: _copy_at(lines)]
    for index, line in enumerate(lines):
        is_quoted = QUOTE.match(line) is not None or _is_rest_of_quote(lines, index)
        if is_quoted and not in_quote:
            if not in_signature:
                _drop_announcement(kept)
            # A paragraph ends where a quote stood.
            kept.append("")
        in_signature = not is_quoted and (in_signature or _begins_signature(line))
        if not is_quoted and not in_signature:
            kept.append(line.rstrip().removeprefix(NOT_QUOTED))
        in_quote = is_quoted
    return re.sub(r"\n{3,}", "\n\n", "\n".join(without_footers(kept))).strip()


def quoted_words(body: str) -> str:
    """Return what the mail quotes, in the words of whom it answers, without quotes of quotes."""
    lines = body.split("\n")
    quoted = [QUOTE.sub("", line, count=1) for line in lines if QUOTE.match(line)]
    if not quoted:
        quoted = lines[_copy_at(lines) :]
    return own_words("\n".join(_without_heading(quoted)))


def is_forward(body: str) -> bool:
    """Return whether a text passes a mail on: "Forwarded message" stands above the copy."""
    lines = body.split("\n")
    return is_forwarded(lines[_copy_at(lines) :])


def _without_heading(lines: list[str]) -> list[str]:
    """Return a quote without what a program put above the mail: rules, who wrote it, its header."""
    start = 0
    above = ""
    while start < len(lines):
        line = lines[start]
        if is_blank(line) or is_rule(line) or is_introduction(line):
            length = 1
        else:
            length = _announced_from(lines, start) or header_length(lines, start, above=above)
        if not length:
            break
        start += length
        above = lines[start - 1]
    return lines[start:]


def _announced_from(lines: list[str], start: int) -> int:
    """Return how many lines from one on announce whose words follow."""
    for end in range(start, min(start + 4, len(lines))):
        length = unmarked_announcement(lines, end)
        if length and end + 1 - length <= start:
            return end + 1 - start
    return 0


def _copy_at(lines: list[str]) -> int:
    """Return the index at which a mail begins that is copied under this one without marks.

    What leads to it belongs to it: rules, "Begin forwarded message:".
    """
    start = len(lines)
    for index, line in enumerate(lines):
        above = lines[index - 1] if index else ""
        if leads_to_copy(lines, index) or header_length(lines, index, above=above):
            start = index
            break
        length = 0 if QUOTE.match(line) else unmarked_announcement(lines, index)
        if length and not _is_marked(lines, index + 1):
            start = index + 1 - length
            break
    else:
        return start
    while start and (
        is_blank(lines[start - 1])
        or is_bare_rule(lines[start - 1])
        or leads_to_copy(lines, start - 1)
        or is_introduction(lines[start - 1])
    ):
        start -= 1
    return start


def _is_marked(lines: list[str], start: int) -> bool:
    """Return whether the next line that says something has a quote's mark."""
    below = (place for place in range(start, len(lines)) if not is_blank(lines[place]))
    place = next(below, None)
    return place is not None and QUOTE.match(lines[place]) is not None


def _is_rest_of_quote(lines: list[str], index: int) -> bool:
    """Return whether a line was broken off the quoted one above, and lost its mark.

    Quotes stand above and below it, without a blank line; the one above is wide and no sentence
    ends with it.
    """
    if not 0 < index < len(lines) - 1 or len(lines[index - 1]) < _WIDE_QUOTE:
        return False
    above, below = lines[index - 1], lines[index + 1]
    if not QUOTE.match(above) or not QUOTE.match(below):
        return False
    return lines[index][:1].islower() and not above.rstrip().endswith((".", "!", "?", ":", "…"))


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


def _begins_signature(line: str) -> bool:
    # Many programs strip the space of "-- ".
    return bare(line).rstrip() == "--" and not line.startswith(" ")


def _drop_announcement(lines: list[str]) -> None:
    """Take "On Monday, Anna wrote:" off the end, and the line of a device above it."""
    while lines and is_blank(lines[-1]):
        lines.pop()
    if length := announcement_above(lines):
        del lines[-length:]
        del lines[len(without_devices(lines)) :]
