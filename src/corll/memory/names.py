"""Names in a text, by the signs that it gives of them; there is no list of names.

In most languages that have capitals a word with one inside a sentence is a name, and so is one that
begins a sentence without an article and does something ("Emily can come"). In German all
nouns have one, so a name there needs another sign: a title or a greeting before it, a line of its
own where a letter is addressed or signed, capitals throughout, a second such word beside it, or a
preposition of place without an article ("in Kassel").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set

from corll.edits import content_words
from corll.memory.words import Word, folded
from corll.signatures import signer

_TITLES = frozenset(
    "mr mrs ms miss mx dr prof professor captain judge sir lady herr herrn frau familie firma fam "
    "mme monsieur madame mlle señor señora signor signora".split()
)
_GAPS_OF_A_CALL = (" ", ". ", ".")
GREETINGS = frozenset(
    "dear hi hello hey morning afternoon evening liebe lieber liebes hallo moin geehrte geehrter "
    "tag abend cher chère bonjour bonsoir salut hola ciao caro cara olá hej beste".split()
)
_NO_NAMES = (
    _TITLES
    | GREETINGS
    | frozenset(
        """
        i i'm i'll i've i'd best kind warm warmest many regards wishes sincerely faithfully yours
        truly cordially respectfully thanks thank cheers love good greetings sir madam ladies
        gentlemen team customer customers all everyone everybody there friend friends colleague
        colleagues sender subject re fw fwd cc bcc ps pps ok okay yes no please email e-mail mail
        internet wifi fyi asap faq pdf vat ceo cfo hr it url id pin sms usb am pm tv dvd cv god
        sie ihnen ihr ihre ihrem ihren ihrer ihres du dir dich dein deine deinem deinen deiner euch
        euer eure mit freundlichen freundliche viele vielen liebste herzliche herzlichen besten
        schöne sehr gruß gruss grüße grüsse grüßen grüssen danke dank damen herren guten gute morgen
        kollege kollegen kollegin kolleginnen zusammen team kunde kundin kunden anfang mitte ende
        euro uhr gmbh ag bitte betreff ust plz
        you we they he she it if but and or the this that these those there what when where who why
        how your our their his her its for with from not
        """.split()
    )
)
_CONTRACTED = ("n't", "'re", "'ve", "'ll", "'d", "'m")
_CALLS = _TITLES | GREETINGS
_PARTICLES = frozenset("de da di do dos du la le van von der den del y and und of".split())
_ABBREVIATED = re.compile(
    r"(?:^|[^\w])(?:(?<!p\.)[^\W\dIi]|mr|mrs|ms|dr|prof|st|fam|hr|fr|nr|no|e\.g|i\.e|z\.b|u\.a|ca|inc|ltd|co|vs)\.$",
    re.IGNORECASE,
)
_WRAPPED = 45
"""A line of so many characters was broken for its length, not ended."""

GERMAN_FUNCTION_WORDS = frozenset(
    "und der die das ich nicht ist mit für wir zu ein eine auf im am es dass bitte den dem sind "
    "haben habe hat bin bist wird werden noch auch wie uns von bei zum zur mich mir dir dich sehr "
    "leider wenn ihr ihre ihren ihrem".split()
)
ENGLISH_FUNCTION_WORDS = frozenset(
    "and the to of you is for we it that this with have are on be at your can my our".split()
)
_AFTER_SUBJECTS = frozenset(
    "can could will would has had is was does did says said asks asked wants wanted told takes "
    "took needs likes comes came goes went".split()
)
_OTHER_SUBJECTS = frozenset(
    "today tomorrow yesterday everything something nothing anything nobody somebody everyone "
    "someone breakfast lunch dinner work school life money time access rent food traffic "
    "water".split()
)
_ENDINGS_OF_THINGS = ("ment", "tion", "sion", "ery", "ness", "ing", "ity", "ance", "ence", "s")
_BEFORE_PLACES = frozenset("in nach aus".split())
_NO_PLACES = frozenset(
    """
    absprache anbetracht arbeit bar bedarf betrieb bezug deutsch eile empfang erhalt englisch
    erwartung feierabend form frage gedanken geld gold grün hause holz höhe kauf kontakt kraft kürze
    metall not ordnung ostern papier plan rente ruhe schule schwarz sicht silber sorge spass teilen
    urlaub verbindung versehen vorkasse wahrheit weihnachten weiss wunsch zeit zukunft zweifel
    """.split()
)
_NOUN_ENDINGS = (
    "ung",
    "ungen",
    "heit",
    "keit",
    "schaft",
    "tion",
    "form",
    "sprache",
    "gang",
    "lauf",
)
"""Endings, and words, of nouns that follow these prepositions without an article too."""

_ENDS = re.compile(r"[.!?:…。！？]")
_OPENS = re.compile(r"[\"“„«(\[*]$")
_LONGEST_NAME = 4
_OPENING_LINES = 4


def names_of(text: str, words: Sequence[Word], *, german: bool) -> frozenset[str]:
    """Return the words of the names in a text, given its words and whether it is German."""
    names = set(_on_own_lines(text))
    shouted = _shouted_lines(text)
    beside: Word | None = None  # the word before, where a name may go on after it
    for place, word in enumerate(words):
        key = bare(word.key)
        if not place or not text[word.start].isupper() or not may_be_name(key):
            beside = None
            continue
        before = words[place - 1]
        gap = text[before.end : word.start]
        inside = not breaks(text, before.end, word.start)
        acronym = german and inside and _is_acronym(text, word, shouted)
        called = before.key in _CALLS and gap in _GAPS_OF_A_CALL
        if german:
            shown = acronym or _is_place(before.key, key)
        else:
            shown = not _is_shouted(text, word, shouted)
        if called or (inside and shown):
            names.add(key)
        elif german and inside and beside is not None and gap == " ":
            names |= {bare(beside.key), key}
        beside = word if inside and not acronym else None
    if not german:
        names.update(_subjects(text, words))
    names.update(_joined(text, words, names))
    return frozenset(names)


def _subjects(text: str, words: Sequence[Word]) -> list[str]:
    """Return what begins a sentence without an article and does something ("Emily can come")."""
    verbs = [place for place, word in enumerate(words) if place and word.key in _AFTER_SUBJECTS]
    subjects = [
        words[place - 1]
        for place in verbs
        if text[words[place - 1].end : words[place].start] == " "
    ]
    return [
        word.key
        for word in subjects
        if text[word.start].isupper() and may_be_name(word.key) and content_words(word.key)
        if word.key not in _OTHER_SUBJECTS and not word.key.endswith(_ENDINGS_OF_THINGS)
    ]


def _joined(text: str, words: Sequence[Word], names: Set[str]) -> list[str]:
    """Return what stands before a name and an "and", as "Ravi" in "Ravi and Chen"."""
    joints = [place for place, word in enumerate(words) if word.key in ("and", "und")]
    pairs = [(words[n - 1], words[n + 1]) for n in joints if 0 < n < len(words) - 1]
    return [
        key
        for first, second in pairs
        if bare(second.key) in names
        and text[first.start].isupper()
        and text[second.start].isupper()
        if may_be_name(key := bare(first.key))
    ]


def may_be_name(key: str) -> bool:
    """Say whether a word that has a capital may be a name by its form."""
    is_no_name = key in _NO_NAMES or key.endswith(_CONTRACTED)
    return len(key) > 1 and not is_no_name and not key[0].isdigit()


def bare(key: str) -> str:
    """Return a word's form for comparing without the ending of a possessive."""
    return key.removesuffix("'s").removesuffix("'")


