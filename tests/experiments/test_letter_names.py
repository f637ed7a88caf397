"""Letters that were read by hand: whom each greets, who signs it, and whether that is right."""

from __future__ import annotations

import re

import pytest

from draft_prompts import DraftPrompt
from letter_names import letter_names

BODY = "yes, Friday at ten suits me. I bring the contract along."
TO_TOM = DraftPrompt(
    "date",
    "reply",
    "Dear Anna,\n\nis Friday all right?\n\nTom Riley",
    "yes, Fri 10",
    "Anna Weber",
    "Mr Tom Riley",
    ((re.compile("fri"),),),
)
TO_NOBODY = DraftPrompt(
    "closed", "write", "An announcement.", "closed Fri", "Anna", "", ((re.compile("fri"),),)
)


def read(greeting: str = "", closing: str = "", prompt: DraftPrompt = TO_TOM) -> tuple[str, str]:
    text = "\n\n".join(part for part in (greeting, BODY, closing) if part)
    found = letter_names(text, prompt)
    return found.greeted, found.signed


@pytest.mark.parametrize(
    ("greeting", "greeted"),
    [
        ("Dear Tom,", "sender"),
        ("dear tom,", "sender"),
        ("Dear Mr. Riley,", "sender"),
        ("Dear Mr Riley:", "sender"),
        ("Hi Tom!", "sender"),
        ("Hi, Tom!", "sender"),
        ("Hi there Tom,", "sender"),
        ("**Hello Tom,**", "sender"),
        ("Tom,", "sender"),
        ("Good morning, Tom.", "sender"),
        ("Hi Tom thanks for letting me know.", "sender"),
        ("Hello Tom - thanks.", "sender"),
        ("Dear Tom and family,", "sender"),
        ("Dear Riley’s,", "sender"),
        ("Subject: Re: Friday, from Anna\n\nDear Tom,", "sender"),
        ("Here is the reply:\n\nDear Tom,", "sender"),
        ("Dear Anna,", "self"),
        ("Dear Ms. Weber,", "self"),
        ("Anna,", "self"),
        ("Hello Anna Weber, this is Tom.", "self"),
        ("Dear Tom and Anna,", "self"),
        ("Hello there!\n\nDear Tom,", "sender"),
        ("Dear Tom,\n\nDear Anna,", "self"),
        ("Dear John,", "other"),
        ("Dear Dr. Smith,", "other"),
        ("Hi Anne,", "other"),
        ("Dear Tomas,", "other"),
        ("Dear [Recipient's Name],", "placeholder"),
        ("Hello {name},", "placeholder"),
        ("Dear Customer Name,", "placeholder"),
        ("", "nobody"),
        ("Hello,", "nobody"),
        ("Hi there!", "nobody"),
        ("Dear all,", "nobody"),
        ("Dear valued customer,", "nobody"),
        ("Dear Hiring Manager,", "nobody"),
        ("Dear Sir or Madam,", "nobody"),
        ("Dear Neighbour,", "nobody"),
        ("Hello, Thank you for your message.", "nobody"),
        ("Hello, I'm Anna from the office.", "nobody"),
        ("Hello, this is Anna.", "nobody"),
        ("Hello, Saturday suits me well.", "nobody"),
        ("Good afternoon, Unfortunately I am late.", "nobody"),
        ("Thank you, Tom, for asking.", "nobody"),
        ("Office announcement:", "nobody"),
    ],
)
def test_whom_a_letter_greets(greeting: str, greeted: str) -> None:
    assert read(greeting, "Anna")[0] == greeted


