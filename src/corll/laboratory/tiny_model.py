"""The size `tiny`: a small Llama with a vocabulary of its own, pre-trained here in minutes.

It is a Llama of `transformers`, trained through a forward pass of few large operations, which a CPU
runs twice as quickly. Every document begins with `<|endoftext|>`, which also ends the document
before; prompts are encoded in the same way. The gains of the norms stay 1, since a linear layer
follows each. Muon updates hidden matrices, Adam updates embeddings.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

import tokenizers
import torch
import transformers
from filelock import FileLock
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn.functional import embedding
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from corll.cache import cache_folder
from corll.compute.choose import layer_operations
from corll.compute.rotation import rotate
from corll.errors import ConfigError, InputError, ModelNotFoundError, TrainingError
from corll.files import durable
from corll.laboratory.tiny_config import TinyConfig, llama_config
from corll.model.loading import choose_dtype

log = logging.getLogger(__name__)

END = "<|endoftext|>"
"""The token that begins every document and ends the document before; id 0."""

_VERSION = 1
"""A part of the key: raise it when the same configuration would give another model."""

_ROWS_OF_LOGITS = 1024
"""Rows of logits that are held at once, 8 MB in bf16."""


_DEFAULT = TinyConfig()


def tiny_model(
    texts: Iterable[str] | Callable[[], Iterable[str]],
    config: TinyConfig = _DEFAULT,
    *,
    cache: Path | None = None,
    report: Callable[[str], None] = log.info,
) -> Path:
    """Return the folder of a model pre-trained on these texts: trained here once, then kept.

    `Policy.load` takes the folder, without a chat template; `training.json` in it tells how
    training went. The folder lies under `cache`, by default the cache folder of corll, and is named
    by a hash of the configuration and the texts, whose order and repetitions do not count. While
    one process trains, another that wants the same model waits. With the same number of threads on
    one machine, the same weights come out.

    *Raises*: InputError where there are fewer than two different texts; TrainingError where the
    loss is not finite; ModelNotFoundError where the folder cannot be written; ConfigError where
    torch is too old to train it.
    """
    documents = sorted({text for text in (texts() if callable(texts) else texts) if text.strip()})
    if len(documents) < 2:
        raise InputError(
            f"A tiny model needs at least two different texts to learn from and to be measured on; "
            f"there are {len(documents)}."
        )
    folder = (cache or cache_folder()) / "tiny" / _key(documents, config)
    account = folder / "training.json"
    if account.is_file():
        return folder
    if not hasattr(torch.optim, "Muon"):
        raise ConfigError(
            f"A tiny model is pre-trained by torch's Muon, which torch {torch.__version__} lacks; "
            "install torch 2.9 or later."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not account.is_file():
                save = partial(_train, documents=documents, config=config, report=report)
                durable.write_folder(folder, save)
    except OSError as error:
        raise ModelNotFoundError(
            f"The tiny model could not be written to {folder}: {error}. Make room there, or "
            "choose another folder by CORLL_CACHE."
        ) from error
    return folder


def _key(documents: Sequence[str], config: TinyConfig) -> str:
    digest = hashlib.sha256(f"{_VERSION}|{config.model_dump_json()}".encode())
    for document in documents:
        content = document.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]


def _train(
    folder: Path, *, documents: Sequence[str], config: TinyConfig, report: Callable[[str], None]
) -> None:
    """Train a model; write tokenizer, weights and an account of training into a new folder."""
    began = time.monotonic()
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(documents), generator=generator).tolist()
    count = max(1, round(config.held_out_share * len(documents)))
    held_out, training = ([documents[n] for n in part] for part in (order[:count], order[count:]))
    tokenizer = _train_tokenizer(training, config.vocab_size)
    encoded, held = _encode(tokenizer, training), _encode(tokenizer, held_out)
    network = _Network.create(config, tokenizer.get_vocab_size())
    parameters = sum(weight.numel() for weight in network.model.parameters())
    report(
        f"pre-training a tiny model: {parameters / 1e6:.2f} million parameters, "
        f"{len(documents)} texts of {sum(map(len, encoded + held)) / 1e6:.2f} million tokens"
    )
    bytes_per_token = sum(len(t.encode()) for t in held_out) / sum(len(ids) - 1 for ids in held)
    measured = []
    for row in _optimise(network, encoded, held, config, generator):
        row["loss_per_byte"] = row["loss"] / bytes_per_token
        row["seconds"] = round(time.monotonic() - began, 1)
        measured.append(row)
        report(
            "step {step} of {steps}: held-out loss {loss:.3f} nats a token, {loss_per_byte:.3f} "
            "a byte, after {seconds:.0f} s".format(steps=config.steps, **row)
        )
    folder.mkdir()
    _save(folder, tokenizer, network, config)
    account = {
        **measured[-1],
        "steps": config.steps,
        "parameters": parameters,
        "documents": len(training),
        "held_out_documents": len(held_out),
        "held_out_bytes_per_token": bytes_per_token,
        "threads": torch.get_num_threads(),
        "dtype": str(network.dtype).removeprefix("torch."),
        "config": config.model_dump(),
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)},
        "held_out": measured,
    }
    durable.write_text(folder / "training.json", json.dumps(account, indent=2) + "\n")


def _train_tokenizer(documents: Sequence[str], vocab_size: int) -> Tokenizer:
    """Train byte-level BPE with GPT-2's pre-tokenizer; a text is encoded with `END` before it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A {END} $B", special_tokens=[(END, 0)]
    )
    return tokenizer