def breaks(text: str, end: int, start: int) -> bool:
    """Say whether a sentence, or a line that was not broken for its length, ends between words."""
    gap = text[end:start]
    if gap == " ":
        return False
    if "\n" in gap:
        length = end - text.rfind("\n", 0, end)
        return gap.strip(" \t\r,>") != "\n" or length < _WRAPPED
    if _ENDS.search(gap):
        return gap[0] != "." or _ABBREVIATED.search(text, max(0, end - 6), end + 1) is None
    return _OPENS.search(gap) is not None


def _on_own_lines(text: str) -> Iterator[str]:
    """Yield the words of the names that have a line of their own, as in a greeting or a closing."""
    signed = signer(text)
    lines = [line.strip(" \t-–—*_>") for line in text.split("\n")]
    lines = [line for line in lines if line]
    alone = [signed] if signed else []
    for place, line in enumerate(lines):
        addressed = line.endswith(",") and place < _OPENING_LINES
        after_closing = place > 0 and lines[place - 1].endswith(",") and line[-1] not in ".!?:,"
        two_or_more = " " in line and line[-1].isalpha() and not line.isupper()
        if addressed or after_closing or two_or_more:
            alone.append(line.rstrip(","))
    for name in alone:
        keys = name.split()
        if len(keys) <= _LONGEST_NAME and all(
            word[0].isupper() or word in _PARTICLES for word in keys
        ):
            yield from (
                key
                for word in keys
                if word[0].isupper() and may_be_name(key := folded(word.strip(".,'’")))
            )


def _is_place(before: str, key: str) -> bool:
    """Say whether a German noun is a place's name by the preposition before it."""
    no_place = key in _NO_PLACES or key.endswith(_NOUN_ENDINGS)
    return before in _BEFORE_PLACES and not no_place


def _is_acronym(text: str, word: Word, shouted: Set[int]) -> bool:
    return text[word.start : word.end].isupper() and not _is_shouted(text, word, shouted)


def _is_shouted(text: str, word: Word, shouted: Set[int]) -> bool:
    """Say whether a word is in capitals because its line is."""
    in_capitals = bool(shouted) and text[word.start : word.end].isupper()
    return in_capitals and text.rfind("\n", 0, word.start) + 1 in shouted


def _shouted_lines(text: str) -> set[int]:
    """Return where the lines begin that are in capitals for the most part."""
    starts, start = set(), 0
    for line in text.split("\n"):
        pieces = line.split()
        if 1 < sum(map(str.isupper, pieces)) > len(pieces) / 2:
            starts.add(start)
        start += len(line) + 1
    return starts


def is_german(words: Iterable[Word]) -> bool:
    """Say whether words are German rather than of a language that gives capitals to names alone."""
    keys = [word.key for word in words]
    return sum(key in GERMAN_FUNCTION_WORDS for key in keys) > sum(
        key in ENGLISH_FUNCTION_WORDS for key in keys
    )
