"""Sentiment of a review, and the score by which the pairs of IMDB's expert are ranked (A.4).

This score is not R*: R* is the implicit reward of the expert that was trained on these pairs
(paper, 4.1, though A.4 calls this score R* too).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corll.errors import InputError, ModelNotFoundError
from corll.laboratory.packages import needed_for

HUB_SENTIMENT = "lvwerra/distilbert-imdb"
"""The paper's classifier (A.4)."""

_LEAST_TEXTS = 20
_BATCH = 32

LabelledTexts: TypeAlias = tuple[list[str], list[bool]]
"""Texts, and whether each is positive."""

_Words = TypeVar("_Words", bound="WordSentiment")


class SentimentScorer(Protocol):
    """A scorer that says how likely it is that a text is positive."""

    @property
    def name(self) -> str: ...

    def log_positive(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return log Pr(positive | text), one finite number a text, in nats."""
        ...


@dataclass(frozen=True)
class WordSentiment(ABC):
    """A linear classifier of words and pairs of words.

    `accuracy` is measured on the tenth of the texts that were not learned from.
    """

    vectorizer: Any
    classifier: Any
    accuracy: float
    name: ClassVar[str]

    def log_positive(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return log Pr(positive | text) = −log(1 + e^(−margin)), which is finite at any margin."""
        if not texts:
            return np.empty(0)
        margin = self._margins(self.vectorizer.transform(texts))
        return -np.logaddexp(0.0, -np.asarray(margin, dtype=np.float64))

    @abstractmethod
    def _margins(self, weights: Any) -> Any:
        """Return log Pr(positive)/Pr(negative), one a row."""


class LogisticSentiment(WordSentiment):
    """A logistic regression on TF-IDF weights."""

    name: ClassVar[str] = "TF-IDF and logistic regression"

    def _margins(self, weights: Any) -> Any:
        return self.classifier.decision_function(weights)


class NaiveBayesSentiment(WordSentiment):
    """A multinomial naive Bayes on counts. It is surer of itself than a regression."""

    name: ClassVar[str] = "counts and multinomial naive Bayes"

    def _margins(self, weights: Any) -> Any:
        joint = self.classifier.predict_joint_log_proba(weights)
        return joint[:, 1] - joint[:, 0]


def train_sentiment(
    texts: Sequence[str], labels: Sequence[bool], *, seed: int = 0
) -> LogisticSentiment:
    """Train a classifier on these texts; the same texts, labels and seed give the same.

    Both labels weigh alike, however many texts each has, so that the score holds no prior.

    *Raises*: InputError for fewer than 20 texts, labels that do not match them or are all alike, or
    where scikit-learn is not installed.
    """
    with needed_for("A sentiment classifier"):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    classifier = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000)
    return _trained(LogisticSentiment, vectorizer, classifier, texts, labels, seed)


def train_naive_bayes(
    texts: Sequence[str], labels: Sequence[bool], *, seed: int = 0
) -> NaiveBayesSentiment:
    """Train a classifier of another family than `train_sentiment` does; else as that."""
    with needed_for("A sentiment classifier"):
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.naive_bayes import MultinomialNB
    vectorizer = CountVectorizer(ngram_range=(1, 2), min_df=2)
    classifier = MultinomialNB(fit_prior=False)
    return _trained(NaiveBayesSentiment, vectorizer, classifier, texts, labels, seed)


def halves(
    texts: Sequence[str], labels: Sequence[bool], *, seed: int = 0
) -> tuple[LabelledTexts, LabelledTexts] | None:
    """Split labelled texts at random into two halves; None where one would be too small."""
    if len(texts) < 2 * _LEAST_TEXTS:
        return None
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    return _chosen(texts, labels, first), _chosen(texts, labels, second)


def _chosen(texts: Sequence[str], labels: Sequence[bool], numbers: Sequence[int]) -> LabelledTexts:
    return [texts[n] for n in numbers], [labels[n] for n in numbers]


