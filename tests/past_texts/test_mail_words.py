"""The user's own words of a mail: what is kept of it, and what is told to be others'."""

from __future__ import annotations

import time

import pytest

from corll.past_texts.mail_html import text_of_html
from corll.past_texts.mail_words import own_words, quoted_words

WROTE = "On Mon, Feb 3, 2025 at 10:11 AM Bob Ray <bob@example.com> wrote:"
ASKED = "Can we meet?\n\nBob"
OUTLOOK = (
    "From: Bob <bob@example.com>\nSent: Monday, February 3, 2025 10:11 AM\nTo: Ada\nSubject: x"
)


@pytest.mark.parametrize(
    ("own", "rest"),
    [
        ("Hi Bob,\nYes, Friday works.", f"\n{WROTE}\n\nCan we?"),
        ("a\nb\nc\nd\ne", f"\n{WROTE}\n\nCan we?"),
        ("2 pm works.", "\nBob Ray <bob@example.com> wrote on 3 Feb 2025:\n\nHi"),
        ("Le plan est bon.", "\nBob Ray a écrit :\n> Et le plan ?"),
        ("Il treno va bene.", "\nBob Ray ha scritto:\n> Treno?"),
        ("Hello Bob,\n2 pm works for me,\nsee you", "\nBob Ray wrote:\n> When?"),
        ("3 pieces please.", "\nBob Ray <bob@example.com> wrote:\n> How many?"),
        ("One:\nfirst at 10:30 we eat,\nthen you wrote that\nwe see the following:", "\n> see"),
    ],
)
def test_a_text_directly_above_an_announcement_is_kept(own: str, rest: str) -> None:
    assert own_words(own + rest) == own


def test_a_time_and_a_colon_between_quotes_are_the_users() -> None:
    body = "> When?\n\nAt 10:30, as for your second point:\n\n> Where?\n\nHere."
    assert own_words(body) == "At 10:30, as for your second point:\n\nHere."


@pytest.mark.parametrize(
    "line",
    [
        "Get back to me on my mobile, please.",
        "Get back to me on my mobile: 0171 555.",
        "Sent it to you by Outlook this morning.",
        "Sent you the photos from my iPhone, did they arrive?",
        "Sent from the office, the phone rang all day.",
        "Get me a new Samsung phone, please.",
        "Gesendet habe ich es gestern an deine Gmail-Adresse.",
        "Enviado ayer por Gmail, ¿lo recibiste?",
        "Hent din telefon i dag",
        "Do you have Outlook for Android?",
    ],
)
def test_a_sentence_that_names_a_device_is_kept(line: str) -> None:
    assert own_words(f"Hi Bob,\n\n{line}") == f"Hi Bob,\n\n{line}"


@pytest.mark.parametrize(
    "line",
    [
        "Sent from my BlackBerry 10 smartphone on the Rogers network.",
        "Sent from Outlook for iOS<https://aka.ms/o0ukef>",
        "[Sent from my iPhone]",
        "*Sent from my iPhone*",
        "Sent from my iPhone\n\u200b",
        "Sent from my Android device with K-9 Mail.\nPlease excuse my brevity.",
        "Verstuurd vanaf mijn iPhone",
        "Outlook für Android herunterladen",
        "Holen Sie sich Outlook für iOS",
        "Obtener Outlook para iOS",
        "Gesendet mit der GMX Mail App",
        "Lähetetty iPhonesta",
        "Odesláno z iPhonu",
        "Отправлено из мобильной Почты Mail.ru",
        "Надіслано з iPhone",
        "iPhoneから送信",
        "发自我的iPhone",
        "[cid:image001.png@01DB.7890]",
        "---\nTo unsubscribe, e-mail: dev-unsubscribe@x.apache.org\nFor more: help@apache.org",
        "---\nDiese E-Mail wurde auf Viren geprüft.\nhttps://www.avast.com/antivirus",
        "_" * 40 + "\nMicrosoft Teams meeting\nJoin on your computer\n" + "_" * 40,
    ],
)
def test_what_programs_write_below_is_dropped(line: str) -> None:
    assert own_words(f"Yes.\n\n{line}") == "Yes."


def test_a_signature_ends_at_the_next_quote() -> None:
    body = f"Hi,\n\n-- \nAda\n\n{WROTE}\n> Where?\n\nHere.\n\n> When?\n\nNow.\n-- \nAda"
    assert own_words(body) == "Hi,\n\nHere.\n\nNow."


def test_a_line_that_was_broken_off_a_quote_is_no_answer() -> None:
    wide = "> Can we meet at the place that Carl has told us of and that we had"
    assert own_words(f"Yes.\n\n{wide}\nbeen before?\n> Bob") == "Yes."
    assert own_words("> One?\nyes.\n> Two?\nno.") == "yes.\n\nno."


