"""The names of the files of a grid's folder and of its cells' folders; they never change."""

from __future__ import annotations

CONFIG = "config.json"
DONE = "done.json"
SAMPLES = "samples.jsonl"
SENT = "sent.jsonl"
ADAPTER = "adapter"

EVALUATIONS = "evaluations.jsonl"
EXPERIMENT = "experiment.json"
LEARNING_RATES = "learning_rates.json"
TRIALS = "rates.jsonl"
EXPERT = "expert.json"
EXPERT_FOLDER = "expert"
CANARY = "canary.jsonl"
