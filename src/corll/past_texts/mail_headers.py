"""Headers of mails that were copied into a text without marks, and the lines that lead to them.

A copied header is some lines "Label: value" in a row. What a user writes looks like it ("From:
Berlin", "To: London"), so an address, a subject or a rule must stand with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from corll.past_texts.mail_announcements import is_announcement
from corll.past_texts.mail_marks import (
    ADDRESS,
    QUOTE,
    bare,
    is_bare_rule,
    is_blank,
    is_rule,
    is_short,
    words_of_rule,
)

_MOST_LINES = 16
_LONG_RULE = 20

_SENDER = frozenset(
    (
        "from|von|de|da|van|från|fra|od|от|absender|expéditeur|remitente|mittente|afzender|"
        "remetente|lähettäjä|feladó|de la|kimden|gönderen|від|από|מאת|من|差出人|送信者|"
        "发件人|發件人|寄件者|寄件人|보낸 사람|보낸사람|nadawca|odesílatel|odosielateľ|"
        "pošiljatelj|saatja|siuntėjas|người gửi|จาก"
    ).split("|")
)
_SUBJECT = frozenset(
    (
        "subject|betreff|objet|asunto|oggetto|assunto|onderwerp|ämne|emne|aihe|temat|předmět|"
        "predmet|tárgy|subiect|konu|тема|件名|主题|主題|主旨|제목|θέμα|נושא|الموضوع|tema|"
        "zadeva|chủ đề"
    ).split("|")
)
_SENT = frozenset(
    (
        "sent|gesendet|envoyé|enviado|enviado el|enviado em|enviada em|enviada|inviato|"
        "verzonden|skickat|sendt|lähetetty|wysłano|wysłane|odesláno|odoslané|elküldve|trimis|"
        "gönderildi|gönderme tarihi|отправлено|надіслано|送信日時|发送时间|發送時間|寄件日期|"
        "보낸 날짜|στάλθηκε|נשלח"
    ).split("|")
)
_OTHERS = frozenset(
    (
        "date|datum|data|fecha|dato|dátum|tarih|дата|日付|日期|날짜|ημερομηνία|תאריך|to|an|à|"
        "a|para|aan|till|til|vastaanottaja|do|komu|címzett|către|kime|кому|宛先|收件人|"
        "收件者|받는 사람|προς|אל|cc|kopie|copie|kopia|kopi|bcc|reply-to|importance|priority"
    ).split("|")
)
_KNOWN = _SENDER | _SUBJECT | _SENT | _OTHERS

_EARLY_FIELDS = 5
"""Fields among which a header names its sender; a blank line may stand before each."""

# "Von: …", "À : …", "*From:* …", "**From: **…", "发件人：…"
_FIELD = re.compile(
    r"^\s*[*_]{0,2}(?!https?:|mailto:)(?P<label>[^\W\d_][\w -]{0,24}?)\s?[*_]{0,2}\s?[:：]"
    r"[*_]{0,2}(?P<value>.*)$",
    re.IGNORECASE,
)
_GIVEN = re.compile(rf"<{ADDRESS}>|\[mailto:{ADDRESS}\]|<mailto:{ADDRESS}>")
_WITH_ADDRESS = re.compile(ADDRESS)
_DATED = re.compile(r"\d{4}|\d{1,2}[:.]\d\d|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
_DATE_AND_TIME = re.compile(r"\d{4}.{0,40}\d{1,2}[:.]\d\d|\d{1,2}[:.]\d\d.{0,40}\d{4}")
_FORWARDED = re.compile(
    r"forward|weitergeleitet|transféré|réexpédié|reenviad|inoltrat|encaminhad|doorgestuurd|"
    r"videresendt|vidarebefordra|välitetty|przekazan|přeposlan|továbbított|redirecționat|iletilen|"
    r"пересыла|переслан|転送|转发|轉寄|전달",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"original|origine|urspr[uü]ngliche|oorspronkelijk|oprindelig|opprinnelig|ursprungligt|"
    r"oryginaln|исходное|první|původní|pôvodn|eredeti|alkuperäinen|orijinal|原始|元の|원본",
    re.IGNORECASE,
)
_MESSAGE = re.compile(
    r"message|mail|nachricht|mensaje|messaggio|mensagem|bericht|meddel|besked|melding|wiadomoś|"
    r"сообщени|повідомлен|письм|viesti|üzenet|mesaj|zpráv|správ|邮件|郵件|メッセージ|메시지",
    re.IGNORECASE,
)
_INTRODUCTION = re.compile(r"^\s*[^\W\d_][\w' ’-]{4,60}\s?[:：]\s*$")
# Notes: "Bob Ray---02/03/2025 10:11:12 AM---Can we meet"
_OF_NOTES = re.compile(r"^[^-]{1,80}---.{0,12}\d{1,2}[/.-]\d{1,2}[/.-]\d{4}.{0,20}---")


@dataclass(frozen=True, slots=True)
class _Field:
    label: str
    value: str
    text: str


def header_length(lines: Sequence[str], start: int, *, above: str = "") -> int:
    """Return how many lines from `start` on are a mail's header; 0 where none is there.

    `above` is the line before it, blank at the top of a text. Where no label is known, three lines
    of any language are one if the first bears an address, one a date, and a blank line or a rule
    stands above.
    """
    first = _field(lines[start])
    if first is None or QUOTE.match(lines[start]):
        return 0
    stands_alone = is_blank(above) or is_rule(above)
    if not stands_alone and not _is_sender_near(lines, start):
        return 0
    fields, length = _fields(lines, start, first)
    is_told = is_rule(above) and _MESSAGE.search(words_of_rule(above)) is not None
    is_header = (
        (is_told and first.label in _KNOWN and _names_sender(fields))
        or _is_known(fields, above)
        or (stands_alone and _is_of_any_language(fields))
    )
    return length if is_header else 0


def _is_sender_near(lines: Sequence[str], start: int) -> bool:
    """Return whether a sender may be among the first fields from a line on."""
    near = (_field(line) for line in lines[start : start + 2 * _EARLY_FIELDS])
    return any(field is not None and field.label in _SENDER for field in near)


def _names_sender(fields: Sequence[_Field]) -> bool:
    return any(field.label in _SENDER for field in fields)


def leads_to_copy(lines: Sequence[str], index: int) -> bool:
    """Return whether a line says that a copied mail follows: "--- Original Message ---".

    Either its words say so in a language that is known, or a mail's header follows it.
    """
    words = words_of_rule(lines[index]) if is_rule(lines[index]) else ""
    if not words:
        return False
    says_so = (_ORIGINAL.search(words) or _FORWARDED.search(words)) and _MESSAGE.search(words)
    return says_so is not None or _begins_copy(
        lines, index + 1, is_told=_MESSAGE.search(words) is not None
    )


def is_forwarded(lines: Sequence[str]) -> bool:
    """Return whether lines begin by saying that a mail is passed on."""
    first = next((line for line in lines if not is_blank(line)), "")
    said = words_of_rule(first) if is_rule(first) else bare(first) if is_introduction(first) else ""
    return _FORWARDED.search(said) is not None and _MESSAGE.search(said) is not None


def is_introduction(line: str) -> bool:
    """Return whether a program wrote a line above a copied header: "Begin forwarded message:"."""
    if not is_short(line):
        return False
    said = bare(line)
    is_told = _INTRODUCTION.match(said) and _FORWARDED.search(said) and _MESSAGE.search(said)
    return bool(is_told) or _OF_NOTES.match(said) is not None


def _begins_copy(lines: Sequence[str], start: int, *, is_told: bool) -> bool:
    """Return whether a header or an announcement stands below a rule with words."""
    below = (place for place in range(start, min(start + 3, len(lines))))
    place = next((place for place in below if not is_blank(lines[place])), None)
    if place is None or QUOTE.match(lines[place]):
        return False
    first = _field(lines[place])
    if first is None:
        return is_announcement(lines[place])
    fields, _ = _fields(lines, place, first)
    known = [field for field in fields if field.label in _KNOWN]
    if is_told and known and known[0] is fields[0]:
        return True
    return len(known) >= 2 and _is_of_mail(fields)


def _is_known(fields: Sequence[_Field], above: str) -> bool:
    """Return whether fields of labels that are known, the sender's among them, are a header."""
    senders = (
        place for place, field in enumerate(fields[:_EARLY_FIELDS]) if field.label in _SENDER
    )
    sender = next(senders, None)
    if sender is None or any(field.label not in _KNOWN for field in fields[:sender]):
        return False
    if len(fields) >= 3:
        return _is_of_mail(fields) or is_bare_rule(above, at_least=_LONG_RULE)
    sent = any(f.label in _SENT and _DATE_AND_TIME.search(f.value[:200]) for f in fields)
    return len(fields) == 2 and sent


