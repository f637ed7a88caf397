"""Who is greeted in a letter and who signs it, read from its words alone.

The rules look at the greeting of the first lines and at what follows the last closing. A name is
known by its words: "Mr Riley" and "Tom" are both Tom Riley. `tests/experiments` has what they say
of letters that were read by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from corll.signatures import CLOSING_WORDS, THANKING_WORDS
from draft_prompts import TITLES, DraftPrompt, name_words, plain, words_of

Named = Literal["sender", "self", "placeholder", "other", "nobody"]
Verdict = Literal["right", "placeholder", "swapped", "stranger"]

_FIRST_LINES, _SIGNATURE_LINES, _SIGNATURE_WORDS = 8, 3, 6

PLACEHOLDER = re.compile(
    r"\[(?=[^\]\n]*[A-Za-z])[^\]\n]{2,60}\](?!\()"
    r"|\{\{?(?=[^}\n]*[A-Za-z])[^}\n]{2,40}\}\}?"
    r"|<(?=[^>\n]*(?i:name|date|company|title|position|number|address))[A-Za-z' _/-]{3,40}>"
    r"|\((?i:your|insert|recipient|sender|customer|company)['s]*(?: [\w']+){0,3}(?i: name)\)"
    r"|\b(?:Your|Recipient(?:'s)?|Sender(?:'s)?|Customer(?:'s)?|Company)(?: Full| First)? Name\b"
    r"|_{3,}|\bX{3,}\b"
)
"""What was left to be filled in: [Your Name], {name}, <date>, Your Name, ____, XXX."""

_GREETING = re.compile(
    r"^\W*(?:dear|hello|hi|hey|hiya|greetings|good (?:morning|afternoon|evening|day))\b(.*)$",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:^|(?<=[.!?)])[ ]+)[ *>-]*(?:(?:with|in|my|our|and) )*(?:(?:the|my|our|many|a|an) )?"
    r"(?:(?:kind|kindest|best|warm|warmest|heartfelt|friendly|deepest|all|good|big) )*"
    rf"(?:(?:very |most )?(?P<thanks>(?:{THANKING_WORDS})(?: again| a lot| so much)?"
    r"|thank you(?: again| so much| very much)?)"
    rf"|(?:the )?(?:yours )?(?:very )?(?:{CLOSING_WORDS})(?: yours)?"
    r"|see you(?: soon| then)?|take care|signed|yours in [a-z]+)"
    r"(?: (?:from|to you|and [a-z]+(?: [a-z]+)?)(?= *(?:[,.!\n-]|$)))?"
    r"(?P<end>[ ]*(?:[,.!:;–—-]+|$)|[ ]+(?=(?-i:[A-Z])))",
    re.IGNORECASE | re.MULTILINE,
)
_GENERIC = frozenset(
    """
    there all everyone everybody team folks friend friends neighbour neighbours neighbor neighbors
    colleague colleagues customer customers client clients member members parent parents guest
    guests applicant candidate tenant landlord supplier sender recipient whom concern staff company
    department office service services support manager management practice surgery ltd limited inc
    club committee school store shop restaurant valued esteemed sirs ladies gentlemen reader nurses
    residents supporter student reception treasurer
    """.split()
)
_JOINS = frozenset(
    "and or the my our your from of at de van von di la to it may dear again".split()
)
_STARTS = frozenset(
    """
    i i'm i've i'd i'll im we we're we've it it's its this that thank thanks my yes no not sorry
    please just your you as in on for from hope great what how if so to regarding unfortunately
    here at with after let following good congratulations happy nice he she they there's
    """.split()
)
_END_OF_GREETING = re.compile(r"[,!:;.?\n–—(]| - ")
_TITLE_DOT = re.compile(r"\b(mr|mrs|ms|dr|prof)\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LetterNames:
    """Whom a letter greets and who signs it."""

    greeted: Named
    signed: Named

    @property
    def verdict(self) -> Verdict:
        """Return whether the names are the right way round.

        `swapped`: the user is greeted or the sender signs. `stranger`: somebody is greeted or signs
        who is neither. `placeholder`: a name is left to be filled in. Who greets nobody or signs
        as nobody has made no mistake.
        """
        if self.greeted == "self" or self.signed == "sender":
            return "swapped"
        if "other" in (self.greeted, self.signed):
            return "stranger"
        return "placeholder" if "placeholder" in (self.greeted, self.signed) else "right"

    @property
    def are_both_there(self) -> bool:
        """Whether the sender is greeted and the user signs."""
        return self.greeted == "sender" and self.signed == "self"


def letter_names(text: str, prompt: DraftPrompt) -> LetterNames:
    """Return whom a draft greets and who signs it."""
    lines = [_TITLE_DOT.sub(r"\1", line.strip(' \t*>#"')) for line in plain(text).splitlines()]
    lines = [line for line in lines if line]
    people = _People(name_words(prompt.sender), name_words(prompt.sign_as))
    return LetterNames(_greeted(lines, people), _signed(lines, people))


@dataclass(frozen=True, slots=True)
class _People:
    """The words of both names."""

    sender: frozenset[str]
    own: frozenset[str]

    @property
    def known(self) -> frozenset[str]:
        return self.sender | self.own

    def named(self, words: Iterable[str], *, worse: Named) -> Named | None:
        """Return who is named by words; where both are, the one who should not be."""
        folded = {_bare(word) for word in words}
        found: list[Named] = []
        if folded & self.sender:
            found.append("sender")
        if folded & self.own:
            found.append("self")
        if not found:
            return None
        return worse if worse in found else found[0]


def _bare(word: str) -> str:
    return word.casefold().removesuffix("'s")


def _greeted(lines: Sequence[str], people: _People) -> Named:
    """Return who is greeted in the first lines: the user, where anybody greets them."""
    found = [named for line in lines[:_FIRST_LINES] if (named := _of_line(line, people))]
    if "self" in found:
        return "self"
    return next((named for named in found if named != "nobody"), "nobody")


def _of_line(line: str, people: _People) -> Named | None:
    """Return who is greeted by a line; None where it is no greeting."""
    if greeting := _GREETING.match(line):
        return _of_greeting(greeting[1], people)
    if line.endswith((",", ":", "!")) and len(words_of(line)) <= 3:
        return people.named(words_of(line), worse="self")
    return None


def _of_greeting(rest: str, people: _People) -> Named:
    """Return who is meant by what follows a "Dear" or "Hello" in its line."""
    after_comma = rest.lstrip().startswith(",")
    rest = rest.lstrip(" ,")
    called = _END_OF_GREETING.split(rest, maxsplit=1)[0]
    if PLACEHOLDER.match(rest) or PLACEHOLDER.search(called):
        return "placeholder"
    words = words_of(called)
    if not words or (words[0].casefold() in _STARTS and words[0].casefold() not in people.known):
        return "nobody"
    run = _leading_names(words, people)
    if named := people.named(run, worse="self"):
        return named
    if after_comma and len(words) > len(run):
        return "nobody"  # "Hello, Saturday suits me": a sentence, not a name
    return _somebody(run)


def _leading_names(words: Sequence[str], people: _People) -> list[str]:
    """Return the words in front that are names, titles, roles or what joins them."""
    run = []
    for word in words:
        bare = _bare(word)
        joins = bare in _GENERIC | _JOINS | TITLES or bare in people.known
        if not (word[0].isupper() or joins) or bare in _STARTS - _JOINS - people.known:
            break
        run.append(word)
    return run


def _somebody(words: Sequence[str]) -> Named:
    """Return whether words that name neither of the two name somebody, or a role."""
    bare = [_bare(word) for word in words]
    if set(bare) & _GENERIC:
        return "nobody"
    names = [w for w, b in zip(words, bare, strict=True) if b not in _JOINS | TITLES]
    return "other" if any(word[0].isupper() for word in names) else "nobody"


def _signed(lines: Sequence[str], people: _People) -> Named:
    """Return who signs at the end; the sender, where they sign anywhere."""
    if not lines:
        return "nobody"
    text = "\n".join(lines)
    found = [named for end in _CLOSING.finditer(text) if (named := _of_closing(text, end, people))]
    if "sender" in found:
        return "sender"
    return found[-1] if found else _of_last_line(lines[-1], people)


def _of_closing(text: str, closing: re.Match[str], people: _People) -> Named | None:
    """Return who signs after a closing; None where it is none, or nothing short comes after it."""
    same_line, _, below = text[closing.end() :].partition("\n")
    if closing["end"].isspace() and not people.named(words_of(same_line)[:2], worse="sender"):
        return None  # "Best Tuesday", not "Best Anna"
    is_thanks = bool(closing["thanks"] and same_line.strip())
    if is_thanks and (below.strip() or same_line.rstrip().endswith((".", "!", "?"))):
        # "Thanks again, Tom!" speaks to Tom, and no letter is signed in its middle by thanks.
        words = words_of(same_line)
        if people.named(words, worse="sender") != "self" or below.strip():
            return None
    block = _signature_block([line for line in [same_line, *below.split("\n")] if line.strip()])
    return _of_signature(block, people, can_be_other=not is_thanks) if block else None


def _signature_block(lines: Sequence[str]) -> list[str]:
    """Return the short lines in front: a name, a title, a firm."""
    block: list[str] = []
    for line in lines[:_SIGNATURE_LINES]:
        is_remark = line.lower().startswith(("p.s", "ps", "note", "---"))
        if is_remark or len(words_of(line)) > _SIGNATURE_WORDS:
            break
        block.append(line)
    return block


def _of_signature(block: Sequence[str], people: _People, *, can_be_other: bool) -> Named | None:
    """Return who signs by the lines after a closing; None where they name nobody."""
    if named := people.named((word for line in block for word in words_of(line)), worse="sender"):
        return named
    if any(PLACEHOLDER.search(line) for line in block):
        return "placeholder"
    words = words_of(block[0])
    is_name = all(word[0].isupper() or _bare(word) in _JOINS for word in words)
    if not (can_be_other and is_name and words) or words[0].casefold() in _STARTS:
        return None
    return "other" if _somebody(words) == "other" else None


def _of_last_line(line: str, people: _People) -> Named:
    """Return who signs without a closing: by a line of their own, or behind the last sentence."""
    if PLACEHOLDER.fullmatch(line.strip(" -–—,.")):
        return "placeholder"
    words = words_of(line)
    alone = {_bare(word) for word in words} <= people.known | TITLES
    if words and alone and not line.rstrip().endswith(("?", "!")):
        return people.named(words, worse="sender") or "nobody"
    behind = re.search(r"[.!?)]\s+[-–—]*\s*([^.!?]{1,40}?)\.?$", line)
    words = words_of(behind[1]) if behind else []
    if words and {_bare(word) for word in words} <= people.known | TITLES:
        return people.named(words, worse="sender") or "nobody"
    return "nobody"
