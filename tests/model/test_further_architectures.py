"""Models whose attention, sizes or configurations are unlike the others', against transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from corll.errors import PromptTooLongError
from corll.policy import Policy
from tiny_models import build_tokenizer, logprob_by_transformers

PROMPT = "Write to the guests of the hotel near the station. " * 3
RESPONSES = ["Dear guests, the breakfast was slow.", "Dear guests, thank you for the note!"]
SMALL: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "eos_token_id": 0,
    "bos_token_id": 0,
}
LATENT: Mapping[str, Any] = {
    **SMALL,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 24,
    "num_experts_per_tok": 2,
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
    "index_n_heads": 32,
    "index_head_dim": 16,
    "index_topk": 16,
}
GROUPED: Mapping[str, Any] = {
    **{name: value for name, value in LATENT.items() if not name.startswith("index_")},
    "num_hidden_layers": 3,
}
LLAMA4: Mapping[str, Any] = {
    **SMALL,
    "head_dim": 8,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "intermediate_size_mlp": 48,
    "attention_chunk_size": 1024,
    "no_rope_layers": [1, 0],
    "floor_scale": 32,
    "attn_scale": 0.5,
}
GEMMA_3N: Mapping[str, Any] = {
    **SMALL,
    "head_dim": 8,
    "sliding_window": 40,
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 400,
    "hidden_size_per_layer_input": 8,
    "laurel_rank": 8,
    "activation_sparsity_pattern": [0.0] * 4,
}


def written(folder: Path, config: Any) -> Path:
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    build_tokenizer(chat=False).save_pretrained(folder)
    return folder


def config_of(kind: str, fields: Mapping[str, Any]) -> Any:
    return getattr(transformers, f"{kind}Config")(vocab_size=400, **fields)


def with_images() -> Any:
    """Gemma 3 with its tower for images."""
    text = {**SMALL, "vocab_size": 400, "head_dim": 8, "max_position_embeddings": 128}
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    ids = {"image_token_index": 5, "boi_token_index": 6, "eoi_token_index": 7}
    return transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, **ids
    )


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("DeepseekV32", LATENT),
        ("GlmMoeDsa", LATENT),
        ("DeepseekV4", GROUPED),
        ("Llama4Text", LLAMA4),
        ("Gemma3nText", GEMMA_3N),
    ],
)
def test_scores_and_drafts_are_those_of_transformers(
    tmp_path: Path, kind: str, fields: Mapping[str, Any]
) -> None:
    folder = written(tmp_path, config_of(kind, fields))
    policy = Policy.load(folder, dtype="float32")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    codec = policy.codec
    found = policy.logprobs([PROMPT] * 2, RESPONSES).tolist()
    ids = [codec.encode_response(text).token_ids for text in RESPONSES]
    prompt = codec.encode_prompt(PROMPT)
    right = [logprob_by_transformers(model, prompt, response) for response in ids]
    assert found == pytest.approx(right, abs=1e-3)
    for text, (draft,) in zip(
        prompts := [PROMPT, "Hi"], policy.sample(prompts, 1, 40), strict=True
    ):
        right_one = logprob_by_transformers(model, codec.encode_prompt(text), draft.token_ids)
        assert draft.logprob == pytest.approx(right_one, abs=2e-3)


def test_the_default_adapter_is_on_the_text_model_alone(tmp_path: Path) -> None:
    policy = Policy.load(written(tmp_path / "base", with_images()), dtype="float32")
    names = policy.trainable_parameters()
    assert len(names) == 28
    assert all(".language_model." in name for name in names)
    policy.save(tmp_path / "adapter")
    Policy.load(tmp_path / "base", dtype="float32", adapter=tmp_path / "adapter")


@pytest.mark.parametrize(
    "config",
    [
        with_images(),
        config_of("Mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128}),
        config_of(
            "Roberta",
            {**SMALL, "is_decoder": True, "max_position_embeddings": 130, "pad_token_id": 1},
        ),
    ],
    ids=["gemma-3", "mpt", "roberta"],
)
def test_the_context_is_read_whatever_it_is_called(tmp_path: Path, config: Any) -> None:
    policy = Policy.load(written(tmp_path, config), dtype="float32")
    assert policy.codec.context_length == 128
    with pytest.raises(PromptTooLongError):
        policy.sample(["word " * 100], max_new_tokens=4)