def _encode(tokenizer: Tokenizer, documents: Sequence[str]) -> list[Tensor]:
    """Return the ids of each document, `END` first. *Shapes*: T each, int64."""
    found: list[Tensor] = []
    for start in range(0, len(documents), 512):
        encodings = tokenizer.encode_batch_fast(documents[start : start + 512])
        found += [torch.tensor(encoding.ids) for encoding in encodings]
    return found


def _windows(documents: Sequence[Tensor], length: int) -> Tensor:
    """Lay documents end to end and cut them into windows; each token is in one at least.

    A window begins at a document's start where one lies in the second half of the window before,
    else where that one ends. Its last token is only predicted. *Shapes*: N × (`length` + 1), with
    shorter windows where there are fewer tokens.
    """
    stream = torch.cat([*documents, torch.zeros(1, dtype=torch.long)])
    length = min(length, len(stream) - 1)
    begins = torch.tensor([0, *map(len, documents)]).cumsum(0).tolist()
    starts = [0]
    while (end := starts[-1] + length) < len(stream) - 1:
        nearest = begins[bisect_right(begins, end) - 1]
        start = nearest if nearest > end - length / 2 else end
        starts.append(min(start, len(stream) - 1 - length))
    return stream[torch.tensor(starts)[:, None] + torch.arange(length + 1)]