def _trained(
    kind: type[_Words],
    vectorizer: Any,
    classifier: Any,
    texts: Sequence[str],
    labels: Sequence[bool],
    seed: int,
) -> _Words:
    """Fit a classifier on nine tenths of the texts, and measure it on the rest."""
    if len(texts) != len(labels):
        raise InputError(f"There are {len(texts)} texts but {len(labels)} labels of sentiment.")
    if len(texts) < _LEAST_TEXTS:
        raise InputError(
            f"A sentiment classifier needs at least {_LEAST_TEXTS} texts, not {len(texts)}."
        )
    order = np.random.default_rng(seed).permutation(len(texts))
    positive = np.asarray(labels, dtype=bool)[order]
    shuffled = [texts[i] for i in order]
    held_out = len(texts) // 10
    if len(set(positive[held_out:].tolist())) < 2:
        raise InputError("A sentiment classifier needs positive and negative texts.")
    try:
        weights = vectorizer.fit_transform(shuffled[held_out:])
    except ValueError as error:
        raise InputError(f"No sentiment can be learned from these texts: {error}") from error
    classifier.fit(weights, positive[held_out:])
    right = classifier.predict(vectorizer.transform(shuffled[:held_out])) == positive[:held_out]
    return kind(vectorizer, classifier, accuracy=float(np.mean(right)))


@dataclass(frozen=True)
class HubSentiment:
    """A Hugging Face classifier of sequences, one of whose labels is positive sentiment."""

    name: str
    tokenizer: Any
    model: Any
    positive_label: int

    def log_positive(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return log Pr(positive | text); what exceeds the classifier's context is cut off."""
        import torch

        found: list[float] = []
        longest = self.model.config.max_position_embeddings
        for start in range(0, len(texts), _BATCH):
            batch = self.tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            ).to(self.model.device)
            with torch.no_grad():
                logits = self.model(
                    input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
                ).logits
            found += logits.double().log_softmax(-1)[:, self.positive_label].tolist()
        return np.asarray(found, dtype=np.float64)


def load_hub_sentiment(name: str | os.PathLike[str] = HUB_SENTIMENT) -> HubSentiment:
    """Load the paper's classifier, or another of two labels, by hub id or folder.

    *Raises*: ModelNotFoundError where there are no such weights, or none of its labels is
    positive sentiment.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from corll.model.loading import choose_device, locate

    folder = locate(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True
        )
    # The files may be a stranger's, and what reads them may raise anything.
    except Exception as error:
        raise ModelNotFoundError(
            f"The model in {folder} cannot be loaded as a classifier: {error}"
        ) from error
    labels = {index: str(label).lower() for index, label in model.config.id2label.items()}
    positive = [index for index, label in labels.items() if label in ("positive", "pos", "label_1")]
    if len(labels) != 2 or len(positive) != 1:
        raise ModelNotFoundError(
            f"The classifier {name} has the labels {sorted(labels.values())}; "
            "a positive and a negative one are expected."
        )
    model.to(choose_device(None)).eval().requires_grad_(False)
    return HubSentiment(str(name), tokenizer, model, positive[0])


def expert_score(
    log_positive: ArrayLike,
    reference_logprobs: ArrayLike,
    lengths: ArrayLike,
    *,
    fluency_weight: float = 3.0,
    per_token: bool = True,
) -> NDArray[np.float64]:
    """Return log Pr(positive | x, y) + 3 · log π_ref(y | x), which ranks the expert's samples.

    The second term keeps the expert fluent. The paper does not say whether it is summed over the
    response or taken per token. Summed over 64 tokens it drowns the sentiment, so per token is the
    default; `correlation_within` measures this.

    *Shapes*: B each; `lengths` in tokens. *Units*: nats; `reference_logprobs` are summed.
    *Source*: paper, A.4.
    """
    fluency = np.asarray(reference_logprobs, dtype=np.float64)
    counts = np.asarray(lengths, dtype=np.float64)
    if per_token and np.any(counts < 1):
        raise InputError("A response without tokens has no log-probability per token.")
    if per_token:
        fluency = fluency / counts
    return np.asarray(log_positive, dtype=np.float64) + fluency_weight * fluency


def correlation_within(scores: ArrayLike, log_positive: ArrayLike) -> float:
    """Return Pearson's correlation of score and sentiment among the samples of one prompt.

    Each row is centred, since pairs are made within a prompt: that one prompt is more positive than
    another orders none of them. It is not a number where either does not vary.

    *Shapes*: P prompts × K samples, both.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (scores, log_positive))
    first, second = (table - table.mean(-1, keepdims=True) for table in (first, second))
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 0 else float("nan")
