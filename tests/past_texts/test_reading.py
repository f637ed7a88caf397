"""Past texts: what was written is read back, mails give up their own words, faults are named."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corll.errors import InputError, RecordError
from corll.past_texts.mail_html import text_of_html
from corll.past_texts.mail_parts import body_of
from corll.past_texts.mail_words import own_words, quoted_words
from corll.past_texts.reading import PastText, read_past_texts

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
SAID = TEXTS.filter(str.strip)
CONVERSATIONS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": TEXTS}),
    min_size=1,
    max_size=3,
)
same_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)


def as_json_lines(texts: Sequence[PastText]) -> bytes:
    rows = [
        {"prompt": text.prompt, "sent": text.sent}
        | ({} if text.draft is None else {"draft": text.draft})
        for text in texts
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


class TestJsonLines:
    @same_folder
    @given(
        st.lists(
            st.builds(PastText, SAID | CONVERSATIONS, sent=SAID, draft=TEXTS | st.none()),
            min_size=1,
            max_size=4,
        ),
        st.booleans(),
    )
    def test_round_trip(self, tmp_path: Path, texts: list[PastText], packed: bool) -> None:
        path = tmp_path / ("past.jsonl.gz" if packed else "past.jsonl")
        content = as_json_lines(texts)
        path.write_bytes(gzip.compress(content) if packed else content)
        assert read_past_texts(path) == texts

    def test_what_a_frame_says_beside_the_prompt(self, tmp_path: Path) -> None:
        path = tmp_path / "past.jsonl"
        path.write_text(
            '{"prompt": "Hi", "sent": "Hello", "hint": "greet", "sign_as": null}\n'
            '{"prompt": "Hi", "sent": "Hello", "sign_as": "Bo"}\n'
        )
        told = [PastText("Hi", "Hello", hint="greet"), PastText("Hi", "Hello", sign_as="Bo")]
        assert read_past_texts(path) == told
        table = tmp_path / "past.csv"
        table.write_text("Hint,prompt,sent,Sign_as\ngreet,Hi,Hello,\n,Hi,Hello,Bo\n")
        assert read_past_texts(table) == told

    def test_parts_of_a_message_are_read_as_by_the_api(self, tmp_path: Path) -> None:
        path = tmp_path / "past.JSONL"
        parts = [{"type": "text", "text": "Is it "}, {"type": "text", "text": "ready?"}]
        path.write_text(json.dumps({"prompt": [{"role": "user", "content": parts}], "sent": "Yes"}))
        asked = [{"role": "user", "content": "Is it ready?"}]
        assert read_past_texts(path) == [PastText(asked, "Yes")]

    def test_nul_is_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / "past.jsonl"
        path.write_text(
            r'{"prompt": [{"role": "user", "content": "H\u0000i"}], "sent": "Y\u0000o"}'
        )
        assert read_past_texts(path) == [PastText([{"role": "user", "content": "Hi"}], "Yo")]

    def test_a_draft_of_null_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "past.jsonl"
        path.write_text('{"prompt": "Hi", "sent": "Hello", "draft": null, "id": 7}\n\n')
        assert read_past_texts(path) == [PastText("Hi", "Hello")]

    @pytest.mark.parametrize(
        ("row", "field"),
        [
            ({"sent": "Hello"}, "prompt"),
            ({"prompt": "Hi"}, "sent"),
            ({"prompt": "Hi", "sent": " \n"}, "sent"),
            ({"prompt": "Hi", "sent": 3}, "sent"),
            ({"prompt": "Hi", "sent": "Hello", "draft": ["Yo"]}, "draft"),
            ({"prompt": "Hi", "sent": "Hello", "hint": 1}, "hint"),
            ({"prompt": "Hi", "sent": "\ud800"}, "sent"),
            ({"prompt": [{"role": "assistant", "content": "Hi"}], "sent": "Hello"}, "prompt"),
        ],
    )
    def test_faults_name_line_and_field(
        self, tmp_path: Path, row: dict[str, Any], field: str
    ) -> None:
        path = tmp_path / "past.jsonl"
        path.write_text('{"prompt": "Hi", "sent": "Hello"}\n\n' + json.dumps(row))
        with pytest.raises(RecordError) as caught:
            read_past_texts(path)
        assert (caught.value.path, caught.value.line) == (str(path), 3)
        assert caught.value.field == field


def as_csv(rows: Sequence[Sequence[str]], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode("utf-8-sig")


class TestCsv:
    @same_folder
    @given(st.lists(st.tuples(SAID, SAID, TEXTS), min_size=1, max_size=4), st.sampled_from(",;\t"))
    def test_round_trip(
        self, tmp_path: Path, rows: list[tuple[str, str, str]], delimiter: str
    ) -> None:
        path = tmp_path / "past.csv"
        path.write_bytes(as_csv([("prompt", "sent", "draft"), *rows], delimiter))
        assert read_past_texts(path) == [
            PastText(prompt, sent, draft or None) for prompt, sent, draft in rows
        ]

    @pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "\n sep=;".replace(" ", "")])
    def test_a_line_of_excels_above_the_header(self, tmp_path: Path, first: str) -> None:
        path = tmp_path / "past.CSV"
        path.write_bytes(f'{first}\r\nprompt;sent\r\n"A, b";B\r\n'.encode("utf-8-sig"))
        assert read_past_texts(path) == [PastText("A, b", "B")]
        path.write_bytes(f"{first}\r\nprompt;sent\r\nA\r\n".encode())
        with pytest.raises(RecordError) as caught:
            read_past_texts(path)
        assert caught.value.line == 3 + first.count("\n")

    def test_a_cell_of_any_length(self, tmp_path: Path) -> None:
        path = tmp_path / "past.csv"
        path.write_text(f'prompt,sent\nIs it there?,"{"x" * 200_000}"\n')
        assert len(read_past_texts(path)[0].sent) == 200_000

    def test_order_case_and_other_columns_mean_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "past.csv"
        path.write_bytes(as_csv([("Date", " Sent ", "PROMPT"), ("1 May", "Hello", "Hi"), ()]))
        assert read_past_texts(path) == [PastText("Hi", "Hello")]

    @pytest.mark.parametrize(
        ("content", "line", "field"),
        [
            (b"prompt,text\nHi,Hello\n", 1, "sent"),
            (b"sent,prompt,sent\na,b,c\n", 1, "sent"),
            (b'prompt,sent\n"two\nlines",Hello\nHi\n', 4, None),
            (b'prompt,sent\nHi,"Hello\n', 2, None),
            (b"prompt,sent\nHi,\n", 2, "sent"),
            (b"prompt,sent\n,Hello\n", 2, "prompt"),
        ],
    )
    def test_faults_name_line_and_field(
        self, tmp_path: Path, content: bytes, line: int, field: str | None
    ) -> None:
        path = tmp_path / "past.csv"
        path.write_bytes(content)
        with pytest.raises(RecordError) as caught:
            read_past_texts(path)
        assert (caught.value.line, caught.value.field) == (line, field)

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "past.csv"
        path.write_bytes("prompt,sent\nGrüße,Hallo\n".encode("latin-1"))
        with pytest.raises(InputError, match="not UTF-8"):
            read_past_texts(path)


ME = "me@example.org"


def mail(
    text: str, *, sender: str = f"Me <{ME}>", id: str = "", answers: str = "", **headers: str
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["Subject"] = "Re: Größe"
    if id:
        message["Message-ID"] = id
    if answers:
        message["In-Reply-To"] = answers
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def from_anna(text: str, id: str = "<a@x>", **headers: str) -> EmailMessage:
    return mail(text, sender="Anna <anna@example.org>", id=id, **headers)


def as_mbox(mails: Sequence[EmailMessage | bytes]) -> bytes:
    parts = []
    for message in mails:
        content = message if isinstance(message, bytes) else message.as_bytes()
        escaped = content.replace(b"\nFrom ", b"\n>From ")
        parts.append(b"From - Thu Feb  1 10:00:00 2024\n" + escaped + b"\n")
    return b"".join(parts)


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    return tmp_path / "mail.mbox"


def read(mbox: Path, *mails: EmailMessage | bytes, me: str = ME) -> list[PastText]:
    mbox.write_bytes(as_mbox(mails))
    return read_past_texts(mbox, me=[me])


class TestMbox:
    def test_a_reply_and_the_mail_that_it_answers(self, mbox: Path) -> None:
        reply = mail(
            "Hello Anna,\n\nyes, it is. From Friday on.\nFrom then on, always.\n\n"
            "On 1 Feb 2024 at 10:00, Anna <anna@example.org>\nwrote:\n\n> Is it ready?\n\n"
            "-- \nMe, Example Ltd\n",
            answers="<a@x>",
        )
        asked = from_anna("Is it ready?\n\n-- \nAnna\n")
        # The answer may stand before the question, and the folder may have no suffix.
        for order in ((asked, reply), (reply, asked)):
            assert read(mbox.with_suffix(""), *order, me="Me <ME@example.org>") == [
                PastText(
                    "Is it ready?",
                    "Hello Anna,\n\nyes, it is. From Friday on.\nFrom then on, always.",
                )
            ]

    def test_references_from_the_last_on(self, mbox: Path) -> None:
        reply = mail("Yes.", References=f"<a@x> <b@x> <{'long' * 20}@x>")
        assert read(mbox, from_anna("First"), from_anna("Second", "<b@x>"), reply) == [
            PastText("Second", "Yes.")
        ]

    def test_what_is_quoted_where_the_mail_is_not_there(self, mbox: Path) -> None:
        reply = mail(
            "Yes.\n\nAnna wrote:\n> Is it ready?\n> Bob wrote:\n> > Who asks?\n> We wait.\n",
            answers="<gone@x>",
        )
        assert read(mbox, reply) == [PastText("Is it ready?\n\nWe wait.", "Yes.")]

    def test_what_is_left_out(self, mbox: Path) -> None:
        good = mail("Yes.", id="<good@x>", answers="<a@x>")
        left_out = [
            mail("News of mine."),
            mail("I am away.", answers="<a@x>", Auto_Submitted="auto-replied"),
            mail("One more thing.", answers="<good@x>"),
            mail("> Is it ready?\n", answers="<a@x>"),
            mail("Of another.", sender="bob@example.org", answers="<a@x>"),
            good,
        ]
        assert read(mbox, from_anna("Is it ready?"), good, *left_out) == [
            PastText("Is it ready?", "Yes.")
        ]

    @pytest.mark.parametrize("charset", ["utf-8", "latin-1", "cp1252"])
    @pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
    def test_charsets(self, mbox: Path, charset: str, encoding: str) -> None:
        reply = mail("", answers="<a@x>")
        reply.set_content("Schöne Grüße", charset=charset, cte=encoding)
        assert read(mbox, from_anna("Größe?"), reply) == [PastText("Größe?", "Schöne Grüße")]

    @pytest.mark.parametrize("charset", ["utf-8", "x-unknown", "us-ascii"])
    def test_a_charset_that_is_wrong(self, mbox: Path, charset: str) -> None:
        raw = (
            f"From: {ME}\nIn-Reply-To: <a@x>\n"
            f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n\n"
        ).encode() + "Schöne Grüße\n".encode("latin-1")
        assert read(mbox, from_anna("Hi"), raw) == [PastText("Hi", "Schöne Grüße")]

    def test_plain_parts_before_html_and_nothing_attached(self, mbox: Path) -> None:
        reply = mail("Yes.", answers="<a@x>")
        reply.add_alternative("<p>Yes, in HTML.</p>", subtype="html")
        reply.add_attachment("a file", filename="note.txt")
        reply.add_attachment(from_anna("a mail"))
        assert read(mbox, from_anna("Hi"), reply) == [PastText("Hi", "Yes.")]

    def test_html_alone(self, mbox: Path) -> None:
        reply = mail("", answers="<a@x>")
        reply.set_content(
            "<html><head><title>T</title><style>p {}</style></head><body>"
            "<p>Hello&nbsp;Anna,</p><p>yes <b>&amp;</b>\n no.<br>Me</p>"
            '<div class="gmail_quote">On Mon, 1 Feb 2024 at 10:00 Anna wrote:'
            "<blockquote>Is it<p>ready?</p></blockquote></div></body></html>",
            subtype="html",
        )
        assert read(mbox, from_anna("Hi"), reply) == [
            PastText("Hi", "Hello Anna,\n\nyes & no.\nMe")
        ]
        assert read(mbox, reply) == [PastText("Is it\n\nready?", "Hello Anna,\n\nyes & no.\nMe")]

    def test_flowed_lines_are_joined(self, mbox: Path) -> None:
        raw = (
            f"From: {ME}\nContent-Type: text/plain; charset=utf-8; format=flowed\n\n"
            "Anna wrote:\n> Is it \n> ready?\n>> No \n>> one.\n"
            "Yes, it \nis.\n  Indented.\n-- \nMe\n"
        ).encode()
        assert read(mbox, raw) == [PastText("Is it ready?", "Yes, it is.\n Indented.")]

    @pytest.mark.parametrize("blank", ["", "\u00a0 \n", "\ufeff", "\u200b"])
    def test_html_where_the_plain_part_says_nothing(self, mbox: Path, blank: str) -> None:
        reply = mail(blank, answers="<a@x>")
        reply.add_alternative("<p>Yes, in HTML.</p>", subtype="html")
        assert read(mbox, from_anna("Hi"), reply) == [PastText("Hi", "Yes, in HTML.")]

    def test_an_attachment_that_is_shown_inline(self, mbox: Path) -> None:
        reply = mail("See the log.", answers="<a@x>")
        reply.add_attachment("12:00 ERROR", filename="server.log", disposition="inline")
        assert read(mbox, from_anna("Hi"), reply) == [PastText("Hi", "See the log.")]
        # Alone, a part with a name is the mail.
        alone = mail("Yes.", answers="<a@x>")
        alone.set_param("name", "body.txt")
        assert read(mbox, from_anna("Hi"), alone) == [PastText("Hi", "Yes.")]

    @pytest.mark.parametrize(
        ("field", "value", "is_kept"),
        [
            ("X_Autoreply", "yes", False),
            ("X_Autorespond", "Away", False),
            ("Precedence", "bulk", False),
            ("Precedence", "list", True),
            ("Auto_Submitted", "no", True),
        ],
    )
    def test_what_a_program_sent(self, mbox: Path, field: str, value: str, is_kept: bool) -> None:
        other = mail("From me.", answers="<a@x>", **{field: value})
        texts = read(mbox, from_anna("Hi"), mail("Yes.", answers="<a@x>"), other)
        assert [text.sent for text in texts] == ["Yes.", "From me."][: 1 + is_kept]

    def test_a_receipt_is_no_reply(self, mbox: Path) -> None:
        receipt = mail("Your mail was read.", answers="<a@x>")
        receipt.replace_header("Content-Type", "multipart/report; boundary=b")
        texts = read(mbox, from_anna("Hi"), receipt, mail("Yes.", answers="<a@x>"))
        assert [text.sent for text in texts] == ["Yes."]

    @pytest.mark.parametrize(
        "line",
        [
            "From \n",
            "From -\n",
            "From - Mon Feb 03 10:11:12 2025\n",
            "From a@x 2025-02-03T10:11:12Z\n",
        ],
    )
    @pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n", b"\xef\xbb\xbf\r\n"])
    def test_separators_of_real_programs(self, mbox: Path, line: str, before: bytes) -> None:
        mails = from_anna("Hi"), mail("Yes.\n\nFrom \nhere on.", answers="<a@x>")
        content = b"".join(line.encode() + bytes(each) + b"\n" for each in mails)
        mbox.write_bytes(before + content)
        assert read_past_texts(mbox, me=[ME]) == [PastText("Hi", "Yes.\n\nFrom\nhere on.")]

    def test_without_an_address(self, mbox: Path) -> None:
        mbox.write_bytes(as_mbox([mail("Yes.", answers="<a@x>")]))
        for me in ((), ("",)):
            with pytest.raises(InputError, match="say which address is yours"):
                read_past_texts(mbox, me=me)

    def test_nothing_sent(self, mbox: Path) -> None:
        with pytest.raises(InputError, match=r"holds 2 mails, 1 of them from bob@x, and none"):
            read(mbox, from_anna("Hi"), mail("News.", sender="bob@x"), me="bob@x")

    def test_no_separator(self, mbox: Path) -> None:
        mbox.write_bytes(b"From the start\n\nSubject: x\n")
        with pytest.raises(InputError, match="is no mbox"):
            read_past_texts(mbox, me=[ME])

    @same_folder
    @given(st.binary(max_size=300), st.sampled_from(["text/plain", "text/html", "multipart/mixed"]))
    def test_no_content_is_a_surprise(self, mbox: Path, content: bytes, kind: str) -> None:
        head = f"From: {ME}\nIn-Reply-To: <a@x>\nContent-Type: {kind}; boundary=b\n".encode()
        try:
            texts = read(mbox, from_anna("Hi"), head + content)
        except InputError:
            return
        assert all(text.sent.strip() and "\x00" not in text.sent for text in texts)
        for text in texts:
            text.sent.encode()


class TestOwnWords:
    @pytest.mark.parametrize(
        ("body", "own"),
        [
            ("Yes.\n\n-----Original Message-----\nFrom: Anna\nHi", "Yes."),
            ("Ja.\n\n-------- Ursprüngliche Nachricht --------\nHallo", "Ja."),
            ("Yes.\n\n" + "_" * 32 + "\nFrom: A\nSent: 1 May\nTo: B\nSubject: C\n\nHi", "Yes."),
            ("Ja.\n\nVon: A\nGesendet: 1. Mai\nAn: B\nBetreff: C\n\nHi", "Ja."),
            ("> One?\n\nYes.\n\n> Two?\nNo.", "Yes.\n\nNo."),
            ("My list:\n> One?\nYes.", "My list:\n\nYes."),
            ("Thanks\nAm 1. Mai schrieb Anna:\n> Hi", "Thanks"),
            ("Thanks\nOn Mon, 1 May 2024 at 10:00, Anna\n<anna@x> wrote:\n> Hi", "Thanks"),
            ("Come at 10:30:\n\nBring it.", "Come at 10:30:\n\nBring it."),
            ("--- Agenda ---\nOne -- two", "--- Agenda ---\nOne -- two"),
            ("From: here\nto there", "From: here\nto there"),
            ("Yes.\n--\nMe", "Yes."),
            ("", ""),
            ("Ja.\n\nAnna Low <anna@x.org> schrieb am Mo., 3. Feb. 2025, 10:11:\n\nHallo", "Ja."),
            ("Yes.\n\nOn Mon, Feb 3, 2025 at 10:11 AM Anna <\nanna@x.org>\nwrote:\n\nHi", "Yes."),
            ("Oui.\n\nLe lun. 3 févr. 2025 à 10:11, Anna <anna@x> a écrit :\n\nSalut", "Oui."),
            ("Ja.\n\n2025-02-03 10:11 GMT+01:00 Anna Low <anna@x.org>:\n\nHej", "Ja."),
            ("Yes.\n\n---- On Mon, 03 Feb 2025 Anna <anna@x> wrote ----\n\nHi", "Yes."),
            ("I wrote:\n\nthis, on the 3rd.", "I wrote:\n\nthis, on the 3rd."),
            ("On 3 May we do this:\n\nmeet.", "On 3 May we do this:\n\nmeet."),
            ("Anna wrote:\n\nin May.", "Anna wrote:\n\nin May."),
            ("Svar.\n\n----- Oprindelig meddelelse -----\nFra: A\nTil: B\nEmne: C\n\nHej", "Svar."),
            ("Yes.\n\n" + "-" * 30 + "\n*From:* A\n*Cc:*\n*To:* B\n\nHi", "Yes."),
            ("Yes.\n\nSent from my iPhone", "Yes."),
            ("Ja.\n\nVon meinem Samsung Galaxy Smartphone gesendet.", "Ja."),
            ("Sent from my phone\nit looks odd.", "Sent from my phone\nit looks odd."),
            ("Yes.\n" + "_" * 47 + "\nteam mailing list\nteam@lists.example.org", "Yes."),
            ("Prices:\n" + "_" * 47 + "\nten each", "Prices:\n" + "_" * 47 + "\nten each"),
            (
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nYes.\n- -- two\n"
                "-----BEGIN PGP SIGNATURE-----\n\niQ\n-----END PGP SIGNATURE-----",
                "Yes.\n-- two",
            ),
            (
                "Yes.\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ\n"
                "-----END PGP PUBLIC KEY BLOCK-----\nBye.",
                "Yes.\nBye.",
            ),
        ],
    )
    def test_of_a_body(self, body: str, own: str) -> None:
        assert own_words(body) == own

    @given(st.lists(st.text("abc .,\n", max_size=30)))
    def test_text_without_marks_is_kept(self, lines: list[str]) -> None:
        text = "\n".join(line.rstrip() for line in "\n".join(lines).split("\n")).strip()
        assert own_words(text).replace("\n", "") == text.replace("\n", "")

    def test_quoted_words_under_a_copied_header(self) -> None:
        head = "From: Anna\nSent: 1 May\nTo: Me\nSubject: It\n\n"
        text = "Note: it is late.\nIs it ready?"
        for rule in ("", "_" * 32 + "\n", "-----Original Message-----\n"):
            assert quoted_words(f"Yes.\n\n{rule}{head}{text}") == text
        assert quoted_words("Yes.") == ""

    @pytest.mark.parametrize(
        "quote",
        [
            "> Subject: It\n> From: anna@x.org\n> To: me\n> Cc:\n> \n> Is it ready?",
            "> On 3 Feb 2025, at 10:11, Anna <anna@x> wrote:\n> \n> Is it ready?",
            "> -----Original Message-----\n> From: A\n> Sent: B\n> To: C\n>\n> Is it ready?",
            "On 3 Feb 2025, at 10:11, Anna <anna@x> wrote:\n\nIs it ready?",
            "_" * 32 + "\n From: Anna <anna@x>\nTo: me \nCc: \nSubject: It\n\nIs it ready?",
        ],
    )
    def test_quoted_words_without_what_stands_above_them(self, quote: str) -> None:
        assert quoted_words(f"Yes.\n\n{quote}") == "Is it ready?"

    def test_divisions_that_quote(self) -> None:
        wrote = "On 3 Feb 2025 at 10:11, Anna &lt;anna@x&gt; wrote:"
        for name in ("gmail_quote", "x yahoo_quoted"):
            html = f'<p>Yes.</p><div class="{name}"><div>{wrote}</div><div>Is it?</div></div>Bye.'
            assert own_words(text_of_html(html)) == "Yes.\n\nBye."
            assert quoted_words(text_of_html(html)) == "Is it?"

    def test_answers_between_blockquotes_of_such_a_division(self) -> None:
        html = (
            '<div class="gmail_quote"><div>On 3 Feb, Anna wrote:</div><blockquote>One?</blockquote>'
            "<div>Yes.</div><blockquote>Two?</blockquote><div>No.</div></div>"
        )
        assert own_words(text_of_html(html)) == "Yes.\n\nNo."
        assert quoted_words(text_of_html(html)) == "One?\nTwo?"

    @pytest.mark.parametrize(
        "hidden",
        [
            '<div style="display: none">a<div>b</div>c</div>',
            '<span style="color:red; mso-hide: all;">a</span>',
            "<p hidden>a</p>",
            '<td style="max-height:0px">a</td>',
            '<span style="font-size:0">a</span>',
        ],
    )
    def test_what_html_hides(self, hidden: str) -> None:
        assert text_of_html(f"{hidden}<p>Yes.</p>") == "Yes."
        assert text_of_html('<p style="font-size:0.9em">Yes.<br hidden>No.</p>') == "Yes.\nNo."

    @given(st.text("<>!-[]/ &;#abprticeloqu\n\"'=", max_size=80))
    def test_html_is_never_a_surprise(self, html: str) -> None:
        assert isinstance(text_of_html(html), str)

    def test_verbatim_html(self) -> None:
        html = "<body><div>a<div>b</div></div><pre>x  y\n z</pre><![if !mso]>c<![endif]><br/>d"
        assert text_of_html(html) == "a\nb\n\nx  y\n z\n\nc\nd"

    def test_body_without_text(self) -> None:
        message = EmailMessage()
        message.add_attachment(b"\x89PNG", maintype="image", subtype="png")
        assert body_of(message) == ""


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "past.txt"
    with pytest.raises(InputError, match="cannot be read"):
        read_past_texts(path)
    path.write_text("Dear all")
    with pytest.raises(InputError, match="past texts are read from"):
        read_past_texts(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_past_texts(tmp_path)
    for name in ("past.jsonl", "past.csv"):
        (tmp_path / name).write_text("\n")
        with pytest.raises(InputError, match="holds no past texts"):
            read_past_texts(tmp_path / name)
