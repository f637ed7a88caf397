"""The language of a text, by script and function words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.verdicts.languages import language_of, languages_of

ENGLISH = "Hello, the parcel is late and it will arrive on Friday. Sorry for the trouble."
GERMAN = "Hallo, das Paket ist leider nicht am Freitag gekommen, und wir bitten um Geduld."
TEXTS = {
    "English": ENGLISH,
    "German": GERMAN,
    "French": "Bonjour, le colis est en retard et il arrive vendredi. Merci pour votre patience.",
    "Spanish": "Hola, el paquete no llega hasta el viernes, lo siento mucho. Un saludo, Ana",
    "Italian": "Ciao, il pacco è in ritardo e non arriva prima di venerdì, mi dispiace.",
    "Portuguese": "Olá, a encomenda não chega até sexta-feira e eu peço desculpa por isso.",
    "Dutch": "Hallo, het pakket is te laat en komt niet voor vrijdag aan, het spijt me.",
    "Cyrillic": "Здравствуйте, посылка придёт в пятницу.",
    "Greek": "Γεια σας, το δέμα θα έρθει την Παρασκευή.",
    "Japanese": "荷物は金曜日に届きます。よろしくお願いします。",
    "Cjk": "您好，包裹将于星期五送达。",
    "Hangul": "안녕하세요, 소포는 금요일에 도착합니다.",
    "Arabic": "مرحبا، سيصل الطرد يوم الجمعة.",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_sentence_or_two_have_a_language(name: str) -> None:
    assert language_of(TEXTS[name]) == name


@pytest.mark.parametrize(
    "text",
    ["", "ok", "12:30!", "Anna", "Anna, Berlin", "xq zzv blorp qux fnord wug", "Ja.", "the the"],
)
def test_what_shows_no_language_has_none(text: str) -> None:
    assert language_of(text) is None


def test_a_name_in_another_script_makes_no_other_language() -> None:
    assert language_of(ENGLISH + " Greetings to Иван.") == "English"


def test_three_words_of_a_language_are_enough_and_two_are_not() -> None:
    assert language_of("the parcel and it") == "English"
    assert language_of("the parcel and") is None


def test_a_text_that_is_as_much_of_another_language_has_none() -> None:
    assert language_of("the parcel and it, il pacco non la") is None


def test_languages_of_a_user_are_those_of_a_quarter_of_the_texts() -> None:
    assert languages_of([ENGLISH] * 3 + [GERMAN]) == {"English", "German"}
    assert languages_of([ENGLISH] * 4 + [GERMAN]) == {"English"}
    assert languages_of(["ok", "ok", ENGLISH]) == {"English"}
    assert languages_of([]) == frozenset()


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    language_of(text)
