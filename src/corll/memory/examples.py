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
            "example-garden",
            """\
A short invitation to my friend Tilda. My garden is finished at last, and she gave me half of \
the plants for it. It should sound like me and not like an official letter.""",
            "garden party Sat 5th at 3, bring a cup, thanks for plants",
            "Jo",
            """\
Hi Tilda,

my garden is finished. Thank you for the plants! Come to my garden party on Saturday the 5th at \
3, and please bring a cup.

Jo""",
        ),
        _Worked(
            "example-membership",
            """\
I want to leave my sports club, the Northside Gym, since I move to another town. I liked it \
there, so it should be friendly, but short. They have to confirm it, otherwise they just go on \
taking the money from my account.""",
            "cancel membership 5512 for end of June, moving away, was happy there, please confirm",
            "Erik Sand",
            """\
Dear Northside Gym,

I am moving away and would like to cancel my membership 5512 at the end of June. I was happy \
with you. Please confirm this.

Kind regards,
Erik Sand""",
        ),
        _Worked(
            "example-aunt",
            """\
A birthday card for my aunt Rosa. She is the funniest person of our family, but I am no poet, so \
no verses please. It has to be short, since she does not see well any more and I write it by \
hand.""",
            "happy 70th, taught me to swim, present: a day at the sea, I drive",
            "Emil",
            """\
Dear Rosa,

happy 70th birthday! You taught me to swim, so my present is a day at the sea. I drive.

Love,
Emil""",
        ),
        _Worked(
            "example-door",
            """\
The sign for the door of our shop while we are closed over the holidays. We sell ropes and \
sails. Last year people knocked at our flat upstairs because they needed something at once, that \
must not happen again, but do not write that.""",
            "closed 24 Dec to 2 Jan, orders by mail hello@sails.example, parcels at the bakery",
            "Dario Conte",
            """\
We are closed from 24 December to 2 January. You can order by mail at hello@sails.example. \
Please fetch your parcels at the bakery.

Dario Conte""",
        ),
        _Worked(
            "example-drawings",
            """\
A mail to a client, Ms Duarte, whose kitchen I plan. She has phoned twice already and is \
impatient. The delay is partly her own fault, because she changed the sink, but I cannot tell \
her that. Polite and not too humble, she should not think that the price will rise.""",
            "drawings Fri instead of Tue, sorry, price same, joiner starts 4 March, call me",
            "Ivo Brandl",
            """\
Dear Ms Duarte,

I am sorry, but your drawings will be ready on Friday instead of Tuesday. The price stays the \
same, and the joiner starts on 4 March. You can call me at any time.

Kind regards,
Ivo Brandl""",
        ),
        _Worked(
            "example-teacher",
            """\
To the teacher of our son, Mr Moreau. He is strict about absence and wants the mail before eight \
in the morning, and he does not like long stories. The test on Thursday worries us a little.""",
            "Jonah ill, fever, back Mon probably, Lea brings homework, can he do test later?",
            "Hanna Weiss",
            """\
Dear Mr Moreau,

Jonah is ill and has a fever. He will probably be back on Monday. Lea brings him his homework. \
Can he do the test later?

Kind regards,
Hanna Weiss""",
        ),
        _Worked(
            "example-lift",
            """\
A note to all tenants, for the board in the hall. The lift was out of order in spring already, \
so everybody will be cross. Explain it in a friendly way and ask for patience. It must not be \
longer than half a page.""",
            "no lift Mon to Wed, new motor, loud 8 to 16, sorry, Mr Adler helps with bags",
            "Paula Reyes",
            """\
Dear tenants,

there will be no lift from Monday to Wednesday, because it gets a new motor. It will be loud \
from 8:00 to 16:00. I am sorry about that. Mr Adler helps you with your bags.

Paula Reyes""",
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
