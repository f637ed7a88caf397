"""A prepared experiment: the data, the base model and the expert that its cells share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from corll.errors import ConfigError, InputError, RunFolderError
from corll.laboratory import file_names
from corll.laboratory.expert_making import Report, Scorers, make_expert, refuse, weights_of
from corll.laboratory.sentiment import (
    SentimentScorer,
    WordSentiment,
    halves,
    load_hub_sentiment,
    train_naive_bayes,
    train_sentiment,
)
from corll.laboratory.sizes import TINY_MODEL, Experiment
from corll.laboratory.tasks import TASKS, get_task
from corll.laboratory.tasks.imdb import Imdb
from corll.laboratory.tasks.task import Corpus, TaskData
from corll.laboratory.tiny_model import tiny_model
from corll.policy import Policy
from corll.simulation.experts import Expert


@dataclass(frozen=True)
class PreparedExperiment:
    """A prepared experiment: everything that is made before the first cell.

    `expert_reward` is the mean R* of the expert's samples for the held-out prompts, and
    `kl_of_its_sampler` KL(π̃*‖π*) of what these are drawn from; it is None for an expert that was
    made before this was measured. `sentiment` is the classifier behind the pairs of IMDB's expert
    (A.4); it is None for other tasks, and where a file has no labels to learn it from.
    `independent` is one of another family, from texts that `sentiment` did not learn from. `base`
    is what the policies learn on where the expert is of another base model; else they share its.
    """

    experiment: Experiment
    data: TaskData
    expert: Expert
    expert_reward: float
    sentiment: SentimentScorer | None = None
    kl_of_its_sampler: float | None = None
    independent: WordSentiment | None = None
    base: Policy | None = None

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
        *Raises*: InputError, ModelNotFoundError; TrainingError where no expert worth learning from
        was made or given (`expert_worth.py`); AdapterError where the expert is of another base;
        RunFolderError where the folder has another expert.
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
            policy = _load(experiment, experiment.expert_base or model, adapter=expert)
            base = _other_base(experiment, model, policy)
            data = task.prepare(
                corpus,
                policy.tokenizer,
                experiment.lengths,
                held_out=experiment.held_out,
                seed=experiment.expert.seed,
            )
            older = _is_of_before(folder / file_names.EXPERT)
            sentiment, independent = _sentiments(experiment, data, corpus, report, whole=older)
            if not (folder / file_names.EXPERT).exists():
                scorers = sentiment, independent
                make_expert(experiment, policy, data, scorers, folder, expert, report)
        known = json.loads((folder / file_names.EXPERT).read_text(encoding="utf-8"))
        weights = weights_of(policy)
        if known.get("fingerprint", weights) != weights:
            raise RunFolderError(
                f"{folder} has another expert than {expert}. Choose another --output, or leave "
                "--expert out."
            )
        if reasons := known.get("refused_for"):
            refuse(experiment, reasons, report)
        made = Expert(policy, beta=experiment.expert.beta)
        own_kl = known.get("kl_of_its_sampler")
        return cls(experiment, data, made, known["reward"], sentiment, own_kl, independent, base)

    @property
    def expert_objective(self) -> float | None:
        """J = −β KL(π̃*‖π*) of the expert's own sampler; None where it was not measured.

        It is None for an expert of another base too: from the policy's π_0 its J is another.
        """
        if self.kl_of_its_sampler is None or self.base is not None:
            return None
        return -self.expert.beta * self.kl_of_its_sampler

    def log_positive(self, texts: Sequence[str]) -> dict[str, float | None]:
        """Return the mean log Pr(positive) of texts by both classifiers, in nats; None without."""
        return {
            name: None if scorer is None else float(scorer.log_positive(texts).mean())
            for name, scorer in (
                ("log_positive", self.sentiment),
                ("log_positive_independent", self.independent),
            )
        }


def _sentiments(
    experiment: Experiment, data: TaskData, corpus: Corpus, report: Report, *, whole: bool
) -> Scorers:
    """Return the scorer of the expert's pairs, and one that is independent of it.

    Each learns from one half of the task's labels; the hub's classifier has learned already, so
    that the other learns from all. Both are None where there is nothing to learn from. `whole` is
    for a folder whose expert was made before there was a second one.
    """
    if data.pairs or data.demonstrations:
        return None, None
    everything, seed = Imdb().labelled_texts(corpus), experiment.expert.seed
    by_hub = experiment.source == "hub" and experiment.data is None
    split = (everything, everything) if by_hub else halves(*everything, seed=seed)
    own, other = (everything, None) if whole or split is None else split
    try:
        scorer: SentimentScorer = (
            load_hub_sentiment() if by_hub else train_sentiment(*own, seed=seed)
        )
        independent = None if other is None else train_naive_bayes(*other, seed=seed)
    except InputError as error:
        report(f"no sentiment: {error}")
        return None, None
    for one in (scorer, independent):
        if isinstance(one, WordSentiment):
            report(f"sentiment: {one.name}, {one.accuracy:.0%} right on a held-out tenth")
    return scorer, independent


def _is_of_before(path: Path) -> bool:
    """Say whether an expert was made when one scorer learned from all labels."""
    return path.exists() and "independent_scorer" not in json.loads(path.read_text("utf-8"))


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


def _other_base(experiment: Experiment, model: str, expert: Policy) -> Policy | None:
    """Load what policies learn on, where the expert is of another base; else return None.

    *Raises*: ConfigError where the two read the same ids as other texts.
    """
    if experiment.expert_base is None:
        return None
    base = _load(experiment, model, adapter=None)
    if base.tokenizer.get_vocab() != expert.tokenizer.get_vocab():
        raise ConfigError(
            f"expert_base ({experiment.expert_base}) has another tokenizer than model "
            f"({experiment.model}), so that neither can score the other's samples. Choose two of "
            "one family."
        )
    return base


def _locked(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)
    except OSError as error:
        raise RunFolderError(f"{path.parent} cannot be written: {error.strerror}.") from error
