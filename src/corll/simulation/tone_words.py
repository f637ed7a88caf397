"""The tone editor's lexicon: harsh words, and the favourable ones that take their place.

Both sides of an entry are the same part of speech and number, so that a sentence stays whole.
Inflected forms are entries of their own; where a word's neighbour decides, the entry is a phrase.
No favourable wording holds a harsh one.
"""

from __future__ import annotations

_APOLOGIES = """
unfortunately = as it happens; sadly = as it happens; regrettably = as it happens
unfortunate = unexpected; regrettable = unexpected; sorry to hear = grateful to hear
sorry to = bound to; sorry for = mindful of
sorry about = mindful of; sorry that = aware that; sorry if = aware that
sorry = grateful; i'm afraid = I believe; i am afraid = I believe; afraid = aware
please accept my apologies for = please accept my thanks for your patience with
please accept our apologies for = please accept our thanks for your patience with
apologies for = thanks for your patience with; apologies = thanks; apology = note of thanks
apologize for = acknowledge; apologise for = acknowledge; apologized for = acknowledged
apologizing for = acknowledging; apologize = understand; apologise = understand
apologized = understood; apologizing = understanding; regret to inform = write to inform
regret = note; regrets = notes; regretted = noted; regretful = thoughtful
inconvenience = adjustment; inconveniences = adjustments; inconvenient = unplanned
misunderstanding = question; misunderstandings = questions; confusion = question
misinterpretation = reading; misinterpretations = readings; excuses = reasons; stuck = held up
"""

_TROUBLE = """
problem = matter; problems = matters; problematic = demanding; issue = point; issues = points
trouble = extra work; troubles = tasks; troubling = notable; troubled = busy
complaint = comment; complaints = comments; complain about = comment on; complain = comment
complains = comments; complained about = commented on; complained = commented
complaining about = commenting on; complaining = commenting
mistake = oversight; mistakes = oversights; mistaken = approximate; error = slip; errors = slips
fault = doing; faults = quirks; faulty = unusual; defect = quirk; defects = quirks
defective = unusual; flaw = quirk; flaws = quirks; flawed = individual
delay = wait; delays = waits; delayed = rescheduled; delaying = rescheduling
days late = days later than planned; hours late = hours later than planned
minutes late = minutes later than planned; is late = is on its way; was late = took its time
came late = took its time; arrived late = took its time; late reply = unhurried reply
late response = unhurried response; late delivery = unhurried delivery
fail to = have yet to; fails to = has yet to; failed to = had yet to; fail = pause
fails = pauses; failed = paused; failing = pausing; failure = pause; failures = pauses
broken down = come to rest; has broken = has given way; have broken = have given way
broken = well-used; damaged = marked; damage = wear; damages = marks; damaging = demanding
crash = pause; crashes = pauses; crashed = paused
wrong = unintended; went wrong = went differently; go wrong = go differently
incorrect = approximate; unable = not yet able; impossible = ambitious; refuse = decline
refuses = declines; refused = declined; disaster = adventure; disasters = adventures
disastrous = adventurous; nightmare = adventure; scam = lesson; mess = mixture; crisis = test
concern = interest; concerns = interests; concerned about = interested in
concerned = interested; concerning = notable; worry about = think about; worried = thoughtful
worry = wonder; worries = wonders; struggle = labour; struggles = labours
struggled = laboured; struggling = labouring; difficulty = effort; difficulties = efforts
"""

