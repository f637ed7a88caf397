"""Letters with the facts in them that come from a past letter, labelled by hand.

The writer is Anna Meyer, whose own frame is in `OWN_LETTERS`. Where a label cannot be found, or
something is found that is none, the letter stays as it is: it counts as missed, or as false.
"""

from __future__ import annotations

from typing import NamedTuple

OWN_LETTERS = (
    "Hello Mr Brown,\n\nboxes are here.\n\nKind regards,\nAnna Meyer\nMeyer Prints, 040 555 12 34",
    "Hello Lucy,\n\nyes, gladly.\n\nKind regards,\nAnna Meyer\nMeyer Prints, 040 555 12 34",
    "Hello Sam,\n\nnot this week.\n\nKind regards,\nAnna Meyer\nMeyer Prints, 040 555 12 34",
    "Hallo Frau Krause,\n\ndie Karten sind fertig.\n\nViele Grüße\nAnna Meyer\n040 555 12 34",
    "Hallo Herr Vogt,\n\ndas Papier ist da.\n\nViele Grüße\nAnna Meyer\n040 555 12 34",
)


class Letter(NamedTuple):
    """What was asked and sent before, what is asked, its draft, and what in it is leaked."""

    past_request: str
    past_text: str
    request: str
    draft: str
    leaks: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