def _is_of_mail(fields: Sequence[_Field]) -> bool:
    """Return whether an address, a subject, or when it was sent stands in fields."""
    return any(
        field.label in _SUBJECT
        or _WITH_ADDRESS.search(field.text) is not None
        or (field.label in _SENT and _DATE_AND_TIME.search(field.value[:200]) is not None)
        for field in fields
    )


def _is_of_any_language(fields: Sequence[_Field]) -> bool:
    if len(fields) < 3 or any(field.label in _SENDER for field in fields[1:]):
        return False
    is_given = any(_GIVEN.search(field.text) for field in fields[:2])
    return is_given and any(
        _DATED.search(_GIVEN.sub("", field.value[:200])) for field in fields[:4]
    )


@lru_cache(maxsize=64)  # one line is looked at from each of those above it
def _field(line: str) -> _Field | None:
    if not is_short(line):
        return None
    found = _FIELD.match(bare(line))
    if found is None:
        return None
    return _Field(found["label"].strip().lower(), found["value"].strip(" *_"), bare(line))


def _fields(lines: Sequence[str], start: int, first: _Field) -> tuple[list[_Field], int]:
    """Return the fields from a line on, and how many lines they take.

    A value may go on in the next line with an address. Blank lines stand between all fields or
    between none.
    """
    fields, length = [first], 1
    below = list(islice(lines, start + 1, start + _MOST_LINES))
    is_spaced = bool(below) and is_blank(below[0])
    blanks = 0
    for offset, line in enumerate(below, start=2):
        if is_blank(line):
            blanks += 1
            if not is_spaced or blanks > 2:
                break
            continue
        field = _field(line)
        if field is not None and (not blanks or field.label in _KNOWN):
            fields.append(field)
        elif field is None and not blanks and is_short(line) and _WITH_ADDRESS.search(line):
            last = fields[-1]
            fields[-1] = _Field(last.label, last.value, f"{last.text} {bare(line)}")
        else:
            break
        length, blanks = offset, 0
    return fields, length
