"""What base, memory and learning would have made of a log of edits, scored before it was learned.

scores.py       what one edit says of each arm
prequential.py  the edits of one user, in order: scored first, then learned from
intervals.py    intervals by users, then by edits in blocks
summary.py      the arms against the base, in numbers
report.py       one page of it
figure.py       the difference so far, edit by edit
folder.py       the files of a replay, which a stop leaves whole
"""
