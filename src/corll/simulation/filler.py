"""The concise editor's patterns: words that can go, and words that fewer words can replace.

Patterns are regular expressions over lower case; a space stands for any white space in a line.
"""

from __future__ import annotations

FORMULAS = (
    r"(?:i |we )?(?:hope|trust) (?:this|the|my|that this) (?:message|e-?mail|letter|note) "
    r"(?:finds|reaches)",
    r"(?:i |we )?hope (?:that )?(?:you are|you're|all is|everything is)"
    r"(?: doing| having| keeping)?(?: well| great| a great| a good| fine| okay)",
    r"(?:i |we )?hope (?:it|that|this) helps",
    r"(?:so )?(?:please )?(?:don't|don’t|do not) hesitate to",
    r"(?:so )?(?:please )?feel free to",
    r"(?:if you have any|if there is anything|if there's anything|if you need any)"
    r"[^.!?\n]{0,60},? ?(?:please |just )?(?:let me know|let us know|contact|reach out|ask"
    r"|feel free|don't hesitate|don’t hesitate|do not hesitate|i'm here|we're here|i'm happy)",
    r"(?:please |just )*let (?:me|us) know if (?:you have any|there is any|there's any|you need any"
    r"|i can|we can)",
    r"(?:once again,? |again,? )?(?:i |we )?(?:thanks|thank you|appreciate)(?: so much| very much)?"
    r"(?: again)? ?(?:for )?(?:your|taking) (?:patience|understanding|time|attention|cooperation"
    r"|consideration|support|kindness|interest|business|feedback|the time)",
    r"(?:i'm|i am|we're|we are|i|we)? ?look(?:ing)? forward to"
    r" (?:hearing|seeing|your|meeting|working)",
    r"(?:i'm|i am|we're|we are) (?:always )?here to (?:help|assist|support)",
    r"(?:i'm|i am|we're|we are) (?:so |very )?(?:excited|thrilled|happy|glad) to (?:help|assist)",
    r"(?:good luck|best of luck|all the best|see you soon)",
    r"have a (?:great|nice|good|wonderful|lovely)",
    r"(?:sure|certainly|of course|absolutely)(?=[.!?])",
)
"""The beginnings of sentences that say nothing and end before any comma or contrast."""

OPENERS = (
    r"(?:i|we) (?:just )?(?:wanted|want|wish|would like|am writing|are writing)(?: to reach out)?"
    r" to (?:let you know|inform you|tell you|say|remind you|mention|assure you)(?: that\b|"
    r"(?= (?:i|we|you|it|the|your|our|there|this)\b))",
    r"(?:i'd|we'd|i'm writing|we're writing) (?:just )?(?:like )?to (?:let you know|inform you"
    r"|tell you|say|remind you) that\b",
    r"please (?:note|be advised|be aware|be informed|know|rest assured|remember) that\b",
    r"(?:rest assured|needless to say|to be honest|in my opinion|as a matter of fact|of course"
    r"|as you (?:may )?know|in fact|at the end of the day|in any case|that being said|honestly"
    r"|indeed|basically|moreover|furthermore|additionally|in addition|by the way|overall|also"
    r"|remember)"
    r"(?:,| that\b)",
    r"(?:i|we) (?:must|have to|can) (?:say|admit|assure you|tell you)(?: that\b|,)",
    r"(?:i|we) (?:assure|promise) you(?: that\b|,)",
    r"(?:(?:i|we) (?:think|believe|feel|guess|suppose)|(?:i'm|i am) (?:sure|certain|confident))"
    r"(?: that\b|(?= (?:i|we|you|it|he|she|they|the"
    r"|this|there|your|our|my)\b))",
    r"it (?:is|should be|is also|'s) (?:important to note|worth noting|worth mentioning|noted"
    r"|highly recommended) that\b",
    r"(?:i'm|i am|we're|we are) (?:happy|pleased|glad|thrilled|delighted|excited|proud|sorry) to"
    r" (?:announce|say|inform you|tell you|report|let you know) that\b",
    r"it (?:seems|appears|looks like|turns out)"
    r"(?: that\b|(?= (?:i|we|you|it|the|your|our|there)\b))",
)
"""Words before a statement that can go; their capital moves to the word that is left."""

