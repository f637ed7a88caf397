"""What programs write under each mail: "Sent from my iPhone", footers of lists and of scanners."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from corll.past_texts.mail_marks import bare, is_bare_rule, is_blank, is_short

_LINES_OF_FOOTER = 24
_LONG_RULE = 20
_LINES_UNDER_SHORT_RULE = 5

_SENT = (
    r"[Ss]ent|Gesendet|Versendet|Envoyée?|Enviad[oa]|Enviat|Inviat[oa]|Verzonden|Verstuurd|Skickat|"
    r"Sendt|Lähetetty|Wysłan[eoay]|Odesláno|Odoslané|Poslano|Trimis|Отправлено|Надіслано|Στάλθηκε"
)
_BY = (
    r"from|with|via|using|von|vom|mit|über|de|du|depuis|à partir de|avec|desde|des del?|do|da|dal|"
    r"con|vanaf|van|vanuit|met|från|med|fra|z|ze|iz|pe|de pe|с|со|из|з|із|από"
)
# Names of devices and programs. Those that are words too are told by their capital.
_PRODUCT = (
    r"(?i:iPhon\w*|iPad\w*|iPod|Android\w*|Samsung|Huawei|Xiaomi|OnePlus|BlackBerry|Nokia|Xperia|HTC|"
    r"Fairphone|Windows|Outlook\w*|Yahoo|AOL|Proton ?Mail|Gmail|GMX|WEB\.DE|K-9|Aqua ?Mail|"
    r"BlueMail|TypeApp|Tutanota|Zoho|myMail|Mail\.ru|Airmail|Polymail|Unibox|Superhuman|Postbox|"
    r"eM Client)|Galaxy|Pixel|DROID|Mac(?:Book)?|Apple Watch|Mail|Tuta|Proton|Spark|Boxer|Canary|"
    r"Mailbox|Posta|Poczta|Почты|Correo|Courrier|E-post|Nine$|Front$"
)
_OWN = (
    r"my|mine?m?|meine[mr]|mon|ma|mi|meu|minha|(?:il )?mio|mijn|min|mit|moj\w*|mého|môjho|моего|"
    r"мого|l['’]"
)
_KINDS = r"mobile|phone|smartphone|smart phone|tablet|device|cell|Handy|Mobiltelefon|Telefon|" + (
    r"téléphone|portable|móvil|celular|telefono|cellulare|telefoon|mobil|puhelin\w*|telefon\w*"
)
_WORDS = r"(?:[\w.'’&+-]{1,20} ){0,5}?"
_SENT_FROM = re.compile(
    rf"^(?:{_SENT}) (?:(?:{_BY}) ?)?(?:"
    rf"(?:(?<=\w ){_WORDS}|(?:l['’]))(?:{_PRODUCT})(?!\w)|"
    rf"(?:{_OWN}) ?(?:[\w.-]{{1,20}} ){{0,3}}?(?:{_KINDS})\b)"
    r"(?P<rest>.{0,120})$"
)
_HAS_PREPOSITION = re.compile(rf"^(?:{_SENT}) (?:(?:{_BY})\b|l['’]|iPhon|iPad|Outlook|Android)")
_GET = re.compile(
    r"^(?:Get(?: the)?|Hol\w* (?:dir|Sie sich)|Obtene[rz]|Obter(?: o)?|Télécharge[rz]|Download|"
    r"Descarga\w*|Scarica|Ottieni|Hämta|Hanki|Hent|Pobierz(?: aplikację)?|Získejte|Získajte|"
    r"Скачать|Завантажити|获取|取得|下载)? ?"
    r"(?:Outlook|BlueMail|TypeApp|Yahoo Mail|myMail|Gmail|Spark)"
    r"(?: (?:for|für|pour|para|per|voor|för|til|til|pro|pre|dla(?: systemu)?|для) ?)"
    r"(?:iOS|Android\w*|iPhone|Mac)"
    r"(?P<end> (?:herunterladen|downloaden|ophalen|を入手|다운로드))?(?P<rest>.{0,80})$",
)
_GETTING = re.compile(r"^(?:Outlook|BlueMail|TypeApp|Yahoo Mail|myMail|Gmail|Spark)")
_ELSEWHERE = re.compile(
    r"^(?:Von meine[mr] .{1,60} (?:gesendet|verschickt)\.?|Diese Nachricht wurde von meine[mr] "
    r".{1,80}gesendet\.?|(?:iPhone|iPad|Android|Windows 版のメール)\s?から送信|"
    r"[发發]自我的.{1,20}|"
    r"從我的.{1,20}傳送|나의 .{1,12}에서 보냄|내 .{1,12}에서 보냄|iP\w+['’]\w{2,8} gönderildi|"
    r"Az iP\w+ készülékemről küldve|נשלח מה.{1,20}|أُ?رسلت من .{1,20}|Get the new AOL app.{0,40}|"
    r"Provenance : (?:Courrier|Outlook).{0,30}|Yahoo Mail: Search, Organize, Conquer|"
    r"(?:Virus-free|Virenfrei|Libre de virus|Garanti sans virus|Privo di virus|Virusvrij|"
    r"Без вирусов)\W{0,3}(?:www\.(?:avast|avg)\.com.{0,80})?|"
    r"This email has been checked for viruses by .{1,60}|"
    r"Diese E-Mail wurde von (?:Avast|AVG).{1,60}geprüft\.?)$"
)
_APOLOGY = re.compile(
    r"^(?:Please excuse (?:my )?brevity|Bitte entschuldigen Sie (?:die|meine) Kürze|"
    r"Veuillez excuser ma brièveté|Disculpa mi brevedad|Scusate la brevità|Excuse my brevity)"
    r"\W?.{0,40}$"
)
_LIST = re.compile(
    r"mailing[ -]?list|/listinfo|/mailman|unsubscribe|you are subscribed|\blists?\.[\w-]+\.\w",
    re.IGNORECASE,
)
_TELLS_TO_LEAVE = re.compile(
    r"unsubscribe\b.{0,80}(?:@|https?://)|(?:@|https?://).{0,80}unsubscribe|\S-unsubscribe@|"
    r"https?://(?:www\.)?(?:avast|avg)\.com|^Microsoft Teams\b",
    re.IGNORECASE,
)
_PICTURE = re.compile(r"^\s*(?:\[(?:cid|image): ?[^\]]{1,100}\]\s*)+$")


def without_footers(lines: list[str]) -> list[str]:
    """Return lines without what programs wrote under them, and without blank ones at the end."""
    rest = _without_blank(lines)
    if length := _footer_length(rest):
        rest = _without_blank(rest[:-length])
    return without_devices(rest)


def without_devices(lines: list[str]) -> list[str]:
    """Return lines without those of devices, names of pictures and blank ones at the end."""
    count = len(lines)
    while count:
        if is_blank(lines[count - 1]) or _is_of_program(lines[count - 1]):
            count -= 1
        elif count > 1 and _apologizes(lines[count - 1]) and is_of_device(lines[count - 2]):
            count -= 2
        else:
            break
    return lines[:count]


def is_of_device(line: str) -> bool:
    """Return whether a line is what a program writes under each mail: "Sent from my iPhone"."""
    if not is_short(line):
        return False
    said = bare(line).strip().strip("[]()*_").strip()
    if said.endswith("?"):
        return False
    if _ELSEWHERE.match(said):
        return True
    if _HAS_PREPOSITION.match(said) and _SENT_FROM.match(said):
        return True
    got = _GET.match(said)
    return got is not None and (not _GETTING.match(said) or got["end"] is not None)


def _is_of_program(line: str) -> bool:
    return is_of_device(line) or (is_short(line) and _PICTURE.match(bare(line)) is not None)


def _apologizes(line: str) -> bool:
    return is_short(line) and _APOLOGY.match(bare(line).strip()) is not None


def _footer_length(lines: Sequence[str]) -> int:
    """Return how many lines at the end are a list's, a scanner's or a meeting's, from a rule on."""
    for count, line in enumerate(islice(reversed(lines), _LINES_OF_FOOTER), start=1):
        if not is_bare_rule(line) or count == 1:
            continue
        below = [each for each in lines[1 - count :] if not is_blank(each)]
        marks = _LIST if len(line.strip()) >= _LONG_RULE and count <= 10 else _TELLS_TO_LEAVE
        is_near = len(line.strip()) >= _LONG_RULE or len(below) <= _LINES_UNDER_SHORT_RULE
        if is_near and any(
            is_short(each) and (marks.search(each) or _TELLS_TO_LEAVE.search(each))
            for each in below
        ):
            return count
    return 0


def _without_blank(lines: list[str]) -> list[str]:
    count = len(lines)
    while count and is_blank(lines[count - 1]):
        count -= 1
    return lines[:count]
