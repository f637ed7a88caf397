"""Prompts and responses that tests of policies score."""

from __future__ import annotations

from torch import Tensor

from corll.policy import Policy
from corll.records import Prompt

PROMPTS: list[Prompt] = [
    "Is the parcel late?",
    "Can we move it to Thursday?",
    "Is the parcel late?",
]
RESPONSES = ["We are sorry that it is late.", "Yes, we can.", "We are sorry. Anna"]


def log_ratios(policy: Policy) -> Tensor:
    return policy.logprobs(PROMPTS, RESPONSES) - policy.reference_logprobs(PROMPTS, RESPONSES)
