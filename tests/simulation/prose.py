"""Texts for the editors' property tests: arbitrary ones, and prose built from sentences."""

from __future__ import annotations

from hypothesis import strategies as st

_SENTENCES = [
    "Dear [Customer's Name],",
    "Hi Maria!",
    "Dear Dr. Singh, thank you for the note.",
    "Subject: Your kettle",
    "Here is the letter:",
    "I hope this message finds you well.",
    "Please note that the kettle is very late.",
    "I am sorry for the inconvenience, but we do not have a new lid.",
    "Unfortunately, a really terrible delay was the problem!",
    "It is an issue, I think the lid is broken.",
    "What it is like, you cannot know!?",
    '"A truly unique, wonderful desk."',
    "Please don't hesitate to contact us.",
    "Thank you for your patience and understanding!",
    "The desk ships on Monday at a bit of an angle.",
    "We will send it on Friday and, of course, in order to",
    "Dear Sarah,",
    "Best regards,",
    "[Your Name]",
    "Kind regards,",
    "Thanks!",
    "Tom, we are going to call you as soon as possible.",
    "- two eggs",
    "…",
    "🎉",
    "I",
    "am not",
    "very",
]

PROSE = st.lists(
    st.tuples(st.sampled_from(_SENTENCES), st.sampled_from([" ", "\n", "\n\n", "  ", "\r\n"])),
    max_size=9,
).map(lambda parts: "".join(sentence + gap for sentence, gap in parts))

TEXT = st.one_of(st.text(max_size=80), PROSE, st.tuples(PROSE, st.text(max_size=9)).map("".join))
