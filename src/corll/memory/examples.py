"""Worked examples: short letters that stand before a framed request until there are own ones.

They show a small model what a frame asks for: all that the hint says, little else, and whose name
stands where. Names and matters are invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from corll.errors import InputError
from corll.frames import FrameName, Framing
from corll.memory.exchanges import Exchange


@dataclass(frozen=True, slots=True)
class _Worked:
    """A message, what its user wants to say, and the text that says it."""

    id: str
    message: str
    hint: str
    name: str
    text: str


_EXAMPLES: Mapping[FrameName, Sequence[_Worked]] = {
    "reply": (
        _Worked(
            "example-hike",
            """\
Hey Sam!

The forecast is good, so we go to the lake on Friday after work and stay until Sunday. Kim \
drives. Are you in? And has anybody got a second stove?

Pia""",
            "can't Fri, will come Sat by bus, have a stove, ok if my brother joins?",
            "Sam",
            """\
Hi Pia,

I can't come on Friday, but I will come on Saturday by bus. I have a stove and will bring it. Is \
it ok if my brother joins us?

Sam""",
        ),
        _Worked(
            "example-mirror",
            """\
Hi Nora,

the car is back from the garage and they want 640 euros. You had it when the mirror broke, so I \
think you should pay half. Can you send me the money this week? And do you still need the car at \
the weekend?

Milan""",
            "sorry about mirror, will pay 100, not half, don't need car",
            "Nora",
            """\
Hi Milan,

I am sorry about the mirror. I will pay 100 euros, but not half. I do not need the car at the \
weekend.

Nora""",
        ),
        _Worked(
            "example-invitation",
            """\
Dear Mr Lindqvist,

thank you for your talk in March. We would like to invite you to our summer school in Uppsala, \
in the second week of July. Could you teach a course on three mornings? We pay for the journey \
and the hotel. Please also tell us which equipment you need in the room.

Kind regards,
Helen Marsh""",
            "yes gladly, but only Mon and Tue, need projector",
            "Tobias Lindqvist",
            """\
Dear Helen Marsh,

thank you for the invitation. I will gladly come, but I can only teach on Monday and Tuesday. I \
need a projector in the room.

Kind regards,
Tobias Lindqvist""",
        ),
        _Worked(
            "example-rent",
            """\
Dear Mr Danso,

the costs of the house have risen, and from March on the rent of your flat is 820 euros. Please \
sign the enclosed paper and send it back to me by the end of the month.

Yours sincerely,
Gerald Pohl""",
            "don't agree, heating broken since Nov, old rent until it works, send someone",
            "Kofi Danso",
            """\
Dear Gerald Pohl,

I do not agree with the new rent. The heating has been broken since November, and I will pay the \
old rent until it works. Please send someone.

Yours sincerely,
Kofi Danso""",
        ),
        _Worked(
            "example-lesson",
            """\
Good evening,

our Ida has her first piano lesson with you on Wednesday and is quite excited. Does she need \
notes of her own? Can she come a little earlier, because of the bus? And how do we pay?

Many thanks,
Ms Aalto""",
            "no need for notes, 10 min earlier is ok, hall cold, warm shoes, pay at end of month",
            "Bruno Keller",
            """\
Dear Ms Aalto,

Ida does not need any notes, and she can come ten minutes \
earlier. The hall is cold, so please give her warm shoes. You pay at the end of the month.

Kind regards,
Bruno Keller""",
        ),
        _Worked(
            "example-desk",
            """\
Hi Lena,

while you are away, could I work at your desk by the window? Mine is so dark. And there is a \
parcel for you that I could open or send on.

Rashid""",
            "sure, can have desk, lamp too, back on Thu, pls don't open parcel, key in left drawer",
            "Lena",
            """\
Hi Rashid,

sure, you can have my desk and use the lamp too. The key is in the left drawer. I am back on \
Thursday, so please don't open the parcel.

Lena""",
        ),
        _Worked(
            "example-offer",
            """\
Hello Mr Veit,

did you know that bad coffee costs a firm of your size two hours of work a day? With our new \
machine your people get the best espresso at the touch of a button, and you save money from the \
first cup on. Only this week we set it up for nothing! When may I show it to you, on Monday or \
on Thursday?

Sunny greetings,
Grace Odell""",
            "no thanks, happy with our machine, delete my address, no calls please",
            "Simon Veit",
            """\
Dear Grace Odell,

