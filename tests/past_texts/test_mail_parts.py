"""The text of a mail's parts: which of them is the mail, and what its bytes say."""

from __future__ import annotations

from email import message_from_bytes

import pytest

from corll.past_texts.mail_parts import body_of

ANSWER = "Yes, Friday works for me, at ten."


def body(content: bytes, *fields: str) -> str:
    return body_of(message_from_bytes("\n".join([*fields, "", ""]).encode() + content))


def in_parts(kind: str, *parts: tuple[str, str]) -> str:
    texts = "".join(f"--B\nContent-Type: {each}\n\n{text}\n" for each, text in parts)
    return body(f"{texts}--B--\n".encode(), f"Content-Type: multipart/{kind}; boundary=B")


@pytest.mark.parametrize(
    "placeholder",
    [
        "This message is in HTML format. Your mail client does not support it.",
        "Your email client does not support HTML messages",
        "This is a multi-part message in MIME format.",
        "If you can't read this email, please view it online: http://x",
        "[cid:image001.png@01D]",
    ],
)
def test_html_is_taken_where_the_plain_part_only_says_so(placeholder: str) -> None:
    html = f"<p>{ANSWER}</p>"
    assert in_parts("alternative", ("text/plain", placeholder), ("text/html", html)) == ANSWER
    # The same words are the mail where the HTML says them too.
    both = ("text/plain", placeholder), ("text/html", f"<p>{placeholder}</p>")
    assert in_parts("alternative", *both) == placeholder


def test_a_plain_part_that_holds_html_is_read_as_html() -> None:
    page = f"<html><body><p>{ANSWER}</p></body></html>"
    assert body(page.encode(), "Content-Type: text/plain") == ANSWER
    assert body(b"a <b> c", "Content-Type: text/plain") == "a <b> c"


def test_the_same_text_in_two_forms_is_taken_once() -> None:
    parts = ("text/plain", ANSWER), ("text/html", f"<p>{ANSWER}</p>")
    assert in_parts("mixed", *parts) == ANSWER


@pytest.mark.parametrize(
    ("text", "codec", "said"),
    [
        ("It’s “ok” – 5 €", "cp1252", "iso-8859-1"),
        ("Grüße € ’", "utf-8", "iso-8859-1"),
        ("Grüße", "utf-8", "windows-1252"),
        ("好的，朱镕基。", "gbk", "gb2312"),
        ("はい①", "cp932", "shift_jis"),
        ("はい、①金曜。", "iso2022_jp_3", "iso-2022-jp"),
        ("네, 뷁 좋아요", "cp949", "ks_c_5601-1987"),
        ("好，恒生", "big5hkscs", "big5"),
        ("ใช่", "cp874", "windows-874"),
        ("שלום", "iso-8859-8", "iso-8859-8-i"),
        ("Да, хорошо", "koi8-r", "koi8-r"),
    ],
)
def test_charsets_as_programs_say_them(text: str, codec: str, said: str) -> None:
    assert body(text.encode(codec), f"Content-Type: text/plain; charset={said}") == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            b"Gr\xc3\xbc\xc3\x9fe aus K\xc3\xb6ln, \xff sch\xc3\xb6n.",
            "Grüße aus Köln, \ufffd schön.",
        ),
        ("Schöne Grüße".encode("latin-1"), "Schöne Grüße"),
    ],
)
def test_a_bad_byte_spoils_no_mail(content: bytes, text: str) -> None:
    assert body(content, "Content-Type: text/plain; charset=utf-8") == text


def test_a_charset_that_only_html_says() -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r"><p>Да</p>'
    assert body(page.encode("koi8-r"), "Content-Type: text/html") == "Да"


def test_an_encoding_with_a_space_or_a_comment_behind_it() -> None:
    for encoding in ("base64 ", "base64 (x)"):
        assert body(b"WWVzLg==", f"Content-Transfer-Encoding: {encoding}") == "Yes."


def test_what_is_not_seen_is_left_out() -> None:
    assert body("\u200bYe\u00ads.\u200b\ufeff".encode()) == "Yes."
