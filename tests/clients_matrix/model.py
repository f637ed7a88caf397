"""A tiny model whose drafts end: some clients take a draft that was cut for a failure."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tiny_models import save_tiny_llama

_TALK = [
    {"role": "user", "content": "The parcel is late."},
    {"role": "assistant", "content": "So it is."},
]
_STEPS = 60


def save_model(folder: Path) -> Path:
    """Save the tests' tiny model, taught to answer in three words and to end."""
    save_tiny_llama(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(_TALK, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder
