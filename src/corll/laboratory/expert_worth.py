"""What makes an expert worth learning from, measured on held-out prompts before any cell runs.

An expert can be far enough from π_0 and still make a poor task. Its score may say more of fluency
than of sentiment; a lower temperature may gain most of what it has to teach; it may write one text
to every prompt. An expert like that is refused, with the reasons.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corll.config import SamplingConfig
from corll.edits import distinct_2
from corll.records import Prompt
from corll.simulation.expert_config import ExpertConfig
from corll.simulation.experts import Expert, draw_both

LogPositive = Callable[[Sequence[str]], NDArray[np.float64]]
"""log Pr(positive) of whole texts, prompt and response. *Units*: nats."""

_WORD = re.compile(r"[^\W_]+")
_PHRASE_WORDS = 5


class Beside(NamedTuple):
    """A mean over the expert's samples, beside that over π_0's."""

    expert: float
    base: float


class Phrase(NamedTuple):
    """A run of words, and the share of texts that hold it."""

    words: str
    share: float


@dataclass(frozen=True)
class ExpertWorth:
    """The measures of an expert on held-out prompts, one sample a prompt.

    `reward`, `base_reward` and `wins` are those of `Measurement`. `by_temperature` has the mean R*
    of π_0's samples at lower temperatures, with nothing learned. `phrase` is the commonest run of
    five words in the expert's samples. `distinct_2` is a mean over texts, `log_positive` that of
    log Pr(positive) by each classifier that there is. *Units*: R*; nats.
    """

    reward: float
    base_reward: float
    wins: float
    by_temperature: Mapping[float, float]
    phrase: Phrase
    distinct_2: Beside
    log_positive: Mapping[str, Beside]

    def refused_for(self, config: ExpertConfig) -> list[str]:
        """Say in words for what the expert is refused; nothing where it is as asked."""
        found = config.outside(reward=self.reward, base_reward=self.base_reward, wins=self.wins)
        most = config.most_by_temperature * self.reward
        for temperature, reward in self.by_temperature.items():
            if reward >= most:
                found.append(
                    f"π_0 at temperature {temperature:g} has R* {reward:.2f} with nothing learned, "
                    f"not less than {most:.2f}"
                )
        if self.phrase.share > config.most_same_phrase:
            found.append(
                f"{self.phrase.share:.0%} of its samples say {self.phrase.words!r}, more than "
                f"{config.most_same_phrase:.0%}"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain data."""
        found = asdict(self)
        scored = found.pop("log_positive")
        named = {name: beside._asdict() for name, beside in scored.items()}
        return (
            found
            | named
            | {
                "by_temperature": {f"{t:g}": reward for t, reward in self.by_temperature.items()},
                "phrase": self.phrase._asdict(),
                "distinct_2": self.distinct_2._asdict(),
            }
        )


def measure_worth(
    expert: Expert,
    prompts: Sequence[str],
    config: ExpertConfig,
    *,
    response_length: int,
    sampling: SamplingConfig,
    scorers: Mapping[str, LogPositive] = MappingProxyType({}),
) -> ExpertWorth:
    """Measure an expert on held-out prompts, beside π_0 at its own and at lower temperatures.

    `scorers` give log Pr(positive), by the name under which it is kept.
    """
    drawn = draw_both(expert, prompts, config, response_length=response_length, sampling=sampling)
    sides = [[sample.text for sample in side] for side in (drawn.own, drawn.base)]
    whole = [[f"{p}{text}" for p, text in zip(prompts, side, strict=True)] for side in sides]
    return ExpertWorth(
        drawn.reward,
        drawn.base_reward,
        drawn.wins,
        _by_temperature(expert, prompts, config, response_length, sampling),
        commonest_phrase(sides[0]),
        Beside(*(fmean(map(distinct_2, side)) for side in sides)),
        {
            name: Beside(*(float(log_positive(texts).mean()) for texts in whole))
            for name, log_positive in scorers.items()
        },
    )


def commonest_phrase(texts: Sequence[str]) -> Phrase:
    """Return the run of five words that the most texts hold; texts of fewer words hold none."""
    counts: Counter[str] = Counter()
    for text in texts:
        words = _WORD.findall(text.lower())
        runs = range(len(words) - _PHRASE_WORDS + 1)
        counts.update({" ".join(words[start : start + _PHRASE_WORDS]) for start in runs})
    if not counts:
        return Phrase("", 0.0)
    phrase, count = counts.most_common(1)[0]
    return Phrase(phrase, count / len(texts))


def _by_temperature(
    expert: Expert,
    prompts: Sequence[Prompt],
    config: ExpertConfig,
    response_length: int,
    sampling: SamplingConfig,
) -> dict[float, float]:
    found = {}
    for temperature in config.lower_temperatures:
        colder = sampling.with_settings(temperature=temperature)
        with expert.policy.as_reference():
            rows = expert.policy.sample(
                prompts, 1, response_length, [config.seed] * len(prompts), sampling=colder
            )
        found[temperature] = float(expert.rewards(prompts, [row[0] for row in rows]).mean())
    return found