thank you for your offer, but I am not interested. We are happy with our machine. Please delete \
my address, and do not call me.

Regards,
Simon Veit""",
        ),
        _Worked(
            "example-boat",
            """\
Hello,

my week with the boat is over. I left it at the landing stage as we had agreed. Could you tell \
me what happens with my deposit, and what I do with the key? I hope that everything was in \
order.

Best wishes,
Leonard Wu""",
            "boat was fine, bring key back by Fri, then gets deposit of 50, season ends Sunday",
            "Marta Silva",
            """\
Dear Leonard Wu,

the boat was fine. Please bring the key back by Friday, then you get your deposit of 50 euros. \
The season ends on Sunday.

Best wishes,
Marta Silva""",
        ),
        _Worked(
            "example-booking",
            """\
To the manager,

we came to your hotel at ten in the evening, with two tired children, and somebody else was in \
the room that I had booked in January. The lady at the desk said that she could do nothing. We \
had to look for another house in the rain. I have never been treated like that.

Olga Petrenko""",
            "sorry, booked twice, lady at desk new, no excuse, 20 % off next stay, call 0221 7788",
            "Victor Hahn",
            """\
Dear Olga Petrenko,

I am very sorry. Your room was booked twice. The lady at the desk was new, but that is no \
excuse. I would like to give you 20 % off your next stay. Please call me on 0221 7788.

Yours sincerely,
Victor Hahn""",
        ),
        _Worked(
            "example-parcel",
            """\
Good morning,

I ordered a garden bench from you three weeks ago and it has not arrived. I paid 180 euros for \
it. I have guests on Sunday and nothing for them to sit on. I want my money back, and I would \
like to know what went wrong.

Regards,
Ruben Costa""",
            "sorry, no refund, bench at post office since Wed, can collect it, bring order number",
            "Ana Brandt",
            """\
Dear Ruben Costa,

I am sorry about the delay. Your bench has been at the post office since Wednesday, and you can \
collect it there. Please bring your order number. Since it has arrived, we cannot give you a \
refund.

Regards,
Ana Brandt""",
        ),
    ),
    "write": (
        _Worked(
            "example-membership",
            """\
I want to leave my sports club, the Northside Gym, at the end of June, because I move to another \
town. My membership card has the number 5512. I was content there, so it should be friendly. \
They have to confirm it in writing.""",
            "cancel membership 5512 for end of June, moving away, was happy there, please confirm",
            "Erik Sand",
            """\
Dear Northside Gym,

I am moving to another town and would like to cancel my membership 5512 at the end of June. I \
was happy with you. Please confirm this in writing.

Kind regards,
Erik Sand""",
        ),
        _Worked(
            "example-lift",
            """\
A note to all tenants, for the board in the hall. The lift is old and gets a new motor, and it \
will be loud. Nobody likes it, but it has to be done before the winter.""",
            "no lift Mon to Wed, new motor, loud 8 to 16, sorry, Mr Adler helps with bags",
            "Paula Reyes",
            """\
Dear tenants,

the lift gets a new motor and is out of order from Monday to Wednesday. It will be loud from \
8:00 to 16:00, and I am sorry for that. Mr Adler helps you with your bags.

Paula Reyes""",
        ),
        _Worked(
            "example-garden",
            """\
A short invitation to my friend Tilda. My garden is finished at last, and she gave me half of \
the plants for it.""",
            "garden party Sat 5th at 3, bring a cup, thanks for plants",
            "Jo",
            """\
Hi Tilda,

my garden is finished. Thank you for the plants! Come to my garden party on Saturday the 5th at \
3, and bring a cup.

Jo""",
        ),
    ),
}


def worked_examples(framing: Framing) -> tuple[Exchange, ...]:
    """Return examples of what a frame asks for, in its own words; none where there is no frame.

    Their users sign where the frame's user does. A template of the user's that has no place for
    what they hold has none.
    """
    examples = []
    for worked in _EXAMPLES.get(framing.frame, ()):
        name = worked.name if framing.name else ""
        try:
            asked = replace(framing, hint=worked.hint, name=name).around(worked.message)
        except InputError:
            return ()
        text = worked.text if name else _unsigned(worked)
        examples.append(Exchange(asked, text, worked.id))
    return tuple(examples)


def _unsigned(worked: _Worked) -> str:
    """Return an example's text without its user's name below it."""
    return worked.text.removesuffix(worked.name).rstrip()