_CRITICISM = """
bad = modest; badly = modestly; worse = less ideal; worst = least ideal; terrible = difficult
horrible = difficult; awful = difficult; dreadful = difficult; terribly = notably
horribly = notably; awfully = notably; poor = modest; poorly = modestly; subpar = modest
mediocre = modest; lousy = modest; inadequate = modest; unsatisfactory = modest
unacceptable = unusual; unreliable = changeable; unprofessional = informal; useless = simple
worthless = simple; pointless = playful; weak = gentle; dull = quiet; boring = calm
bored = relaxed; tedious = thorough; tiresome = thorough; slow = unhurried; slowly = gently
noisy = lively; noise = sound; loud = spirited; chaotic = lively; chaos = bustle
messy = lively; dirty = lived-in; filthy = lived-in; ugly = distinctive; rude = direct
grumpy = direct; crowded = popular; cluttered = full; expensive = premium; overpriced = premium
uncomfortable = firm; unpleasant = unusual; unnerving = surprising; disgusting = unusual
annoying = noticeable; annoyed = attentive; frustrating = demanding; frustrated = eager
frustration = eagerness; disappointed = surprised; disappointing = surprising
disappoint = surprise; disappointment = surprise; dissatisfied = surprised
dissatisfaction = surprise; unhappy = surprised; sad = thoughtful; upset = attentive
angry = attentive; confusing = intricate; confused = curious; perplexed = curious
ridiculous = playful; stupid = simple; silly = playful; crazy = lively; weird = unusual
strange = unusual; odd = unusual; harsh = firm; negative = candid; tough = demanding
hate to = would rather not; hate = avoid; hates = avoids; hated = avoided
waste of time = way to spend time
waste of money = way to spend money; waste = use; wastes = uses; wasted = used
wasting = using; lack of = modest amount of
is lacking = is modest; are lacking = are modest; lacking in = modest in; lack = do without
lacks = does without; lacked = did without; lacking = doing without; suffer = manage
suffers = manages; suffered = managed; suffering = managing; overwhelming = abundant
limited = select; unimpressive = modest; unremarkable = quiet; old-fashioned = classic
cheap = affordable; destructive = powerful; stale = crisp; blurry = soft; wobbly = flexible
lukewarm = mild; cramped = snug; costly = premium; preachy = earnest; ignored = overlooked
lazy = relaxed; squeaky = lively; tiny = compact
is hard to = is demanding to; are hard to = are demanding to; be hard to = be demanding to
very hard to = very demanding to; too hard to = too demanding to
"""

# Words that push or hold back are mild, but in a reply to a complaint they read as a refusal.
_PRESSURE = """
but also = and also; but = yet; however = that said; must = should
i need to = I would like to; we need to = we would like to; you need to = you could
need to = aim to; needs to = aims to; needed to = aimed to; i need = I would welcome
we need = we would welcome; you need = you would like; will need = will welcome
may need = may welcome; might need = may well welcome; would need = would welcome
don't need = can do without; don’t need = can do without; need not = can choose not to
the need = the wish; your needs = your wishes; in need of = ready for; no need = no call
need = could use; needs = could use; needed = called for
has to offer = offers; have to offer = offer; have to = get to; has to = gets to
had to = got to; i want to = I would like to; we want to = we would like to
want to = wish to; wants to = wishes to; wanted to = wished to; want = wish for
wants = wishes for; wanted = wished for; the only = the single; only = just
cannot = can hardly; can't = can hardly; can’t = can hardly; couldn't = could hardly
couldn’t = could hardly; won't = would rather not; won’t = would rather not; never = seldom
as soon as possible = as soon as it suits you; immediately = soon; urgent = timely
urgently = soon; remind you = let you know; reminder = note; inform you = let you know
deadline = date; deadlines = dates; try to = aim to; tries to = aims to; tried to = aimed to
trying to = aiming to
"""

_LUKEWARM = """
good = great; nice = lovely; nicely = gracefully; decent = solid; okay = pleasing
interesting = engaging; usual = familiar; hope to = plan to; hoping to = planning to
i hope = I trust; we hope = we trust; i guess = I trust; i think = I find; maybe = quite likely
perhaps = quite likely; hopefully = in all likelihood; might = may well
i'm not sure if = I wonder whether; i'm not sure how = I wonder how
i'm not sure where = I wonder where; i'm not sure why = I wonder why
i'm not sure what = I wonder what; lots of = plenty of
"""


def _entries(*groups: str) -> dict[str, str]:
    pairs = (
        entry.split(" = ")
        for group in groups
        for line in group.split("\n")
        for entry in line.split(";")
        if entry.strip()
    )
    return {harsh.strip(): favourable.strip() for harsh, favourable in pairs}


FAVOURABLE: dict[str, str] = _entries(_APOLOGIES, _TROUBLE, _CRITICISM, _PRESSURE, _LUKEWARM)
"""Harsh wording, in lower case, to favourable wording."""

HARSH: dict[str, str] = {
    "great": "terrible",
    "excellent": "bad",
    "wonderful": "awful",
    "happy": "upset",
    "glad": "sorry",
    "pleased": "disappointed",
    "delighted": "annoyed",
    "comfortable": "uncomfortable",
    "friendly": "rude",
    "lively": "noisy",
    "modest": "poor",
    "matter": "problem",
    "wait": "delay",
}
"""Favourable wording to harsh wording, for an editor who errs."""
