"""Sentiment scorers, and the score that ranks the pairs of IMDB's expert."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from corll.errors import InputError, ModelNotFoundError
from corll.laboratory.sentiment import (
    LogisticSentiment,
    correlation_within,
    expert_score,
    halves,
    load_hub_sentiment,
    train_naive_bayes,
    train_sentiment,
)
from tiny_models import build_tokenizer

GOOD = [f"a wonderful and moving film number {n}" for n in range(30)]
BAD = [f"a dull and boring film number {n}" for n in range(30)]
LABELS = [True] * 30 + [False] * 30


class TestIndependent:
    def test_naive_bayes_by_hand(self) -> None:
        """Counts of a word in 9 good and 9 bad texts and its pairs, each with 1 more (Laplace)."""
        texts = [*["warm"] * 10, *["dull"] * 10, "warm", "dull"]
        scorer = train_naive_bayes(texts, [text == "warm" for text in texts])
        assert scorer.accuracy == 1.0
        seen = list(scorer.vectorizer.get_feature_names_out())
        assert seen == ["dull", "warm"]
        good, bad = (int(n) for n in scorer.classifier.class_count_[::-1])
        odds = math.log((good + 1) / (good + 2)) - math.log(1 / (bad + 2))
        (found,) = scorer.log_positive(["warm"])
        assert found == pytest.approx(-math.log1p(math.exp(-odds)))
        assert scorer.log_positive(["nothing known"]) == pytest.approx([math.log(0.5)])

    def test_halves_are_all_and_share_none(self) -> None:
        texts = [str(n) for n in range(41)]
        first, second = halves(texts, [n % 3 == 0 for n in range(41)], seed=1) or ([], [])
        assert sorted(first[0] + second[0]) == sorted(texts)
        assert (len(first[0]), len(second[0])) == (20, 21)
        for some, labels in (first, second):
            assert labels == [int(text) % 3 == 0 for text in some]
        assert halves(texts[:40], [True] * 40, seed=1) is not None
        assert halves(texts[:39], [True] * 39, seed=1) is None


class TestLogistic:
    def test_it_tells_good_from_bad(self) -> None:
        scorer = train_sentiment(GOOD + BAD, LABELS)
        good, bad, neither = scorer.log_positive(["wonderful, moving", "dull, boring", ""])
        assert bad < neither < good < 0
        assert scorer.accuracy == 1.0
        assert scorer.log_positive([]).shape == (0,)

    def test_the_same_seed_gives_the_same(self) -> None:
        one, same = (train_sentiment(GOOD + BAD, LABELS, seed=3) for _ in range(2))
        other = train_sentiment(GOOD + BAD, LABELS, seed=4)
        assert one.log_positive(GOOD).tolist() == same.log_positive(GOOD).tolist()
        assert one.log_positive(GOOD).tolist() != other.log_positive(GOOD).tolist()

    def test_accuracy_is_of_the_tenth_that_is_not_learned_from(self) -> None:
        # Each word is in two texts, whose labels are drawn: learned by heart, the others guessed.
        labels = np.random.default_rng(0).random(2000) < 0.5
        texts = [f"word{n} word{n + 1}" for n in range(2000)]
        scorer = train_sentiment(texts, labels.tolist())
        right = (scorer.log_positive(texts) > math.log(0.5)) == labels
        assert scorer.accuracy == pytest.approx(0.5, abs=0.12)
        assert right.mean() == pytest.approx(0.9 + 0.1 * scorer.accuracy, abs=0.05)

    def test_log_probabilities_are_exact_and_finite_at_any_margin(self) -> None:
        class Margins:
            def transform(self, texts: Any) -> Any:
                return np.array([float(text) for text in texts])

            def decision_function(self, margins: Any) -> Any:
                return margins

        scorer = LogisticSentiment(Margins(), Margins(), accuracy=1.0)
        found = scorer.log_positive(["0", "1", "-5000", "5000"])
        assert found.tolist() == pytest.approx([-math.log(2), -math.log1p(math.exp(-1)), -5000, 0])

    @pytest.mark.parametrize(
        ("texts", "labels", "problem"),
        [
            (GOOD, LABELS, "30 texts but 60 labels"),
            (GOOD[:19], [True] * 19, "at least 20 texts, not 19"),
            (GOOD, [True] * 30, "positive and negative"),
            (["?"] * 30, LABELS[15:45], "No sentiment can be learned"),
        ],
    )
    def test_what_cannot_be_learned_from(self, texts: Any, labels: Any, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            train_sentiment(texts, labels)

    def test_without_scikit_learn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
        with pytest.raises(InputError, match="pip install 'corll"):
            train_sentiment(GOOD + BAD, LABELS)


def classifier(folder: Path, labels: dict[int, str]) -> Path:
    """A tiny random classifier of the paper's architecture."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(chat=False)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=16,
        hidden_dim=32,
        n_layers=1,
        n_heads=2,
        max_position_embeddings=24,
        num_labels=len(labels),
        id2label=labels,
        label2id={label: index for index, label in labels.items()},
    )
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class TestHub:
    def test_it_is_the_log_softmax_of_the_positive_label(self, tmp_path: Path) -> None:
        scorer = load_hub_sentiment(classifier(tmp_path, {0: "POSITIVE", 1: "NEGATIVE"}))
        texts = ["The hotel was clean.", "The parcel is late. " * 10, "Kind regards"]
        expected = []
        for text in texts:
            ids = scorer.tokenizer(text, return_tensors="pt")["input_ids"][:, :24]
            with torch.no_grad():
                logits = scorer.model(input_ids=ids.to(scorer.model.device)).logits
            expected.append(logits.double().log_softmax(-1)[0, 0].item())
        assert scorer.log_positive(texts).tolist() == pytest.approx(expected, abs=1e-6)
        assert len(scorer.log_positive(texts * 20)) == 60

    def test_labels_that_are_no_sentiment_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError, match=r"labels \['joy', 'love'\]"):
            load_hub_sentiment(classifier(tmp_path, {0: "joy", 1: "love"}))

    def test_what_is_no_classifier_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "nothing"}', encoding="utf-8")
        (tmp_path / "model.safetensors").write_bytes(b"")
        with pytest.raises(ModelNotFoundError, match="cannot be loaded as a classifier"):
            load_hub_sentiment(tmp_path)

    def test_without_a_connection(self) -> None:
        with pytest.raises(ModelNotFoundError, match="lvwerra/distilbert-imdb"):
            load_hub_sentiment()