@pytest.mark.parametrize(
    "text",
    [
        "My flight:\n\nFrom: Berlin\nTo: London\nDate: 3 February\n\nSee you",
        "Ich fehle.\n\nVon: 3. Februar\nBis: 10. Februar\nVertretung: Carl\n\nGruß",
        "Trajet :\n\nDe : Paris\nÀ : Lyon\nDate : 3 février\n\nÀ bientôt",
        "Contacts:\n\nBob: Bob <bob@x.org>\nAda: Ada <ada@x.org>\nCarl: Carl <carl@x.org>",
        "--- Original ---\nThe cat.\n\n--- Mine ---\nA cat.",
        "--- Forwarded to legal ---\nI sent it on.",
        'On 3 May you wrote:\n\n"we come".\n\nStill so?',
        'On 3 May 2025 you wrote:\n\n"we come".\n\nStill so?',
        "Am 3. Mai 2025 um 10:30 schrieb ich dir:\n\nich komme.\n\nUnd?",
        "I wrote to bob@example.com:\n\nplease come.",
        "On page 3 Kant wrote:\n\nthought without content.",
    ],
)
def test_what_only_looks_like_a_copied_mail_is_kept(text: str) -> None:
    assert own_words(text) == text


@pytest.mark.parametrize(
    "header",
    [
        "差出人: Bob Ray <bob@example.com>\n送信日時: 2025年2月3日 10:11\n宛先: Ada\n件名: RE: x",
        "发件人：Bob <bob@example.com>\n发送时间：2025年2月3日 10:11\n收件人：Ada\n主题：x",
        "寄件者: Bob <bob@example.com>\n寄件日期: 2025年2月3日\n收件者: Ada\n主旨: x",
        "보낸 사람: Bob <bob@example.com>\n보낸 날짜: 2025년 2월 3일\n받는 사람: Ada\n제목: x",
        "Lähettäjä: Bob\nLähetetty: maanantai\nVastaanottaja: Ada\nAihe: x",
        "Feladó: Bob\nElküldve: hétfő\nCímzett: Ada\nTárgy: x",
        "De la: Bob\nTrimis: luni\nCătre: Ada\nSubiect: x",
        "Kimden: Bob\nGönderildi: Pazartesi\nKime: Ada\nKonu: x",
        "Від: Bob\nНадіслано: 3 лютого\nКому: Ada\nТема: x",
        "Από: Bob\nΣτάλθηκε: Δευτέρα\nΠρος: Ada\nΘέμα: x",
        "מאת: Bob\nנשלח: יום שני\nאל: Ada\nנושא: x",
        # A language whose labels are not known.
        "Nuntiator: Bob <bob@example.com>\nMissum: 3 Feb 2025 10:11\nAd: Ada\nDe re: x",
        "From: Bob Ray via the long list of ours\n<bob@example.com>\nSent: M\nTo: Ada\nSubject: x",
        "From: Bob <bob@example.com>\n\nSent: Monday\n\nTo: Ada\n\nSubject: x",
        "**From: **Bob\n**Date: **Monday\n**To: **Ada\n**Subject: **x",
        "From:Bob\nSent:Monday\nTo:Ada\nSubject:x",
        "From: Bob Ray\nSent: Monday, February 3, 2025 10:11 AM",
        "Subject: x\nTo: ada@x\nFrom: bob@x\nDate: Mon, 3 Feb 2025 10:11:12 +0000",
        "Gesendet: Montag, 3. Februar 2025 um 10:11 Uhr\nVon: Bob <b@x.org>\nAn: a@x\nBetreff: x",
        f"Begin forwarded message:\n\n{OUTLOOK}",
        f"Anfang der weitergeleiteten Nachricht:\n\n{OUTLOOK}",
        f"Début du message réexpédié :\n\n{OUTLOOK}",
        "-----Oryginalna wiadomość-----\nFrom: Bob Ray",
        "------------------ 原始邮件 ------------------\n发件人: Bob",
        "-------- 転送メッセージ --------\n件名: x\n差出人: Bob",
        "-----Ursprungliche Nachricht-----\nVon: Bob",
        f"----------- Reply to message -----------\n{OUTLOOK}",
    ],
)
def test_a_copied_header_ends_the_users_words_and_begins_the_quote(header: str) -> None:
    assert own_words(f"Yes.\n\n{header}\n\n{ASKED}") == "Yes."
    assert quoted_words(f"Yes.\n\n{header}\n\n{ASKED}") == ASKED