@pytest.mark.parametrize(
    ("closing", "signed"),
    [
        ("Kind regards,\nAnna", "self"),
        ("Kind regards,\n\nAnna Weber", "self"),
        ("Kind regards, Anna", "self"),
        ("KIND REGARDS,\nANNA", "self"),
        ("Best,\nAnna", "self"),
        ("All the best,\nAnna", "self"),
        ("Many thanks and kind regards,\nAnna Weber\nCustomer service", "self"),
        ("Thank you for your understanding.\n\nYours sincerely,\nA. Weber", "self"),
        ("Thanks, Anna", "self"),
        ("Cheers\nAnna", "self"),
        ("With deepest sympathy,\nAnna", "self"),
        ("Yours in sorrow,\nAnna", "self"),
        ("Love,\nAnna x", "self"),
        ("— Anna", "self"),
        ("Anna", "self"),
        ("See you then! Anna", "self"),
        ("I look forward to it. Anna", "self"),
        ("Kind regards,\nAnna\n\nP.S. Greetings to Tom from all of us", "self"),
        ("Thanks again, Tom!\n\nAnna", "self"),
        ("Kind regards,\nAnna\n\nTake care!", "self"),
        ("Sincerely,\n[Your Name]\nAnna Weber", "self"),
        ("**Kind regards,**\n**Anna**", "self"),
        ("Kind regards,\nTom", "sender"),
        ("Sincerely,\nTom Riley", "sender"),
        ("Sincerely, Mr. Riley", "sender"),
        ("Best,\nAnna Weber\nfor Tom Riley", "sender"),
        ("Thanks,\nTom", "sender"),
        ("Thanks, Tom", "sender"),
        ("Cheers,\nTom Riley\n\nIs that all right?\nCheers to you,\nYour Name", "sender"),
        ("Thanks, Tom\n\nUntil Friday.\n\nKind regards,\nAnna", "self"),
        ("Thanks, Anna.", "self"),
        ("Best Tuesday then.\n\nAnna", "self"),
        ("Best Anna", "self"),
        ("Take care, and see you on Friday.\n\nAnna", "self"),
        ("Kind regards, until Friday at the latest in the office\n\nAnna", "self"),
        ("Thank you so much.\n\nAnna", "self"),
        ("Tom Riley", "sender"),
        ("See you on Friday. Tom", "sender"),
        ("Kind regards,\nJohn Smith", "other"),
        ("Yours truly,\nMs. Weaver", "other"),
        ("Kind regards,\n[Your Name]", "placeholder"),
        ("Best regards,\nYour Name", "placeholder"),
        ("[Your Name]", "placeholder"),
        ("Sincerely,\n______", "placeholder"),
        ("", "nobody"),
        ("Kind regards,", "nobody"),
        ("Kind regards,\nYour neighbour", "nobody"),
        ("Sincerely,\nThe Customer Service Team", "nobody"),
        ("Thanks, Tom!", "nobody"),
        ("Thank you for telling me, Tom.", "nobody"),
        ("I look forward to seeing you, Tom.", "nobody"),
        ("Thanks, Saturday is better.", "nobody"),
        ("See You On Friday", "nobody"),
        ("Best Tuesday.", "nobody"),
        ("Take care, and see you Friday", "nobody"),
        ("See you soon! Friday at ten then.", "nobody"),
        ("Yes, Best Western is fine.", "nobody"),
        ("Is that all right for you, Anna?", "nobody"),
    ],
)
def test_who_signs_a_letter(closing: str, signed: str) -> None:
    assert read("Dear Tom,", closing)[1] == signed


@pytest.mark.parametrize(
    ("greeting", "closing", "verdict"),
    [
        ("Dear Tom,", "Kind regards,\nAnna", "right"),
        ("Hello,", "Kind regards,", "right"),
        ("Dear Anna,", "Kind regards,\nTom", "swapped"),
        ("Dear Anna,", "Kind regards,\nAnna", "swapped"),
        ("Dear Tom,", "Kind regards,\nTom", "swapped"),
        ("Dear John,", "Kind regards,\nTom", "swapped"),
        ("Dear John,", "Kind regards,\nAnna", "stranger"),
        ("Dear Tom,", "Kind regards,\nBeth", "stranger"),
        ("Dear [Name],", "Kind regards,\nBeth", "stranger"),
        ("Dear Tom,", "Kind regards,\n[Your Name]", "placeholder"),
    ],
)
def test_which_way_round_names_are(greeting: str, closing: str, verdict: str) -> None:
    found = letter_names(f"{greeting}\n\n{BODY}\n\n{closing}", TO_TOM)
    assert found.verdict == verdict
    assert found.are_both_there == ((greeting, closing) == ("Dear Tom,", "Kind regards,\nAnna"))


def test_a_text_for_nobody_in_particular_greets_all_or_nobody() -> None:
    assert read("Dear all,", "Best,\nAnna", TO_NOBODY) == ("nobody", "self")
    assert read("", "Best,\nAnna", TO_NOBODY) == ("nobody", "self")
    assert read("Dear Sarah,", "Best,\nAnna", TO_NOBODY) == ("other", "self")


@pytest.mark.parametrize("text", ["", "\n \n", "Tom", "…", "Kind regards,"])
def test_hardly_a_text_is_read_too(text: str) -> None:
    assert letter_names(text, TO_TOM).greeted == "nobody"
