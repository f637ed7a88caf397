"""The peer: TRL's DPOTrainer, on the same base model and from the same adapter weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import torch
from datasets import Dataset, disable_progress_bars
from torch import Tensor
from transformers import AutoModelForCausalLM

from corll.policy import Policy
from corll.records import Preference, text_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TRL's own, not ours
    from trl import DPOConfig, DPOTrainer


def build_trainer(
    policy: Policy, preferences: Sequence[Preference], folder: Path, **settings: Any
) -> Any:
    """A DPOTrainer whose adapter is a copy of the policy's; its reference is the bare base.

    It gets each prompt as the policy renders it, as plain text, and adds the end token itself.
    """
    policy.save(folder / "adapter")
    rows = [
        {
            "prompt": policy.codec.render(preference.prompt),
            "chosen": text_of(preference.chosen),
            "rejected": text_of(preference.rejected),
        }
        for preference in preferences
    ]
    arguments = {
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "save_strategy": "no",
        "per_device_train_batch_size": len(rows),
        "max_length": None,
        **settings,
    }
    disable_progress_bars()
    shape = peft.LoraConfig.from_pretrained(folder / "adapter")
    shape.inference_mode = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = DPOTrainer(
            AutoModelForCausalLM.from_pretrained(policy.folder, dtype=policy.dtype),
            args=DPOConfig(output_dir=str(folder / "trl"), **arguments),
            train_dataset=Dataset.from_list(rows),
            processing_class=policy.tokenizer,
            peft_config=shape,
        )
    ours = policy.trainable_parameters()
    with torch.no_grad():
        for name, parameter in adapter_of(trainer).items():
            parameter.copy_(ours[name])
    return trainer


def adapter_of(trainer: Any) -> dict[str, torch.nn.Parameter]:
    """The trainer's adapter, under the names that the policy's parameters have."""
    return {
        name.replace(".default.", "."): parameter
        for name, parameter in trainer.model.named_parameters()
        if parameter.requires_grad
    }


def batch_gradient(
    trainer: Any, rows: Sequence[Mapping[str, Sequence[int]]]
) -> tuple[float, dict[str, Tensor]]:
    """TRL's loss of a batch given as ids, and its gradient on the adapter."""
    parameters = adapter_of(trainer)
    for parameter in parameters.values():
        parameter.grad = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = trainer.compute_loss(trainer.model, trainer.data_collator(list(rows)))
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in parameters.items()}


def train(trainer: Any) -> None:
    """Trains as the trainer was told to; its progress and its warnings are not our subject."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        trainer.train()


def loss_of_logprobs(
    trainer: Any,
    policy_logprobs: tuple[Tensor, Tensor],
    reference_logprobs: tuple[Tensor, Tensor],
    lengths: tuple[Sequence[int], Sequence[int]],
    *,
    loss_types: Mapping[str, float],
    beta: float,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, dict[str, float]]:
    """TRL's own loss code on log-probabilities that we choose, in place of a network's.

    Each pair of arguments is (chosen, rejected); `loss_types` gives each type's weight.
    """
    trainer.loss_types, trainer.loss_weights = list(loss_types), list(loss_types.values())
    trainer.beta, trainer.label_smoothing = beta, label_smoothing
    trainer.precompute_ref_logps = True
    trainer._metrics["train"].clear()
    trainer.model.train()
    mask = _completion_mask([*lengths[0], *lengths[1]])
    inputs = {
        "input_ids": torch.ones_like(mask),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": reference_logprobs[0],
        "ref_rejected_logps": reference_logprobs[1],
    }
    loss = trainer.compute_loss(_given(torch.cat(policy_logprobs), mask), inputs)
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return loss, metrics


def _completion_mask(lengths: Sequence[int]) -> Tensor:
    """A prompt of one token, then each response. *Shapes*: 2B → 2B × T."""
    mask = torch.zeros(len(lengths), 1 + max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, 1 : 1 + length] = 1
    return mask


def _given(logprobs: Tensor, mask: Tensor) -> Callable[..., SimpleNamespace]:
    """What TRL takes for a network: the first token of each response carries all of its sum."""
    T = mask.shape[1] - 1
    tokens = torch.cat([logprobs[:, None], logprobs.new_zeros(len(logprobs), T - 1)], dim=1)
    zeros = torch.zeros(len(logprobs), T)
    outputs = SimpleNamespace(
        log_probs=tokens, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool()
    )
    return lambda **_: outputs