ENGLISH = (
    Letter(
        "Tell Tom that his cards are ready on Tuesday.",
        "Hello Tom,\n\nyour cards can be fetched on Tuesday.\n\nKind regards,\nAnna Meyer",
        "Tell Lisa that her posters are ready.",
        "Hello Tom,\n\nyour posters can be fetched on Tuesday.\n\nKind regards,\nAnna Meyer",
        ("Tom", "Tuesday"),
    ),
    Letter(
        "Tell Tom that his cards are ready on Tuesday.",
        "Hello Tom,\n\nyour cards can be fetched on Tuesday.\n\nKind regards,\nAnna Meyer",
        "Tell Lisa that her posters are ready on Friday.",
        "Hello Lisa,\n\nyour posters can be fetched on Friday.\n\nKind regards,\nAnna Meyer",
    ),
    Letter(
        "Offer Mrs Patel 200 flyers.",
        "Hello Mrs Patel,\n\n200 flyers cost £85.50 with delivery to Leeds.",
        "Offer Mr Hall 500 flyers for £120.",
        "Hello Mr Hall,\n\n500 flyers cost £85.50 with delivery to Leeds.",
        ("£85.50", "Leeds"),
    ),
    Letter(
        "Offer Mrs Patel 1,000 flyers.",
        "Hello Mrs Patel,\n\n1,000 flyers cost 210 pounds.",
        "Offer Mr Hall 1000 flyers for £210.",
        "Hello Mr Hall,\n\n1,000 flyers cost 210 pounds.",
    ),
    Letter(
        "Move the meeting with Dr Osei to 14:00.",
        "Hello Dr. Osei,\n\nwe meet at 14:00 instead.",
        "Move the meeting with Ms Lind to 3 pm.",
        "Hello Ms Lind,\n\nwe meet at 2 pm instead.",
        ("2 pm",),
    ),
    Letter(
        "Move the meeting with Dr Osei to 14:00.",
        "Hello Dr. Osei,\n\nwe meet at 14:00 instead.",
        "Move the meeting with Ms Lind to 14.00",
        "Hello Ms Lind,\n\nwe meet at 2 pm instead.",
    ),
    Letter(
        "The order INV-2024-017 is late, tell Paul Novak.",
        "Hello Paul,\n\nyour order INV-2024-017 leaves on 3 May.",
        "The order INV-2024-021 is late, tell Grace.",
        "Hello Grace,\n\nyour order INV-2024-017 leaves on May 3rd.",
        ("INV-2024-017", "May 3rd"),
    ),
    Letter(
        "The order INV-2024-017 is late, tell Paul Novak.",
        "Hello Paul,\n\nyour order INV-2024-017 leaves on 3 May.",
        "The order inv-2024-017 leaves 3.5., tell Grace",
        "Hello Grace,\n\nyour order INV-2024-017 leaves on May 3rd.",
    ),
    Letter(
        "Send Omar our courier's number.",
        "Hello Omar,\n\ncall courier Petra on 0171 998 87 76 or write to petra@courier.example.",
        "Send Ines our courier's number.",
        "Hello Ines,\n\ncall courier Petra on 0171 9988776 or write to petra@courier.example.",
        ("Petra", "0171 9988776", "petra@courier.example"),
    ),
    Letter(
        "Send Omar our number.",
        "Hello Omar,\n\ncall us on 040 555 12 34.\n\nKind regards,\nAnna Meyer",
        "Send Ines our number.",
        "Hello Ines,\n\ncall us on 040 5551234.\n\nKind regards,\nAnna Meyer\nMeyer Prints",
    ),
    Letter(
        "Thank Grandma Rose for the scarf.",
        "Hello Grandma,\n\nthe blue scarf keeps me warm in Oslo.",
        "Thank Uncle Ben for the book.",
        "Hello Uncle Ben,\n\nthe book keeps me warm in Oslo. Rose will like it.",
        ("Oslo", "Rose"),
    ),
    Letter(
        "Decline the invitation to the wedding of Mia and Jon.",
        "Dear Mia,\n\nJon and you will have a great day. Sadly I am in Madrid on Saturday.",
        "Decline the invitation to the summer party.",
        "Dear all,\n\nyou will have a great day. Sadly I am away on Saturday.",
        ("Saturday",),
    ),
    Letter(
        "Decline the invitation to the wedding of Mia and Jon.",
        "Dear Mia,\n\nsadly I cannot come. Thank you for thinking of me.",
        "Decline the invitation to the summer party.",
        "Dear all,\n\nsadly I cannot come. Thank you for thinking of me.",
    ),
    Letter(
        "Ask the landlord about the heating.",
        "Dear Mr. Whitlock,\n\nthe heating in flat 12 has been off since Monday.",
        "Ask the landlord about the lift.",
        "Dear Mr. Whitlock,\n\nthe lift has been off since yesterday. We live in flat 12.",
        ("Whitlock", "12"),
    ),
    Letter(
        "Ask the landlord about the heating.",
        "Dear Mr. Whitlock,\n\nthe heating in flat 12 has been off since Monday.",
        "Ask the landlord, Mr Whitlock, about the lift. We live in no. 12.",
        "Dear Mr. Whitlock,\n\nthe lift has been off since yesterday. We live in flat 12.",
    ),
    Letter(
        "Quote for the bakery",
        "Hello Mr Adeyemi,\n\nthe menu cards are $1,250.00 for fifteen boxes.",
        "Quote for the florist: 20 boxes",
        "Hello,\n\nthe price tags are 1250 dollars for fifteen boxes.",
        ("1250 dollars", "fifteen"),
    ),
    Letter(
        "Remind Will of the invoice from 12/03/2024.",
        "Hello Will,\n\nthe invoice of 12 March 2024 is still open.",
        "Remind the gallery of the invoice from last week.",
        "Hello,\n\nthe invoice of 12 March is still open. Will you pay it soon?",
        ("12 March",),
    ),
    Letter(
        "Remind Will of the invoice.",
        "Hello Will,\n\nMay I remind you of the invoice? It is due in May.",
        "Remind the gallery of the invoice.",
        "Hello,\n\nMay I remind you of the invoice? Will you pay it soon?",
    ),
    Letter(
        "Tell Carlos where the van is.",
        "Hi Carlos,\n\nthe van stands in Mill Road, the key is with Mr Okafor's wife.",
        "Tell Nadia where the bike is.",
        "Hi Nadia,\n\nthe bike stands in Mill Road, the key is with Okafor.",
        ("Mill Road", "Okafor"),
    ),
    Letter(
        "Tell Carlos what we sell.",
        "Hi Carlos,\n\nsee https://www.prints.example/cards for our cards.",
        "Tell Nadia what we sell.",
        "Hi Nadia,\n\nsee prints.example/cards or www.prints.example/cards for our cards.",
        ("prints.example/cards", "www.prints.example/cards"),
    ),
    Letter(
        "Confirm room 7 for Yuki, two nights.",
        "Hello Yuki,\n\nroom 7 is yours for two nights.",
        "Confirm room 9 for Emeka, 3 nights.",
        "Hello Emeka,\n\nroom 9 is yours for 2 nights.",
        ("2",),
    ),
    Letter(
        "Confirm room 7 for Yuki, two nights.",
        "Hello Yuki,\n\nroom 7 is yours for two nights.",
        "Confirm room 9 for Emeka, two nights.",
        "Hello Emeka,\n\n1. Room 9 is yours.\n2. It is for 2 nights.",
    ),
    Letter(
        "Say that we are closed.",
        "Hello,\n\nwe are closed over Christmas and open again at noon on 2 January.",
        "Say that we are closed for repairs.",
        "Hello,\n\nwe are closed for repairs and open again at 12:00 on 2 Jan.",
        ("12:00", "2 Jan"),
    ),
    Letter(
        "Complain about the train.",
        "Dear Sir or Madam,\n\nthe train RE7 from Bath was late by 95 minutes. I want 50 % back.",
        "Complain about the bus.",
        "Dear Sir or Madam,\n\nthe bus from Bath was late by 95 minutes. I want 50% back.",
        ("Bath", "95", "50"),
    ),
    Letter(
        "Complain about the train.",
        "Dear Sir or Madam,\n\nI hope this email finds you well. "
        "I look forward to hearing from you.",
        "Complain about the bus.",
        "Dear Sir or Madam,\n\nI hope this email finds you well. "
        "I look forward to hearing from you.",
    ),
    Letter(
        "Write to the doctor.",
        "Dear Dr Lee,\n\nmy daughter fell from the red swing in our garden and broke her arm.",
        "Write to the school.",
        "Dear Ms Ford,\n\nmy daughter fell from the red swing in our garden and stays at home.",
        (),
        ("my daughter fell from the red swing in our garden and",),
    ),
    Letter(
        "Cancel my gym contract, number #88-1204.",
        "Hello,\n\nI cancel my contract #88-1204 by 30 June.",
        "Cancel my phone contract.",
        "Hello,\n\nI cancel my contract 88-1204 by June 30.",
        ("88-1204", "June 30"),
    ),
    Letter(
        "Ask Sarah for the keys.",
        "Hello Sarah,\n\nSarah's brother has our keys. NASA called.",
        "Ask Bill for the keys.",
        "Hello Bill,\n\nSarah's keys are here, says NASA.",
        ("Sarah", "NASA"),
    ),
    Letter(
        "Ask for the plan.",
        "Hello Kim,\n\nplease send the PDF by email. I'll print it on A4. OK?",
        "Ask Ali for the plan.",
        "Hello Ali,\n\nplease send the PDF by email. I'll print it. OK?",
    ),
    Letter(
        'I received this message:\n\n"""\nIt is broken.\nGeorge Finch\n"""\n\nWrite my reply.',
        "Hello,\n\nwe send you another one.",
        'I received this message:\n\n"""\nIt is late.\nHelen Park\n"""\n\nWrite my reply.',
        "Hello Mr Finch,\n\nwe send you another one. George can fetch the old one.",
        ("Finch", "George"),
    ),
)

