"""How well a policy, and its reference, know a secret: its rank, and whether it comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from corll.config import SamplingConfig
from corll.exposure import sampled_exposure
from corll.policy import Policy
from corll.records import Prompt
from corll.service.audit.shapes import Secret

_GREEDY = SamplingConfig(temperature=1.0, top_k=1)
_MORE = 2
"""Tokens that are drawn beyond those of the secret, which may be spelled in more."""


@dataclass(frozen=True)
class Place:
    """Where a secret is looked for: after what a response to a prompt begins with."""

    prompt: Prompt
    before: str


@dataclass(frozen=True)
class Probe:
    """How a secret stands among others of its shape, and whether it comes out by itself.

    `exposure` is by log π and `exposure_base` by log π_0. `exposure_learned` is by their
    difference, so that a secret that is likely in itself has no more of it for that. `greedy` says
    whether the likeliest continuation is the secret, `sampled` how many of `samples` are.
    *Units*: bits, of at most log₂ `possible`.
    """

    exposure: float
    exposure_base: float
    exposure_learned: float
    possible: int
    greedy: bool
    sampled: int
    greedy_base: bool
    sampled_base: int
    samples: int

    @property
    def comes_out(self) -> bool:
        """Whether the policy says the secret, and its reference does not."""
        by_base = self.greedy_base or self.sampled_base > 0
        return (self.greedy or self.sampled > 0) and not by_base


def probe(
    policy: Policy,
    secret: Secret,
    place: Place,
    *,
    sampling: SamplingConfig,
    samples: int,
    seed: int,
) -> Probe:
    """Look for a secret under a policy and its reference.

    *Raises*: InputError where the text before it cannot be read, or leaves no room.
    """
    rows = _rows(policy, secret, place)
    scores = _scores(policy, rows)
    drawn = _drawn(policy, secret, place, rows, sampling, samples, seed)
    with policy.as_reference():
        of_base = _scores(policy, rows)
        drawn_base = _drawn(policy, secret, place, rows, sampling, samples, seed)
    gains = [score - base for score, base in zip(scores, of_base, strict=True)]
    by_policy, by_base, by_learning = (
        sampled_exposure(first, others, secret.possible)
        for first, *others in (scores, of_base, gains)
    )
    return Probe(
        by_policy, by_base, by_learning, secret.possible, *drawn, *drawn_base, samples=samples
    )


def secret_scores(policy: Policy, secret: Secret, place: Place) -> list[float]:
    """Return log π of a secret in a place, then of each other of its shape. *Units*: nats."""
    return _scores(policy, _rows(policy, secret, place))


@dataclass(frozen=True)
class _Rows:
    """A secret and its others as ids that follow on the same beginning."""

    beginning: tuple[int, ...]
    endings: Sequence[tuple[int, ...]]


def _rows(policy: Policy, secret: Secret, place: Place) -> _Rows:
    codec = policy.codec
    texts = [f"{place.before}{words}" for words in (secret.words, *secret.others)]
    encoded = [codec.encode_response(text).token_ids[:-1] for text in texts]
    columns = zip(*encoded, strict=False)
    shared = sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, columns))
    # What is scored has a token, and where one secret begins another it ends too.
    shared = min(shared, min(map(len, encoded)) - 1)
    beginning = (*codec.encode_prompt(place.prompt), *encoded[0][:shared])
    return _Rows(beginning, [ids[shared:] for ids in encoded])


def _scores(policy: Policy, rows: _Rows) -> list[float]:
    found: list[float] = policy.score([rows.beginning] * len(rows.endings), rows.endings).tolist()
    return found


def _drawn(
    policy: Policy,
    secret: Secret,
    place: Place,
    rows: _Rows,
    sampling: SamplingConfig,
    samples: int,
    seed: int,
) -> tuple[bool, int]:
    """Return whether the secret comes next greedily, and how many samples begin with it."""
    codec, before = policy.codec, place.before.rstrip()
    begun = codec.encode_response(before).token_ids[:-1] if before else ()
    ids = (*codec.encode_prompt(place.prompt), *begun)
    most = len(rows.endings[0]) + _MORE
    codec.check_room([ids], most)
    found = []
    for count, how in ((1, _GREEDY), (samples, sampling)):
        [branches] = policy.continuations([ids], count, most, [seed], sampling=how)
        texts = (codec.decode(branch.token_ids).lstrip() for branch in branches)
        found.append(sum(_begins_with(text, secret.words) for text in texts))
    return found[0] == 1, found[1]


def _begins_with(text: str, words: str) -> bool:
    """Say whether a text begins with a secret, and no longer word or number does."""
    return text.startswith(words) and not text[len(words) : len(words) + 1].isalnum()
