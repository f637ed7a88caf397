"""Tiny random models of every architecture that corll is right on, built from their configs.

Transformers 5.23 has all of them, and runs each on a CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from tiny_models import build_tokenizer

_LLAMA_LIKE: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
_GPT_LIKE: Mapping[str, Any] = {
    **_LLAMA_LIKE,
    "num_key_value_heads": 4,
}
_EXPERTS: Mapping[str, Any] = {
    **_LLAMA_LIKE,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
}
_GEMMA: Mapping[str, Any] = {**_LLAMA_LIKE, "head_dim": 8, "sliding_window": 16}

ARCHITECTURES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("Llama", _LLAMA_LIKE),
    "mistral": ("Mistral", {**_LLAMA_LIKE, "sliding_window": 16}),
    "qwen2": ("Qwen2", _LLAMA_LIKE),
    "qwen3": ("Qwen3", {**_LLAMA_LIKE, "head_dim": 8}),
    "qwen3-moe": ("Qwen3Moe", {**_EXPERTS, "head_dim": 8, "num_experts": 4}),
    "gemma-2": ("Gemma2", {**_GEMMA, "query_pre_attn_scalar": 8}),
    "gemma-3": (
        "Gemma3Text",
        {**_GEMMA, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "phi-3": ("Phi3", {**_LLAMA_LIKE, "sliding_window": 16}),
    "phi-4": ("Phi3", {**_LLAMA_LIKE, "partial_rotary_factor": 0.5, "sliding_window": None}),
    "phi": ("Phi", {**_LLAMA_LIKE, "partial_rotary_factor": 0.5}),
    "gpt-2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    "gpt-neo": (
        "GPTNeo",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 16,
            "max_position_embeddings": 512,
        },
    ),
    "gpt-neox": ("GPTNeoX", {**_GPT_LIKE, "rotary_pct": 0.5}),
    "opt": (
        "OPT",
        {
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
            "word_embed_proj_dim": 32,
        },
    ),
    "bloom": ("Bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "falcon": (
        "Falcon",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    ),
    "falcon-alibi": (
        "Falcon",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True},
    ),
    "mpt": ("Mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 512}),
    "mixtral": ("Mixtral", {**_LLAMA_LIKE, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "deepseek-v3": (
        "DeepseekV3",
        {
            **_EXPERTS,
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "kv_lora_rank": 16,
            "q_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
        },
    ),
    "olmo": ("Olmo", _LLAMA_LIKE),
    "olmo-2": ("Olmo2", _LLAMA_LIKE),
    "smollm-3": ("SmolLM3", {**_LLAMA_LIKE, "no_rope_layers": [1, 0]}),
    "starcoder-2": ("Starcoder2", {**_LLAMA_LIKE, "sliding_window": 16}),
    "granite": (
        "Granite",
        {
            **_LLAMA_LIKE,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.3,
            "embedding_multiplier": 2.0,
            "logits_scaling": 2.0,
        },
    ),
    "cohere": ("Cohere", {**_LLAMA_LIKE, "logit_scale": 0.5}),
    "cohere-2": (
        "Cohere2",
        {
            **_LLAMA_LIKE,
            "logit_scale": 0.5,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "llama-4": (
        "Llama4Text",
        {
            **_LLAMA_LIKE,
            "head_dim": 8,
            "num_local_experts": 2,
            "intermediate_size_mlp": 48,
            "attention_chunk_size": 16,
        },
    ),
    "gpt-oss": (
        "GptOss",
        {
            **_LLAMA_LIKE,
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": 16,
        },
    ),
    "mamba": (
        "Mamba",
        {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    ),
    "mamba-2": (
        "Mamba2",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "num_heads": 4,
            "head_dim": 16,
            "n_groups": 2,
            "chunk_size": 16,
        },
    ),
    "rwkv": (
        "Rwkv",
        {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 512},
    ),
    "qwen3-next": (
        "Qwen3Next",
        {
            **_EXPERTS,
            "head_dim": 8,
            "num_experts": 4,
            "shared_expert_intermediate_size": 24,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
        },
    ),
    "lfm2": (
        "Lfm2",
        {**_LLAMA_LIKE, "layer_types": ["conv", "full_attention"], "block_multiple_of": 16},
    ),
    "jamba": (
        "Jamba",
        {
            **_LLAMA_LIKE,
            "num_experts": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "recurrent-gemma": (
        "RecurrentGemma",
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "attention_window_size": 16,
            "lru_width": 32,
        },
    ),
}
"""By name: transformers' class of config, and what it is given beside the vocabulary."""

BORDER = 64
"""Tokens after which the rope scalings below have other frequencies."""

_LONGROPE: Mapping[str, Any] = {
    **_LLAMA_LIKE,
    "original_max_position_embeddings": BORDER,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "original_max_position_embeddings": BORDER,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0, 4.0, 8.0, 16.0],
    },
}
_DYNAMIC: Mapping[str, Any] = {
    "max_position_embeddings": BORDER,
    "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
}

ROPE_SCALINGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama-longrope": ("Llama", _LONGROPE),
    "phi-3-longrope": ("Phi3", {**_LONGROPE, "sliding_window": None}),
    "phi-3-longrope-window": ("Phi3", {**_LONGROPE, "sliding_window": 16}),
    "llama-dynamic": ("Llama", {**_LLAMA_LIKE, **_DYNAMIC}),
    "gpt-neox-dynamic": ("GPTNeoX", {**_GPT_LIKE, "rotary_pct": 0.5, **_DYNAMIC}),
    "gemma-3-dynamic": (
        "Gemma3Text",
        {
            **_GEMMA,
            "layer_types": ["sliding_attention", "full_attention"],
            "max_position_embeddings": BORDER,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": _DYNAMIC["rope_parameters"],
            },
        },
    ),
}
"""Models whose frequencies depend on the length of a text, as `ARCHITECTURES`."""

_KEEP_AS_BUILT = ("A_log", "dt_", "time_", ".D", "recurrent_param", "e_score_correction_bias")
"""Parameters that a recurrence needs in its range."""


def build(name: str, vocab_size: int | None = None) -> Any:
    """Return the model in float32, with matrices that make each token count.

    Its vocabulary is the tokenizer's by default.
    """
    # Configurations write into the dictionaries that they are given.
    kind, settings = copy.deepcopy({**ARCHITECTURES, **ROPE_SCALINGS}[name])
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    vocab_size = vocab_size or len(build_tokenizer(chat=False))
    config = getattr(transformers, f"{kind}Config")(vocab_size=vocab_size, **ids, **settings)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if any(part in parameter_name for part in _KEEP_AS_BUILT):
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.add_(noise, alpha=0.2)  # biases and norms off their neutral value
            else:
                parameter.copy_(noise).mul_(0.3)
    return model.eval()


def write(name: str, folder: Path) -> Path:
    """Save the model with a tokenizer; return its folder."""
    build(name).save_pretrained(folder)
    build_tokenizer(chat=False).save_pretrained(folder)
    return folder