GERMAN = (
    Letter(
        "Sag Frau Schulz, dass ihre Karten fertig sind.",
        "Liebe Frau Schulz,\n\nIhre Karten liegen am Dienstag bereit.\n\nViele Grüße\nAnna Meyer",
        "Sag Herrn Weber, dass seine Plakate fertig sind.",
        "Lieber Herr Schulz,\n\nIhre Plakate liegen am Dienstag bereit.\n\nViele Grüße\nAnna Meyer",
        ("Schulz", "Dienstag"),
    ),
    Letter(
        "Sag Frau Schulz, dass ihre Karten fertig sind.",
        "Liebe Frau Schulz,\n\nIhre Bestellung liegt im Laden bereit.\n\nViele Grüße\nAnna Meyer",
        "Sag Herrn Weber, dass seine Plakate fertig sind.",
        "Lieber Herr Weber,\n\nIhre Bestellung liegt im Laden bereit.\n\nViele Grüße\nAnna Meyer",
        (),
        ("Ihre Bestellung liegt im Laden bereit",),
    ),
    Letter(
        "Angebot für 1.000 Flyer",
        "Guten Tag Herr Yilmaz,\n\n1.000 Flyer kosten bei uns 210,50 €.",
        "Angebot für 500 Flyer",
        "Guten Tag,\n\n1000 Flyer kosten bei uns 210,50 Euro.",
        ("1000", "210,50 Euro"),
    ),
    Letter(
        "Angebot für 1.000 Flyer",
        "Guten Tag Herr Yilmaz,\n\n1.000 Flyer kosten bei uns 210,50 €.",
        "Angebot für tausend Flyer (1000 Stück), 210.50 EUR",
        "Guten Tag,\n\n1.000 Flyer kosten bei uns 210,50 Euro.",
    ),
    Letter(
        "Termin verschieben",
        "Hallo Jonas,\n\nkönnen wir am 3. Mai um 14 Uhr telefonieren?",
        "Termin mit Greta verschieben",
        "Hallo Greta,\n\nkönnen wir am 3.5. um 14:00 telefonieren?",
        ("3.5", "14:00"),
    ),
    Letter(
        "Termin verschieben",
        "Hallo Jonas,\n\nkönnen wir am 3. Mai um 14 Uhr telefonieren?",
        "Termin mit Greta auf den 3.5., 14.00 Uhr verschieben",
        "Hallo Greta,\n\nkönnen wir am 3. Mai um 14 Uhr telefonieren?",
    ),
    Letter(
        "Heizung kaputt, schreib der Hausverwaltung",
        "Sehr geehrte Frau Dr. Lindner,\n\nin der Wohnung 4b ist die Heizung ausgefallen. "
        "Peter Kramer hat den Schlüssel.",
        "Aufzug kaputt, schreib der Hausverwaltung",
        "Sehr geehrte Frau Lindner,\n\nder Aufzug ist ausgefallen. Den Schlüssel hat Peter Kramer.",
        ("Lindner", "Peter Kramer"),
    ),
    Letter(
        "Absage an Tim",
        "Lieber Tim,\n\nleider bin ich am Wochenende in Hamburg bei meiner Schwester.",
        "Absage an Mara",
        "Liebe Mara,\n\nleider bin ich am Wochenende in Hamburg.",
        ("Hamburg",),
    ),
    Letter(
        "Danke an Oma",
        "Liebe Oma,\n\nvielen Dank für die Mütze! Jetzt friere ich beim Radfahren nicht mehr.",
        "Danke an Opa",
        "Lieber Opa,\n\nvielen Dank für das Buch! Jetzt lese ich beim Frühstück.",
    ),
    Letter(
        "Mahnung, Rechnung RE-2024-88",
        "Guten Tag,\n\ndie Rechnung RE-2024-88 über 1.180 Euro ist seit Januar offen.",
        "Mahnung an die Gärtnerei",
        "Guten Tag,\n\ndie Rechnung RE-2024-88 ist seit Januar offen.",
        ("RE-2024-88", "Januar"),
    ),
)

