"""Tiny random models with tokenizers of their own, and the plain computations to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from corll.compute.choose import backend_for, examine
from corll.compute.network import Network
from corll.compute.packing import Tree
from corll.compute.scoring import token_logprobs
from corll.model.loading import LoadedModel, choose_device
from corll.policy import Policy

DEVICE = choose_device(None)
"""Where `Policy.load` puts a model by itself, and these models are built."""

ROW = torch.tensor([[5, 9, 2, 31, 17, 8]])
"""A few ids that every tiny vocabulary has."""

END = "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}" + END + "\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CORPUS = (
    "Dear Ms Lopez, we are sorry that the parcel is late. It will arrive on Friday. "
    "Hello, thank you for the note about the kettle with the cracked lid! We'll send another one. "
    "The hotel near the station was clean, but the street was noisy and the breakfast slow. "
    "Kind regards, Anna. I can't come to the meeting on Tuesday; could we move it to Thursday? "
)


def build_tokenizer(*, chat: bool, vocab_size: int = 400) -> PreTrainedTokenizerFast:
    """A byte-level BPE of about 400 entries, trained on a few sentences."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([CORPUS] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_llama(vocab_size: int, *, seed: int = 0, hidden_size: int = 32) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.15,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
            tie_word_embeddings=True,
        )
    ).to(DEVICE)


def save_tiny_llama(folder: Path) -> Path:
    """Save a tiny random Llama that goes through a chat template; return the folder."""
    tokenizer = build_tokenizer(chat=True)
    build_llama(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_qwen2(vocab_size: int) -> Qwen2ForCausalLM:
    """Like Llama, with biases on queries, keys and values."""
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocab_size,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model.to(DEVICE)


def build_gpt2(vocab_size: int, *, seed: int = 0) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocab_size,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=512,
            initializer_range=0.15,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
    ).to(DEVICE)


def network_of(model: Any) -> Network:
    """The model with layers of its own, on the backend of its device, after it was examined."""
    return examine(model, backend_for(model))


def response_logprobs(
    network: Network, trees: Sequence[Tree], *, shared_grad: bool = True
) -> Tensor:
    """log π(y|x) of every response of the trees, in order, summed over its ids."""
    tokens = token_logprobs(network, trees, shared_grad=shared_grad)
    return torch.stack([response.sum() for response in tokens])


def is_fused(model: Any) -> bool:
    """Whether the decoder layers have another forward pass than their own."""
    layers = getattr(getattr(model, model.base_model_prefix), "layers", ())
    return any("forward" in vars(layer) for layer in layers)


def perturb_adapter(policy: Policy, *, seed: int = 0, scale: float = 0.05) -> None:
    """Moves the adapter away from zero, so that the policy differs from its reference."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.trainable_parameters().values():
            noise = scale * torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise.to(parameter.device))


def weights(policy: Policy) -> dict[str, Tensor]:
    """A copy of what learns, on the CPU."""
    return {name: p.detach().cpu().clone() for name, p in policy.trainable_parameters().items()}


def logits(model: Any) -> Tensor:
    """What a model gives for `ROW`. *Shapes*: 1 × 6 × V."""
    with torch.no_grad():
        result: Tensor = model(ROW).logits
    return result


def plain_logprob(base: LoadedModel, prompt_ids: tuple[int, ...], ids: tuple[int, ...]) -> float:
    """log p of a response by the model as it stands, adapter included."""
    return logprob_by_transformers(base.model, prompt_ids, ids)


def logprob_by_transformers(model: Any, prompt_ids: tuple[int, ...], ids: tuple[int, ...]) -> float:
    """log p of a response by transformers' own logits and log-softmax, one row, no tricks."""
    row = torch.tensor([[*prompt_ids, *ids]], device=model.device)
    with torch.no_grad():
        logprobs = model(input_ids=row).logits[0].float().log_softmax(-1)
    start = len(prompt_ids)
    return sum(float(logprobs[start - 1 + n, token]) for n, token in enumerate(ids))