@pytest.mark.parametrize(
    "line",
    [
        WROTE,
        f"\u200e{WROTE}\u200e",
        f"*{WROTE}*",
        "Le 3 févr. 2025 à 10:11, Bob Ray <bob@example.com> a\u00a0écrit\u00a0:",
        "Bob Ray wrote on 2/3/25 10:11 AM:",
        "пн, 3 февр. 2025 г. в 10:11, Bob <bob@example.com>:",
        "пн, 3 лют. 2025 р. о 10:11 Bob Ray <bob@example.com> пише:",
        "W dniu 03.02.2025 o 10:11, Bob Ray pisze:",
        "po 3. 2. 2025 o 10:11 Bob Ray <bob@example.com> napísal(a):",
        "Bob Ray <bob@example.com> ezt írta (időpont: 2025. febr. 3., H, 10:11):",
        "În lun., 3 feb. 2025 la 10:11, Bob Ray <bob@example.com> a scris:",
        "Bob Ray <bob@example.com>, 3 Şub 2025 Pzt, 10:11 tarihinde şunu yazdı:",
        "2025년 2월 3일 (월) 오전 10:11, Bob Ray <bob@example.com>님이 작성:",
        "Στις Δευ 3 Φεβ 2025 στις 10:11 π.μ., ο/η Bob Ray <bob@example.com> έγραψε:",
        "\u200fבתאריך יום ב׳, 3 בפבר׳ 2025 ב-10:11 מאת Bob <\u200fbob@example.com\u200f>:\u200f",
        "في الاثنين، ٣ فبراير ٢٠٢٥ في ١٠:١١ ص كتب Bob <bob@example.com>:",
        "2025/02/03 10:11、Bob Ray <bob@example.com>のメール：",
        "2025年2月3日 10:11:12 JST に、Bob Ray <bob@example.com> さんが書きました：",
        "On Mon, Feb 3, 2025 at 10:11 AM A Very Long Name Of\nMany <\nbob@example.com>\nwrote:",
    ],
)
def test_an_announcement_without_marks_below_it(line: str) -> None:
    assert own_words(f"Yes.\n\n{line}\n\n{ASKED}") == "Yes."
    assert quoted_words(f"Yes.\n\n{line}\n\n{ASKED}") == ASKED
    assert own_words(f"Yes.\n\n{line}\n\n> Can we meet?") == "Yes."


@pytest.mark.parametrize("line", [WROTE.removesuffix(":"), f"Sent from my iPhone\n\n{WROTE}"])
def test_what_stands_above_a_marked_quote(line: str) -> None:
    assert own_words(f"Yes.\n\n{line}\n> Can we?") == "Yes."


class TestHtml:
    @pytest.mark.parametrize(
        "html",
        [
            '<td style="font-size:0px"><div style="font-size:13px">Yes.</div></td>',
            '<div style="font-size:0">a<span style="font:14px Arial">Yes.</span>b</div>',
            '<p style="display:none">x<p>Yes.',
            '<table><tr><td style="display:none">x<td>Yes.</table>',
            '<span style="font-size:0">a<span>b</span>c</span>Yes.',
            "<html><head><title>x</title><p>Yes.</p></html>",
            "Ye&shy;s.\u200b",
        ],
    )
    def test_what_is_shown(self, html: str) -> None:
        assert text_of_html(html).replace("\xad", "").replace("\u200b", "") == "Yes."

    @pytest.mark.parametrize(
        "signature",
        [
            '<div dir="ltr" class="gmail_signature">Ada Low<div>Example Ltd</div></div>',
            '<pre class="moz-signature">Ada Low</pre>',
            '<div id="AppleMailSignature">Ada Low</div>',
            '<div name="messageSignatureSection"><br>Ada Low</div>',
            '<div class="protonmail_signature_block">Ada Low</div>',
        ],
    )
    def test_a_marked_signature_is_dropped(self, signature: str) -> None:
        assert own_words(text_of_html(f"<div>Yes.</div>{signature}")) == "Yes."

    @pytest.mark.parametrize(
        "quote",
        [
            '<div id="appendonsend"></div><hr><div>Salve?</div>',
            '<hr><div id="divRplyFwdMsg"><b>Nuntiator:</b> Bob<br></div><div>Salve?</div>',
            '<div class="moz-forward-container">Salve?</div>',
            '<div class="x_gmail_quote">Salve?</div>',
            '<div id="ydp1yahoo_quoted_1" class="ydp1yahoo_quoted">Salve?</div>',
        ],
    )
    def test_what_a_program_marked_as_copied(self, quote: str) -> None:
        assert own_words(text_of_html(f"<div>Yes.</div>{quote}")) == "Yes."

    @pytest.mark.parametrize(
        ("html", "text"),
        [
            ("<table><tr><td>Mon</td><td>10:00</td></tr></table>", "Mon 10:00"),
            ("<ul><li>one</li><li><p>two</p></li></ul>", "- one\n\n- two"),
            ("<ol><li>one<li>two</ol>", "1. one\n2. two"),
            ('<div style="white-space: pre-wrap">a\n  b</div>', "a\n  b"),
            ("<div>a<div>b</blockquote></span></div>c</div>d", "a\nb\nc\nd"),
        ],
    )
    def test_form(self, html: str, text: str) -> None:
        assert text_of_html(html) == text

    def test_few_marks_are_written_for_many_quotes(self) -> None:
        assert len(text_of_html("<blockquote>a" * 10_000)) < 300_000


def test_hostile_texts_take_time_in_proportion() -> None:
    started = time.process_time()
    for line in ("word 10:30:", "From: a", "x: <a@b>", "Sent from " + "a " * 60, "1 " * 240 + ":"):
        own_words(f"{line}\n" * (20_000 // len(line)))
    for tags in ("<p>a", "<div><span hidden></div>", "<table><td><div></p></div></table>"):
        text_of_html(tags * 2000)
    assert time.process_time() - started < 30
