"""What makes an expert worth learning from: each reason to refuse one, at its boundary."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from corll.config import SamplingConfig
from corll.edits import distinct_2
from corll.laboratory.expert_worth import (
    Beside,
    ExpertWorth,
    Phrase,
    commonest_phrase,
    measure_worth,
)
from corll.policy import Policy
from corll.simulation.expert_config import ExpertConfig
from corll.simulation.experts import Expert, measure
from tiny_models import perturb_adapter

CONFIG = ExpertConfig()
GOOD = ExpertWorth(
    reward=0.4,
    base_reward=-0.2,
    wins=0.8,
    by_temperature={0.5: 0.19},
    phrase=Phrase("a film that is worth", 0.1),
    distinct_2=Beside(0.9, 0.9),
    log_positive={"log_positive": Beside(-0.3, -0.7)},
)
PROMPTS = ["Write to Anna.", "The kettle.", "Is the hotel near?", "Tuesday?"] * 4
HOW: dict[str, Any] = {"response_length": 40, "sampling": SamplingConfig()}


def test_an_expert_as_asked_is_not_refused() -> None:
    assert GOOD.refused_for(CONFIG) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reward": 0.6}, r"R\* of its samples is 0.60, not 0.15 to 0.5"),
        ({"base_reward": 0.01}, r"R\* of π_0's samples is 0.01, not -1 to 0"),
        ({"wins": 0.96}, "share of wins is 0.96"),
        ({"by_temperature": {0.7: 0.1, 0.5: 0.2}}, r"π_0 at temperature 0.5 has R\* 0.20"),
        ({"phrase": Phrase("a film that is worth", 0.11)}, "11% of its samples say 'a film that"),
    ],
)
def test_each_reason_is_said(change: dict[str, Any], reason: str) -> None:
    (found,) = replace(GOOD, **change).refused_for(CONFIG)
    assert re.search(reason, found)


def test_the_commonest_phrase_counts_a_text_once() -> None:
    texts = [
        "One of the best films ever; one of the best films.",
        "It is ONE of the best films!",
        "one of the best",
        "",
    ]
    assert commonest_phrase(texts) == Phrase("one of the best films", 0.5)
    assert commonest_phrase(["one of the best"]) == Phrase("", 0.0)


def test_it_measures_the_same_samples_as_the_training_does(policy: Policy) -> None:
    perturb_adapter(policy)
    expert = Expert(policy)
    seen: list[list[str]] = []

    def log_positive(texts: Any) -> Any:
        seen.append(list(texts))
        return np.array([-float(len(text)) for text in texts])

    worth = measure_worth(expert, PROMPTS, CONFIG, scorers={"by_length": log_positive}, **HOW)
    assert (worth.reward, worth.base_reward, worth.wins) == measure(expert, PROMPTS, CONFIG, **HOW)
    lengths = [-np.mean([len(text) for text in side]) for side in seen]
    assert worth.log_positive == {"by_length": pytest.approx(lengths)}
    assert worth.to_dict()["by_length"]["base"] == pytest.approx(lengths[1])
    assert all(text.startswith(prompt) for text, prompt in zip(seen[0], PROMPTS, strict=True))
    own, base = (
        [text.removeprefix(prompt) for text, prompt in zip(side, PROMPTS, strict=True)]
        for side in seen
    )
    assert worth.phrase == commonest_phrase(own) != commonest_phrase(base)
    assert worth.distinct_2 == pytest.approx(
        [np.mean([distinct_2(text) for text in side]) for side in (own, base)]
    )
    assert measure_worth(expert, PROMPTS, CONFIG, **HOW).log_positive == {}


def test_a_temperature_of_one_is_the_base_itself(policy: Policy) -> None:
    perturb_adapter(policy)
    config = CONFIG.with_settings(lower_temperatures=(1.0,))
    worth = measure_worth(Expert(policy), PROMPTS, config, **HOW)
    # Scored alone here and beside the expert's samples there, in float32.
    assert worth.by_temperature == {1.0: pytest.approx(worth.base_reward, rel=1e-5)}
    assert worth.to_dict()["by_temperature"] == {"1": worth.by_temperature[1.0]}