def _shuffled_windows(
    documents: Sequence[Tensor], length: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield windows without end; each epoch puts documents and windows in a new order."""
    while True:
        order = torch.randperm(len(documents), generator=generator).tolist()
        windows = _windows([documents[n] for n in order], length)
        yield from windows[torch.randperm(len(windows), generator=generator)]


def _optimise(
    network: _Network,
    documents: Sequence[Tensor],
    held_out: Sequence[Tensor],
    config: TinyConfig,
    generator: torch.Generator,
) -> Iterator[dict[str, Any]]:
    """Train the network; yield the held-out loss now and then, the last time at the end."""
    held = _windows(held_out, config.context_length)
    windows = _shuffled_windows(documents, config.context_length, generator)
    size = max(1, config.batch_tokens // config.context_length)
    # Muon's updates get the size of Adam's (Liu et al. 2025, arXiv 2502.16982): one learning rate
    # serves both.
    muon = torch.optim.Muon(
        network.matrices, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    optimizers = [muon, torch.optim.Adam([network.embeddings], betas=(0.9, 0.95))]
    tokens = 0
    for step in range(1, config.steps + 1):
        batch = torch.stack(list(islice(windows, size)))
        tokens += batch[:, 1:].numel()
        network.loss(batch).backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = config.learning_rate_at(step)
            optimizer.step()
            optimizer.zero_grad()
        if step % config.evaluate_every == 0 or step == config.steps:
            with torch.no_grad():
                parts = [held[start : start + size] for start in range(0, len(held), size)]
                loss = sum(float(network.loss(part)) * len(part) for part in parts) / len(held)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"The loss of the tiny model is {loss} at step {step}; lower its learning_rate "
                    f"of {config.learning_rate}."
                )
            yield {"step": step, "tokens": tokens, "loss": loss}


class _Network:
    """A Llama with a forward pass like that of the fused layers, in which the weights learn."""

    def __init__(self, model: Any) -> None:
        self.model, config = model, model.config
        self.dtype = choose_dtype(None, torch.device("cpu"))
        self.heads, self.keys = config.num_attention_heads, config.num_key_value_heads
        self.embeddings: nn.Parameter = model.model.embed_tokens.weight
        self.matrices = [w for w in model.model.layers.parameters() if w.ndim == 2]
        # All gains stay 1, so one norm serves everywhere.
        gains = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.operations = layer_operations(torch.device("cpu"))
        self.norm = self.operations.norm(gains.to(self.dtype))

    @classmethod
    def create(cls, config: TinyConfig, vocab_size: int) -> Self:
        """Make a network as `transformers` initialises it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = LlamaForCausalLM(llama_config(config, vocab_size))
        return cls(model)

    def loss(self, windows: Tensor) -> Tensor:
        """Return the mean loss of all but each window's first token. *Shapes*: B × (T + 1) → 1."""
        ids, targets = windows[:, :-1], windows[:, 1:].flatten()
        B, T = ids.shape
        embeddings = self.embeddings.to(self.dtype)
        x = embedding(ids.flatten(), embeddings)
        positions = torch.arange(T).expand(B, T)
        cos, sin = self.model.model.rotary_emb(x, positions)
        mask = torch.full((T, T), torch.finfo(self.dtype).min, dtype=self.dtype).triu(1)
        for layer in self.model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            qkv = self._joined(attention.q_proj, attention.k_proj, attention.v_proj)
            heads = (self.norm(x) @ qkv).view(B, T, -1, attention.head_dim)
            turned = rotate(heads[:, :, : -self.keys], cos, sin, over_heads=2).transpose(1, 2)
            queries, keys = torch.split(turned, [self.heads, self.keys], dim=1)
            values = heads[:, :, -self.keys :].transpose(1, 2)
            attended = self.operations.attend(attention, queries, keys, values, mask[None, None])
            x = torch.addmm(x, attended.view(B * T, -1), self._joined(attention.o_proj))
            gate_up = self.norm(x) @ self._joined(mlp.gate_proj, mlp.up_proj)
            x = torch.addmm(x, self.operations.gate(gate_up), self._joined(mlp.down_proj))
        loss: Tensor = _TokenLoss.apply(self.norm(x), embeddings, targets)  # type: ignore[no-untyped-call]
        return loss

    def _joined(self, *layers: Any) -> Tensor:
        """Join the layers' weights side by side. *Shapes*: in × Σ out."""
        return torch.cat([layer.weight for layer in layers]).to(self.dtype).t()


class _TokenLoss(torch.autograd.Function):
    """The mean of −log softmax(h Eᵀ)[target], with gradients taken while a chunk's logits exist.

    *Shapes*: `hidden` M × D, `embeddings` V × D, `targets` M → 1, float32.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, embeddings: Tensor, targets: Tensor) -> Tensor:
        total = torch.zeros(())
        grad_hidden = torch.empty_like(hidden)
        grad_embeddings = torch.zeros_like(embeddings, dtype=torch.float32)
        for start in range(0, len(targets), _ROWS_OF_LOGITS):
            chunk = slice(start, start + _ROWS_OF_LOGITS)
            own = targets[chunk, None]
            excess = (hidden[chunk] @ embeddings.t()).softmax(-1)
            probabilities = excess.gather(1, own)
            total -= probabilities.float().log().sum()
            excess.scatter_(1, own, probabilities - 1)
            torch.mm(excess, embeddings, out=grad_hidden[chunk])
            grad_embeddings += excess.t() @ hidden[chunk]
        ctx.save_for_backward(grad_hidden.div_(len(targets)), grad_embeddings.div_(len(targets)))
        return total / len(targets)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_hidden, grad_embeddings = ctx.saved_tensors
        grad_embeddings = (grad_embeddings * grad_output).to(grad_hidden.dtype)
        return grad_hidden * grad_output, grad_embeddings, None


def _save(folder: Path, tokenizer: Tokenizer, network: _Network, config: TinyConfig) -> None:
    """Write what `transformers` loads."""
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    network.model.config.save_pretrained(folder)
    network.model.generation_config.save_pretrained(folder)
    weights = {name: weight.detach() for name, weight in network.model.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
