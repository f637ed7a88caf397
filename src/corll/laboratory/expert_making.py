"""The making of an expert, or the taking of a given one: its pairs, its training, its record.

expert/          the expert's adapter, made once for all cells
expert.json      how the expert was made and what it measures; written last, as the done mark
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from corll.errors import InputError, RunFolderError, TrainingError
from corll.files import durable
from corll.laboratory import file_names
from corll.laboratory.cell_metrics import kl_of_sampler
from corll.laboratory.expert_worth import measure_worth
from corll.laboratory.sentiment import (
    SentimentScorer,
    WordSentiment,
    correlation_within,
    expert_score,
)
from corll.laboratory.sizes import Experiment
from corll.laboratory.tasks.task import TaskData
from corll.model.adapters import fingerprint
from corll.policy import Policy
from corll.records import Preference
from corll.simulation.expert_config import ExpertConfig
from corll.simulation.experts import Expert, Measurement, pairs_by_score, train_expert

Report = Callable[[str], None]
Scorers = tuple[SentimentScorer | None, WordSentiment | None]
"""What ranks the expert's pairs, and a scorer that is independent of it."""

_CORRELATION = "correlation_of_score_and_sentiment"


class _Made(NamedTuple):
    """An expert, what is said of its making, and what was measured on the way."""

    expert: Expert
    about: dict[str, Any]
    measured: list[Measurement]


def make_expert(
    experiment: Experiment,
    policy: Policy,
    data: TaskData,
    scorers: Scorers,
    folder: Path,
    given: Path | None,
    report: Report,
) -> None:
    """Train the expert in `policy`, or take it as `given`; measure it, and write its record.

    *Raises*: TrainingError where it cannot be trained, or is refused; InputError where there is
    nothing to train it on; RunFolderError where it cannot be written.
    """
    sentiment, independent = scorers
    config, common = experiment.expert, _lengths_and_sampling(experiment)
    made = _Made(Expert(policy, beta=config.beta), {}, [])
    if given is None:
        made = _trained(experiment, policy, data, sentiment, report)
    elif (record := given.parent / file_names.EXPERT).exists():
        made.about["record"] = json.loads(record.read_text(encoding="utf-8"))
    named = {"log_positive": sentiment, "log_positive_independent": independent}
    worth = measure_worth(
        made.expert,
        data.held_out,
        config.with_settings(seed=config.seed + 1),
        scorers={name: one.log_positive for name, one in named.items() if one is not None},
        **common,
    )
    known = {
        **worth.to_dict(),
        "refused_for": _score_refused_for(config, made.about) + worth.refused_for(config),
        "given": None if given is None else given.name,
        "fingerprint": weights_of(policy),
        "data": data.source,
        "prompts": len(data.prompts),
        "kl_of_its_sampler": _kl_of_its_sampler(experiment, made.expert, data),
        "independent_scorer": _described(independent),
        **made.about,
        "measurements": [asdict(found) for found in made.measured],
    }
    try:
        durable.write_folder(folder / file_names.EXPERT_FOLDER, policy.save)
        durable.write_text(folder / file_names.EXPERT, json.dumps(known, indent=1) + "\n")
    except OSError as error:
        raise RunFolderError(f"The expert could not be written: {error}.") from error


def _trained(
    experiment: Experiment,
    policy: Policy,
    data: TaskData,
    sentiment: SentimentScorer | None,
    report: Report,
) -> _Made:
    config = experiment.expert
    pairs, about = _expert_pairs(experiment, policy, data, sentiment, report)
    if reasons := _score_refused_for(config, about):
        refuse(experiment, reasons, report)
    report(f"training the expert on {len(pairs)} preferences")
    expert, measured = train_expert(
        policy,
        pairs,
        _measured_prompts(data, config.measured_prompts),
        config,
        report=lambda found: report(_describe_measurement(found)),
        **_lengths_and_sampling(experiment),
    )
    return _Made(expert, about, measured)


def _lengths_and_sampling(experiment: Experiment) -> dict[str, Any]:
    return {
        "response_length": experiment.lengths.response,
        "sampling": experiment.learner.sampling,
    }


def refuse(experiment: Experiment, reasons: Sequence[str], report: Report) -> None:
    """Refuse an expert, or say what it is not. *Raises*: TrainingError."""
    why = "; ".join(reasons)
    if experiment.expert.refuse:
        raise TrainingError(
            f"This expert is not worth learning from: {why}. Make another with other settings of "
            "the expert, in a folder of its own; expert.refuse=false takes it as it is."
        )
    report(f"this expert is not as asked: {why}")