OTHERS = (
    Letter(
        "Dis à Claire que le colis arrive.",
        "Bonjour Claire,\n\nle colis arrive à Lyon chez Monsieur Dupont à 14h30 pour 20 €.",
        "Dis à Hugo que le colis arrive.",
        "Bonjour Hugo,\n\nle colis arrive à Lyon chez Dupont à 14:30 pour 25 €.",
        ("Lyon", "Dupont", "14:30"),
    ),
    Letter(
        "告诉王先生会议的时间",
        "王先生，您好！会议改到14:00，费用是500元，电话 010-8888 7777。",
        "告诉李女士会议的时间",
        "李女士，您好！会议改到14:00，费用是300元。",
        ("14:00",),
    ),
    Letter(
        "告诉王先生我不能来",
        "我的女儿昨天在花园里从秋千上摔下来了。",
        "告诉老师我不能来",
        "我的女儿昨天在花园里从秋千上摔下来了，所以不能来。",
        (),
        ("我的女儿昨天在花园里从秋千上摔下来了",),
    ),
    Letter(
        "Dile a Pablo que sí.",
        "Hola Pablo,\n\nnos vemos en Sevilla a las 9:15 con la señora Ruiz.",
        "Dile a Elena que sí.",
        "Hola Elena,\n\nnos vemos a las 9:15 con la señora Ruiz.",
        ("9:15", "Ruiz"),
    ),
)
LETTERS = (*ENGLISH, *GERMAN, *OTHERS)

