"""The text of a mail's bytes: by the charset that is said, or by a likelier one.

*Source*: the Encoding standard of WHATWG for what labels mean in practice: Latin-1 is Windows-1252,
and East Asian labels name the larger sets that programs write under them.
"""

from __future__ import annotations

import re

_CODECS = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "iso_8859-1": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "x-gbk": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "ms_kanji": "cp932",
    "euc-kr": "cp949",
    "euckr": "cp949",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "x-euc-jp": "euc-jp",
    "tis-620": "cp874",
    "unicode-1-1-utf-7": "utf-7",
    "utf8mb4": "utf-8",
    "utf8": "utf-8",
    "unknown-8bit": "utf-8",
}
_WESTERN = frozenset({"cp1252", "iso-8859-15", "iso-8859-9", "cp1254", "utf-8"})
"""Codecs that read any bytes as some text, so that UTF-8 under them is not told by an error."""
_CODE_PAGE = re.compile(r"(?:cp|windows|ibm|x-cp)-?(\d{3,5})")
_META = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w:-]{1,40})", re.IGNORECASE)
_BYTES_OF_META = 4096
# JIS X 0213 has the circled numbers and other characters that vendors added to JIS X 0208.
_JIS_0208, _JIS_0213 = b"\x1b$B", b"\x1b$(O"


def decode(content: bytes, charset: str | None) -> str:
    """Return the text of bytes; what no charset explains is U+FFFD.

    A charset that is said is taken where the bytes are possible in it, but UTF-8 before those that
    would take any bytes. Where most is UTF-8 or what is said, a few bad bytes change nothing.
    """
    codec = _codec(charset) if charset else "utf-8"
    likely = ["utf-8", codec] if codec in _WESTERN else [codec, "utf-8"]
    if codec.startswith("iso-2022-jp"):
        likely = ["iso2022_jp_ext"]
    for name in likely:
        text = _decoded(content, name, "strict")
        if text is not None:
            return text
    if _JIS_0208 in content:
        content, likely = content.replace(_JIS_0208, _JIS_0213), ["iso2022_jp_3"]
    for name in likely:
        text = _decoded(content, name, "replace")
        if text is not None and _is_mostly_read(text):
            return text
    return content.decode("cp1252", errors="replace")


def charset_of_html(content: bytes) -> str | None:
    """Return the charset that HTML says of itself, where a mail's header says none."""
    found = _META.search(content[:_BYTES_OF_META])
    return found[1].decode("ascii") if found else None


def _codec(charset: str) -> str:
    name = charset.strip().strip("'\"").lower().split("//")[0]
    name = name.removeprefix("_").removesuffix("$esc")
    page = _CODE_PAGE.fullmatch(name)
    return _CODECS.get(name, f"cp{page[1]}" if page else name)


def _decoded(content: bytes, codec: str, errors: str) -> str | None:
    try:
        return content.decode(codec, errors)
    except (LookupError, ValueError):
        return None


def _is_mostly_read(text: str) -> bool:
    """Return whether more characters beyond ASCII were read than could not be."""
    bad = text.count("\ufffd")
    beyond = sum(not character.isascii() for character in text) - bad
    return beyond > bad