class TestScore:
    def test_per_token(self) -> None:
        # −0.5 + 3·(−20/10) and −1 + 3·(−6/4)
        found = expert_score([-0.5, -1.0], [-20.0, -6.0], [10, 4])
        assert found.tolist() == pytest.approx([-6.5, -5.5])

    def test_summed(self) -> None:
        found = expert_score([-0.5], [-20.0], [10], fluency_weight=2.0, per_token=False)
        assert found.tolist() == pytest.approx([-40.5])

    def test_a_response_without_tokens_is_refused(self) -> None:
        with pytest.raises(InputError, match="without tokens"):
            expert_score([-0.5], [0.0], [0])

    def test_the_correlation_is_among_the_samples_of_a_prompt(self) -> None:
        # Deviations (−1, 0, 1) and (−1, −1, 2): 3 / √(2 · 6). A shift of a whole prompt is nothing.
        assert correlation_within([[1, 2, 3]], [[0, 0, 3]]) == pytest.approx(3 / math.sqrt(12))
        # The second prompt adds the deviations (1, −1, 0) and (−1, 0, 1).
        found = correlation_within([[1, 2, 3], [72, 70, 71]], [[0, 0, 3], [-9, -8, -7]])
        assert found == pytest.approx((3 - 1) / math.sqrt((2 + 2) * (6 + 2)))
        assert math.isnan(correlation_within([[1, 1], [5, 5]], [[0, 3], [0, 3]]))