# Written after the rules, with the letters above, were made; counted apart.
LATER = (
    Letter(
        "Reply to the bank about the missing card.",
        "Dear Ms Okonkwo,\n\nmy card ending in 4821 has not arrived. I was told 5 working days by "
        "your branch in Camden. Please send it to 17 Elm Street.",
        "Reply to the bank about the wrong fee.",
        "Dear Ms Okonkwo,\n\nI was charged a fee on my card ending in 4821. Your branch in Camden "
        "told me it is free. Please answer to 17 Elm Street within 5 working days.",
        ("Okonkwo", "4821", "Camden", "17", "Elm Street", "5"),
    ),
    Letter(
        "Reply to the bank about the missing card.",
        "Dear Ms Okonkwo,\n\nmy card has not arrived. Could you look into it?",
        "Reply to the bank about the wrong fee.",
        "Dear Sir or Madam,\n\nI was charged a fee. Could you look into it?",
    ),
    Letter(
        "Tell the team that the release slips.",
        "Hi all,\n\nthe release of Falcon 2.1 slips to Thursday, 10 October. QA found 14 bugs. "
        "Ravi and Chen are on it.",
        "Tell the team that the office moves.",
        "Hi all,\n\nthe office moves on Thursday. Ravi and Chen are on it. Falcon is done.",
        ("Thursday", "Ravi", "Chen", "Falcon"),
    ),
    Letter(
        "Tell the team that the release slips.",
        "Hi all,\n\nthe release slips a week. Thanks for all your help, and have a nice weekend!",
        "Tell the team that the office moves.",
        "Hi all,\n\nthe office moves in a week. Thanks for all your help, and have a nice weekend!",
    ),
    Letter(
        "Recommend my tutor.",
        "Hello Jane,\n\nMaria taught my son French for 3 years. She takes 30 pounds an hour.",
        "Recommend my plumber.",
        "Hello Jane,\n\nMaria fixed our sink. She takes £30 an hour and speaks French.",
        ("Jane", "Maria", "£30", "French"),
    ),
    Letter(
        "Recommend my tutor Maria to Jane.",
        "Hello Jane,\n\nMaria taught my son for 3 years.",
        "Recommend Maria to Jane, she speaks french and takes 30.",
        "Hello Jane,\n\nMaria takes £30 an hour and speaks French.",
    ),
    Letter(
        "Write to Finn that I'm ill.",
        "Hey Finn,\n\nI have got the flu. Can Lea walk the dog at half past seven?",
        "Write to Noor that I'm late.",
        "Hey Noor,\n\nI'm late. Can Lea walk the dog at 7:30?",
        ("Lea", "7:30"),
    ),
    Letter(
        "Ask the hotel for a cot.",
        "Dear Hotel Bellevue,\n\nwe arrive on 24.12.2025 with 2 adults. Booking BK77-312.",
        "Ask the hotel for a parking place. We come on Dec 24.",
        "Dear Hotel Bellevue,\n\nwe arrive on 24 December with two adults. Booking BK77-312.",
        ("Hotel Bellevue", "two", "BK77-312"),
    ),
    Letter(
        "Refuse the salesman.",
        "Hello,\n\nplease take me off your list. I never ordered anything from Solaris Ltd.",
        "Refuse the survey.",
        "Hello,\n\nplease take me off your list. I never ordered anything from you.",
        (),
        ("please take me off your list", "I never ordered anything from"),
    ),
    Letter(
        "Schreib dem Vermieter wegen der Miete.",
        "Sehr geehrter Herr Aydin,\n\ndie Miete von 840 Euro überweise ich am Freitag. "
        "Mein Konto bei der Sparkasse war gesperrt.",
        "Schreib dem Vermieter wegen des Lärms.",
        "Sehr geehrter Herr Aydin,\n\nseit Freitag ist es nachts laut. Die Miete von 840 € mindere "
        "ich. Mein Konto bei der Sparkasse war gesperrt.",
        ("Aydin", "Freitag", "840 €", "Sparkasse"),
    ),
    Letter(
        "Schreib dem Vermieter wegen der Miete.",
        "Sehr geehrter Herr Aydin,\n\ndie Miete überweise ich bald. Vielen Dank für Ihre Geduld.",
        "Schreib dem Vermieter, Herrn Aydin, wegen des Lärms.",
        "Sehr geehrter Herr Aydin,\n\nnachts ist es laut. Vielen Dank für Ihre Geduld.",
    ),
    Letter(
        "Sag Lena, wann ich komme.",
        "Hallo Lena,\n\nmein Zug ICE 579 kommt um acht in Kassel an. Holt Jürgen mich ab?",
        "Sag Ole, wann ich komme.",
        "Hallo Ole,\n\nmein Zug ICE 579 kommt am Abend in Kassel an. Holt Jürgen mich ab?",
        ("ICE 579", "Kassel", "Jürgen"),
    ),
    Letter(
        "Entschuldige mich beim Verein.",
        "Liebe Kolleginnen und Kollegen,\n\nam Mittwoch kann ich nicht zum Training kommen.",
        "Entschuldige mich beim Chor.",
        "Liebe Kolleginnen und Kollegen,\n\nzur Probe kann ich nicht kommen.",
    ),
    Letter(
        "Skriv till Erik.",
        "Hej Erik,\n\nvi ses i Uppsala kl. 18:30 hos Lindqvist.",
        "Skriv till Maja.",
        "Hej Maja,\n\nvi ses i Uppsala kl. 18.30 hos Lindqvist.",
        ("Uppsala", "18.30", "Lindqvist"),
    ),
    Letter(
        "Reply to the school about the trip.",
        "Dear Mrs Hargreaves,\n\nEmily can join the trip to Whitby on 14 June. She is "
        "allergic to nuts. I pay the £45 by bank transfer, reference EH-614.",
        "Reply to the school about the concert.",
        "Dear Mrs Hargreaves,\n\nEmily can join the concert on 14 June. I pay the £45 in cash.",
        (
            "Hargreaves",
            "Emily",
            "14 June",
            "£45",
        ),
    ),
    Letter(
        "Reply to the school about the trip.",
        "Dear Mrs Hargreaves,\n\nmy daughter can join the trip. I will pay by bank transfer.",
        "Mrs Hargreaves asks about the concert. Yes.",
        "Dear Mrs Hargreaves,\n\nmy daughter can join the concert. I will pay by bank transfer.",
    ),
    Letter(
        "Complain to the shop",
        "Hello,\n\nI ordered two mugs (order 99120) on September 9th and one came "
        "broken. Please refund $24.99.",
        "Complain to the shop about the late lamp",
        "Hello,\n\nI ordered a lamp (order 99120) on September 9th and it is late. "
        "Please refund $24.99.",
        (
            "99120",
            "September 9th",
            "$24.99",
        ),
    ),
    Letter(
        "Plan lunch with Zoe",
        "Hey Zoe,\n\nlunch at Luigi's on Wed, 12.30? I bring Sam along.",
        "Plan lunch with Kofi on Thursday",
        "Hey Kofi,\n\nlunch at Luigi's on Thursday, 12:30? I bring Sam along.",
        (
            "Luigi's",
            "12:30",
            "Sam",
        ),
    ),
    Letter(
        "Plan lunch with Zoe",
        "Hey Zoe,\n\nlunch on Wed? Let me know what works for you!",
        "Plan lunch with Kofi on Thursday",
        "Hey Kofi,\n\nlunch on Thursday? Let me know what works for you!",
    ),
    Letter(
        "Follow up with the client",
        "Hi Beatrice,\n\nfollowing up on our call: the contract for Project Heron runs "
        "until December 2026 and covers 3 sites in Ghent. Legal wants the NDA signed.",
        "Follow up with the supplier",
        "Hi Marc,\n\nfollowing up on our call: the contract runs until December 2026 and "
        "covers 3 sites. Beatrice is informed, and Project Heron starts.",
        (
            "December 2026",
            "3",
            "Beatrice",
            "Project Heron",
        ),
    ),
    Letter(
        "Follow up with the client",
        "Hi Beatrice,\n\nfollowing up on our call, here is what we agreed on.",
        "Follow up with the supplier",
        "Hi Marc,\n\nfollowing up on our call, here are the next steps.",
    ),
    Letter(
        "Schreib dem Arzt",
        "Sehr geehrter Herr Dr. Brandt,\n\nmein Sohn Felix hat seit Montag Fieber (39,5 "
        "Grad). Können wir um 9:15 Uhr kommen? Tel. 0151 23456789",
        "Schreib dem Zahnarzt",
        "Sehr geehrte Damen und Herren,\n\nmein Sohn Felix hat seit Montag Schmerzen. "
        "Können wir um 9:15 Uhr kommen? Tel. 0151 23456789",
        (
            "Felix",
            "Montag",
            "9:15 Uhr",
            "0151 23456789",
        ),
    ),
    Letter(
        "Schreib dem Arzt",
        "Sehr geehrter Herr Dr. Brandt,\n\nmein Sohn hat Fieber. Können wir morgen kommen?",
        "Schreib dem Zahnarzt Dr. Brandt",
        "Sehr geehrter Herr Dr. Brandt,\n\nmein Sohn hat Schmerzen. Können wir morgen kommen?",
    ),
    Letter(
        "Bestell Blumen",
        "Guten Tag,\n\nbitte liefern Sie 12 Rosen bis zum 8. März an Clara Voss, "
        "Lindenweg 7, 50674 Köln.",
        "Bestell Kuchen",
        "Guten Tag,\n\nbitte liefern Sie 2 Torten bis zum 8. März an Clara Voss, "
        "Lindenweg 7, 50674 Köln.",
        (
            "8. März",
            "Clara Voss",
            "Lindenweg",
            "7",
            "50674",
            "Köln",
        ),
    ),
    Letter(
        "Note to the neighbours",
        "Dear neighbours,\n\nwe celebrate on Saturday from 8 pm. Knock if it is too "
        "loud. The Wagners, third floor",
        "Note to the neighbours about the drill",
        "Dear neighbours,\n\nwe drill on Saturday from 8 am. Knock if it is too loud.",
        ("Saturday",),
    ),
)
