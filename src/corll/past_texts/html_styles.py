"""What an element of HTML does to the text in it: hides it, quotes it, keeps its spaces."""

from __future__ import annotations

import re
from dataclasses import dataclass

Attributes = dict[str, str | None]

_HIDING = re.compile(
    r"(?:^|;)(?:display:none|visibility:hidden|mso-hide:all|max-height:0(?:px|pt|em|%)?(?=;|!|$))"
)
_SIZE = re.compile(r"(?:^|;)font-size:(?P<size>[^;!]{1,30})|(?:^|;)font:(?P<font>[^;!]{1,100})")
_NUMBER = re.compile(r"(\d*\.?\d+)(px|pt|em|rem|ex|%|mm|cm|vw)?")
_SPACES = re.compile(r"(?:^|;)white-space:(pre|break-spaces)?")
# What Gmail writes for a text that is moved to the right.
_INDENT = re.compile(r"margin:(?:0|0px)(?:0|0px)(?:0|0px)40px;border:none")

# Mail programs put a word of their own before names in a mail that they show.
_QUOTING = re.compile(
    r"(?:x_)*(?:ydp\w{0,40}?)?(?:gmail_quote|gmail_quote_container|yahoo_quoted|protonmail_quote|"
    r"zmail_extra|moz-forward-container|mail-editor-reference-message-container|"
    r"OLK_SRC_BODY_SECTION|messageReplySection)"
)
"""Classes, ids and names of what Gmail, Yahoo, Proton, Zoho, Thunderbird, Outlook, Spark quote."""
_BELOW = frozenset({"appendonsend", "divRplyFwdMsg"})
"""Ids of what Outlook puts above the mail that is answered."""
_SIGNING = frozenset(
    {
        "gmail_signature",
        "moz-signature",
        "AppleMailSignature",
        "messageSignatureSection",
        "protonmail_signature_block",
        "ms-outlook-mobile-signature",
        "Signature",
    }
)
"""Classes, ids and names of signatures; "Signature" is Outlook's."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of an element on its text; None is as its surroundings do."""

    hides: bool = False
    signs: bool = False
    quotes: bool = False
    quotes_what_follows: bool = False
    is_indented: bool = False
    is_shrunk: bool | None = None
    keeps_spaces: bool | None = None

    @property
    def is_any(self) -> bool:
        """Whether it does anything."""
        return self != Effect()


def effect_of(tag: str, attributes: Attributes) -> Effect:
    """Return what a tag and its attributes do to the text in it."""
    keeps = True if tag == "pre" else None
    if not attributes:
        return Effect(keeps_spaces=keeps)
    style = "".join((attributes.get("style") or "").lower().split())
    names = {*(attributes.get("class") or "").split(), attributes.get("id") or ""}
    if tag in ("div", "span", "section"):
        names.add(attributes.get("name") or "")
    spaces = _SPACES.search(style)
    is_division = tag in ("div", "span", "section")
    return Effect(
        hides="hidden" in attributes or _HIDING.search(style) is not None,
        signs=not _SIGNING.isdisjoint(names),
        quotes=is_division
        and (any(map(_QUOTING.fullmatch, names)) or attributes.get("name") == "quote"),
        quotes_what_follows=not _BELOW.isdisjoint(names),
        is_indented=tag == "blockquote" and _INDENT.search(style) is not None,
        is_shrunk=False if tag == "font" and "size" in attributes else _is_shrunk(style),
        keeps_spaces=keeps if spaces is None else spaces[1] is not None,
    )


def _is_shrunk(style: str) -> bool | None:
    """Return whether the size of letters is 0; None where it is not said or is a share of it."""
    found = _SIZE.search(style)
    if found is None:
        return None
    said = found["size"] or found["font"]
    number = _NUMBER.match(said) if found["size"] else _NUMBER.search(said)
    if number is None:
        # "small", "larger", a variable
        return False if found["size"] else None
    if float(number[1]) == 0:
        return True if found["size"] else None
    return None if number[2] in ("em", "%", "ex") else False
