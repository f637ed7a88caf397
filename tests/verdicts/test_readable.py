"""Texts of letters that make no words, and texts of many languages, which do."""

from __future__ import annotations

from random import Random
from string import ascii_lowercase

import pytest

from corll.verdicts.readable import is_gibberish

LETTERS = [
    "Hello Tom, the parcel will be here on Friday, and Mr Smith of the BBC rings at 5 pm.",
    "Hallo Tom, das Paket kommt am zwölften Mai; die Angstschweißflecken am Strumpf sind weg.",
    "Cześć Tom, przyszłość jest w naszych rękach, a paczka będzie u ciebie dwunastego maja.",
    "Ahoj Tome, balík přijde ve čtvrtek, prst mám v krku a vlk zmrzl v lese s námi.",
    "Hei Tom, paketti saapuu toukokuun kahdentenatoista, kerro minulle sopiiko se sinulle.",
    "Annwyl Tom, bydd y parsel yn cyrraedd ddydd Gwener, ac mae'r cwm yn brydferth iawn.",
    "Merhaba Tom, paketiniz cuma günü elinizde olacak, lütfen bana uygun olup olmadığını yaz.",
    "Xin chào Tom, bưu kiện sẽ đến vào thứ sáu, xin hãy cho tôi biết có được không nhé.",
    "Здравствуйте, Том, посылка придёт в пятницу, взгляд и встреча нам обоим нужны.",
]


@pytest.mark.parametrize("text", LETTERS)
def test_words_of_any_language_can_be_said(text: str) -> None:
    assert not is_gibberish(text)


@pytest.mark.parametrize(
    "text",
    [
        "xkq vjwpt bzl qowmnr tkd fjghq zpl wrt",
        "asdf jkl; asdf jkl; qwrt zxcv bnm asdf jkl;",
        "1-0-b-x-n-\n\nh-b-1-b unm-1 bake go b x g t",
    ],
)
def test_letters_at_random_cannot(text: str) -> None:
    assert is_gibberish(text)


def test_of_random_texts_most_are_seen() -> None:
    rng = Random(0)
    texts = [
        " ".join("".join(rng.choices(ascii_lowercase, k=rng.randint(2, 9))) for _ in range(14))
        for _ in range(200)
    ]
    assert sum(map(is_gibberish, texts)) >= 160


def test_a_fifth_is_enough_and_seven_words_are_too_few() -> None:
    words = "one letter says a lot more than you".split()
    assert not is_gibberish(" ".join(["xkq", *words]))  # one of nine
    assert is_gibberish(" ".join(["xkq", "bzl", *words]))  # two of ten
    assert not is_gibberish("xkq bzl vjw qwr tkd fjg zpl")
    assert is_gibberish("xkq bzl vjw qwr tkd fjg zpl wrt")


def test_abbreviations_numbers_and_other_scripts_are_left_out() -> None:
    assert not is_gibberish("PDF TV DVD BBC KGB NHS RSVP BTW LLC HTTP")
    assert not is_gibberish("1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th")
    assert not is_gibberish("")
