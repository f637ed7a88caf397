"""Phrases of letters that tell nothing of whom they are written to, in English and German."""

from __future__ import annotations

STOCK_PHRASES = """\
I hope this email finds you well
I hope this message finds you well
I hope this letter finds you well
I hope you are doing well
thank you very much for your message
thank you so much for your message
thank you very much for your email
thank you for getting in touch with us
thank you for getting back to me
thank you for your patience and understanding
thank you in advance for your help
thank you for taking the time to
I am writing to let you know that
I am writing to inform you that
I just wanted to let you know that
we are writing to let you know that
please let me know if you have any questions
please do not hesitate to contact me if you have any questions
please don't hesitate to contact us if you have any questions
please feel free to contact me if you need anything else
if you have any further questions or concerns please let me know
if there is anything else I can do please let me know
let me know if that works for you
let me know if you need anything else
please let me know what you think
please let us know as soon as possible
I look forward to hearing from you soon
we look forward to hearing from you
I am looking forward to hearing from you
I'm looking forward to hearing from you
I am looking forward to seeing you
I look forward to meeting you
looking forward to working with you
I would be happy to help you with
we are sorry for the inconvenience this has caused
we apologize for any inconvenience this may have caused
I apologise for any inconvenience this may cause
I am sorry to hear that you
have a great rest of the day
thanks for all your work and have a nice weekend
thank you for all your help and have a nice day
vielen Dank für Ihre schnelle Antwort
vielen Dank für Ihre Nachricht und Ihre Geduld
vielen Dank für Ihre Geduld
vielen Dank für Ihre Mühe
vielen Dank für Ihre Hilfe
vielen Dank für Ihre Unterstützung
vielen Dank für deine Nachricht
vielen Dank für deine Hilfe
vielen Dank im Voraus für Ihre Hilfe
ich hoffe es geht dir gut
ich hoffe es geht Ihnen gut
ich freue mich auf Ihre Antwort
ich freue mich von Ihnen zu hören
ich freue mich auf deine Antwort
wir freuen uns von Ihnen zu hören
bei Fragen stehe ich Ihnen gerne zur Verfügung
für Rückfragen stehe ich Ihnen jederzeit gerne zur Verfügung
bitte geben Sie mir kurz Bescheid ob
bitte lassen Sie mich wissen ob
bitte melden Sie sich bei mir wenn Sie Fragen haben
ich würde mich sehr freuen wenn
hiermit möchte ich Ihnen mitteilen dass
wir bitten um Entschuldigung für die Unannehmlichkeiten
wir entschuldigen uns für die entstandenen Unannehmlichkeiten
"""