ADVERBS = (
    r"really|very|quite|truly|absolutely|extremely|incredibly|totally|completely"
    r"|definitely|certainly|actually|basically|literally|simply|just|highly|somewhat|fairly"
    r"|perhaps|maybe|currently|also|indeed|utterly|entirely|deeply|greatly|clearly"
    r"|obviously|surely|perfectly"
)
"""Adverbs that strengthen or soften what stands as well without them."""

PUFFERY = (
    r"amazing|awesome|beautiful|beloved|breathtaking|captivating|charming|delightful"
    r"|exceptional|exciting|fantastic|incredible|innovative|lovely|luxurious|remarkable"
    r"|renowned|special|splendid|heartfelt|indulgent|stunning|thrilling|unforgettable"
    r"|unique|unparalleled|upscale|vibrant|wonderful"
)
"""Adjectives that praise and tell nothing, where one stands between a determiner and a noun."""

SHORTENINGS = {
    r"in order to": "to",
    r"so as to": "to",
    r"due to the fact that": "because",
    r"because of the fact that": "because",
    r"despite the fact that": "although",
    r"the fact that": "that",
    r"in the event that": "if",
    r"at this (?:point in time|moment|time)": "now",
    r"at the moment": "now",
    r"as soon as possible": "soon",
    r"in the near future": "soon",
    r"(?:with|in) regards? to": "about",
    r"for the purpose of": "for",
    r"(?:is|are) able to": "can",
    r"(?:was|were) able to": "could",
    r"will be able to": "can",
    r"(?:has|have) the (?:opportunity|ability|chance) to": "can",
    r"make sure that": "ensure that",
    r"take the time to": "",
    r"each and every": "every",
    r"first and foremost": "first",
    r"whether or not": "whether",
    r"prior to": "before",
    r"as well as": "and",
    r"in addition to": "besides",
    r"a (?:wide )?(?:variety|range|number) of": "several",
    r"the majority of": "most",
    r"a little bit of": "some",
    r"a bit of an": "an",
    r"a bit of a": "a",
    r"a bit of": "some",
    r"a (?:little )?bit(?= (?!of\b|more\b|less\b|too\b)[a-z])": "",
    r"nothing short of": "",
    r"seems? to be(?= (?:a|an|the)\b)": "is",
    r"seems to have": "has",
    r"(?:is|are) going to": "will",
    r"i'm going to": "I'll",
    r"don't forget to": "remember to",
    r"(?:i'm|i am) writing to": "I",
    r"i (?:would like|wanted|want) to(?= (?:thank|remind|ask|invite|offer|share|express|request)\b)"
    "": "I",
    r"i'd like to(?= (?:thank|remind|ask|invite|offer|share|express|request)\b)": "I",
    r"when it comes to": "for",
    r"in the context of": "in",
    r"(?:over|during) the course of": "during",
    r"on a daily basis": "daily",
    r"a couple of": "a few",
    r"all of the": "all the",
    r"such as": "like",
    r"serves as": "is",
    r"my own": "my",
    r"your own": "your",
    r"its own": "its",
    r"our own": "our",
    r"their own": "their",
    r"for free": "free",
    r"free of charge": "free",
    r"complimentary": "free",
    r"additional": "extra",
    r"assistance": "help",
    r"assist": "help",
    r"utilize": "use",
    r"utilizing": "using",
    r"numerous": "many",
    r"approximately": "about",
    r"regarding": "about",
    r"upon": "on",
}
"""Wordy phrases to shorter ones, and long words to plain ones."""