def weights_of(policy: Policy) -> str:
    """Return the fingerprint of what a policy learns, by which an expert is recognised."""
    return fingerprint(policy.trainable_parameters())


def _score_refused_for(config: ExpertConfig, about: Mapping[str, Any]) -> list[str]:
    found = about.get(_CORRELATION)
    # Written so that a correlation that is not a number is refused too.
    if found is None or found >= config.least_correlation:
        return []
    return [
        f"the score that ranks its pairs correlates with sentiment by {found:.2f}, not by at least "
        f"{config.least_correlation:g}: lower fluency_weight"
    ]


def _expert_pairs(
    experiment: Experiment,
    policy: Policy,
    data: TaskData,
    sentiment: SentimentScorer | None,
    report: Report,
) -> tuple[list[Preference], dict[str, Any]]:
    """Return the expert's pairs, and what is said of them in `expert.json`.

    They are the task's own pairs, else demonstration ≻ sample, else samples that a scorer ranks
    (IMDB). *Raises*: InputError where only a scorer could rank and there is none.
    """
    limit = experiment.expert_pairs
    if data.pairs:
        return list(data.pairs[:limit]), {"pairs": "the task's own"}
    writer = policy
    if experiment.expert_model is not None:
        report(f"loading {experiment.expert_model}, which writes the expert's pairs")
        writer = Policy.load(experiment.expert_model, chat_template=False, dtype=experiment.dtype)
    if data.demonstrations:
        shown = data.demonstrations[:limit]
        prompts = [one.prompt for one in shown]
        samples = _samples(experiment, writer, prompts, 1)
        return [
            Preference(one.prompt, chosen=one.response, rejected=row[0])
            for one, row in zip(shown, samples, strict=True)
        ], {"pairs": "a person's response ≻ a sample of the model"}
    if sentiment is None:
        raise InputError("The expert's pairs are ranked by sentiment: give reviews with labels.")
    prompts = list(data.prompts[:limit])
    report(f"drawing {experiment.samples_per_pair} samples for each of {len(prompts)} prompts")
    rows = _samples(experiment, writer, prompts, experiment.samples_per_pair)
    texts = [
        prompt + sample.text for prompt, row in zip(prompts, rows, strict=True) for sample in row
    ]
    samples = [sample for row in rows for sample in row]
    repeated = [prompt for prompt in prompts for _ in range(experiment.samples_per_pair)]
    with writer.as_reference():
        fluency = writer.logprobs(repeated, samples).double().numpy()
    positive = sentiment.log_positive(texts)
    lengths = np.array([len(sample.token_ids) for sample in samples])
    scores = expert_score(
        positive,
        fluency,
        lengths,
        fluency_weight=experiment.fluency_weight,
        per_token=experiment.fluency_per_token,
    )
    table = torch.from_numpy(scores).view(len(prompts), -1)
    sentiment_table = positive.reshape(len(prompts), -1)
    return pairs_by_score(prompts, rows, table), {
        "pairs": f"the best ≻ the worst of {experiment.samples_per_pair} samples",
        "scorer": sentiment.name,
        _CORRELATION: correlation_within(table.numpy(), sentiment_table),
    }


def _samples(experiment: Experiment, policy: Policy, prompts: Sequence[str], count: int) -> Any:
    with policy.as_reference():
        return policy.sample(
            prompts,
            count,
            experiment.lengths.response,
            experiment.expert.seed,
            sampling=experiment.learner.sampling,
        )


def _kl_of_its_sampler(experiment: Experiment, expert: Expert, data: TaskData) -> float:
    return kl_of_sampler(
        expert,
        data.held_out,
        num_samples=experiment.evaluation_candidates,
        max_new_tokens=experiment.lengths.response,
        sampling=experiment.learner.sampling,
        seed=experiment.expert.seed + 1,
    )


def _described(scorer: WordSentiment | None) -> dict[str, Any] | None:
    return None if scorer is None else {"name": scorer.name, "accuracy": scorer.accuracy}


def _measured_prompts(data: TaskData, count: int) -> tuple[str, ...]:
    """Return the last of the prompts to learn from, so that the held-out ones stay unseen."""
    return data.prompts[-count:]


def _describe_measurement(found: Measurement) -> str:
    return (
        f"expert, step {found.step}: R* of its samples {found.reward:+.2f}, of π_0's "
        f"{found.base_reward:+.2f}, better in {found.wins:.0%}"
    )
