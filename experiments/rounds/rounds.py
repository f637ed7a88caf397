"""Rounds of requests, drafts and edits, in six arms, with CIPHER as a rival: what they cost.

    python experiments/rounds/rounds.py --out FILE.jsonl [--model NAME] [--rounds 100] [--seeds 1]
        [--users all|NAME,…] [--arms base,last,nearest,weights,auto,cipher] [--quick]
        [--set NAME=VALUE … --label NAME]
    python experiments/rounds/rounds.py --report FILE.jsonl … [--against ARM] [--figure FILE.png]

In each round a request arrives, the arm drafts, and a composed writer edits the draft. Each user
has the same requests in the same order in each arm, and drafts by the same seeds. Costs add up over
the rounds. *Source*: PRELUDE (Gao et al. 2024, arXiv 2404.15269), whose users are language models;
ours follow rules.

A cell is a user in an arm by a seed. Stopped and started again, it goes on with the cells that are
not finished. The lines are those of `learn_check/check_lines.py`; an edit's number is its round's.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # What plays cells stands beside the check that it was made for.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "learn_check"))

    from corll.errors import CorllError
    from round_command import main

    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")
