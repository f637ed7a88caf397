"""A tiny random Llama as a GGUF file, with a byte-level BPE inside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from tiny_models import END, build_tokenizer


def write_tiny_gguf(
    path: Path,
    *,
    seed: int = 0,
    without: str = "",
    also: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> Path:
    """Weights in float16, as large as an embedding of 400 tokens and one layer need.

    The file lacks the tensor `without`, and has what `also` adds to it.
    """
    D, F, heads = 32, 64, 4
    random = np.random.default_rng(seed)
    tokenizer = build_tokenizer(chat=True)
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(D)
    writer.add_block_count(1)
    writer.add_feed_forward_length(F)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_rope_dimension_count(D // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token == END else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    shapes = {
        "token_embd": (len(tokens), D),
        "output": (len(tokens), D),
        **{f"blk.0.attn_{part}": (D, D) for part in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{part}": (F, D) for part in ("gate", "up")},
        "blk.0.ffn_down": (D, F),
    }
    shapes.pop(without, None)
    also(writer)
    for name, shape in shapes.items():
        weight = random.normal(scale=0.2, size=shape).astype(np.float16)
        writer.add_tensor(f"{name}.weight", weight)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(D, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
