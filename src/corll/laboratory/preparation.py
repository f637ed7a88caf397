"""A prepared experiment: the data, the base model and the expert that its cells share.

expert/          the expert's adapter, made once for all cells
expert.json      how the expert was made and what it measures; written last, as the done mark
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from corll.errors import InputError, RunFolderError
from corll.files import durable
from corll.laboratory import file_names
from corll.laboratory.sentiment import (
    SentimentScorer,
    correlation,
    expert_score,
    load_hub_sentiment,
    train_sentiment,
)
from corll.laboratory.sizes import TINY_MODEL, Experiment
from corll.laboratory.tasks import TASKS, get_task
from corll.laboratory.tasks.imdb import Imdb
from corll.laboratory.tasks.task import Corpus, TaskData
from corll.laboratory.tiny_model import tiny_model
from corll.model.adapters import fingerprint
from corll.policy import Policy
from corll.records import Preference
from corll.simulation.experts import Expert, Measurement, measure, pairs_by_score, train_expert

Report = Callable[[str], None]


@dataclass(frozen=True)
class PreparedExperiment:
    """A prepared experiment: everything that is made before the first cell.

    `expert_reward` is the mean R* of the expert's samples for the held-out prompts. `sentiment` is
    the classifier behind the pairs of IMDB's expert (A.4); it is None for other tasks, and where a
    file has no labels to learn it from.
    """

    experiment: Experiment
    data: TaskData
    expert: Expert
    expert_reward: float
    sentiment: SentimentScorer | None = None

    @classmethod
    def prepare(
        cls,
        experiment: Experiment,
        folder: Path,
        *,
        expert: Path | None = None,
        report: Report = print,
    ) -> PreparedExperiment:
        """Load or make what is missing; two processes on one folder make it once.

        `expert` names the folder of an adapter to take for π*, in place of training one.
        *Raises*: InputError, ModelNotFoundError, TrainingError; AdapterError where the expert is of
        another base; RunFolderError where the folder has another expert.
        """
        task = get_task(experiment.task)
        report(f"reading the data of {task.name}")
        path = None if experiment.data is None else Path(experiment.data)
        corpus = task.read(data=path, source=experiment.source)
        model = experiment.model
        if model == TINY_MODEL:
            model = str(tiny_model(pretraining_texts(task.name, corpus, report), report=report))
        with _locked(folder / ".expert.lock"):
            if expert is None and (folder / file_names.EXPERT).exists():
                expert = folder / file_names.EXPERT_FOLDER
            policy = _load(experiment, model, adapter=expert)
            data = task.prepare(
                corpus,
                policy.tokenizer,
                experiment.lengths,
                held_out=experiment.held_out,
                seed=experiment.expert.seed,
            )
            sentiment = _sentiment(experiment, data, corpus, report)
            if not (folder / file_names.EXPERT).exists():
                _make_expert(experiment, policy, data, sentiment, folder, expert, report)
        known = json.loads((folder / file_names.EXPERT).read_text(encoding="utf-8"))
        weights = _weights_of(policy)
        if known.get("fingerprint", weights) != weights:
            raise RunFolderError(
                f"{folder} has another expert than {expert}. Choose another --output, or leave "
                "--expert out."
            )
        made = Expert(policy, beta=experiment.expert.beta)
        return cls(experiment, data, made, known["reward"], sentiment)

    def log_positive(self, texts: Sequence[str]) -> float | None:
        """Return the mean log Pr(positive) of texts, in nats; None without a classifier."""
        if self.sentiment is None:
            return None
        return float(self.sentiment.log_positive(texts).mean())


def _make_expert(
    experiment: Experiment,
    policy: Policy,
    data: TaskData,
    sentiment: SentimentScorer | None,
    folder: Path,
    given: Path | None,
    report: Report,
) -> None:
    config = experiment.expert
    common: dict[str, Any] = {
        "response_length": experiment.lengths.response,
        "sampling": experiment.learner.sampling,
    }
    measured: list[Measurement] = []
    about: dict[str, Any] = {}
    expert = Expert(policy, beta=config.beta)
    if given is None:
        pairs, about = _expert_pairs(experiment, policy, data, sentiment, report)
        report(f"training the expert on {len(pairs)} preferences")
        expert, measured = train_expert(
            policy,
            pairs,
            _measured_prompts(data, config.measured_prompts),
            config,
            report=lambda found: report(_describe_measurement(found)),
            **common,
        )
    elif (record := given.parent / file_names.EXPERT).exists():
        about = {"record": json.loads(record.read_text(encoding="utf-8"))}
    held_out = config.with_settings(measured_prompts=len(data.held_out), seed=config.seed + 1)
    reward, base_reward, wins = measure(expert, data.held_out, held_out, **common)
    if outside := config.outside(reward=reward, base_reward=base_reward, wins=wins):
        report(f"on the held-out prompts this expert is not as asked: {'; '.join(outside)}")
    known = {
        "reward": reward,
        "base_reward": base_reward,
        "wins": wins,
        "outside": outside,
        "given": None if given is None else given.name,
        "fingerprint": _weights_of(policy),
        "data": data.source,
        "prompts": len(data.prompts),
        **about,
        "measurements": [asdict(found) for found in measured],
    }
    try:
        durable.write_folder(folder / file_names.EXPERT_FOLDER, policy.save)
        durable.write_text(folder / file_names.EXPERT, json.dumps(known, indent=1) + "\n")
    except OSError as error:
        raise RunFolderError(f"The expert could not be written: {error}.") from error


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
    return pairs_by_score(prompts, rows, table), {
        "pairs": f"the best ≻ the worst of {experiment.samples_per_pair} samples",
        "scorer": sentiment.name,
        "correlation_of_score_and_sentiment": correlation(scores, positive),
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


def _sentiment(
    experiment: Experiment, data: TaskData, corpus: Corpus, report: Report
) -> SentimentScorer | None:
    """Load the hub's classifier, or train one on the task's labels; None where neither can be."""
    if data.pairs or data.demonstrations:
        return None
    if experiment.source == "hub" and experiment.data is None:
        return load_hub_sentiment()
    texts, labels = Imdb().labelled_texts(corpus)
    try:
        scorer = train_sentiment(texts, labels, seed=experiment.expert.seed)
    except InputError as error:
        report(f"no sentiment: {error}")
        return None
    report(f"sentiment: {scorer.name}, {scorer.accuracy:.0%} right on a held-out tenth")
    return scorer


def pretraining_texts(name: str, corpus: Corpus, report: Report) -> list[str]:
    """Take as many characters of each task as the smallest has, so that all tasks weigh alike.

    Tasks whose offline source is not there are left out.
    """
    texts = {name: list(get_task(name).texts(corpus))}
    for other, task in TASKS.items():
        if other != name:
            try:
                texts[other] = list(task.texts(task.read(source="offline")))
            except InputError as error:
                report(f"the tiny model does without the texts of {other}: {error}")
    limit = min(sum(map(len, own)) for own in texts.values())
    return [text for own in texts.values() for text in _first_characters(own, limit)]


def _first_characters(texts: Sequence[str], limit: int) -> Iterator[str]:
    taken = 0
    for text in texts:
        taken += len(text)
        if taken > limit:
            return
        yield text


def _load(experiment: Experiment, model: str, *, adapter: Path | None) -> Policy:
    return Policy.load(
        model,
        dtype=experiment.dtype,
        adapter=adapter,
        lora=experiment.expert_lora if experiment.trains == "adapter" else None,
        trains=experiment.trains,
        chat_template=False,
        memory_limit_gb=experiment.learner.memory_limit_gb,
    )


def _weights_of(policy: Policy) -> str:
    return fingerprint(policy.trainable_parameters())


def _measured_prompts(data: TaskData, count: int) -> tuple[str, ...]:
    """Return the last of the prompts to learn from, so that the held-out ones stay unseen."""
    return data.prompts[-count:]


def _describe_measurement(found: Measurement) -> str:
    return (
        f"expert, step {found.step}: R* of its samples {found.reward:+.2f}, of π_0's "
        f"{found.base_reward:+.2f}, better in {found.wins:.0%}"
    )


def _locked(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)
    except OSError as error:
        raise RunFolderError(f"{path.parent} cannot be written: {error.strerror}.") from error
